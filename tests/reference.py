"""The wire format a second time, as docs/wire-format.md has it and with joserfc, to hold the sealer against."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import Any

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

REGISTRY = jwe.JWERegistry(algorithms=["dir", "A256GCM"])
DAY = 86_400_000


class Refused(Exception):
    """The reference does not open it."""


@dataclass(frozen=True)
class Reference:
    """`keys` and `client_keys` map a kid to its 32 bytes."""

    keys: dict[str, bytes]
    client_keys: dict[str, bytes]
    issuer: str
    prefix: str

    def open(self, kind: str, value: str, now: int) -> bytes:
        """The claims, as they were sealed. Raises Refused."""
        prefix = f"{self.prefix}{kind}_"
        if not value.startswith(prefix):
            raise Refused("prefix")
        compact = value.removeprefix(prefix)
        try:
            header = json.loads(_decode(compact.partition(".")[0]))
            if header.keys() != {"alg", "enc", "kid"} or header["alg"] != "dir" or header["enc"] != "A256GCM":
                raise Refused("header")
            kid, _, day = header["kid"].partition(".")
            if (day == "") != (kind == "cl") or (day and not -367 <= int(day) - now // DAY <= 1):
                raise Refused("day")
            opened = jwe.decrypt_compact(compact, self._jwk(kind, kid, day), registry=REGISTRY)
        except (JoseError, ValueError, KeyError, AttributeError) as error:
            raise Refused(type(error).__name__) from None
        assert opened.plaintext is not None
        return opened.plaintext

    def seal(self, kind: str, kid: str, claims: bytes, now: int) -> str:
        day = "" if kind == "cl" else str(now // DAY)
        header = {"alg": "dir", "enc": "A256GCM", "kid": f"{kid}.{day}" if day else kid}
        compact = jwe.encrypt_compact(header, claims, self._jwk(kind, kid, day), registry=REGISTRY)
        return f"{self.prefix}{kind}_{compact}"

    def key(self, use: str, kind: str, kid: str, day: str = "") -> bytes:
        """HKDF-SHA256 (RFC 5869), with no salt and one block of output."""
        secret = (self.client_keys if kind == "cl" else self.keys)[kid]
        labels = ["tokensvc 1", kid, use, self.prefix + kind, self.issuer] + ([day] if day else [])
        extracted = hmac.digest(bytes(32), secret, hashlib.sha256)
        return hmac.digest(extracted, "\0".join(labels).encode() + b"\x01", hashlib.sha256)

    def _jwk(self, kind: str, kid: str, day: str) -> OctKey:
        return OctKey.import_key(self.key("seal", kind, kid, day))


def parse_ring(text: str) -> dict[str, bytes]:
    """A ring by its kids; activation decides who seals, which is no affair of opening."""
    entries = (entry.split("=", 1) for entry in text.split(","))
    return {name.partition("@")[0]: _decode(secret) for name, secret in entries}


def claims_of(claims: bytes) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(claims)
    return parsed


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
