"""The client credentials grant (RFC 6749 §4.4): a client of the operator's that acts by itself, without a person.

Whom it stands for is configured beside its secret. It can authenticate anew at any time, so it gets no refresh token
(§4.4.3).
"""

from tokensvc.errors import InvalidScope, UnauthorizedClient
from tokensvc.grants.issued import Issued
from tokensvc.grants.minting import alone, new_token
from tokensvc.grants.proof import use_up
from tokensvc.grants.token_request import TokenRequest
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.tokens.kinds import subjects_of


async def grant(request: TokenRequest, server: AuthorizationServer) -> Issued:
    """Like a person who signs in, a client that proves its secret after a revocation is let in again."""
    client = request.client
    if client.stands_for is None:
        raise UnauthorizedClient("the client may not act by itself")
    identity, credential = client.stands_for.identity, client.stands_for.credential
    resource = server.resources.find(request.parameters.get("resource"))
    scope = server.scopes.limit(server.scopes.grant(request.parameters.get("scope")), identity.role)
    if not scope:
        raise InvalidScope("the client may have none of the scopes")
    authorized_at = await server.ledger.lift(subjects_of(identity, credential, client.handle), request.now)
    await use_up(request, server)
    return alone(new_token(client.stands_for, authorized_at, resource, scope, request), request, server)
