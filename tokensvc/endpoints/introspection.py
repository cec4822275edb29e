"""`POST /introspect`: token introspection for resource servers (RFC 7662 §2)."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.endpoints.http import NO_STORE, JsonResponse, bearer, header, read_form
from tokensvc.endpoints.service import guard, service_of
from tokensvc.errors import InvalidRequest, TemporarilyUnavailable
from tokensvc.identity import IdentityEnded
from tokensvc.ledger.marks import Dead
from tokensvc.observability import warn
from tokensvc.protocol.client_authentication import parse_basic, spellings
from tokensvc.protocol.resource_indicator import Resource
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.tokens.artefact import Unsealable
from tokensvc.tokens.kinds import AccessToken


class _Inactive(Exception):
    """Why a token is not active, for the log. The caller is told no more than that it is not (§2.2)."""

    def __init__(self, reason: str, token: AccessToken | None = None) -> None:
        super().__init__(reason)
        self.family, self.client = (token.family, token.client) if token else ("", "")


async def introspect(request: Request) -> Response:
    service = service_of(request)
    if not service.introspection:
        raise TemporarilyUnavailable("introspection is not configured: TOKENSVC_INTROSPECTION_TOKENS is not set")
    resource = guard(request, service, service.introspection, presented(request), "introspection")
    parameters = (await read_form(request)).check()
    now = service.clock()
    if "token" not in parameters:
        raise InvalidRequest("token is missing")
    await service.server.ledger.ready(now)
    await service.server.ledger.fresh(now)
    try:
        token, exp = await _active(parameters["token"], resource, service.server, now)
    except _Inactive as inactive:
        warn("token inactive", reason=str(inactive), family=inactive.family, client=inactive.client)
        return JsonResponse({"active": False}, headers=NO_STORE)
    return JsonResponse(_response(token, exp, resource, service.server), headers=NO_STORE)


async def _active(
    value: str, resource: Resource | None, server: AuthorizationServer, now: int
) -> tuple[AccessToken, int]:
    """The token and when it expires, if it is active for this resource. Raises _Inactive."""
    try:
        token = server.access_tokens.unseal(value, now)
    except Unsealable as error:
        raise _Inactive(str(error)) from None
    exp = server.clients.lifetimes(token.client).end_of(token)
    if now >= exp:
        raise _Inactive("expired", token)
    if resource is None or token.resource != resource.digest:
        raise _Inactive("for another resource", token)
    try:
        await server.ledger.check(token)
        await server.identities.confirm(token.credential, token.identity, now)
    except (Dead, IdentityEnded) as ended:
        raise _Inactive(str(ended), token) from None
    if not server.scopes.limit(token.scope, token.identity.role):
        raise _Inactive("its role may have none of its scopes any more", token)
    return token, exp


def _response(token: AccessToken, exp: int, resource: Resource | None, server: AuthorizationServer) -> dict[str, Any]:
    account, user, role = token.identity
    response = {
        "active": True,
        "iss": server.issuer,
        "sub": token.identity.sub,
        "aud": resource.identifier if resource else "",
        "client_id": token.client,
        "scope": server.scopes.limit(token.scope, role),
        "token_type": "DPoP" if token.jkt else "Bearer",
        "iat": token.iat // 1000,
        "exp": exp // 1000,
        "jti": token.jti,
        "family": token.family,
        "account": account,
        "user": user,
        "role": role,
    }
    # What the resource server has to see proved (RFC 9449 §6.2).
    return response | {"cnf": {"jkt": token.jkt}} if token.jkt else response


def presented(request: Request) -> tuple[str, ...]:
    """The resource server's secret: a bearer, or the password of Basic with any user name, percent-encoded or not."""
    authorization = header(request.scope, b"authorization")
    credential = bearer(authorization)
    try:
        return (credential,) if credential else spellings(parse_basic(authorization or "")[1])
    except ValueError:
        return ()
