"""`POST /token`: the token endpoint (OAuth 2.1 §3.2)."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.endpoints.http import NO_STORE, JsonResponse, header, read_form
from tokensvc.endpoints.service import Service, address_of, service_of
from tokensvc.errors import (
    InvalidClient,
    InvalidGrant,
    InvalidRequest,
    OAuthError,
    ReplayedGrant,
    TemporarilyUnavailable,
    UnsupportedGrantType,
)
from tokensvc.grants import authorization_code, refresh_token
from tokensvc.grants.minting import Issued
from tokensvc.observability import log, warn
from tokensvc.protocol.client import Client
from tokensvc.protocol.client_authentication import ClientCredentials, authenticate
from tokensvc.protocol.server import AuthorizationServer

GrantType = Callable[[Mapping[str, str], Client, AuthorizationServer, int], Awaitable[Issued]]

GRANT_TYPES: dict[str, GrantType] = {
    "authorization_code": authorization_code.grant,
    "refresh_token": refresh_token.grant,
}
"""What is advertised and what is accepted, in one table."""

_EVENTS = {"advanced": "token issued", "trusted": "token issued on trust", "repeated": "token repeated"}


async def token(request: Request) -> Response:
    service = service_of(request)
    grant_type = client = ""
    try:
        parameters = (await read_form(request)).check()
        # Not before the request is whole: whoever holds its end back must not stop the clock.
        now = service.clock()
        await service.server.ledger.ready(now)
        grant = _grant(parameters.get("grant_type", ""))
        # Logged once it is known to be one: anything may stand there, a secret too.
        grant_type = parameters["grant_type"]
        authenticated = authenticate_client(request, parameters, service, now)
        client = authenticated.handle
        issued = await grant(parameters, authenticated, service.server, now)
    except TemporarilyUnavailable:
        raise
    except OAuthError as error:
        _warn(error, grant_type, client)
        raise
    event = _EVENTS[issued.outcome]
    log(event, grant_type=grant_type, client=client, family=issued.family, generation=issued.generation)
    return JsonResponse(_response(issued), headers=NO_STORE)


def _warn(error: OAuthError, grant_type: str, client: str) -> None:
    """Why no token was issued, with the family where the artefact opened."""
    event = "token replayed" if isinstance(error, ReplayedGrant) else "token refused"
    family = error.family if isinstance(error, InvalidGrant) else ""
    warn(event, grant_type=grant_type, client=client, family=family, error=error.error, reason=error.reason)


def authenticate_client(request: Request, parameters: Mapping[str, str], service: Service, now: int) -> Client:
    """The client of a request. Raises InvalidClient; TooManyRequests after many wrong secrets from one address."""
    credentials = ClientCredentials.parse(
        header(request.scope, b"authorization"), parameters.get("client_id"), parameters.get("client_secret")
    )
    address = address_of(request)
    if credentials.secrets:
        service.attempts.check("client secret", address)
    try:
        return authenticate(credentials, service.server.clients, now)
    except InvalidClient:
        if credentials.secrets:
            service.attempts.failed("client secret", address)
        raise


def _grant(grant_type: str) -> GrantType:
    if not grant_type:
        raise InvalidRequest("grant_type is missing")
    if grant_type not in GRANT_TYPES:
        raise UnsupportedGrantType("grant_type is not supported")
    return GRANT_TYPES[grant_type]


def _response(issued: Issued) -> dict[str, str | int]:
    response: dict[str, str | int] = {
        "access_token": issued.access_token,
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "scope": issued.scope,
    }
    return response if issued.refresh_token is None else response | {"refresh_token": issued.refresh_token}
