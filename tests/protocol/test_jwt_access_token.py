"""Access tokens as JWTs (RFC 9068): what they say, and that nothing opens but what this server signed."""

from __future__ import annotations

import hmac
import json
from dataclasses import fields, replace
from itertools import count
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey

from tests.tokens.examples import ACCESS, ISSUER, NOW, entry, ring
from tests.tokens.test_signing_keys import FROZEN
from tokensvc.identity import Identity
from tokensvc.protocol.jwt_access_token import LONGEST, JwtAccessTokens
from tokensvc.protocol.resource_indicator import Resources
from tokensvc.tokens.artefact import Unsealable
from tokensvc.tokens.base64url import decode, encode
from tokensvc.tokens.kinds import AccessToken, digest
from tokensvc.tokens.signing_keys import SigningKeys

RESOURCE = "https://mcp.example.com/mcp"
KEYS = SigningKeys(ring(entry("s1")), "ES256", ISSUER, "ts")
TOKENS = JwtAccessTokens(KEYS, ISSUER, Resources((RESOURCE,)))
JWT = TOKENS.seal(ACCESS, NOW)
algorithms = pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
_text = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30)


def tokens(*entries: str, alg: str = "ES256", issuer: str = ISSUER, resource: str = RESOURCE) -> JwtAccessTokens:
    signing = SigningKeys(ring(*(entries or [entry("s1")])), alg, issuer, "ts")
    return JwtAccessTokens(signing, issuer, Resources((resource,)))


def part(of: Any) -> str:
    return encode(json.dumps(of, separators=(",", ":")).encode())


def payload(jwt: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(decode(jwt.split(".")[1]))
    return found


def signed(header: dict[str, Any], claims: Any = None) -> str:
    """By the server's own key, whatever the header says: what only a fault of ours could bring about."""
    text = f"{part(header)}.{part(payload(JWT) if claims is None else claims)}"
    return f"{text}.{encode(jws.JWSRegistry.algorithms['ES256'].sign(text.encode(), KEYS.active(NOW).key))}"


HEADER = {"alg": "ES256", "typ": "at+jwt", "kid": KEYS.active(NOW).kid}


@algorithms
def test_claims_are_those_of_the_standard_and_of_introspection(alg: str) -> None:
    bound = replace(ACCESS, jkt=digest("a key", 32))
    found = payload(tokens(alg=alg).seal(bound, ACCESS.iat))
    assert found == {
        "iss": ISSUER,
        "sub": "acme/ada%40example.com",
        "aud": RESOURCE,
        "client_id": ACCESS.client,
        "scope": "mcp",
        "iat": ACCESS.iat // 1000,
        "exp": ACCESS.exp // 1000,
        "jti": ACCESS.jti,
        "family": ACCESS.family,
        "account": "acme",
        "user": "ada@example.com",
        "role": "admin",
        "cnf": {"jkt": bound.jkt},
        "d": ACCESS.credential,
        "t": ACCESS.authorized_at,
        "i": ACCESS.issued_after,
    }


@algorithms
@given(
    identity=st.builds(Identity, _text, _text, _text),
    scope=_text,
    jkt=st.just("") | st.just(digest("a key", 32)),
    numbers=st.tuples(st.integers(0, 2**45), st.integers(0, 2**40), st.integers(1, 2**40), st.integers(0, 2**31)),
)
def test_opens_to_what_was_signed(
    alg: str, identity: Identity, scope: str, jkt: str, numbers: tuple[int, int, int, int]
) -> None:
    """To the millisecond, which marks compare."""
    authorized_at, issued_after, lifetime, generation = numbers
    token = AccessToken(
        family=ACCESS.family,
        client=ACCESS.client,
        identity=identity,
        credential=ACCESS.credential,
        resource=ACCESS.resource,
        scope=scope,
        authorized_at=authorized_at,
        issued_after=issued_after,
        lifetime=lifetime,
        jkt=jkt,
        generation=generation,
    )
    both = tokens(alg=alg)
    assert both.unseal(both.seal(token, NOW), NOW) == token


def test_is_never_issued_in_the_future_which_libraries_refuse() -> None:
    """An authorization may be lifted over a mark that lies ahead. What counts here is still when it was."""
    ahead = replace(ACCESS, authorized_at=NOW + 4_000, issued_after=0)
    value = TOKENS.seal(ahead, NOW)
    assert payload(value)["iat"] == NOW // 1000
    assert TOKENS.unseal(value, NOW) == ahead


def test_every_field_is_carried() -> None:
    """A field that a later release adds is written as it is sealed, and read back."""
    changed = {"jkt": "k" * 43} | {f.name: getattr(ACCESS, f.name) for f in fields(ACCESS) if f.name != "jkt"}
    assert TOKENS.unseal(TOKENS.seal(AccessToken(**changed), NOW), NOW) == AccessToken(**changed)


@pytest.mark.parametrize("frozen", FROZEN["vectors"], ids=lambda frozen: str(frozen["alg"]))
def test_what_a_release_has_signed_opens_for_ever(frozen: dict[str, Any]) -> None:
    for alg in ("ES256", "EdDSA"):
        opened = tokens(FROZEN["signing_keys"], alg=alg, issuer=FROZEN["issuer"], resource=FROZEN["resource"])
        token = opened.unseal(frozen["value"], NOW)
        assert token == AccessToken(**frozen["fields"] | {"identity": Identity(*frozen["fields"]["identity"])})


@algorithms
def test_staged_and_retired_versions_open_and_dropped_ones_do_not(alg: str) -> None:
    staged, later = tokens(entry("s1"), entry("s2", str(NOW // 1000 + 60)), alg=alg), NOW + 60_000
    old, new = staged.seal(ACCESS, NOW), staged.seal(ACCESS, later)
    assert (staged.key_of(old).version.kid, staged.key_of(new).version.kid) == ("s1", "s2")
    for value in (old, new):
        assert staged.unseal(value, NOW) == staged.unseal(value, later) == ACCESS
    with pytest.raises(Unsealable, match="its version may have been dropped"):
        tokens(entry("s2"), alg=alg).unseal(old, later)


def test_another_secret_issuer_or_prefix_under_the_same_kid_does_not_open() -> None:
    replaced = f"s1={entry('s2').partition('=')[2]}"
    prefixed = SigningKeys(ring(entry("s1")), "ES256", ISSUER, "ov")
    others = [tokens(replaced), tokens(issuer=f"{ISSUER}/other")]
    for other in (*others, JwtAccessTokens(prefixed, ISSUER, Resources((RESOURCE,)))):
        with pytest.raises(Unsealable):
            other.unseal(JWT, NOW)


def test_resource_that_was_taken_away_matches_none() -> None:
    assert tokens(resource="https://other.example").unseal(JWT, NOW).resource == ""


def test_resource_in_another_spelling_is_the_same() -> None:
    assert tokens(resource="https://MCP.example.com/mcp").unseal(JWT, NOW) == ACCESS


HOSTILE = {
    "no algorithm": {"alg": "none", "typ": "at+jwt", "kid": HEADER["kid"]},
    "no algorithm, no kid": {"alg": "none"},
    "symmetric": HEADER | {"alg": "HS256"},
    "another algorithm": HEADER | {"alg": "ES384"},
    "another type": HEADER | {"typ": "JWT"},
    "the long type": HEADER | {"typ": "application/at+jwt"},
    "no type": {"alg": "ES256", "kid": HEADER["kid"]},
    "no kid": {"alg": "ES256", "typ": "at+jwt"},
    "the bare kid": HEADER | {"kid": "s1"},
    "another kid": HEADER | {"kid": "s1.AAAAAAAAAAA"},
    "critical": HEADER | {"crit": ["exp"], "exp": 1},
    "b64": HEADER | {"crit": ["b64"], "b64": False},
    "a key of its own": HEADER | {"jwk": KEYS.active(NOW).public},
    "a key from elsewhere": HEADER | {"jku": "https://evil.example/jwks.json"},
    "the same in another order": dict(reversed(HEADER.items())),
}


@pytest.mark.parametrize("header", HOSTILE.values(), ids=HOSTILE)
def test_any_other_header_is_refused_even_where_the_signature_is_right(header: dict[str, Any]) -> None:
    """There is one header for each key. The signature is ours, or none where the header asks for none."""
    value = signed(header)
    for hostile in (value, f"{value.rpartition('.')[0]}."):
        with pytest.raises(Unsealable, match="whose header is none that is signed with"):
            TOKENS.unseal(hostile, NOW)


def test_public_key_is_no_symmetric_secret() -> None:
    """HS256 with the published key as its secret, in each form that somebody might take it in."""
    key = KEYS.active(NOW)
    pem = key.key.as_pem(private=False)
    for secret in (pem, json.dumps(key.public).encode(), decode(key.public["x"])):
        for header in (HEADER | {"alg": "HS256"}, HEADER):
            text = f"{part(header)}.{part(payload(JWT))}"
            with pytest.raises(Unsealable):
                TOKENS.unseal(f"{text}.{encode(hmac.digest(secret, text.encode(), 'sha256'))}", NOW)


def test_foreign_key_under_the_right_header_is_refused() -> None:
    foreign = ECKey.import_key(ec.generate_private_key(ec.SECP256R1()))
    text = f"{part(HEADER)}.{part(payload(JWT))}"
    with pytest.raises(Unsealable, match="signed by another key, or changed"):
        TOKENS.unseal(f"{text}.{encode(jws.JWSRegistry.algorithms['ES256'].sign(text.encode(), foreign))}", NOW)


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"account": None},
        {"account": 1},
        {"jti": "x"},
        {"jti": "family.x"},
        {"jti": 7},
        {"aud": [RESOURCE]},
        {"aud": None},
        {"cnf": {}},
        {"cnf": "x"},
        {"d": 1},
        {"t": "1"},
        {"family": None},
    ],
    ids=str,
)
def test_claims_that_no_release_has_signed_are_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(Unsealable):
        TOKENS.unseal(signed(HEADER, payload(JWT) | claims), NOW)


@pytest.mark.parametrize("claims", [[], "x", 7, None], ids=str)
def test_payload_that_is_no_object_is_refused(claims: Any) -> None:
    value = f"{part(HEADER)}.{part(claims)}"
    signature = encode(jws.JWSRegistry.algorithms["ES256"].sign(value.encode(), KEYS.active(NOW).key))
    with pytest.raises(Unsealable):
        TOKENS.unseal(f"{value}.{signature}", NOW)


@pytest.mark.parametrize(
    "value",
    [
        *("eyJ", "eyJ.", "eyJ..", "eyJé.é.é", "eyJ" + "." * 8000),
        *(f" {JWT}", f"{JWT}\n", f"{JWT}.", f"{JWT}=", JWT[:-1], f"{JWT[:-1]}é", JWT + "A" * LONGEST),
        *(JWT.rpartition(".")[0], JWT.replace(".", "..", 1)),
    ],
    ids=(f"value {number}" for number in count()),
)
def test_what_is_no_jwt_of_ours_is_refused(value: str) -> None:
    with pytest.raises(Unsealable):
        TOKENS.unseal(value, NOW)


@algorithms
def test_every_changed_character_is_noticed(alg: str) -> None:
    made = tokens(alg=alg)
    value = made.seal(ACCESS, NOW)
    for at in range(0, len(value), 3):
        changed = value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
        with pytest.raises(Unsealable):
            made.unseal(changed, NOW)
    last = value[:-1] + chr(ord(value[-1]) + 1)
    with pytest.raises(Unsealable):
        made.unseal(last, NOW)


def test_use_is_counted_and_a_failure_is_not() -> None:
    made = tokens()
    value = made.seal(ACCESS, NOW)
    key = made.key_of(value)
    for _ in range(2):
        made.unseal(value, NOW + 5)
    with pytest.raises(Unsealable):
        made.unseal(value[:-4] + "AAAA", NOW + 9)
    assert (key.count.seals, key.count.opens, key.count.opened) == (1, 2, NOW + 5)


def test_is_not_minted_for_a_resource_that_is_not_served() -> None:
    with pytest.raises(ValueError, match="a resource that is served"):
        tokens(resource="https://other.example").seal(ACCESS, NOW)


def test_ordinary_token_is_short_enough_for_headers_and_stores() -> None:
    """Twice what is sealed, and far below the 4 KB that a header may take."""
    assert len(JWT) < 700
