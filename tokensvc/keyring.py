"""Key rings: several versions of a secret, each with a time from which it seals, and what is derived from them.

A version is *staged* before its activation, *active* while it is the one that seals, *retired* after a newer one took
over. All of them unseal; taking one out of the ring ends what it sealed.
"""

import base64
import binascii
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tokensvc.errors import SettingsError

State = Literal["staged", "active", "retired"]

KEYS = "TOKENSVC_KEYS"
CLIENT_KEYS = "TOKENSVC_CLIENT_KEYS"
SIGNING_KEYS = "TOKENSVC_SIGNING_KEYS"

_KID = re.compile(r"[A-Za-z0-9_-]{1,16}")
_UNIX = re.compile(r"[0-9]{1,11}")
_RFC3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-]00:00)")
_EPOCH = datetime.fromtimestamp(0, UTC)
_SECRET_BYTES = 32
# 32 random bytes hold fewer distinct values than this about once in 10^25 rings; the examples in our docs always do.
_DISTINCT_BYTES = 12
_NEW = "Make an entry with `tokensvc keys new`"


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """One entry of a ring. `activates` is in milliseconds since the epoch, 0 for always."""

    kid: str
    activates: int
    secret: bytes = field(repr=False)


class KeyRing:
    """The versions of one ring, in the order in which they were listed."""

    def __init__(self, versions: tuple[KeyVersion, ...]) -> None:
        self.versions = versions
        self.by_kid = {version.kid: version for version in versions}
        self._order = sorted(versions, key=lambda version: version.activates)  # ties stay as listed
        self._activations = [version.activates for version in self._order]

    @classmethod
    def parse(cls, text: str, variable: str, now: int) -> "KeyRing":
        """Read `kid[@activation]=secret,…`. Raises SettingsError naming `variable` for anything unsafe or unclear."""
        entries = [entry.strip() for entry in text.split(",") if entry.strip()]
        versions = tuple(_parse_version(entry, variable) for entry in entries)
        if not versions:
            raise SettingsError(variable, "is empty", _NEW)
        if len({version.kid for version in versions}) < len(versions):
            raise SettingsError(variable, "lists a kid twice", "Give every version a kid of its own")
        if all(version.activates > now for version in versions):
            raise SettingsError(variable, "has no version that is active yet", "Keep one whose activation is past")
        return cls(versions)

    def active(self, now: int) -> KeyVersion:
        """The version that seals: the latest activated one, ties by last listed."""
        activated = bisect_right(self._activations, now)
        if not activated:
            raise ValueError("no version of the ring is active yet")
        return self._order[activated - 1]

    def get(self, kid: str) -> KeyVersion | None:
        return self.by_kid.get(kid)

    def state(self, version: KeyVersion, now: int) -> State:
        if version.activates > now:
            return "staged"
        return "active" if version == self.active(now) else "retired"

    def retired_at(self, version: KeyVersion) -> int | None:
        """When the next version takes or took over, in milliseconds; None for the newest of the ring."""
        later = self._activations[self._order.index(version) + 1 :]
        return later[0] if later else None


def derive(version: KeyVersion, *labels: str, length: int = 32) -> bytes:
    """A key of `length` bytes for one use alone: HKDF-SHA256 (RFC 5869) over the version's secret.

    Labels hold no NUL (kinds and kids are tokens, the issuer is a URL), so joining them by NUL is unambiguous.
    """
    info = "\0".join(("tokensvc 1", version.kid, *labels)).encode()
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(version.secret)


def fingerprint(version: KeyVersion) -> str:
    """What tells two secrets apart and says nothing of either: 8 bytes of a key that is derived for this alone, in hex.

    It does not depend on the kid's neighbours, the issuer or the activation, so replicas can be compared by it.
    """
    return derive(version, "fingerprint")[:8].hex()


def parse_time(text: str) -> int:
    """RFC 3339 in UTC, or Unix seconds, as milliseconds. Raises ValueError."""
    if _UNIX.fullmatch(text):
        return int(text) * 1000
    if not _RFC3339.fullmatch(text):
        raise ValueError("a time is RFC 3339 in UTC, for example 2027-01-31T00:00:00Z, or Unix seconds")
    return (datetime.fromisoformat(text.upper()) - _EPOCH) // timedelta(milliseconds=1)


def _parse_version(entry: str, variable: str) -> KeyVersion:
    name, equals, secret = entry.partition("=")
    kid, at, activation = name.partition("@")
    if not equals or not _KID.fullmatch(kid):
        raise SettingsError(variable, "has an entry that is not kid[@activation]=secret", _NEW)
    try:
        activates = parse_time(activation) if at else 0
    except ValueError:
        remedy = "Use RFC 3339 in UTC, such as 2027-01-31T00:00:00Z, or Unix seconds"
        raise SettingsError(variable, f"has an activation of {kid} that is no time", remedy) from None
    return KeyVersion(kid, activates, _parse_secret(secret, kid, variable))


def _parse_secret(text: str, kid: str, variable: str) -> bytes:
    try:
        secret = base64.b64decode(text + "=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != _SECRET_BYTES or base64.urlsafe_b64encode(secret).decode().rstrip("=") != text:
        raise SettingsError(variable, f"has a secret of {kid} that is not 32 bytes in unpadded base64url", _NEW)
    if len(set(secret)) < _DISTINCT_BYTES:
        raise SettingsError(variable, f"has a secret of {kid} that is not random, like an example's", _NEW)
    return secret
