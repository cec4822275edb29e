"""Client authentication, the same wherever clients post: who asks, and how often it may be wrong."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.requests import Request

from tokensvc.endpoints.client_documents import counted
from tokensvc.endpoints.http import header
from tokensvc.endpoints.service import Service, address_of
from tokensvc.errors import InvalidClient
from tokensvc.protocol.client_authentication import Authenticated, ClientCredentials, authenticate


async def authenticate_client(
    request: Request, parameters: Mapping[str, str], service: Service, now: int
) -> Authenticated:
    """The client of a request. Raises InvalidClient; TooManyRequests after much that was wrong from one address."""
    credentials = ClientCredentials.parse(header(request.scope, b"authorization"), parameters)
    address = address_of(request)
    if credentials.proves:
        service.attempts.check("client secret", address)
    try:
        with counted(credentials.client_ids, request, service, now):
            return await authenticate(credentials, service.server.clients, _audiences(request, service), now)
    except InvalidClient:
        if credentials.proves:
            service.attempts.failed("client secret", address)
        raise


def _audiences(request: Request, service: Service) -> frozenset[str]:
    """This server, by its issuer, its token endpoint or the endpoint that is asked (RFC 7523 §3, RFC 9126 §2)."""
    issuer = service.server.issuer
    parts = urlsplit(issuer)
    here = f"{parts.scheme}://{parts.netloc}{request.scope['path']}"
    return frozenset({issuer, f"{issuer}/token", here})
