"""A person at one of the service's own pages: what stops them, the browser that they use, and who they are."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.endpoints import cookies
from tokensvc.endpoints.http import read_form
from tokensvc.endpoints.pages import error_page
from tokensvc.endpoints.service import Service, address_of
from tokensvc.errors import OAuthError, TemporarilyUnavailable, TooManyRequests
from tokensvc.identity import SignedIn
from tokensvc.observability import warn


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


def check_browser(request: Request, name: str, browser: str, *, hint: str) -> None:
    """Whether a form comes from the page and the browser that it was shown in. Raises Refused."""
    if request.headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        # Cookies know no ports, so a neighbour on this host could have planted its own beside its own request.
        raise Refused(403, "This is another website", "The decision came from elsewhere, so nothing was allowed.")
    if not cookies.holds(request, name, browser):
        message = "The decision did not come from the browser that the page was shown in, so nothing was allowed."
        raise Refused(403, "This is another browser", message, hint=f"Allow cookies for this site. {hint}")


def check_attempts(request: Request, service: Service, secret: str, what: str) -> None:
    """Raises Refused where there were too many wrong ones from this address. `what` is what they are, in words."""
    try:
        service.attempts.check(secret, address_of(request))
    except TooManyRequests as error:
        message = f"There were too many wrong {what} from your network."
        refused = Refused(429, "Too many attempts", message, hint="Wait a minute.", reason=error.reason)
        refused.headers["Retry-After"] = str(error.retry_after)
        raise refused from error


async def sign_in(request: Request, api_key: str, client: str, service: Service, now: int) -> SignedIn | str:
    """Who signed in to allow something to a client (its handle), or what to tell the person. Raises Refused."""
    check_attempts(request, service, "api key", "keys")
    if not api_key.strip():
        return "Enter your API key to allow this."
    signed_in = await service.server.identities.sign_in(api_key, now)
    if signed_in is None:
        address = address_of(request)
        service.attempts.failed("api key", address)
        warn("sign-in refused", reason="wrong API key", client=client, address=address)
        return "This API key is not valid. Check it and try again."
    return signed_in
