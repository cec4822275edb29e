"""What sealing and opening cost alone: the sealer, joserfc with the same claims, and the bare cipher beneath both."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc import jwe
from joserfc.jwk import OctKey

from tests.replica import ring_entry
from tokensvc.identity import Identity
from tokensvc.keyring import KeyRing
from tokensvc.tokens.kinds import RefreshToken, client_handle, digest, new_family
from tokensvc.tokens.sealer import Sealer

ISSUER = "https://auth.example.com"
BARE = "bare AES-256-GCM"
_HEADER = {"alg": "dir", "enc": "A256GCM", "kid": "k1.20000"}


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds to seal one access token, and to open it."""

    seal: float
    unseal: float


def run(rounds: int, times: int) -> dict[str, Cost]:
    """The median round of each way; the rounds take turns."""
    ways = _ways()
    samples: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (seal, unseal) in ways.items():
            samples[name].append(Cost(_microseconds(seal, times), _microseconds(unseal, times)))
    return {
        name: Cost(median(cost.seal for cost in costs), median(cost.unseal for cost in costs))
        for name, costs in samples.items()
    }


def _ways() -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    now = time.time_ns() // 1_000_000
    # What is used once is opened each time; an access token would be remembered.
    token = RefreshToken(
        family=new_family(),
        client=client_handle("a client"),
        identity=Identity("acme", "ada", "admin"),
        credential="AAAAAAAAAAA",
        resource=digest(ISSUER, 8),
        scope="mcp",
        authorized_at=now,
        lifetime=30 * 86_400_000,
        generation=1,
    )
    claims = token.to_claims()
    keys, client_keys = (KeyRing.parse(ring_entry(kid), "TOKENSVC_KEYS", now) for kid in ("k1", "c1"))
    sealer = Sealer(keys, client_keys, ISSUER, "ts")
    sealed = sealer.seal(token, now)
    secret, nonce, header = os.urandom(32), os.urandom(12), b"the header"
    key, registry = OctKey.import_key(secret), jwe.JWERegistry(algorithms=["dir", "A256GCM"])
    compact = jwe.encrypt_compact(_HEADER, claims, key, registry=registry)
    cipher = AESGCM(secret)
    encrypted = cipher.encrypt(nonce, claims, header)
    return {
        "the sealer, from model to model": (
            lambda: sealer.seal(token, now),
            lambda: sealer.unseal(RefreshToken, sealed, now),
        ),
        "joserfc, from claims to claims": (
            lambda: jwe.encrypt_compact(_HEADER, claims, key, registry=registry),
            lambda: jwe.decrypt_compact(compact, key, registry=registry),
        ),
        BARE: (
            lambda: cipher.encrypt(os.urandom(12), claims, header),
            lambda: cipher.decrypt(nonce, encrypted, header),
        ),
    }


def _microseconds(call: Callable[[], object], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - began) / times * 1_000_000
