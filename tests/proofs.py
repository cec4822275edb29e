"""A client with a key that makes DPoP proofs (RFC 9449 §4.2), right ones and any others that a test wants."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any

import httpx
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry, serialize_compact
from joserfc.registry import Header

from tests.replica import Client

Key = ECKey | OKPKey | RSAKey
KEYS: Mapping[str, Callable[[], Key]] = {
    "ES256": lambda: ECKey.generate_key("P-256"),
    "ES384": lambda: ECKey.generate_key("P-384"),
    "Ed25519": lambda: OKPKey.generate_key("Ed25519"),
    "RS256": lambda: RSAKey.generate_key(2048),
    "PS256": lambda: RSAKey.generate_key(2048),
}


class _Registry(JWSRegistry):
    """Signs whatever it is given."""

    def check_header(self, header: Header) -> None:
        pass

    def get_alg(self, name: str) -> JWSAlgModel:
        return super().get_alg("Ed25519" if name == "EdDSA" else name)


class Prover:
    """`now` is what its clock shows, in seconds since the epoch; None for the time."""

    def __init__(self, alg: str = "ES256", key: Key | None = None, now: int | None = None) -> None:
        self.alg, self.key, self.now = alg, key or KEYS[alg](), now

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key."""
        return dict(self.key.as_dict(private=False))

    @property
    def jkt(self) -> str:
        return self.key.thumbprint()

    def proof(
        self, method: str, url: str, *, nonce: str = "", token: str = "", header: Header | None = None, **claims: Any
    ) -> str:
        """A claim or header parameter of None is left out."""
        given: dict[str, Any] = {
            "jti": token_urlsafe(12),
            "htm": method,
            "htu": url,
            "iat": int(time.time()) if self.now is None else self.now,
            "nonce": nonce or None,
            "ath": ath(token) if token else None,
        } | claims
        parameters = {"typ": "dpop+jwt", "alg": self.alg, "jwk": self.jwk} | (header or {})
        return self.sign(_present(parameters), json.dumps(_present(given)).encode())

    def sign(self, header: Header, payload: bytes) -> str:
        return serialize_compact(header, payload, self.key, registry=_Registry(algorithms=[*KEYS]))


@dataclass
class BoundClient(Client):
    """A client whose posts bring a proof, with the nonce that it was given last and whatever claims it is told."""

    prover: Prover = field(default_factory=Prover)
    nonce: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    origin: Client | None = None

    def __post_init__(self) -> None:
        """The connections are its origin's, and end with that."""
        if self.origin is None:
            super().__post_init__()

    def token(self, **parameters: str) -> httpx.Response:
        answer = self.prove("/token", parameters)
        if answer.status_code == 400 and answer.json()["error"] == "use_dpop_nonce":
            answer = self.prove("/token", parameters)
        return answer

    def push(self, **parameters: str) -> httpx.Response:
        """A pushed authorization request, with a proof where there is a key."""
        return self.prove("/par", parameters)

    def prove(self, path: str, parameters: dict[str, str]) -> httpx.Response:
        """Post with one proof, whatever the answer."""
        url = f"{self.url}{path}"
        form = {"client_id": self.client_id, "client_secret": self.client_secret} | parameters
        headers = {"DPoP": self.prover.proof("POST", url, **({"nonce": self.nonce} | self.claims))}
        answer = self.http.post(url, data={name: value for name, value in form.items() if value}, headers=headers)
        self.nonce = answer.headers.get("dpop-nonce", self.nonce)
        return answer


def bound(client: Client, prover: Prover | None = None) -> BoundClient:
    """The same client, with a key."""
    shared = {each.name: getattr(client, each.name) for each in fields(Client)}
    return BoundClient(**shared, prover=prover or Prover(), origin=client)


def ath(token: str) -> str:
    return urlsafe_b64encode(sha256(token.encode()).digest()).decode().rstrip("=")


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
