"""`GET, POST /authorize`: the authorization endpoint (OAuth 2.1 §3.1), sign-in and consent on one page.

The request in flight travels sealed in the form. A cookie that only this browser has binds it to the person who saw the
page, so nobody can post a decision that they were not asked for.
"""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tokensvc.endpoints import cookies
from tokensvc.endpoints.http import NO_STORE, JsonResponse, Parameters, read_form
from tokensvc.endpoints.pages import SignInView, error_page, sign_in_page
from tokensvc.endpoints.service import Service, address_of, service_of
from tokensvc.errors import (
    AccessDenied,
    InvalidRedirectUri,
    InvalidRequest,
    OAuthError,
    TemporarilyUnavailable,
    TooManyRequests,
    UnknownClient,
)
from tokensvc.grants import authorization_code
from tokensvc.identity import SignedIn
from tokensvc.observability import log, warn
from tokensvc.protocol.authorization_request import Authorization, ReturnAddress, check, return_address
from tokensvc.protocol.client import Client
from tokensvc.protocol.redirect_uri import RedirectUri
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.tokens.artefact import Unsealable
from tokensvc.tokens.kinds import AuthorizationRequest, digest

REQUEST_LIFETIME = 600_000
"""How long a person may take on the page, in milliseconds."""
_AGAIN = "Go back to the app and connect again."


async def authorize(request: Request) -> Response:
    try:
        return await (_decide(request) if request.method == "POST" else _ask(request))
    except _Refused as refused:
        warn("authorization refused", reason=refused.reason)
        if isinstance(refused, _Unregistered) and _is_probe(request):
            return _unregistered(request)
        page = error_page(refused.status, refused.title, str(refused), hint=refused.hint)
        page.headers.update(refused.headers)
        return page
    except TemporarilyUnavailable as error:
        warn("unavailable", reason=error.reason)
        page = error_page(503, "Not available right now", "This service cannot answer at the moment.", hint=_AGAIN)
        page.headers["Retry-After"] = str(error.retry_after)
        return page


class _Refused(Exception):
    """An answer for the person, who stays on this page: there is no redirect URI that could be trusted with it."""

    def __init__(self, status: int, title: str, message: str, *, hint: str = _AGAIN, reason: str = "") -> None:
        super().__init__(message)
        self.status, self.title, self.hint, self.reason = status, title, hint, reason or message
        self.headers: dict[str, str] = {}


class _Unregistered(_Refused):
    """The client is unknown here."""


async def _ask(request: Request) -> Response:
    """Check the request and show the page."""
    service = service_of(request)
    now = service.clock()
    parameters = _parse(request)
    client, address = await _return_address(parameters.values, service.server, now)
    try:
        authorization = check(parameters.check(), client, address, service.server)
    except OAuthError as error:
        warn("authorization refused", client=client.handle, error=error.error, reason=error.reason)
        return _see_other(address.refuse(error))
    name, value = cookies.new(now)
    sealed = _request(authorization, name, value, now)
    view = _view(sealed, service.server.sealer.seal(sealed, now), service.server)
    page = sign_in_page(view)
    cookies.put(request, page, name, value, REQUEST_LIFETIME // 1000)
    return page


async def _decide(request: Request) -> Response:
    """Take the decision of the person who saw the page."""
    service = service_of(request)
    form = await _read_form(request)
    now = service.clock()
    pending = _pending(request, form.get("request", ""), service, now)
    address = ReturnAddress(RedirectUri.parse(pending.redirect_uri), pending.state, service.server.issuer)
    decision = form.get("decision")
    if decision == "deny":
        log("authorization denied", client=pending.client)
        return _see_other(address.refuse(AccessDenied("the person did not allow it")))
    if decision != "allow":
        raise _Refused(400, "That was not a decision", "The page was sent without Allow or Deny.")
    signed_in = await _sign_in(request, form.get("api_key", ""), pending, service, now)
    if isinstance(signed_in, str):
        view = _view(pending, form["request"], service.server)
        return sign_in_page(view, status=401, problem=signed_in)
    sealed, code = await authorization_code.approve(pending, signed_in, service.server, now)
    log("authorization granted", client=pending.client, family=code.family, credential=code.credential)
    return _see_other(address.answer(code=sealed))


def _parse(request: Request) -> Parameters:
    """The parameters; those that decide where an answer goes must not be repeated."""
    try:
        parameters = Parameters.parse(request.scope["query_string"])
    except InvalidRequest as error:
        raise _Refused(400, "This link is damaged", "The app sent a request that cannot be read.") from error
    if parameters.repeated & {"client_id", "redirect_uri", "state"}:
        raise _Refused(400, "This link is damaged", "The app sent a parameter twice that may stand only once.")
    return parameters


async def _return_address(
    parameters: Mapping[str, str], server: AuthorizationServer, now: int
) -> tuple[Client, ReturnAddress]:
    """The client, and where its answer goes; a page for the person where that cannot be known."""
    try:
        return await return_address(parameters, server, now)
    except UnknownClient as error:
        message = "The app uses a registration that this server does not know. It may be from before a change here."
        hint = "Remove this server in the app and add it again, so that the app registers anew."
        title = "This app is not registered here"
        raise _Unregistered(400, title, message, hint=hint, reason=f"client: {error}") from error
    except InvalidRedirectUri as error:
        message = f"The answer would go to an address that cannot be trusted: {error.description}."
        raise _Refused(400, "The app asks to be answered elsewhere", message) from error
    except InvalidRequest as error:
        message = f"The app sent an incomplete request: {error.description}."
        raise _Refused(400, "This link is damaged", message) from error


async def _read_form(request: Request) -> Mapping[str, str]:
    try:
        return (await read_form(request)).check()
    except OAuthError as error:
        raise _Refused(
            error.status, "This form is damaged", "The page was sent in a form that cannot be read."
        ) from error


def _pending(request: Request, sealed: str, service: Service, now: int) -> AuthorizationRequest:
    """The request in flight, from the browser that it was shown in."""
    try:
        pending = service.server.sealer.unseal(AuthorizationRequest, sealed, now)
    except Unsealable as error:
        raise _Refused(400, "This page is no longer valid", "The request cannot be opened any more.") from error
    if now >= pending.exp:
        raise _Refused(400, "This page has expired", "It was open for more than ten minutes, so nothing was allowed.")
    if request.headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        # Cookies know no ports, so a neighbour on this host could have planted its own beside its own request.
        raise _Refused(403, "This is another website", "The decision came from elsewhere, so nothing was allowed.")
    if not cookies.holds(request, pending.name, pending.browser):
        hint = f"Allow cookies for this site. {_AGAIN}"
        message = "The decision did not come from the browser that the page was shown in, so nothing was allowed."
        raise _Refused(403, "This is another browser", message, hint=hint)
    if service.server.resources.sealed(pending.resource) is None:
        raise _Refused(400, "This page is no longer valid", "The server it was about is not offered any more.")
    return pending


async def _sign_in(
    request: Request, api_key: str, pending: AuthorizationRequest, service: Service, now: int
) -> SignedIn | str:
    """Who signed in, or what to tell the person."""
    address = address_of(request)
    try:
        service.attempts.check("api key", address)
    except TooManyRequests as error:
        message = "There were too many wrong keys from your network."
        refused = _Refused(429, "Too many attempts", message, hint="Wait a minute.", reason=error.reason)
        refused.headers["Retry-After"] = str(error.retry_after)
        raise refused from error
    if not api_key.strip():
        return "Enter your API key to allow this."
    signed_in = await service.server.identities.sign_in(api_key, now)
    if signed_in is None:
        service.attempts.failed("api key", address)
        warn("sign-in refused", reason="wrong API key", client=pending.client, address=address)
        return "This API key is not valid. Check it and try again."
    return signed_in


def _request(authorization: Authorization, name: str, cookie: str, now: int) -> AuthorizationRequest:
    client = authorization.client
    return AuthorizationRequest(
        name=name,
        browser=digest(cookie, 16),
        client=client.handle,
        client_name=client.name,
        verified=client.verified,
        redirect_uri=authorization.redirect_uri.text,
        state=authorization.state,
        code_challenge=authorization.code_challenge,
        resource=authorization.resource.digest,
        scope=authorization.scope,
        exp=now + REQUEST_LIFETIME,
    )


def _view(pending: AuthorizationRequest, sealed: str, server: AuthorizationServer) -> SignInView:
    redirect_uri = RedirectUri.parse(pending.redirect_uri)
    resource = server.resources.sealed(pending.resource)
    return SignInView(
        client_name=pending.client_name,
        client_verified=pending.verified,
        redirect_target=redirect_uri.target,
        redirect_kind=redirect_uri.kind,
        resource=resource.identifier if resource else "",
        scopes=tuple(pending.scope.split()),
        request=sealed,
        issuer=server.issuer,
    )


def _is_probe(request: Request) -> bool:
    """Whether a program asks, which cannot read a page: some clients try their registration before the browser."""
    accepted = request.headers.get("accept", "")
    return "application/json" in accepted and "text/html" not in accepted


def _unregistered(request: Request) -> Response:
    """`invalid_client`, with the place to register anew."""
    service = service_of(request)
    answer = {"error": "invalid_client", "error_description": "client is not registered"}
    if service.registration.enabled:
        answer["registration_endpoint"] = f"{service.server.issuer}/register"
    return JsonResponse(answer, 400, headers=NO_STORE)


def _see_other(url: str) -> Response:
    """303, so that the form with the API key is not posted on to the client (RFC 9700 §4.12)."""
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return RedirectResponse(url, 303, headers=headers)
