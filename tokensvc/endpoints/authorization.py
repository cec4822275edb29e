"""`GET, POST /authorize`: the authorization endpoint (OAuth 2.1 §3.1), sign-in and consent on one page.

The request in flight travels sealed in the form. A cookie that only this browser has binds it to the person who saw the
page, so nobody can post a decision that they were not asked for.
"""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tokensvc.endpoints import cookies
from tokensvc.endpoints.client_documents import counted
from tokensvc.endpoints.http import NO_STORE, JsonResponse, Parameters
from tokensvc.endpoints.pages import SignInView, plain_host, sign_in_page
from tokensvc.endpoints.person import (
    Refused,
    check_resource,
    open_page,
    read_page_form,
    sign_in,
    too_many,
    unavailable_page,
)
from tokensvc.endpoints.service import Service, service_of
from tokensvc.errors import (
    AccessDenied,
    InvalidRedirectUri,
    InvalidRequest,
    InvalidRequestUri,
    OAuthError,
    TemporarilyUnavailable,
    TooManyRequests,
    UnknownClient,
)
from tokensvc.grants import authorization_code
from tokensvc.ledger import Spent
from tokensvc.observability import log, warn
from tokensvc.protocol.authorization_request import Authorization, ReturnAddress, check, return_address
from tokensvc.protocol.client import Client
from tokensvc.protocol.client_metadata_document import DocumentRefused, DocumentUnavailable
from tokensvc.protocol.pushed_request import LIFETIME as PUSHED_LIFETIME
from tokensvc.protocol.pushed_request import open_pushed, restore
from tokensvc.protocol.redirect_uri import RedirectUri
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.tokens.kinds import AuthorizationRequest, PushedRequest, digest

REQUEST_LIFETIME = 600_000
"""How long a person may take on the page, in milliseconds."""
_AGAIN = "Go back to the app and connect again."


async def authorize(request: Request) -> Response:
    try:
        return await (_take(request) if request.method == "POST" else _show(request))
    except Refused as refused:
        warn("authorization refused", reason=refused.reason)
        if isinstance(refused, _Unregistered) and _is_probe(request):
            return _unregistered(request)
        return refused.page(_AGAIN)
    except TemporarilyUnavailable as error:
        return unavailable_page(error, _AGAIN)


class _Unregistered(Refused):
    """The client is unknown here."""


async def _show(request: Request) -> Response:
    """Check the request and show the page."""
    service = service_of(request)
    now = service.clock()
    parameters = _parse(request)
    pushed = _pushed(parameters.values, service.server, now)
    # What stands beside a request_uri has no say (RFC 9101 §5), so it may be what it wants.
    given = pushed.address_parameters(parameters.values["client_id"]) if pushed else parameters.values
    client, address = await _return_address(request, given, service, now)
    try:
        if pushed:
            authorization = restore(pushed, client, address, service.server, now)
        else:
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


async def _take(request: Request) -> Response:
    """Take the decision of the person who saw the page."""
    service = service_of(request)
    form = await read_page_form(request)
    now = service.clock()
    pending = open_page(request, AuthorizationRequest, form.get("request", ""), service, now, hint=_AGAIN)
    check_resource(pending.resource, service)
    address = ReturnAddress(RedirectUri.parse(pending.redirect_uri), pending.state, service.server.issuer)
    decision = form.get("decision")
    if decision == "deny":
        log("authorization denied", client=pending.client)
        return _see_other(address.refuse(AccessDenied("the person did not allow it")))
    if decision != "allow":
        raise Refused(400, "That was not a decision", "The page was sent without Allow or Deny.")
    signed_in = await sign_in(request, form.get("api_key", ""), pending.client, service, now)
    if isinstance(signed_in, str):
        view = _view(pending, form["request"], service.server)
        return sign_in_page(view, status=401, problem=signed_in)
    await _use(pending, service.server, now)
    try:
        sealed, code = await authorization_code.approve(pending, signed_in, service.server, now)
    except AccessDenied as denied:
        facts = {"client": pending.client, "credential": signed_in.credential}
        warn("authorization refused", **facts, error=denied.error, reason=denied.reason)
        return _see_other(address.refuse(denied))
    log("authorization granted", client=pending.client, family=code.family, credential=code.credential)
    return _see_other(address.answer(code=sealed))


def _parse(request: Request) -> Parameters:
    """The parameters; those that decide where an answer goes must not be repeated."""
    try:
        parameters = Parameters.parse(request.scope["query_string"])
    except InvalidRequest as error:
        raise Refused(400, "This link is damaged", "The app sent a request that cannot be read.") from error
    if parameters.repeated & {"client_id", "redirect_uri", "request_uri", "state"}:
        raise Refused(400, "This link is damaged", "The app sent a parameter twice that may stand only once.")
    return parameters


def _pushed(parameters: Mapping[str, str], server: AuthorizationServer, now: int) -> PushedRequest | None:
    """The request that the client pushed (RFC 9126 §4), None for one that stands in the parameters."""
    try:
        return open_pushed(parameters, server, now)
    except InvalidRequestUri as error:
        message = "The app sent a request that this server does not know, or not any more."
        raise Refused(400, "This link is damaged", message, hint=_AGAIN, reason=error.reason) from error


async def _use(pending: AuthorizationRequest, server: AuthorizationServer, now: int) -> None:
    """A pushed request is allowed once, on however many pages it was shown (RFC 9126 §7.3).

    A denial uses nothing up: it takes no key, so that strangers could fill the ledger with theirs.
    """
    if not pending.pushed:
        return
    await server.ledger.ready(now)
    try:
        await server.ledger.spend(f"par:{pending.pushed}", now + PUSHED_LIFETIME + REQUEST_LIFETIME, now)
    except Spent as error:
        message = "This was allowed before, perhaps in another tab. Nothing more was allowed now."
        raise Refused(
            400, "This was allowed before", message, hint=_AGAIN, reason="pushed request used again"
        ) from error


async def _return_address(
    request: Request, parameters: Mapping[str, str], service: Service, now: int
) -> tuple[Client, ReturnAddress]:
    """The client, and where its answer goes; a page for the person where that cannot be known."""
    try:
        with counted((parameters.get("client_id", ""),), request, service, now):
            return await return_address(parameters, service.server, now)
    except TooManyRequests as error:
        raise too_many(error, "links to apps that cannot be identified") from error
    except DocumentRefused as error:
        message = f"The app says who it is in a document of its own, which cannot be accepted: {error.problem}."
        hint = "Nothing can be done about it here. Ask whoever makes the app."
        raise _Unregistered(400, "This app describes itself wrongly", message, hint=hint, reason=str(error)) from error
    except DocumentUnavailable as error:
        message = f"The app says who it is in a document at {plain_host(error.host)}, which cannot be read right now."
        refused = Refused(503, "This app cannot be identified right now", message, reason=error.reason)
        refused.headers["Retry-After"] = str(error.retry_after)
        raise refused from error
    except UnknownClient as error:
        message = "The app uses a registration that this server does not know. It may be from before a change here."
        hint = "Remove this server in the app and add it again, so that the app registers anew."
        title = "This app is not registered here"
        raise _Unregistered(400, title, message, hint=hint, reason=f"client: {error}") from error
    except InvalidRedirectUri as error:
        message = f"The answer would go to an address that cannot be trusted: {error.description}."
        raise Refused(400, "The app asks to be answered elsewhere", message) from error
    except InvalidRequest as error:
        message = f"The app sent an incomplete request: {error.description}."
        raise Refused(400, "This link is damaged", message) from error


def _request(authorization: Authorization, name: str, cookie: str, now: int) -> AuthorizationRequest:
    client = authorization.client
    return AuthorizationRequest(
        name=name,
        browser=digest(cookie, 16),
        client=client.handle,
        client_name=client.name,
        verified=client.verified,
        client_host=client.host,
        redirect_uri=authorization.redirect_uri.text,
        state=authorization.state,
        code_challenge=authorization.code_challenge,
        resource=authorization.resource.digest,
        scope=authorization.scope,
        exp=now + REQUEST_LIFETIME,
        jkt=authorization.jkt,
        pushed=authorization.pushed,
    )


def _view(pending: AuthorizationRequest, sealed: str, server: AuthorizationServer) -> SignInView:
    redirect_uri = RedirectUri.parse(pending.redirect_uri)
    resource = server.resources.sealed(pending.resource)
    return SignInView(
        client_name=pending.client_name,
        client_verified=pending.verified,
        client_host=pending.client_host,
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
