"""Clients whose client_id is the URL of their own registration (draft-ietf-oauth-client-id-metadata-document).

All installations of an app share such a client_id, and nobody registers anything here: the host stands for the app.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokensvc.errors import InvalidRedirectUri, TemporarilyUnavailable, UnknownClient
from tokensvc.jose import ALGORITHMS
from tokensvc.outbound import Busy, Refused, Unfetchable
from tokensvc.outbound.documents import Documents
from tokensvc.outbound.fetch import Outbound, Target
from tokensvc.protocol.host_policy import HostPolicy
from tokensvc.protocol.jwks import Jwks, check_url
from tokensvc.protocol.redirect_uri import RedirectUri

LARGEST = 5_120
"""A document, in bytes (§8.7 of the draft)."""
KEPT_FOR = 7 * 86_400_000
"""Milliseconds for which a document counts after its host last stood by it."""
_LONGEST_NAME = 128
_USUAL_GRANTS = ["authorization_code", "refresh_token"]


class DocumentRefused(UnknownClient):
    """The client's document is there, and says something that cannot be accepted: `problem` quotes nothing of it."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"its document: {problem}")
        self.problem = problem


class DocumentUnavailable(TemporarilyUnavailable):
    """The client's document cannot be had from `host`, so nobody knows whether this client is one."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__("the client's metadata document cannot be had", reason=f"document of {host}: {reason}")
        self.host = host


@dataclass(frozen=True, slots=True)
class ClientMetadataDocument:
    """What a document says, checked. `redirects` are digests, `host` is that of the client_id.

    The client proves itself by an assertion where it has keys, `jwks` or those under `jwks_uri`; with `may_be_public`
    it may also go without. A `signing_alg` is the only one that it signs with. The last two are what it wants to be
    held to (RFC 9449 §5.2, RFC 9126 §6).
    """

    client_id: str
    host: str
    name: str
    redirects: frozenset[str]
    grant_types: tuple[str, ...]
    jwks: Jwks | None
    jwks_uri: str
    signing_alg: str
    may_be_public: bool
    dpop_bound_access_tokens: bool
    require_pushed_authorization_requests: bool

    @classmethod
    def parse(cls, client_id: str, metadata: Any) -> "ClientMetadataDocument":
        """Raises Refused."""
        if not isinstance(metadata, dict):
            raise Refused("it is no JSON object")
        if metadata.get("client_id") != client_id:
            raise Refused("its client_id is not the URL that it is found under")
        if any(metadata.get(name) is not None for name in ("client_secret", "client_secret_expires_at")):
            raise Refused("it has a client_secret, which everybody can read")
        jwks, jwks_uri, signing_alg, may_be_public = _authentication(metadata)
        grant_types = tuple(_strings(metadata, "grant_types") or _USUAL_GRANTS)
        return cls(
            client_id=client_id,
            host=Target.parse(client_id).authority,
            name=_string(metadata, "client_name")[:_LONGEST_NAME],
            redirects=_redirects(metadata, required="authorization_code" in grant_types),
            grant_types=grant_types,
            jwks=jwks,
            jwks_uri=jwks_uri,
            signing_alg=signing_alg,
            may_be_public=may_be_public,
            dpop_bound_access_tokens=_bool(metadata, "dpop_bound_access_tokens"),
            require_pushed_authorization_requests=_bool(metadata, "require_pushed_authorization_requests"),
        )


class MetadataDocuments:
    """Finds clients by documents of hosts that the policy accepts. Those that it names are read apart from others."""

    def __init__(
        self,
        policy: HostPolicy,
        vouched: Documents[ClientMetadataDocument],
        others: Documents[ClientMetadataDocument],
    ) -> None:
        self.policy = policy
        self._vouched, self._others = vouched, others

    async def find(self, client_id: str, now: int) -> ClientMetadataDocument:
        """Raises UnknownClient; DocumentUnavailable where its host does not say; TemporarilyUnavailable."""
        target = self._check(client_id)
        try:
            return await self._of(target).get(client_id, now)
        except Refused as refused:
            raise DocumentRefused(str(refused)) from None
        except Busy as busy:
            reason = f"document of {target.authority}: {busy}"
            raise TemporarilyUnavailable("too many documents are being read", reason=reason) from None
        except Unfetchable as error:
            raise DocumentUnavailable(target.authority, str(error)) from None

    def begins_by_asking(self, client_id: str, now: int) -> bool:
        """Whether nothing is known of it, so that whoever names it has this service ask a host."""
        try:
            documents = self._of(self._check(client_id))
        except UnknownClient:
            return False
        return not documents.has(client_id, now) and not documents.failed(client_id, now)

    def failed(self, client_id: str, now: int) -> bool:
        """Whether its host was asked just now, and had no document that could be accepted."""
        try:
            return self._of(self._check(client_id)).failed(client_id, now)
        except UnknownClient:
            return False

    def _check(self, client_id: str) -> Target:
        """Raises UnknownClient."""
        target = check_client_id(client_id)
        if not self.policy.accepts(target.authority):
            raise UnknownClient(f"documents of {target.authority} are not accepted here")
        return target

    def _of(self, target: Target) -> Documents[ClientMetadataDocument]:
        return self._vouched if self.policy.names(target.authority) else self._others


def new_documents(outbound: Outbound) -> Documents[ClientMetadataDocument]:
    """What this process remembers of them, whatever settings it goes through."""
    return Documents(outbound, ClientMetadataDocument.parse, largest=LARGEST, kept_for=KEPT_FOR)


def is_document_url(client_id: str) -> bool:
    return client_id.startswith("https://")


def check_client_id(client_id: str) -> Target:
    """§3: https, a path, and nothing that could be read in two ways. Raises UnknownClient."""
    try:
        target = Target.parse(client_id)
    except Unfetchable as error:
        raise UnknownClient(f"client_id: {error}") from None
    path = target.path.partition("?")[0]
    segments = path.lower().replace("%2e", ".").split("/")
    if path == "/" or {".", ".."} & set(segments):
        raise UnknownClient("client_id: the URL has no path, or one with dot segments")
    return target


def _authentication(metadata: Mapping[str, Any]) -> tuple[Jwks | None, str, str, bool]:
    """Keys, their address, the algorithm, and whether the client may go without. Raises Refused.

    A document says what its client prefers, and may say, in a member meant for servers, what else it can do. Where
    `none` is among that, the client is public wherever what it prefers cannot be done.
    """
    method = _string(metadata, "token_endpoint_auth_method") or "none"
    methods = {method, *_strings(metadata, "token_endpoint_auth_methods_supported")}
    if method.startswith("client_secret_"):
        # §4.1, whatever else it lists: there is nobody to share a secret with.
        raise Refused("its token_endpoint_auth_method needs a secret, and everybody can read a document")
    if method == "none":
        return None, "", "", True
    if method == "private_key_jwt":
        try:
            return (*_keys(metadata), "none" in methods)
        except Refused:
            if "none" not in methods:
                raise
    if "none" not in methods:
        raise Refused("its token_endpoint_auth_method is neither none nor private_key_jwt")
    return None, "", "", True


def _keys(metadata: Mapping[str, Any]) -> tuple[Jwks | None, str, str]:
    """Raises Refused."""
    jwks_uri, signing_alg = _string(metadata, "jwks_uri"), _string(metadata, "token_endpoint_auth_signing_alg")
    if signing_alg and signing_alg not in ALGORITHMS:
        raise Refused("its token_endpoint_auth_signing_alg is not supported")
    inline = metadata.get("jwks")
    if (inline is None) == (not jwks_uri):
        raise Refused("private_key_jwt needs either jwks or jwks_uri")
    try:
        if inline is None:
            check_url(jwks_uri)
            return None, jwks_uri, signing_alg
        jwks = Jwks.parse(inline)
    except ValueError as error:
        raise Refused(f"its keys: {error}") from None
    if not jwks.keys:
        raise Refused("its jwks has no key that could verify")
    return jwks, "", signing_alg


def _redirects(metadata: Mapping[str, Any], *, required: bool) -> frozenset[str]:
    """The digests of those that can be used: one that cannot is no reason to refuse an app with others."""
    usable = set()
    for text in _strings(metadata, "redirect_uris"):
        try:
            usable.add(RedirectUri.parse(text).digest)
        except InvalidRedirectUri:
            continue
    if required and not usable:
        raise Refused("it has no redirect URI that can be used")
    return frozenset(usable)


def _string(metadata: Mapping[str, Any], name: str) -> str:
    value = metadata.get(name)
    if value is not None and not isinstance(value, str):
        raise Refused(f"its {name} is no string")
    return value or ""


def _bool(metadata: Mapping[str, Any], name: str) -> bool:
    value = metadata.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refused(f"its {name} is neither true nor false")
    return bool(value)


def _strings(metadata: Mapping[str, Any], name: str) -> list[str]:
    value = metadata.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Refused(f"its {name} is no list of strings")
    return value
