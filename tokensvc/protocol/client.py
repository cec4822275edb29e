"""Clients (RFC 6749 §2): registered ones, whose client_id carries their registration, and pre-registered ones."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from tokensvc.errors import InvalidRedirectUri, UnknownClient
from tokensvc.protocol.redirect_uri import DIGEST_CHARACTERS, RedirectPolicy, RedirectUri
from tokensvc.tokens.artefact import Unsealable
from tokensvc.tokens.kinds import AccessToken, ClientId, Grant, RefreshToken, client_handle
from tokensvc.tokens.sealer import DAY, Sealer

Method = Literal["none", "client_secret_basic", "client_secret_post"]
METHODS: dict[str, Method] = {"n": "none", "b": "client_secret_basic", "p": "client_secret_post"}
GRANT_TYPES = {"a": "authorization_code", "r": "refresh_token"}
"""Both by their letter in a sealed client_id."""
_OPENED = 1024
"""How many clients are remembered for the day, a kilobyte each, so that their client_id is opened once."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """In milliseconds, as the settings have them or a pre-registered client's own."""

    code: int
    access: int
    refresh: int
    refresh_max: int

    def end_of(self, token: Grant) -> int:
        """When it ends by these, which may be shorter than what was set when it was sealed; its own end at the latest.

        An access token, a refresh token or a code.
        """
        if isinstance(token, AccessToken):
            return min(token.exp, token.iat + self.access)
        if isinstance(token, RefreshToken):
            return min(token.exp, token.iat + self.refresh, token.authorized_at + self.refresh_max)
        return min(token.exp, token.iat + self.code)


@dataclass(frozen=True, slots=True)
class Client:
    """`verified` says that the operator vouches for the name. A `secret_hash` is the SHA-256 of the client's secret."""

    client_id: str
    handle: str
    name: str
    method: Method
    grant_types: tuple[str, ...]
    lifetimes: Lifetimes
    redirects: frozenset[str]
    redirect_patterns: tuple[re.Pattern[str], ...] = ()
    secret_hash: bytes = field(default=b"", repr=False)
    require_pkce: bool = True
    verified: bool = False

    def redirect_uri(self, text: str) -> RedirectUri:
        """The redirect URI of a request, if the client registered it (exactly, but for a loopback port)."""
        uri = RedirectUri.parse(text)
        if uri.digest not in self.redirects and not any(p.fullmatch(text) for p in self.redirect_patterns):
            raise InvalidRedirectUri("the redirect URI is not one that the app registered")
        return uri

    def has_secret(self, secret: str) -> bool:
        return hmac.compare_digest(hashlib.sha256(secret.encode()).digest(), self.secret_hash)


class Clients:
    """Finds a client by its client_id, in the configuration or in the client_id itself."""

    def __init__(
        self,
        sealer: Sealer,
        preregistered: Mapping[str, Client],
        lifetimes: Lifetimes,
        policy: RedirectPolicy,
    ) -> None:
        self._sealer = sealer
        self._preregistered = dict(preregistered)
        self._by_handle = {client.handle: client for client in preregistered.values()}
        self._lifetimes = lifetimes
        self._policy = policy
        # The installations of an app share a client_id, so that a few of them are most of what is asked for.
        self._opened = lru_cache(_OPENED)(self._open)

    async def find(self, client_id: str, now: int) -> Client:
        """Raises UnknownClient."""
        known = self._preregistered.get(client_id)
        if known is not None:
            return known
        return self._opened(client_id, now // DAY)

    def lifetimes(self, handle: str) -> Lifetimes:
        """The present lifetimes of what a client is given."""
        known = self._by_handle.get(handle)
        return known.lifetimes if known is not None else self._lifetimes

    def redirect_uri(self, client: Client, text: str) -> RedirectUri:
        """As Client.redirect_uri, held to the operator's policy of today: it may be stricter than at registration."""
        uri = client.redirect_uri(text)
        if not client.verified:
            self._policy.check(uri)
        return uri

    def _open(self, client_id: str, today: int) -> Client:
        """Raises UnknownClient, which is not remembered."""
        try:
            sealed = self._sealer.unseal(ClientId, client_id, today * DAY)
        except Unsealable as error:
            raise UnknownClient(str(error)) from None
        size = DIGEST_CHARACTERS
        if sealed.method not in METHODS:
            raise UnknownClient("registered with a method that this release does not know")
        secret = self._sealer.client_secret(client_id) if sealed.confidential else ""
        return Client(
            client_id=client_id,
            handle=client_handle(client_id),
            name=sealed.name,
            method=METHODS[sealed.method],
            grant_types=tuple(GRANT_TYPES[letter] for letter in sealed.grants if letter in GRANT_TYPES),
            lifetimes=self._lifetimes,
            redirects=frozenset(sealed.redirects[i : i + size] for i in range(0, len(sealed.redirects), size)),
            secret_hash=hashlib.sha256(secret.encode()).digest() if secret else b"",
        )
