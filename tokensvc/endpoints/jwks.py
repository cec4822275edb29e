"""`GET /jwks.json`: the public keys of JWT access tokens (RFC 7517 §5), for who verifies them without asking."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.endpoints.http import JsonResponse
from tokensvc.tokens.signing_keys import SigningKeys

PATH = "/jwks.json"
_CACHED = {"Cache-Control": "public, max-age=300"}
"""Seconds. A key is staged for longer than any verifier keeps this, so that it is known everywhere before it signs."""


def endpoint(keys: SigningKeys) -> Callable[[Request], Awaitable[Response]]:
    """The set is the same until the ring is read again, since staged and retired versions are in it too."""
    document = keys.jwks()

    async def jwks(_request: Request) -> Response:
        return JsonResponse(document, headers=_CACHED)

    return jwks
