"""Client authentication at the token and revocation endpoints (RFC 6749 §2.3): none, client_secret_basic, _post."""

import base64
import binascii
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from tokensvc.errors import InvalidClient, InvalidRequest, UnknownClient
from tokensvc.protocol.client import Client, Clients


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """What a request says of its client. Each holds the spellings of one value that are worth trying."""

    client_ids: tuple[str, ...]
    secrets: tuple[str, ...] = field(repr=False)
    basic: bool

    @classmethod
    def parse(cls, authorization: str | None, client_id: str | None, client_secret: str | None) -> "ClientCredentials":
        """Raises InvalidClient, or InvalidRequest where two ways are mixed."""
        if authorization is None:
            if client_id is None:
                raise InvalidClient("client authentication is missing")
            return cls((client_id,), (client_secret,) if client_secret else (), basic=False)
        name, secret = _parse_basic(authorization)
        names, secrets = spellings(name), spellings(secret)
        if client_secret is not None or (client_id is not None and client_id not in names):
            raise InvalidRequest("the client authenticates in one way, with one client_id")
        return cls((client_id,) if client_id else names, secrets if secret else (), basic=True)


async def authenticate(credentials: ClientCredentials, clients: Clients, now: int) -> Client:
    """The client that made the request. Raises InvalidClient: an unknown client registers anew on that (RFC 7591)."""
    try:
        client = await _find(credentials.client_ids, clients, now)
    except UnknownClient as error:
        raise InvalidClient("client authentication failed", reason=str(error), basic=credentials.basic) from None
    if client.method == "none":
        return client
    # Either way of sending the secret proves it; clients mix them up, and nothing is gained by refusing one.
    if not any(client.has_secret(secret) for secret in credentials.secrets):
        reason = f"wrong secret of {client.handle}" if credentials.secrets else f"no secret of {client.handle}"
        raise InvalidClient("client authentication failed", reason=reason, basic=credentials.basic)
    return client


def parse_basic(authorization: str) -> tuple[str, str]:
    """User name and password of a Basic header (RFC 7617). Raises ValueError."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise ValueError("not Basic")
    name, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    if not colon:
        raise ValueError("no colon")
    return name, secret


def spellings(text: str) -> tuple[str, ...]:
    """As sent, and percent-decoded: RFC 6749 §2.3.1 asks for encoding, and half of the clients do without."""
    decoded = unquote_plus(text)
    return (text,) if decoded == text else (text, decoded)


def _parse_basic(authorization: str) -> tuple[str, str]:
    try:
        return parse_basic(authorization)
    except (binascii.Error, ValueError):
        raise InvalidClient("the Authorization header is not Basic", basic=True) from None


async def _find(client_ids: tuple[str, ...], clients: Clients, now: int) -> Client:
    """The first that is known. Raises UnknownClient."""
    for client_id in client_ids[:-1]:
        with suppress(UnknownClient):
            return await clients.find(client_id, now)
    return await clients.find(client_ids[-1], now)
