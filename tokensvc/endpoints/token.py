"""`POST /token`: the token endpoint (OAuth 2.1 §3.2)."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.dpop import Proof
from tokensvc.endpoints.client_authentication import authenticate_client
from tokensvc.endpoints.http import NO_STORE, JsonResponse, read_form
from tokensvc.endpoints.proof import nonce_header, read_proof
from tokensvc.endpoints.service import service_of
from tokensvc.errors import (
    AuthorizationPending,
    InvalidDpopProof,
    InvalidGrant,
    InvalidRequest,
    OAuthError,
    ReplayedGrant,
    TemporarilyUnavailable,
    UnsupportedGrantType,
    UseDpopNonce,
)
from tokensvc.grants.issued import Issued
from tokensvc.grants.token_request import GrantType, TokenRequest
from tokensvc.observability import log, warn
from tokensvc.protocol.client import Client

_EVENTS = {"advanced": "token issued", "trusted": "token issued on trust", "repeated": "token repeated"}


async def token(request: Request) -> Response:
    service = service_of(request)
    grant_type = client = ""
    try:
        parameters = (await read_form(request)).check()
        # Not before the request is whole: whoever holds its end back must not stop the clock.
        now = service.clock()
        await service.server.ledger.ready(now)
        grant = _grant(parameters.get("grant_type", ""), service.grant_types)
        # Logged once it is known to be one: anything may stand there, a secret too.
        grant_type = parameters["grant_type"]
        proof = read_proof(request, "/token", service, now)
        authenticated, assertion = await authenticate_client(request, parameters, service, now)
        client = authenticated.handle
        _check_registration(authenticated, proof)
        issued = await grant(TokenRequest(parameters, authenticated, now, proof, assertion), service.server)
    except (TemporarilyUnavailable, AuthorizationPending, UseDpopNonce):
        raise
    except OAuthError as error:
        _warn(error, grant_type, client)
        raise
    event = _EVENTS[issued.outcome]
    log(event, grant_type=grant_type, client=client, family=issued.family, generation=issued.generation)
    return JsonResponse(_response(issued), headers=NO_STORE | nonce_header(proof, service, now))


def _check_registration(client: Client, proof: Proof | None) -> None:
    """Raises InvalidDpopProof (RFC 9449 §5.2)."""
    if client.dpop_bound_access_tokens and proof is None:
        raise InvalidDpopProof("the client registered for tokens that are bound to a key, and a DPoP proof is missing")


def _warn(error: OAuthError, grant_type: str, client: str) -> None:
    """Why no token was issued, with the family where the artefact opened."""
    event = "token replayed" if isinstance(error, ReplayedGrant) else "token refused"
    family = error.family if isinstance(error, InvalidGrant) else ""
    warn(event, grant_type=grant_type, client=client, family=family, error=error.error, reason=error.reason)


def _grant(grant_type: str, known: Mapping[str, GrantType]) -> GrantType:
    if not grant_type:
        raise InvalidRequest("grant_type is missing")
    if grant_type not in known:
        raise UnsupportedGrantType("grant_type is not supported")
    return known[grant_type]


def _response(issued: Issued) -> dict[str, str | int]:
    response: dict[str, str | int] = {
        "access_token": issued.access_token,
        "token_type": issued.token_type,
        "expires_in": issued.expires_in,
        "scope": issued.scope,
    }
    return response if issued.refresh_token is None else response | {"refresh_token": issued.refresh_token}
