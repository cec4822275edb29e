"""Client authentication (RFC 6749 §2.3), the same wherever clients post: who asks, and how often it may be wrong."""

from collections.abc import Mapping

from starlette.requests import Request

from tokensvc.endpoints.http import header
from tokensvc.endpoints.service import Service, address_of
from tokensvc.errors import InvalidClient
from tokensvc.protocol.client import Client
from tokensvc.protocol.client_authentication import ClientCredentials, authenticate


async def authenticate_client(request: Request, parameters: Mapping[str, str], service: Service, now: int) -> Client:
    """The client of a request. Raises InvalidClient; TooManyRequests after many wrong secrets from one address."""
    credentials = ClientCredentials.parse(
        header(request.scope, b"authorization"), parameters.get("client_id"), parameters.get("client_secret")
    )
    address = address_of(request)
    if credentials.secrets:
        service.attempts.check("client secret", address)
    try:
        return await authenticate(credentials, service.server.clients, now)
    except InvalidClient:
        if credentials.secrets:
            service.attempts.failed("client secret", address)
        raise
