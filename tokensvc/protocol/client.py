"""Clients (RFC 6749 §2): registered ones, whose client_id carries their registration, and pre-registered ones."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from tokensvc.errors import InvalidRedirectUri, UnknownClient
from tokensvc.identity import SignedIn
from tokensvc.protocol.client_metadata_document import ClientMetadataDocument, MetadataDocuments, is_document_url
from tokensvc.protocol.host_policy import HostPolicy
from tokensvc.protocol.id_jag import GRANT_TYPE as JWT_BEARER
from tokensvc.protocol.jwks import Jwks, KeySource
from tokensvc.protocol.published import Publishers
from tokensvc.protocol.redirect_uri import DIGEST_CHARACTERS, RedirectPolicy, RedirectUri
from tokensvc.tokens.artefact import Unsealable
from tokensvc.tokens.kinds import AccessToken, ClientId, Grant, RefreshToken, client_handle
from tokensvc.tokens.sealer import DAY, Sealer

Method = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
METHODS: dict[str, Method] = {"n": "none", "b": "client_secret_basic", "p": "client_secret_post"}
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
GRANT_TYPES = {"a": "authorization_code", "r": "refresh_token", "d": DEVICE_CODE}
BINDS = {"d": "dpop_bound_access_tokens", "p": "require_pushed_authorization_requests"}
"""What a client may want to be held to (RFC 9449 §5.2, RFC 9126 §6). All three by their letters in a client_id."""
_DOCUMENTED_GRANTS = (*GRANT_TYPES.values(), JWT_BEARER)
"""Those that a metadata document may ask for."""
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
    """`verified` says that the operator vouches for the name. A `secret_hash` is the SHA-256 of the client's secret.

    One with private_key_jwt has its keys in `jwks` or under `jwks_uri`, may sign with `signing_alg` alone where that is
    set, and may leave it where it `may_be_public`. `host` is that of a client_id with a metadata document, else empty.

    `stands_for` is whom it is when it acts by itself (RFC 6749 §4.4), and None for a client that never does.
    """

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
    jwks: Jwks | None = None
    jwks_uri: str = ""
    signing_alg: str = ""
    may_be_public: bool = False
    host: str = ""
    dpop_bound_access_tokens: bool = False
    require_pushed_authorization_requests: bool = False
    stands_for: SignedIn | None = None

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
        documented: HostPolicy,
        publishers: Publishers,
    ) -> None:
        self._sealer = sealer
        self._preregistered = dict(preregistered)
        self._by_handle = {client.handle: client for client in preregistered.values()}
        self._lifetimes = lifetimes
        self._policy = policy
        self._publishers = publishers
        self._documents = MetadataDocuments(documented, publishers.vouched.documents, publishers.others.documents)
        # The installations of an app share a client_id, so that a few of them are most of what is asked for.
        self._opened = lru_cache(_OPENED)(self._open)

    async def find(self, client_id: str, now: int) -> Client:
        """Raises UnknownClient; TemporarilyUnavailable where its host would have to say, and does not."""
        known = self._preregistered.get(client_id)
        if known is not None:
            return known
        if self._documents.policy and is_document_url(client_id):
            return self._documented(await self._documents.find(client_id, now))
        return self._opened(client_id, now // DAY)

    def is_app(self, client_id: str) -> bool:
        """Whether it names an app by its document, and so every installation of it."""
        return is_document_url(client_id) and client_id not in self._preregistered

    def begins_by_asking(self, client_id: str, now: int) -> bool:
        """Whether finding it would have this service ask a host of which it knows nothing."""
        return self.is_app(client_id) and self._documents.begins_by_asking(client_id, now)

    def failed(self, client_id: str, now: int) -> bool:
        """Whether its host was asked just now, and had no document that could be accepted."""
        return self.is_app(client_id) and self._documents.failed(client_id, now)

    def lifetimes(self, handle: str) -> Lifetimes:
        """The present lifetimes of what a client is given."""
        known = self._by_handle.get(handle)
        return known.lifetimes if known is not None else self._lifetimes

    def redirect_uri(self, client: Client, text: str) -> RedirectUri:
        """As Client.redirect_uri, held to the operator's policy of today: it may be stricter than at registration."""
        uri = client.redirect_uri(text)
        if client.client_id not in self._preregistered:
            self._policy.check(uri)
        return uri

    def keys(self, client: Client) -> KeySource:
        """The keys of a client that has some."""
        published = self._publishers.vouched if client.verified else self._publishers.others
        return published.keys.source(client.jwks, client.jwks_uri)

    @property
    def methods(self) -> tuple[Method, ...]:
        """The ways to authenticate that there are clients for, or may be."""
        signing = bool(self._documents.policy) or any(
            client.method == "private_key_jwt" for client in self._preregistered.values()
        )
        return (*METHODS.values(), "private_key_jwt") if signing else tuple(METHODS.values())

    @property
    def documented(self) -> bool:
        """Whether a client_id may be the URL of a metadata document."""
        return bool(self._documents.policy)

    def _documented(self, document: ClientMetadataDocument) -> Client:
        signs = document.jwks is not None or bool(document.jwks_uri)
        return Client(
            client_id=document.client_id,
            handle=client_handle(document.client_id),
            name=document.name,
            method="private_key_jwt" if signs else "none",
            grant_types=tuple(grant for grant in _DOCUMENTED_GRANTS if grant in document.grant_types),
            lifetimes=self._lifetimes,
            redirects=document.redirects,
            verified=self._documents.policy.names(document.host),
            jwks=document.jwks,
            jwks_uri=document.jwks_uri,
            signing_alg=document.signing_alg,
            may_be_public=document.may_be_public,
            host=document.host,
            dpop_bound_access_tokens=document.dpop_bound_access_tokens,
            require_pushed_authorization_requests=document.require_pushed_authorization_requests,
        )

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
            dpop_bound_access_tokens="d" in sealed.binds,
            require_pushed_authorization_requests="p" in sealed.binds,
        )
