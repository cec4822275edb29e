"""The keys that sign access tokens as JWTs, derived from the versions of a ring of their own.

Nothing is stored and no file is shared: every replica that has the ring has the same private keys. Each version gives a
key for each algorithm. The present algorithm's are published (RFC 7517), staged ones too, so that verifiers know a key
before it signs.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import ECKey, OKPKey

from tokensvc.keyring import SIGNING_KEYS, KeyRing, KeyVersion, derive, fingerprint
from tokensvc.tokens import base64url
from tokensvc.tokens.use import Count, KeyUse

TYP = "at+jwt"
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group of P-256 (NIST SP 800-186 §3.2.1.3)."""
_EXTRA = 8
"""Bytes more than the order has, so that the remainder shows no bias (FIPS 186-5 §A.2.1)."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One version's key for one algorithm. `header` is the one protected header that it signs, encoded.

    `kid` is the version's, and the beginning of the key's thumbprint (RFC 7638): whoever reads it sees which version
    this is, and no verifier takes two keys for one.
    """

    version: KeyVersion
    alg: str
    kid: str
    header: str
    key: ECKey | OKPKey = field(repr=False)
    count: Count

    @property
    def protected(self) -> dict[str, Any]:
        return {"alg": self.alg, "typ": TYP, "kid": self.kid}

    @property
    def public(self) -> dict[str, Any]:
        """A member of a JWK Set (RFC 7517 §4)."""
        members: dict[str, Any] = self.key.as_dict(private=False)
        return members | {"kid": self.kid, "use": "sig", "alg": self.alg}


class SigningKeys:
    """Those of a ring, for one issuer and prefix. `alg` is what signs; what another has signed is still recognised."""

    def __init__(self, ring: KeyRing, alg: str, issuer: str, prefix: str, use: KeyUse | None = None) -> None:
        self.ring = ring
        counts = use or KeyUse()
        place = (f"{prefix}at", issuer)
        found = {
            (version.kid, each): _signing_key(version, each, place, counts)
            for version in ring.versions
            for each in ALGORITHMS
        }
        self.by_header = {key.header: key for key in found.values()}
        self._present = {version.kid: found[version.kid, alg] for version in ring.versions}

    def active(self, now: int) -> SigningKey:
        return self._present[self.ring.active(now).kid]

    def jwks(self) -> dict[str, Any]:
        """The JWK Set (RFC 7517 §5): of every version that is listed, whatever its state."""
        return {"keys": [key.public for key in self._present.values()]}


def _signing_key(version: KeyVersion, alg: str, place: tuple[str, str], use: KeyUse) -> SigningKey:
    key = ALGORITHMS[alg](version, place)
    kid = f"{version.kid}.{key.thumbprint()[:11]}"
    header = json.dumps({"alg": alg, "typ": TYP, "kid": kid}, separators=(",", ":"))
    count = use.count(SIGNING_KEYS, fingerprint(version), alg, None)
    return SigningKey(version, alg, kid, base64url.encode(header.encode()), key, count)


def _es256(version: KeyVersion, place: tuple[str, str]) -> ECKey:
    wide = int.from_bytes(derive(version, "sign", *place, "ES256", length=32 + _EXTRA))
    return ECKey.import_key(derive_private_key(wide % (_ORDER - 1) + 1, SECP256R1()))


def _eddsa(version: KeyVersion, place: tuple[str, str]) -> OKPKey:
    return OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(derive(version, "sign", *place, "EdDSA")))


ALGORITHMS: dict[str, Callable[[KeyVersion, tuple[str, str]], ECKey | OKPKey]] = {"ES256": _es256, "EdDSA": _eddsa}
"""How a version's key is derived for each, by its name in JOSE (RFC 7518 §3.1, RFC 8037 §3.1)."""
