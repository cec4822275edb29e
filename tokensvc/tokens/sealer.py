"""The sealer: frozen models to compact JWEs and back (RFC 7516, `dir` with `A256GCM`, RFC 7518 §4.5 and §5.3).

It writes exactly one header for each key, so it need not parse one that it knows: it compares. What it seals, any JOSE
library opens, and what such a library seals under the same key and header, it opens; docs/wire-format.md has the
layout, and the tests hold it against joserfc to the byte.

Why it is safe: a key serves one kind, one issuer, one prefix, one version and (for all but client_ids) one day, so no
artefact can stand in for another, and random 96-bit nonces stay far below the 2^32 seals that NIST SP 800-38D allows a
key.
"""

import hmac
import os
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tokensvc.keyring import CLIENT_KEYS, KEYS, KeyRing, derive, fingerprint
from tokensvc.tokens import base64url
from tokensvc.tokens.artefact import Artefact, Unsealable
from tokensvc.tokens.kinds import ClientId
from tokensvc.tokens.use import Count, KeyUse

DAY = 86_400_000
OLDEST = 367
"""How many days back a token's key is still derived: the ceiling of lifetimes, and a day for the clock."""
_HEADER = '{"alg":"dir","enc":"A256GCM","kid":"%s"}'
_LONGEST_HEADER = 128
_LONGEST_START = 160
"""A prefix of up to 8 characters, the kind, and the header."""
_DAY_NUMBER = re.compile(r"0|[1-9][0-9]{0,5}")
_KEYS_CACHED = 4096
_OPENED_CACHED = 8192
"""What resource servers and clients show again and again, about 12 MB of it."""

Kind = TypeVar("Kind", bound=Artefact)


@dataclass(frozen=True, slots=True)
class _Key:
    """What a kind is sealed with. `head` is how its values begin: prefix, header, and the place of no encrypted key."""

    head: str
    header: bytes
    cipher: AESGCM
    count: Count
    nonce_key: bytes = field(default=b"", repr=False)
    secret_key: bytes = field(default=b"", repr=False)


class _Opened(NamedTuple):
    artefact: Any
    uses: Count


class Sealer:
    """`keys` seals everything but client_ids, which have the ring `client_keys` and no day.

    What is sealed and opened is counted in `use`.
    """

    def __init__(
        self, keys: KeyRing, client_keys: KeyRing, issuer: str, prefix: str, use: KeyUse | None = None
    ) -> None:
        self._keys = keys
        self._client_keys = client_keys
        self._issuer = issuer
        self._prefix = prefix
        self._use = use or KeyUse()
        self._key = lru_cache(_KEYS_CACHED)(self._derive)
        self._announced = lru_cache(_KEYS_CACHED)(self._find)
        self._opened = lru_cache(_OPENED_CACHED)(self._open)

    def seal(self, artefact: Artefact, now: int) -> str:
        kind = artefact.kind
        key = self._key(kind, self._ring(kind).active(now).kid, _day(kind, now))
        claims = artefact.to_claims()
        nonce = hmac.digest(key.nonce_key, claims, "sha256")[:12] if artefact.repeatable else os.urandom(12)
        sealed = key.cipher.encrypt(nonce, claims, key.header)
        key.count.seals += 1
        text = base64url.encode(nonce + sealed[:-16])
        return f"{key.head}.{text[:16]}.{text[16:]}.{base64url.encode(sealed[-16:])}"

    def unseal(self, kind: type[Kind], value: str, now: int) -> Kind:
        """Raises Unsealable, whatever is wrong: with another kind, version, issuer or day it does not open either."""
        today = now // DAY
        # A class is hashable, whatever mypy thinks of one with a __hash__ for its instances.
        opened = self._opened(kind, value, today) if kind.shown_often else self._open(kind, value, today)  # type: ignore[arg-type]
        opened.uses.opens += 1
        opened.uses.opened = now
        artefact: Kind = opened.artefact
        return artefact

    def check_start(self, kind: type[Artefact], start: str, now: int) -> None:
        """Raises Unsealable where nothing that begins like this is of the kind, so that the rest need not be read."""
        self._announced(kind.kind, start[:_LONGEST_START].partition("..")[0] + ".", now // DAY)

    def client_secret(self, client_id: str) -> str:
        """The secret of a confidential client: it follows from the client_id under the version that sealed that."""
        key = self._announced(ClientId.kind, client_id.rsplit(".", 3)[0], 0)
        return base64url.encode(hmac.digest(key.secret_key, client_id.encode(), "sha256"))

    @property
    def rings(self) -> dict[str, KeyRing]:
        """Both rings by their variable."""
        return {KEYS: self._keys, CLIENT_KEYS: self._client_keys}

    def version_of(self, value: str) -> str:
        """The kid and day that a sealed value announces, for explanations. Raises Unsealable."""
        return _announced_kid(value.partition("_")[2].partition(".")[0])

    def _ring(self, kind: str) -> KeyRing:
        return self._client_keys if kind == ClientId.kind else self._keys

    def _open(self, kind: type[Artefact], value: str, today: int) -> _Opened:
        """Nothing but the three arguments and the rings decides, so what opened may be remembered; a failure is not."""
        if len(value) > kind.longest:
            raise Unsealable(f"longer than any {kind.kind}")
        parts = value.rsplit(".", 3)
        if len(parts) != 4:
            raise Unsealable("not a compact JWE")
        key = self._announced(kind.kind, parts[0], today)
        if len(parts[1]) != 16 or len(parts[3]) != 22:
            raise Unsealable("nonce or tag has the wrong length")
        try:
            # A nonce is a whole number of base64's groups, so it is decoded with what follows it.
            sealed, tag = base64url.decode(parts[1] + parts[2]), base64url.decode(parts[3])
            claims = key.cipher.decrypt(sealed[:12], sealed[12:] + tag, key.header)
        except ValueError:
            raise Unsealable("not base64url") from None
        except InvalidTag:
            raise Unsealable("sealed under another key, or changed") from None
        return _Opened(kind.from_claims(claims), key.count)

    def _find(self, kind: str, head: str, today: int) -> _Key:
        """The key that a head announces. Everything is checked before anything is derived; a miss is not cached."""
        prefix = f"{self._prefix}{kind}_"
        if not head.startswith(prefix) or not head.endswith("."):
            raise Unsealable(f"not a {kind} by its prefix, or no JWE of dir")
        kid, dot, day = _announced_kid(head[len(prefix) : -1]).partition(".")
        if kid not in self._ring(kind).by_kid:
            raise Unsealable("the version is not in the ring")
        if bool(dot) != (kind != ClientId.kind) or (dot and not _near(day, today)):
            raise Unsealable("the day is out of range")
        return self._key(kind, kid, int(day) if dot else None)

    def _derive(self, kind: str, kid: str, day: int | None) -> _Key:
        version = self._ring(kind).by_kid[kid]
        place = (self._prefix + kind, self._issuer)
        header = base64url.encode((_HEADER % (kid if day is None else f"{kid}.{day}")).encode())
        head = f"{self._prefix}{kind}_{header}."
        ring = CLIENT_KEYS if kind == ClientId.kind else KEYS
        count = self._use.count(ring, fingerprint(version), kind, day)
        if day is not None:
            return _Key(head, header.encode(), AESGCM(derive(version, "seal", *place, str(day))), count)
        # The same public registration has to give the same client_id, so its nonce is a MAC of the claims.
        return _Key(
            head,
            header.encode(),
            AESGCM(derive(version, "seal", *place)),
            count,
            nonce_key=derive(version, "nonce", *place),
            secret_key=derive(version, "secret", *place),
        )


def _day(kind: str, now: int) -> int | None:
    return None if kind == ClientId.kind else now // DAY


def _near(day: str, today: int) -> bool:
    return _DAY_NUMBER.fullmatch(day) is not None and -OLDEST <= int(day) - today <= 1


def _announced_kid(header: str) -> str:
    before, after = (_HEADER % "\0").encode().split(b"\0")
    try:
        decoded = base64url.decode(header) if len(header) <= _LONGEST_HEADER else b""
    except ValueError:
        raise Unsealable("not base64url") from None
    kid = decoded[len(before) : -len(after)]
    if decoded != before + kid + after or not kid.isascii():
        raise Unsealable("not the header that is sealed with")
    return kid.decode()
