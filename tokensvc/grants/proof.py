"""A DPoP proof counts once (RFC 9449 §11.1)."""

from tokensvc.errors import InvalidDpopProof
from tokensvc.grants.token_request import TokenRequest
from tokensvc.ledger import Spent
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.tokens.nonces import LIFETIME


async def use_proof(request: TokenRequest, server: AuthorizationServer) -> None:
    """Remember the proof for as long as its nonce is good. Raises InvalidDpopProof for one that came before.

    Asked last, right before a token is minted: a request that is refused costs the ledger nothing, whoever floods it,
    and uses up no proof. So there are never more proofs to remember than tokens that were issued in two minutes.
    """
    if request.proof is None:
        return
    try:
        await server.ledger.spend(f"dpop:{request.proof.use}", request.now + LIFETIME, request.now)
    except Spent:
        raise InvalidDpopProof("the DPoP proof was used before") from None
