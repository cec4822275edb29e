"""The sealer: frozen models to compact JWEs and back (RFC 7516, `dir` with `A256GCM`, RFC 7518 §4.5 and §5.3).

It writes exactly one header for each key, so it need not parse one that it knows: it compares. What it seals, any JOSE
library opens, and what such a library seals under the same key and header, it opens; docs/wire-format.md has the
layout, and the tests hold it against joserfc to the byte.

Why it is safe: a key serves one kind, one issuer, one version and (for all but client_ids) one day, so no artefact can
stand in for another, and random 96-bit nonces stay far below the 2^32 seals that NIST SP 800-38D allows a key.
"""

import base64
import binascii
import hmac
import os
from functools import lru_cache
from typing import NamedTuple, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tokensvc.keyring import KeyRing, KeyVersion, derive
from tokensvc.tokens.artefact import Artefact, Unsealable
from tokensvc.tokens.kinds import ClientId

DAY = 86_400_000
OLDEST = 367
"""How many days back a token's key is still derived: the ceiling of lifetimes, and a day for the clock."""
_HEADER = '{"alg":"dir","enc":"A256GCM","kid":"%s"}'
_KEYS_CACHED = 4096

Kind = TypeVar("Kind", bound=Artefact)


class _Key(NamedTuple):
    """A derived key with the header that announces it, encoded, which is also the data it authenticates."""

    header: bytes
    cipher: AESGCM
    nonce_key: bytes


class Sealer:
    """`keys` seals everything but client_ids, which have the ring `client_keys` and no day."""

    def __init__(self, keys: KeyRing, client_keys: KeyRing, issuer: str, prefix: str) -> None:
        self._keys = keys
        self._client_keys = client_keys
        self._issuer = issuer
        self._prefix = prefix
        self._key = lru_cache(_KEYS_CACHED)(self._derive)
        self._announced = lru_cache(_KEYS_CACHED)(self._key_announced)

    def seal(self, artefact: Artefact, now: int) -> str:
        kind = artefact.kind
        ring = self._ring(kind)
        key = self._key(kind, ring.active(now), _day(kind, now))
        claims = artefact.to_claims()
        nonce = hmac.digest(key.nonce_key, claims, "sha256")[:12] if key.nonce_key else os.urandom(12)
        sealed = key.cipher.encrypt(nonce, claims, key.header)
        text = b".".join((key.header, b"", _b64(nonce), _b64(sealed[:-16]), _b64(sealed[-16:])))
        return f"{self._prefix}{kind}_{text.decode()}"

    def unseal(self, kind: type[Kind], value: str, now: int) -> Kind:
        """Raises Unsealable, whatever is wrong: with another kind, version, issuer or day it does not open either."""
        prefix = f"{self._prefix}{kind.kind}_"
        if not value.startswith(prefix) or len(value) > kind.longest or not value.isascii():
            raise Unsealable(f"not a {kind.kind} by its prefix or length")
        parts = value[len(prefix) :].encode().split(b".")
        if len(parts) != 5 or parts[1]:
            raise Unsealable("not a compact JWE of dir")
        key = self._announced(kind.kind, parts[0], _day(kind.kind, now))
        nonce, sealed, tag = _unb64(parts[2]), _unb64(parts[3]), _unb64(parts[4])
        if len(nonce) != 12 or len(tag) != 16:
            raise Unsealable("nonce or tag has the wrong length")
        try:
            claims = key.cipher.decrypt(nonce, sealed + tag, key.header)
        except InvalidTag:
            raise Unsealable("sealed under another key, or changed") from None
        return kind.from_claims(claims)

    def client_secret(self, client_id: str) -> str:
        """The secret of a confidential client: it follows from the client_id under the version that sealed that."""
        version = self._client_version(client_id)
        key = derive(version, "client_secret", self._issuer)
        return _b64(hmac.digest(key, client_id.encode(), "sha256")).decode()

    def version_of(self, value: str) -> str:
        """The kid and day that a sealed value announces, for explanations. Raises Unsealable."""
        return _announced_kid(value.partition("_")[2].partition(".")[0].encode())

    def _client_version(self, client_id: str) -> KeyVersion:
        version = self._client_keys.get(self.version_of(client_id))
        if version is None:
            raise Unsealable("the version is not in the ring")
        return version

    def _ring(self, kind: str) -> KeyRing:
        return self._client_keys if kind == ClientId.kind else self._keys

    def _key_announced(self, kind: str, header: bytes, today: str) -> _Key:
        """The key of an announced header. Everything is checked before anything is derived; a miss is not cached."""
        kid, dot, day = _announced_kid(header).partition(".")
        version = self._ring(kind).get(kid)
        if version is None:
            raise Unsealable("the version is not in the ring")
        if bool(today) != bool(dot) or (today and not _near(day, today)):
            raise Unsealable("the day is out of range")
        key = self._key(kind, version, day)
        if not hmac.compare_digest(key.header, header):
            raise Unsealable("not the header that is sealed with")
        return key

    def _derive(self, kind: str, version: KeyVersion, day: str) -> _Key:
        kid = f"{version.kid}.{day}" if day else version.kid
        cipher = AESGCM(derive(version, "seal", kind, self._issuer, day))
        # A client_id has to be the same for the same registration, so its nonce is a MAC of the claims (as in RFC 8452).
        nonce_key = b"" if day else derive(version, "nonce", kind, self._issuer)
        return _Key(_b64((_HEADER % kid).encode()), cipher, nonce_key)


def _day(kind: str, now: int) -> str:
    return "" if kind == ClientId.kind else str(now // DAY)


def _near(day: str, today: str) -> bool:
    return day.isdigit() and len(day) <= 6 and -OLDEST <= int(day) - int(today) <= 1


def _announced_kid(header: bytes) -> str:
    before, after = (_HEADER % "\0").encode().split(b"\0")
    decoded = _unb64(header)
    kid = decoded[len(before) : len(decoded) - len(after)]
    if len(decoded) > 96 or decoded != before + kid + after or not kid.isascii():
        raise Unsealable("not the header that is sealed with")
    return kid.decode()


def _b64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _unb64(text: bytes) -> bytes:
    """Strict: no padding, no other alphabet, no spare bits, so that a value has one spelling (RFC 7515 §2)."""
    try:
        raw = base64.urlsafe_b64decode(text + b"==")
    except binascii.Error:
        raise Unsealable("not base64url") from None
    if _b64(raw) != text:
        raise Unsealable("not base64url")
    return raw
