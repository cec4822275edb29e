"""The keys that sign: derived as is written down, the same everywhere and for ever, published before they sign."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.tokens.examples import ISSUER, NOW, PREFIX, entry, ring, secret
from tokensvc.keyring import SIGNING_KEYS, KeyVersion, fingerprint
from tokensvc.tokens.base64url import decode, encode
from tokensvc.tokens.signing_keys import ALGORITHMS, SigningKeys
from tokensvc.tokens.use import KeyUse

FROZEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors/signing_keys/1.json").read_text(encoding="utf-8")
)
ORDER_OF_P256 = 115792089210356248762697446949407573529996955224135760342422259061068512044369
algorithms = pytest.mark.parametrize("alg", ["ES256", "EdDSA"])


def keys(*entries: str, alg: str = "ES256", issuer: str = ISSUER, prefix: str = PREFIX) -> SigningKeys:
    return SigningKeys(ring(*(entries or [entry("s1")])), alg, issuer, prefix)


def material(alg: str, kid: str, issuer: str, prefix: str) -> bytes:
    """HKDF as docs/wire-format.md has it, by somebody who knows nothing of the package."""
    info = "\0".join(["tokensvc 1", kid, "sign", f"{prefix}at", issuer, alg]).encode()
    length = 40 if alg == "ES256" else 32
    return HKDF(SHA256(), length, salt=None, info=info).derive(base64.urlsafe_b64decode(secret(kid) + "="))


def reference(alg: str, kid: str = "s1", issuer: str = ISSUER, prefix: str = PREFIX) -> dict[str, str]:
    """The public key that follows from it."""
    found = material(alg, kid, issuer, prefix)
    if alg == "EdDSA":
        public = Ed25519PrivateKey.from_private_bytes(found).public_key()
        return {"kty": "OKP", "crv": "Ed25519", "x": encode(public.public_bytes_raw())}
    scalar = int.from_bytes(found, "big") % (ORDER_OF_P256 - 1) + 1
    point = ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": encode(point.x.to_bytes(32)), "y": encode(point.y.to_bytes(32))}


def thumbprint(jwk: dict[str, str]) -> str:
    """RFC 7638 §3."""
    text = json.dumps({name: jwk[name] for name in sorted(jwk)}, separators=(",", ":"))
    return encode(hashlib.sha256(text.encode()).digest())


@algorithms
def test_published_keys_are_those_of_the_derivation_that_is_written_down(alg: str) -> None:
    published = keys(entry("s1"), entry("s2"), alg=alg).jwks()["keys"]
    for kid, jwk in zip(("s1", "s2"), published, strict=True):
        public = reference(alg, kid)
        assert jwk == public | {"kid": f"{kid}.{thumbprint(public)[:11]}", "use": "sig", "alg": alg}


@pytest.mark.parametrize("frozen", FROZEN["vectors"], ids=lambda frozen: str(frozen["alg"]))
def test_keys_are_derived_as_they_were_frozen(frozen: dict[str, Any]) -> None:
    """Every later release has to sign under them, and to open what they signed."""
    made = SigningKeys(ring(FROZEN["signing_keys"]), frozen["alg"], FROZEN["issuer"], FROZEN["prefix"])
    assert made.jwks() == {"keys": [frozen["jwk"]]}
    key = made.active(NOW)
    assert key.header == frozen["header"]
    assert key.key.as_dict(private=True)["d"] == frozen["d"]


@algorithms
def test_no_published_key_has_a_private_part(alg: str) -> None:
    (jwk,) = keys(alg=alg).jwks()["keys"]
    assert "d" not in jwk
    assert "d" in keys(alg=alg).active(NOW).key.as_dict(private=True)
    assert secret("s1") not in json.dumps(jwk) + repr(keys(alg=alg).active(NOW))


@algorithms
def test_another_issuer_prefix_kid_or_algorithm_has_another_key(alg: str) -> None:
    renamed = f"s9={secret('s1')}"
    other = "EdDSA" if alg == "ES256" else "ES256"
    made = [
        keys(alg=alg),
        keys(alg=alg, issuer=f"{ISSUER}/other"),
        keys(alg=alg, prefix="ov"),
        keys(renamed, alg=alg),
        keys(alg=other),
    ]
    private = {found.active(NOW).key.as_dict(private=True)["d"] for found in made}
    assert len(private) == len({found.active(NOW).kid for found in made}) == len(made)


def test_staged_and_retired_versions_are_published_beside_the_one_that_signs() -> None:
    made = keys(entry("s1"), entry("s2", str(NOW // 1000)), entry("s3", str(NOW // 1000 + 60)))
    assert [jwk["kid"].partition(".")[0] for jwk in made.jwks()["keys"]] == ["s1", "s2", "s3"]
    active = [made.active(NOW + after).version.kid for after in (-1000, 0, 59_000, 60_000)]
    assert active == ["s1", "s2", "s2", "s3"]


@algorithms
def test_header_is_exactly_algorithm_type_and_kid(alg: str) -> None:
    key = keys(alg=alg).active(NOW)
    assert json.loads(decode(key.header)) == {"alg": alg, "typ": "at+jwt", "kid": key.kid}


def test_keys_of_both_algorithms_are_recognised_whichever_signs() -> None:
    for alg in ALGORITHMS:
        made = keys(entry("s1"), entry("s2"), alg=alg)
        assert sorted((key.version.kid, key.alg) for key in made.by_header.values()) == [
            (kid, each) for kid in ("s1", "s2") for each in sorted(ALGORITHMS)
        ]


def test_scalar_is_in_range_whatever_is_derived(monkeypatch: pytest.MonkeyPatch) -> None:
    """FIPS 186-5 §A.2.1: from 1 to the order less 1, zero and the order itself among what comes out of HKDF."""
    version = KeyVersion("s1", 0, b"")
    for derived, scalar in ((0, 1), (ORDER_OF_P256 - 2, ORDER_OF_P256 - 1), (ORDER_OF_P256 - 1, 1), (2**320 - 1, None)):
        monkeypatch.setattr(
            "tokensvc.tokens.signing_keys.derive",
            lambda *_labels, length, derived=derived: derived.to_bytes(length),
        )
        made = ALGORITHMS["ES256"](version, ("tsat", ISSUER)).as_dict(private=True)["d"]
        expected = (2**320 - 1) % (ORDER_OF_P256 - 1) + 1 if scalar is None else scalar
        assert made == encode(expected.to_bytes(32))


def test_use_is_counted_by_version_and_algorithm() -> None:
    use = KeyUse()
    made = SigningKeys(ring(entry("s1")), "ES256", ISSUER, PREFIX, use)
    made.active(NOW).count.seals += 1
    assert use.total(SIGNING_KEYS, fingerprint(made.ring.versions[0])).seals == 1
