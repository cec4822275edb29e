"""A client that signs: its keys, and assertions by them (RFC 7523), right ones and any others."""

from __future__ import annotations

import secrets
import time
import warnings
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass
class Signer:
    """`now` gives seconds since the epoch."""

    client_id: str
    alg: str = "ES256"
    kid: str = "one"
    now: Any = time.time
    key: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.key = new_key(self.alg)

    @property
    def jwk(self) -> dict[str, Any]:
        return {**self.key.as_dict(private=False), "kid": self.kid, "use": "sig", "alg": self.alg}

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [self.jwk]}

    def assertion(self, audience: Any, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A claim or header that is None is left out."""
        now = int(self.now())
        said = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": audience,
            "jti": secrets.token_urlsafe(12),
            "iat": now,
            "exp": now + 60,
        } | claims
        head = {"alg": self.alg, "typ": "JWT", "kid": self.kid} | (header or {})
        return sign(_present(head), _present(said), self.key)

    def parameters(self, audience: Any, **claims: Any) -> dict[str, str]:
        """What a request has beside its own."""
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self.assertion(audience, **claims)}


def new_key(alg: str) -> Any:
    if alg in {"ES256", "ES384"}:
        return ECKey.generate_key({"ES256": "P-256", "ES384": "P-384"}[alg])
    return OKPKey.generate_key("Ed25519") if alg.startswith("Ed") else RSAKey.generate_key(2048)


def sign(header: dict[str, Any], claims: dict[str, Any], key: Any) -> str:
    with warnings.catch_warnings():
        # The library would have EdDSA called Ed25519, which few clients do yet.
        warnings.simplefilter("ignore")
        return jwt.encode(header, claims, key, algorithms=[header["alg"]])


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
