"""What a request is proved with counts once: a client's assertion (RFC 7523 §3), a DPoP proof (RFC 9449 §11.1)."""

from tokensvc.errors import InvalidDpopProof
from tokensvc.grants.token_request import TokenRequest
from tokensvc.ledger import Spent
from tokensvc.protocol.client_authentication import use_assertion
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.tokens.nonces import LIFETIME


async def use_up(request: TokenRequest, server: AuthorizationServer) -> None:
    """Remember both for as long as they are good. Raises InvalidClient or InvalidDpopProof for one that came before.

    Asked last, once all else is known to be right and nothing but the code, the refresh token or the identity
    provider's assertion is still to be used: a request that is refused before that, or cannot be answered, costs the
    ledger nothing, whoever floods it, and uses nothing up. Those three come after this: of requests at once with one
    assertion or one proof all but one end here, and the code is there for the one that goes on. Only what their own
    use refuses, as a replay or for a ledger that fails just then, has cost assertion and proof.

    The assertion goes first, since it takes more to have a fresh one: to whoever replays it no proof is remembered.
    """
    if request.assertion is not None:
        await use_assertion(request.assertion, request.client, server.ledger, request.now)
    if request.proof is None:
        return
    try:
        await server.ledger.spend(f"dpop:{request.proof.use}", request.now + LIFETIME, request.now)
    except Spent:
        raise InvalidDpopProof("the DPoP proof was used before") from None
