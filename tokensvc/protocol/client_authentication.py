"""Client authentication wherever clients post: none, client_secret_basic and _post (RFC 6749 §2.3), private_key_jwt.

The last is a JWT that the client signs (RFC 7523 §2.2, OpenID Connect Core §9).
"""

import base64
import binascii
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from urllib.parse import unquote_plus

from tokensvc.errors import InvalidClient, InvalidRequest, UnknownClient
from tokensvc.jose import ALGORITHMS
from tokensvc.ledger import Ledger
from tokensvc.protocol.assertion import Assertion, BadAssertion, claimed_issuer, verify
from tokensvc.protocol.client import Client, Clients

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST_LIFETIME = 300_000
"""Of an assertion, in milliseconds after its issue: for so long its name has to be remembered."""
# Most clients write JWT, some nothing; the last is what RFC 7523's successor asks for.
_TYPES = frozenset({"", "jwt", "client-authentication+jwt"})


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """What a request says of its client. Tuples hold the spellings of one value that are worth trying."""

    client_ids: tuple[str, ...]
    secrets: tuple[str, ...] = field(repr=False)
    basic: bool
    assertion: str = field(default="", repr=False)

    @property
    def proves(self) -> bool:
        """Whether there is something in it that can be wrong."""
        return bool(self.secrets or self.assertion)

    @classmethod
    def parse(cls, authorization: str | None, parameters: Mapping[str, str]) -> "ClientCredentials":
        """Raises InvalidClient, or InvalidRequest where two ways are mixed."""
        client_id, client_secret = parameters.get("client_id"), parameters.get("client_secret")
        if "client_assertion" in parameters or "client_assertion_type" in parameters:
            if authorization is not None or client_secret is not None:
                raise InvalidRequest("the client authenticates in one way")
            return cls._parse_assertion(parameters)
        if authorization is None:
            if client_id is None:
                raise InvalidClient("client authentication is missing")
            return cls((client_id,), (client_secret,) if client_secret else (), basic=False)
        name, secret = _parse_basic(authorization)
        names, secrets = spellings(name), spellings(secret)
        if client_secret is not None or (client_id is not None and client_id not in names):
            raise InvalidRequest("the client authenticates in one way, with one client_id")
        return cls((client_id,) if client_id else names, secrets if secret else (), basic=True)

    @classmethod
    def _parse_assertion(cls, parameters: Mapping[str, str]) -> "ClientCredentials":
        """The client is who the assertion says, whether or not that stands in the body too (RFC 7521 §4.2)."""
        assertion, kind = parameters.get("client_assertion"), parameters.get("client_assertion_type")
        if assertion is None or kind is None:
            raise InvalidRequest("client_assertion and client_assertion_type go together")
        if kind != ASSERTION_TYPE:
            raise InvalidClient("client_assertion_type is not supported")
        try:
            issuer = claimed_issuer(assertion)
        except BadAssertion as error:
            raise InvalidClient("client authentication failed", reason=f"assertion: {error}") from None
        if parameters.get("client_id", issuer) != issuer:
            raise InvalidRequest("client_id is another than the assertion's")
        return cls((issuer,), (), basic=False, assertion=assertion)


class Authenticated(NamedTuple):
    """The client that made a request, with `method` as it authenticated, and the assertion by which it did, if any.

    Whatever is obtained by the assertion uses it up: see `use_assertion`.
    """

    client: Client
    assertion: Assertion | None = None


async def authenticate(
    credentials: ClientCredentials, clients: Clients, audiences: Collection[str], now: int
) -> Authenticated:
    """Who made the request; `audiences` are those that an assertion may name.

    Raises InvalidClient: an unknown client registers anew on that (RFC 7591). TemporarilyUnavailable where its keys or
    its document cannot be had.
    """
    try:
        client = await _find(credentials.client_ids, clients, now)
    except UnknownClient as error:
        raise InvalidClient("client authentication failed", reason=str(error), basic=credentials.basic) from None
    if credentials.assertion:
        return Authenticated(client, await _check_assertion(credentials.assertion, client, clients, audiences, now))
    if client.method == "none":
        return Authenticated(client)
    if client.method == "private_key_jwt" and client.may_be_public:
        return Authenticated(replace(client, method="none"))
    # Either way of sending the secret proves it; clients mix them up, and nothing is gained by refusing one.
    if not any(client.has_secret(secret) for secret in credentials.secrets):
        reason = f"wrong secret of {client.handle}" if credentials.secrets else f"no secret of {client.handle}"
        raise InvalidClient("client authentication failed", reason=reason, basic=credentials.basic)
    return Authenticated(client)


async def use_assertion(assertion: Assertion, client: Client, ledger: Ledger, now: int) -> None:
    """Raises InvalidClient for one that was used before; TemporarilyUnavailable where that cannot be known.

    Asked right before what it is for, and never of a request that is refused: whoever can sign, and strangers with a
    metadata document can, would fill the ledger otherwise.
    """
    try:
        await assertion.use_once(ledger, now)
    except BadAssertion as error:
        raise _refusal(client, error) from None


def _refusal(client: Client, error: BadAssertion) -> InvalidClient:
    return InvalidClient("client authentication failed", reason=f"assertion of {client.handle}: {error}")


async def _check_assertion(
    value: str, client: Client, clients: Clients, audiences: Collection[str], now: int
) -> Assertion:
    """Raises InvalidClient. Whether it was used before is not asked yet."""
    try:
        if client.method != "private_key_jwt":
            raise BadAssertion("the client has no keys")
        assertion = await verify(
            value,
            keys=clients.keys(client),
            types=_TYPES,
            issuer=client.client_id,
            audiences=audiences,
            now=now,
            longest_lifetime=LONGEST_LIFETIME,
            algorithms=(client.signing_alg,) if client.signing_alg else ALGORITHMS,
        )
        if assertion.subject != client.client_id:
            raise BadAssertion("its subject is another")
    except BadAssertion as error:
        raise _refusal(client, error) from None
    return assertion


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
