"""An enterprise's identity provider, as far as ID-JAG needs one: it signs assertions and publishes its keys."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey

from tests.endpoints.local import ISSUER, NOW, SECOND

IDP = "https://idp.example.com"


@dataclass
class IdentityProvider:
    issuer: str = IDP
    kid: str = "idp-1"
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256"))

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [self.key.as_dict(private=False, kid=self.kid, alg="ES256", use="sig")]}

    def entry(self, **changes: Any) -> dict[str, Any]:
        """Its entry in TOKENSVC_ID_JAG_ISSUERS; None leaves a member out."""
        members = {"issuer": self.issuer, "jwks": self.jwks, "account": "acme", "role": "member"} | changes
        return {name: value for name, value in members.items() if value is not None}

    def assertion(self, *, now: int = NOW, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """One that is good for the client `agent`, but for `changes` in its claims; None leaves a claim out."""
        claims = {
            "iss": self.issuer,
            "sub": "U019488227",
            "aud": ISSUER,
            "client_id": "agent",
            "resource": ISSUER,
            "scope": "read write",
            "jti": secrets.token_urlsafe(12),
            "iat": now // SECOND,
            "exp": now // SECOND + 300,
        } | changes
        return self.sign({name: value for name, value in claims.items() if value is not None}, header or {})

    def sign(self, claims: dict[str, Any], header: dict[str, Any]) -> str:
        whole = {"alg": "ES256", "typ": "oauth-id-jag+jwt", "kid": self.kid} | header
        return jws.serialize_compact(whole, json.dumps(claims).encode(), self.key)


def a_second_ahead() -> int:
    """For a real replica, which takes no assertion from before its ledger began: `iat` counts whole seconds."""
    return time.time_ns() // 1_000_000 + SECOND
