"""A person at one of the service's own pages: what stops them, the browser that they use, and who they are."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.endpoints import cookies
from tokensvc.endpoints.http import read_form
from tokensvc.endpoints.pages import error_page
from tokensvc.endpoints.service import Service, address_of
from tokensvc.errors import OAuthError, TemporarilyUnavailable, TooManyRequests
from tokensvc.identity import SignedIn
from tokensvc.observability import warn
from tokensvc.tokens.artefact import Unsealable
from tokensvc.tokens.kinds import AuthorizationRequest, DevicePage

Page = TypeVar("Page", AuthorizationRequest, DevicePage)
Found = TypeVar("Found")
_WORDS = {"api key": "keys", "user code": "codes"}
"""What a person is told that there were too many of."""


class Refused(Exception):
    """An answer for the person, who stays on this page. An empty hint means the usual one of the page."""

    def __init__(self, status: int, title: str, message: str, *, hint: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.status, self.title, self.hint, self.reason = status, title, hint, reason or message
        self.headers: dict[str, str] = {}

    def page(self, usual_hint: str) -> Response:
        page = error_page(self.status, self.title, str(self), hint=self.hint or usual_hint)
        page.headers.update(self.headers)
        return page


def unavailable_page(error: TemporarilyUnavailable, hint: str) -> Response:
    warn("unavailable", reason=error.reason)
    page = error_page(503, "Not available right now", "This service cannot answer at the moment.", hint=hint)
    page.headers["Retry-After"] = str(error.retry_after)
    return page


async def read_page_form(request: Request) -> Mapping[str, str]:
    """What a page posted. Raises Refused."""
    try:
        return (await read_form(request)).check()
    except OAuthError as error:
        raise Refused(
            error.status, "This form is damaged", "The page was sent in a form that cannot be read."
        ) from error


def open_page(request: Request, kind: type[Page], sealed: str, service: Service, now: int, *, hint: str) -> Page:
    """What a form carries of its page, which was shown in this browser. Raises Refused."""
    try:
        page = service.server.sealer.unseal(kind, sealed, now)
    except Unsealable as error:
        raise Refused(400, "This page is no longer valid", "It cannot be opened any more.") from error
    if now >= page.exp:
        raise Refused(400, "This page has expired", "It was open for more than ten minutes, so nothing was allowed.")
    _check_browser(request, page.name, page.browser, hint=hint)
    return page


def check_resource(digest: str, service: Service) -> None:
    """Raises Refused where what a page asked about was taken away meanwhile."""
    if service.server.resources.sealed(digest) is None:
        raise Refused(400, "This page is no longer valid", "The server it was about is not offered any more.")


def _check_browser(request: Request, name: str, browser: str, *, hint: str) -> None:
    if request.headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        # Cookies know no ports, so a neighbour on this host could have planted its own beside its own request.
        raise Refused(403, "This is another website", "The decision came from elsewhere, so nothing was allowed.")
    if not cookies.holds(request, name, browser):
        message = "The decision did not come from the browser that the page was shown in, so nothing was allowed."
        raise Refused(403, "This is another browser", message, hint=f"Allow cookies for this site. {hint}")


async def attempt(
    request: Request, service: Service, secret: str, look_up: Callable[[], Awaitable[Found | None]]
) -> Found | None:
    """What a secret of this sort opens; None for a wrong one, which counts. Raises Refused after too many of those.

    Of many that are tried at once, all pass the first check before any of them counts. So the second one is the same
    for right and wrong: beyond the limit, no answer tells which of them is right.
    """
    _check_attempts(request, service, secret)
    found = await look_up()
    _check_attempts(request, service, secret)
    if found is None:
        service.attempts.failed(secret, address_of(request))
    return found


def _check_attempts(request: Request, service: Service, secret: str) -> None:
    try:
        service.attempts.check(secret, address_of(request))
    except TooManyRequests as error:
        raise too_many(error, f"wrong {_WORDS[secret]}") from error


def too_many(error: TooManyRequests, what: str) -> Refused:
    message = f"There were too many {what} from your network."
    refused = Refused(429, "Too many attempts", message, hint="Wait a minute.", reason=error.reason)
    refused.headers["Retry-After"] = str(error.retry_after)
    return refused


async def sign_in(request: Request, api_key: str, client: str, service: Service, now: int) -> SignedIn | str:
    """Who signed in to allow something to a client (its handle), or what to tell the person. Raises Refused."""
    if not api_key.strip():
        return "Enter your API key to allow this."
    signed_in = await attempt(request, service, "api key", lambda: service.server.identities.sign_in(api_key, now))
    if signed_in is None:
        warn("sign-in refused", reason="wrong API key", client=client, address=address_of(request))
        return "This API key is not valid. Check it and try again."
    return signed_in
