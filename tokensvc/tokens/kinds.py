"""The kinds of sealed artefacts. Times are in milliseconds since the epoch; digests and names are base64url."""

import base64
import hashlib
import secrets
from dataclasses import dataclass
from typing import ClassVar

from tokensvc.identity import Identity
from tokensvc.ledger import marks
from tokensvc.ledger.marks import Subject
from tokensvc.tokens.artefact import Artefact, claim


@dataclass(frozen=True, slots=True)
class Grant(Artefact):
    """What a person authorized, once: carried by the code and by every token that comes of it.

    `client` is the client handle, `resource` a digest of the resource identifier, `scope` the granted scope values.
    Issue and expiry are written as distances, which are shorter: `issued_after` from the authorization, `lifetime`
    from the issue. Each kind leaves out the lifetime that is usual for it. `jkt` is the thumbprint of the key that has
    to be proved with it (RFC 9449 §6.1), empty for a bearer.
    """

    family: str = claim("f")
    client: str = claim("c")
    identity: Identity = claim("w")  # noqa: RUF009  # a dataclass field, which each instance sets
    credential: str = claim("d")
    resource: str = claim("o")
    scope: str = claim("s")
    authorized_at: int = claim("t")
    issued_after: int = claim("i", 0)
    lifetime: int = claim("e", 0)
    jkt: str = claim("j", "")

    @property
    def iat(self) -> int:
        return self.authorized_at + self.issued_after

    @property
    def exp(self) -> int:
        return self.iat + self.lifetime

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """Whatever a mark on it would end this artefact."""
        return (*subjects_of(self.identity, self.credential, self.client), marks.family(self.family))


@dataclass(frozen=True, slots=True)
class AuthorizationCode(Grant):
    """Generation 0 of a family. `redirect` is the digest of the redirect URI that the code is sent to."""

    kind: ClassVar[str] = "ac"

    lifetime: int = claim("e", 60_000)
    redirect: str = claim("u", "")
    code_challenge: str = claim("h", "")


@dataclass(frozen=True, slots=True)
class AccessToken(Grant):
    kind: ClassVar[str] = "at"
    shown_often: ClassVar[bool] = True

    lifetime: int = claim("e", 3_600_000)
    generation: int = claim("g", 0)

    @property
    def jti(self) -> str:
        return f"{self.family}.{self.generation}"

    @property
    def subjects(self) -> tuple[Subject, ...]:
        return (
            *subjects_of(self.identity, self.credential, self.client),
            marks.family(self.family),
            marks.token(self.jti),
        )


@dataclass(frozen=True, slots=True)
class RefreshToken(Grant):
    """`scope` is the whole grant's, even where a refresh narrowed the access token beside it (RFC 6749 §6).

    `signed` says that its client authenticated by an assertion, although it may come without one: then it has to again.
    """

    kind: ClassVar[str] = "rt"

    lifetime: int = claim("e", 30 * 86_400_000)
    generation: int = claim("g", 0)
    signed: bool = claim("z", False)


@dataclass(frozen=True, slots=True)
class ClientId(Artefact):
    """A registration (RFC 7591). `redirects` joins the digests of its redirect URIs, 22 characters each.

    `method` is the first letter of its way to authenticate, `grants` those of its grant types, `binds` those of what it
    wants to be held to. A public client's registration seals to the same client_id each time. A confidential one never
    does: its secret is derived from the client_id, and has to be its alone.
    """

    kind: ClassVar[str] = "cl"
    longest: ClassVar[int] = 512

    redirects: str = claim("u")
    name: str = claim("n", "")
    method: str = claim("m", "n")
    grants: str = claim("g", "ar")
    binds: str = claim("b", "")

    @property
    def confidential(self) -> bool:
        return self.method != "n"

    @property
    def repeatable(self) -> bool:
        return not self.confidential


@dataclass(frozen=True, slots=True)
class AuthorizationRequest(Artefact):
    """A request in flight, from the sign-in page to the decision. `browser` is the digest of the page's cookie.

    `client_host` is that of a client_id with a metadata document, empty for any other.

    `jkt` is the thumbprint of the key that its code will be bound to, `pushed` the name of the PushedRequest that it
    comes from; both may be empty.
    """

    kind: ClassVar[str] = "rq"
    longest: ClassVar[int] = 16_384

    name: str = claim("b")
    browser: str = claim("k")
    client: str = claim("c")
    client_name: str = claim("n")
    verified: bool = claim("v")
    redirect_uri: str = claim("u")
    state: str | None = claim("a")
    code_challenge: str = claim("h")
    resource: str = claim("o")
    scope: str = claim("s")
    exp: int = claim("e")
    jkt: str = claim("j", "")
    pushed: str = claim("p", "")
    client_host: str = claim("i", "")


@dataclass(frozen=True, slots=True)
class PushedRequest(Artefact):
    """An authorization request that its client pushed, in a request_uri (RFC 9126). `name` is what is used once.

    A browser carries it in a URL: nginx takes request lines of 8 KB, and everybody longer ones.
    """

    kind: ClassVar[str] = "pr"
    longest: ClassVar[int] = 7_000

    name: str = claim("b")
    client: str = claim("c")
    redirect_uri: str = claim("u")
    state: str | None = claim("a")
    code_challenge: str = claim("h")
    resource: str = claim("o")
    scope: str = claim("s")
    exp: int = claim("e")
    jkt: str = claim("j", "")

    def address_parameters(self, client_id: str) -> dict[str, str]:
        """Those of its parameters that say whom it is from and where the answer goes."""
        state = {} if self.state is None else {"state": self.state}
        return {"client_id": client_id, "redirect_uri": self.redirect_uri} | state


@dataclass(frozen=True, slots=True)
class DeviceCode(Artefact):
    """What a device polls with (RFC 8628 §3.2). `offer` is the name under which the ledger has the decision."""

    kind: ClassVar[str] = "dc"

    family: str = claim("f")
    client: str = claim("c")
    offer: str = claim("q")
    authorized_at: int = claim("t")
    lifetime: int = claim("e", 600_000)

    @property
    def exp(self) -> int:
        return self.authorized_at + self.lifetime

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """No person has authorized anything yet, so only the beginning of the ledger's memory can end it."""
        return ()


@dataclass(frozen=True, slots=True)
class DeviceRequest(Artefact):
    """What a device asks a person for: in the ledger under its user code, or in the link where that has no room.

    `family` names the grant that comes of it, whoever approves it, so that it is redeemed once. `user_code` is what the
    device shows, `offer` as in DeviceCode, and `client_host` as in AuthorizationRequest.
    """

    kind: ClassVar[str] = "dr"
    longest: ClassVar[int] = 16_384

    family: str = claim("f")
    offer: str = claim("q")
    user_code: str = claim("u")
    client: str = claim("c")
    client_name: str = claim("n")
    verified: bool = claim("v")
    resource: str = claim("o")
    scope: str = claim("s")
    exp: int = claim("e")
    client_host: str = claim("i", "")


@dataclass(frozen=True, slots=True)
class DevicePage(Artefact):
    """A page of /device on its way to a person and back; `browser` is the digest of its cookie.

    `request` is what the person is asked to allow, and None while they are still asked for the code.
    """

    kind: ClassVar[str] = "dp"
    longest: ClassVar[int] = 16_384

    name: str = claim("b")
    browser: str = claim("k")
    exp: int = claim("e")
    request: DeviceRequest | None = claim("r", None)  # noqa: RUF009  # a dataclass field, which each instance sets


@dataclass(frozen=True, slots=True)
class DeviceApproval(Grant):
    """A person's approval of a device's request, for the device to fetch: generation 0 of its family, as a code is."""

    kind: ClassVar[str] = "da"

    lifetime: int = claim("e", 600_000)


@dataclass(frozen=True, slots=True)
class FamilyNews:
    """A ledger.algebra.Family on its way."""

    name: str = claim("n")
    head: int = claim("h")
    expires: int = claim("e")
    floor: int = claim("f", 0)
    recent: tuple[tuple[int, int], ...] = claim("r", ())
    redemption: str = claim("x", "")


@dataclass(frozen=True, slots=True)
class OfferNews:
    """A ledger.algebra.Offer on its way."""

    code: str = claim("c")
    request: str = claim("q")
    expires: int = claim("e")
    decision: str = claim("d", "")


@dataclass(frozen=True, slots=True)
class MarkNews:
    """A ledger.marks.Mark on its way. `subject` is a kind and its names."""

    subject: Subject = claim("s")  # noqa: RUF009  # a dataclass field, which each instance sets
    not_before: int = claim("t")
    expires: int = claim("e")


@dataclass(frozen=True, slots=True)
class SpentNews:
    """A one-use id on its way."""

    use: str = claim("u")
    expires: int = claim("e")


@dataclass(frozen=True, slots=True)
class PeerMessage(Artefact):
    """What replicas tell one another, in both directions: the sender's name and clock, and a part of its state.

    It lives for as long as a request does, and what it carries may be told again in a later release's form.
    """

    longest: ClassVar[int] = 1_048_576
    """A page of ledger.exchange is 300 kB, and below this with the longest names that there are."""

    nonce: str = claim("n")
    replica: str = claim("r")
    clock: int = claim("t")
    marks: tuple[MarkNews, ...] = claim("m", ())
    families: tuple[FamilyNews, ...] = claim("f", ())
    spent: tuple[SpentNews, ...] = claim("s", ())
    offers: tuple[OfferNews, ...] = claim("o", ())


@dataclass(frozen=True, slots=True)
class PeerQuestion(PeerMessage):
    """`told` says that it brings news, `cursor` that it asks for some."""

    kind: ClassVar[str] = "pq"

    told: bool = claim("w", False)
    cursor: str | None = claim("c", None)
    limit: int = claim("l", 2_000)


@dataclass(frozen=True, slots=True)
class PeerAnswer(PeerMessage):
    """`continuity` holds since when codes and marks are complete; empty where there is no page of news."""

    kind: ClassVar[str] = "pa"

    version: str = claim("v", "")
    caught_up: bool = claim("u", False)
    settled: bool = claim("z", False)
    accepted: bool = claim("a", False)
    cursor: str = claim("c", "")
    more: bool = claim("l", False)
    continuity: tuple[int, ...] = claim("k", ())


def subjects_of(identity: Identity, credential: str, client: str) -> tuple[Subject, ...]:
    """The subjects that a person's authorization of a client falls under."""
    account, user, _ = identity
    return (
        marks.EVERYTHING,
        marks.account(account),
        marks.user(account, user),
        marks.user_client(account, user, client),
        marks.credential(credential),
        marks.client(client),
    )


def new_family() -> str:
    """A name that no other grant has: 96 random bits."""
    return secrets.token_urlsafe(12)


def digest(text: str, size: int) -> str:
    """The first `size` bytes of the SHA-256 of a text, in base64url."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:size]).decode().rstrip("=")


def client_handle(client_id: str) -> str:
    """How tokens, logs and marks name a client: base64url(SHA-256(client_id)[:16])."""
    return digest(client_id, 16)
