"""The refresh token grant (OAuth 2.1 §4.3): every use rotates, and a repeat inside the grace window gets the head."""

from tokensvc.errors import InvalidClient, InvalidRequest
from tokensvc.grants.issued import Issued
from tokensvc.grants.minting import advance, check_client, check_resource, mint, open_parent, present_scope, refusal
from tokensvc.grants.token_request import TokenRequest
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.tokens.kinds import RefreshToken


async def grant(request: TokenRequest, server: AuthorizationServer) -> Issued:
    """Raises InvalidGrant; a replay outside the window has then ended the family (OAuth 2.1 §4.3.1)."""
    parameters, client, now = request.parameters, request.client, request.now
    if "refresh_token" not in parameters:
        raise InvalidRequest("refresh_token is missing")
    token = open_parent(RefreshToken, parameters["refresh_token"], server, now)
    if now >= client.lifetimes.end_of(token):
        raise refusal(RefreshToken, "older than the present lifetime of refresh tokens", token)
    check_client(token, client)
    if token.signed and request.assertion is None:
        # Who may come without its keys, and has shown them once, is not whoever lacks them (RFC 6749 §6).
        reason = f"{client.handle} authenticated by an assertion before, and sent none"
        raise InvalidClient("client authentication failed", reason=reason)
    if "refresh_token" not in client.grant_types:
        raise refusal(RefreshToken, "the client has no refresh_token grant any more", token)
    check_resource(parameters.get("resource"), token, server)
    scope = _narrow(parameters.get("scope"), token, server)
    return mint(token, await advance(token, request, server), request, server, scope)


def _narrow(requested: str | None, token: RefreshToken, server: AuthorizationServer) -> str:
    """The scope of the access token: what is asked for, of what was granted and is still served (RFC 6749 §6)."""
    granted = present_scope(token, server)
    return server.scopes.narrow(requested, granted) or granted
