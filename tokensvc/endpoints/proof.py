"""The DPoP proof of a request by a client (RFC 9449 §5 and §8), the same wherever clients post."""

from starlette.requests import Request

from tokensvc.dpop import InvalidProof, Proof, read
from tokensvc.endpoints.service import Service
from tokensvc.errors import InvalidDpopProof, UseDpopNonce


def read_proof(request: Request, path: str, service: Service, now: int) -> Proof | None:
    """The proof in the request, None where it has none. Raises InvalidDpopProof, and UseDpopNonce without a fresh one.

    The nonce is ours, so it says how fresh the proof is: the clock of a client may be as wrong as it likes. `path` is
    this endpoint's below the issuer; what a client says of the host in its headers counts for nothing.
    """
    headers = [value.decode("latin-1") for name, value in request.scope["headers"] if name == b"dpop"]
    if not headers:
        return None
    try:
        proof = read(headers)
        proof.check_request(request.method, f"{service.server.issuer}{path}")
    except InvalidProof as error:
        raise InvalidDpopProof(f"the DPoP proof is not valid: {error}") from None
    if not service.nonces.is_fresh(proof.nonce, now):
        reason = "the DPoP proof has an old nonce, or another's" if proof.nonce else "the DPoP proof has no nonce"
        raise UseDpopNonce(
            "the DPoP proof needs the nonce of this answer", reason=reason, nonce=service.nonces.current(now)
        )
    return proof


def nonce_header(proof: Proof | None, service: Service, now: int) -> dict[str, str]:
    """The nonce of now, for the next request of a client that proves something (§8.2)."""
    return {"DPoP-Nonce": service.nonces.current(now)} if proof else {}
