"""DPoP proofs (RFC 9449 §4.3): what proves something, and every way of proving nothing."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from joserfc.jwk import OctKey, OKPKey
from joserfc.jws import JWSRegistry, serialize_compact

from tests.proofs import Prover, ath
from tokensvc import dpop
from tokensvc.dpop import InvalidProof, Proof, read
from tokensvc.jose import ALGORITHMS

URL = "https://auth.example.com/token"
PROVER = Prover(now=1_800_000_000)
HEADER = {"typ": "dpop+jwt", "alg": "ES256", "jwk": PROVER.jwk}

# RFC 9449, figures 2 and 12 to 13: the same key, once for a token and once with one.
EXAMPLE_HEADER = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRj"
    "QyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
)
EXAMPLE_TOKEN_REQUEST = (
    f"{EXAMPLE_HEADER}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29"
    "tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfb"
    "V37xRZT3Lg"
)
EXAMPLE_RESOURCE_REQUEST = (
    f"{EXAMPLE_HEADER}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9"
    "yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtz"
    "bVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
EXAMPLE_TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
EXAMPLE_JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def encoded(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).decode().rstrip("=")


def with_header(**changes: Any) -> str:
    return PROVER.proof("POST", URL, header=changes)


def with_jwk(**changes: Any) -> str:
    jwk = {**PROVER.jwk, **changes}
    return PROVER.proof("POST", URL, header={"jwk": {name: value for name, value in jwk.items() if value is not None}})


def unsigned(header: object, claims: object = b"{}", signature: str = "A" * 86) -> str:
    return f"{encoded(header)}.{encoded(claims)}.{signature}"


def refused(proof: str) -> str:
    with pytest.raises(InvalidProof) as caught:
        read([proof])
    return str(caught.value)


def test_the_examples_of_the_standard_are_read() -> None:
    proof = read([EXAMPLE_TOKEN_REQUEST])
    assert proof == Proof(
        EXAMPLE_JKT, "-BwC3ESc6acc2lTc", "POST", "https://server.example.com/token", 1562262616, "", ""
    )
    proof.check_request("POST", "https://server.example.com/token")
    proof = read([EXAMPLE_RESOURCE_REQUEST])
    proof.check_request("GET", "https://resource.example.org/protectedresource")
    proof.check_token(EXAMPLE_TOKEN, EXAMPLE_JKT)


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_every_algorithm_that_is_advertised_is_read_without_a_warning(alg: str) -> None:
    prover = Prover("Ed25519" if alg == "EdDSA" else alg)
    assert read([prover.proof("POST", URL, header={"alg": alg})]).jkt == prover.jkt


@pytest.mark.parametrize(
    "proof",
    [
        with_header(typ=None),
        with_header(typ="JWT"),
        with_header(typ=["dpop+jwt"]),
        with_header(jwk=None),
        with_header(jwk=[PROVER.jwk]),
        with_header(jwk=Prover().jwk),
        with_header(jwk=PROVER.key.as_dict(private=True)),
        with_header(jwk=Prover("ES384").jwk),
        with_header(jwk={"kty": "oct", "k": "AAAA"}),
        with_jwk(kty="RSA"),
        with_jwk(crv="P-384"),
        with_jwk(crv=None),
        with_jwk(x=None),
        with_jwk(x=1),
        with_jwk(x="AAAA"),
        with_jwk(x="é"),
        PROVER.sign(HEADER, b"[]"),
        PROVER.sign(HEADER, b"\xff"),
        PROVER.sign(HEADER, b"[" * 1500),
    ],
    ids=[
        "no typ",
        "typ of another JWT",
        "typ in a list",
        "no jwk",
        "jwk in a list",
        "jwk of another key",
        "jwk with the private part",
        "jwk of another curve",
        "jwk that is symmetric",
        "kty of another kind",
        "crv that the key is not on",
        "no crv",
        "no x",
        "x is a number",
        "x is too short",
        "x is not base64url",
        "claims are a list",
        "claims are not UTF-8",
        "claims are deep",
    ],
)
def test_what_is_no_proof_is_refused(proof: str) -> None:
    refused(proof)


@pytest.mark.parametrize("header", [["alg"], "alg", 1, None, {}, b"[" * 1500, b'{"alg":' + b"[" * 1500], ids=repr)
def test_header_that_is_no_object_is_refused(header: object) -> None:
    refused(unsigned(header))


def test_unsigned_and_symmetric_ones_are_refused() -> None:
    public = PROVER.jwk
    for alg in ("none", "None", "HS256", "", None, ["ES256"]):
        assert "alg" in refused(unsigned({"typ": "dpop+jwt", "alg": alg, "jwk": public}, signature="AAAA"))
    shared = OctKey.generate_key(256)
    for jwk in (shared.as_dict(private=True), public):
        header = {"typ": "dpop+jwt", "alg": "HS256", "jwk": jwk}
        assert "alg" in refused(serialize_compact(header, b"{}", shared, registry=_anything()))


def test_changed_proofs_are_refused() -> None:
    header, claims, signature = PROVER.proof("POST", URL).split(".")
    other = PROVER.proof("POST", URL).split(".")
    refused(f"{header}.{other[1]}.{signature}")
    refused(f"{header}.{claims}.{other[2]}")
    refused(f"{header}.{claims}.{signature[:-4]}")
    refused(f"{header}.{claims}.AAAA")
    refused(f"{header}..{signature}")
    refused(f"{header}.{claims}.{signature}.")
    refused(f"{header}.{claims}.{signature}=")
    refused(f" {header}.{claims}.{signature}")


def test_headers_that_have_to_be_understood_are_refused() -> None:
    assert "header" in refused(unsigned({**HEADER, "crit": ["exp"], "exp": 1}))
    assert "header" in refused(unsigned({**HEADER, "crit": ["b64"], "b64": False}))


@pytest.mark.parametrize("headers", [[], ["", ""], [PROVER.proof("POST", URL)] * 2], ids=["none", "empty", "twice"])
def test_there_is_one_proof(headers: list[str]) -> None:
    with pytest.raises(InvalidProof, match="one DPoP header"):
        read(headers)
    with pytest.raises(InvalidProof):  # As a proxy joins them.
        read([", ".join(headers)])


def test_long_ones_are_refused_unread() -> None:
    assert "too long" in refused("A" * 5_000)
    assert "too long" in refused(PROVER.proof("POST", URL, padding="x" * 4_000))


@pytest.mark.parametrize("bits", [8, 1024, 2040, 8200])
def test_rsa_keys_of_an_unusual_size_are_refused(bits: int) -> None:
    modulus = encoded(((1 << bits) - 1).to_bytes(bits // 8))
    jwk = {"kty": "RSA", "n": modulus, "e": "AQAB"}
    assert "size" in refused(unsigned({"typ": "dpop+jwt", "alg": "RS256", "jwk": jwk}))


def test_rsa_key_with_an_exponent_that_costs_time_is_refused() -> None:
    jwk = {**Prover("RS256").jwk, "e": "_" * 342}
    assert "size" in refused(unsigned({"typ": "dpop+jwt", "alg": "RS256", "jwk": jwk}))


@pytest.mark.parametrize("claim", ["jti", "htm", "htu", "iat"])
@pytest.mark.parametrize(
    "value",
    [None, "", -1, [], {}, True, "x" * 3_000],
    ids=["none", "empty", "number", "list", "object", "true", "long"],
)
def test_claims_are_there_and_of_their_type(claim: str, value: object) -> None:
    claims: dict[str, Any] = {claim: value}
    refused(PROVER.proof("POST", URL, **claims))


def test_iat_may_have_a_fraction_and_nothing_else() -> None:
    assert read([PROVER.proof("POST", URL, iat=1.75)]).iat == 1
    for iat in (float("nan"), float("inf"), 10**30, "1", -1):
        refused(PROVER.proof("POST", URL, iat=iat))


@pytest.mark.parametrize(
    "htu",
    [
        URL,
        "HTTPS://AUTH.example.com/token",
        "https://auth.example.com:443/token",
        f"{URL}?grant_type=x#fragment",
        "https://auth.example.com/%74oken",
    ],
)
def test_htu_may_differ_in_case_of_the_host_port_of_the_scheme_query_and_needless_escapes(htu: str) -> None:
    read([PROVER.proof("POST", htu)]).check_request("POST", URL)


@pytest.mark.parametrize(
    ("method", "htu"),
    [
        ("GET", URL),
        ("post", URL),
        ("POST", "http://auth.example.com/token"),
        ("POST", "https://auth.example.com:8443/token"),
        ("POST", "https://auth.example.com:80/token"),
        ("POST", "https://auth.example.com:/token"),
        ("POST", "https://user@auth.example.com/token"),
        ("POST", "https://auth.example.com.attacker.example/token"),
        ("POST", "https://auth.example.com/token/"),
        ("POST", "https://auth.example.com/Token"),
        ("POST", "https://auth.example.com/a/../token"),
        ("POST", "https://auth.example.com%2Ftoken"),
        ("POST", "/token"),
        ("POST", "https://[::1"),
        ("POST", "token"),
    ],
)
def test_proof_of_another_request_is_refused(method: str, htu: str) -> None:
    proof = read([PROVER.proof(method, htu)])
    with pytest.raises(InvalidProof):
        proof.check_request("POST", URL)


def test_paths_are_the_same_by_their_escapes_only() -> None:
    proof = read([PROVER.proof("GET", "https://a.example/%7euser/%c3%a9%2f")])
    proof.check_request("GET", "https://a.example/~user/%C3%A9%2F")
    with pytest.raises(InvalidProof):
        proof.check_request("GET", "https://a.example/~user/%C3%A9/")
    read([PROVER.proof("GET", "https://a.example")]).check_request("GET", "https://a.example/")


@pytest.mark.parametrize("seconds", [-61, 61])
def test_proof_of_another_time_is_refused(seconds: int) -> None:
    proof = read([PROVER.proof("GET", URL)])
    assert PROVER.now is not None
    proof.check_age(PROVER.now + seconds // 2, 60)
    with pytest.raises(InvalidProof, match="iat"):
        proof.check_age(PROVER.now + seconds, 60)


def test_proof_is_for_one_token_and_by_its_key() -> None:
    proof = read([PROVER.proof("GET", URL, token="a.token")])
    proof.check_token("a.token", PROVER.jkt)
    with pytest.raises(InvalidProof, match="ath"):
        proof.check_token("another.token", PROVER.jkt)
    with pytest.raises(InvalidProof, match="another key"):
        proof.check_token("a.token", Prover().jkt)
    with pytest.raises(InvalidProof, match="ath"):
        read([PROVER.proof("GET", URL)]).check_token("a.token", PROVER.jkt)


def test_two_keys_may_choose_the_same_jti() -> None:
    one, other = (read([prover.proof("GET", URL, jti="1")]) for prover in (PROVER, Prover()))
    assert one.use != other.use
    assert one.use == read([PROVER.proof("POST", URL, jti="1")]).use


def test_thumbprint_is_that_of_the_standard() -> None:
    """RFC 7638 §3.1 and RFC 8037 A.3."""
    okp = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    assert okp.thumbprint() == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert dpop.is_thumbprint(okp.thumbprint())
    for text in ("", okp.thumbprint()[:-1], okp.thumbprint() + "A", okp.thumbprint()[:-1] + "="):
        assert not dpop.is_thumbprint(text)
    assert ath("") == "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"


def _anything() -> JWSRegistry:
    return JWSRegistry(algorithms=["HS256"], strict_check_header=False)
