"""Keys and algorithms of others: judged once, for proofs, assertions and key sets alike."""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from joserfc.errors import UnsupportedAlgorithmError

from tests.proofs import KEYS, Prover
from tokensvc.dpop import InvalidProof, read
from tokensvc.jose import ALGORITHMS, Registry, algorithms_of, public_key
from tokensvc.protocol.jwks import Jwks

JWKS = {alg: Prover(alg).jwk for alg in KEYS}


def encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def number(bits: int) -> str:
    value = secrets.randbits(bits) | 1 << (bits - 1) | 1
    return encoded(value.to_bytes((bits + 7) // 8))


def rsa(bits: int, exponent: str = "AQAB") -> dict[str, Any]:
    return {"kty": "RSA", "n": number(bits), "e": exponent}


@pytest.mark.parametrize("alg", KEYS)
def test_key_is_taken_for_what_its_kind_can_sign_with(alg: str) -> None:
    assert algorithms_of(JWKS[alg]) == {name for name, takes in ALGORITHMS.items() if takes == ALGORITHMS[alg]}
    assert public_key(JWKS[alg]).thumbprint() == public_key({**JWKS[alg], "use": "enc", "x5c": ["x"]}).thumbprint()


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_key_with_any_private_part_is_of_no_use_to_anyone(member: str) -> None:
    for jwk in ({**JWKS["ES256"], member: "AQAB"}, {**JWKS["RS256"], member: "AQAB"}):
        with pytest.raises(ValueError, match="no public key"):
            public_key(jwk)
        assert Jwks.parse({"keys": [jwk]}).keys == ()
        with pytest.raises(InvalidProof, match="no public key"):
            read([Prover().proof("POST", "https://a.example/token", header={"jwk": {**Prover().jwk, member: "AQAB"}})])


@pytest.mark.parametrize("jwk", [rsa(2048), rsa(4096), rsa(8192), rsa(2048, number(33))], ids=range(4))
def test_rsa_keys_of_the_usual_sizes_are_taken_everywhere(jwk: dict[str, Any]) -> None:
    assert public_key(jwk).thumbprint()
    assert len(Jwks.parse({"keys": [jwk]}).keys) == 1


@pytest.mark.parametrize(
    "jwk",
    [rsa(2047), rsa(8193), rsa(2048, number(34)), rsa(2048, "AQ"), rsa(2048, ""), rsa(2048, "!"), rsa(2048, "AQA=")],
    ids=range(7),
)
def test_rsa_keys_of_other_sizes_are_taken_nowhere(jwk: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="unusual size"):
        public_key(jwk)
    assert Jwks.parse({"keys": [jwk]}).keys == ()


def test_proof_by_the_longest_key_is_not_too_long() -> None:
    claims = Prover().proof("POST", "https://auth.example.com/token", nonce="n" * 64).split(".")[1]
    header = encoded(json.dumps({"typ": "dpop+jwt", "alg": "RS256", "jwk": rsa(8192)}).encode())
    with pytest.raises(InvalidProof, match="signature is wrong"):
        read([f"{header}.{claims}.{encoded(bytes(1024))}"])


@pytest.mark.parametrize("jwk", [{}, {"kty": ["RSA"]}, {"kty": "oct", "k": "AAAA"}, {"kty": "EC", "crv": {}}], ids=repr)
def test_key_of_another_kind_is_none(jwk: dict[str, Any]) -> None:
    assert algorithms_of(jwk) == frozenset()
    with pytest.raises(ValueError, match="no kind"):
        public_key(jwk)


@pytest.mark.parametrize("alg", ["none", "HS256", "ES512", "RS512", "ES256K", "Ed448", ""])
def test_registry_has_what_it_was_given_and_no_more(alg: str) -> None:
    assert [Registry(100).get_alg(name).name for name in ("RS256", "EdDSA")] == ["RS256", "Ed25519"]
    for registry, name in ((Registry(100), alg), (Registry(100, ["ES256"]), "RS256")):
        with pytest.raises(UnsupportedAlgorithmError):
            registry.get_alg(name)
