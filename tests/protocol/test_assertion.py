"""Signed assertions (RFC 7523 §3): what holds of a right one, and every way to be wrong."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import OctKey

from tests.signer import Signer
from tokensvc.errors import TemporarilyUnavailable
from tokensvc.ledger.memory import MemoryLedger
from tokensvc.protocol.assertion import LONGEST, Assertion, BadAssertion, claimed_issuer, verify
from tokensvc.protocol.jwks import Jwks

SECONDS = 1_800_000_000
NOW = SECONDS * 1000
HERE = "https://auth.example.com"
APP = Signer("app", now=lambda: SECONDS)
OTHER = Signer("app", now=lambda: SECONDS)


def check(value: str, signer: Signer = APP, now: int = NOW, **changes: Any) -> Assertion:
    expected: dict[str, Any] = {
        "keys": Jwks.parse(signer.jwks),
        "types": {"", "jwt"},
        "issuer": "app",
        "audiences": {HERE, f"{HERE}/token"},
        "longest_lifetime": 300_000,
    }
    return asyncio.run(verify(value, now=now, **expected | changes))


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"])
def test_right_assertion_says_who_and_until_when(alg: str) -> None:
    signer = Signer("app", alg, now=lambda: SECONDS)
    found = check(signer.assertion(HERE, jti="j"), signer)
    assert (found.issuer, found.subject, found.jti) == ("app", "app", "j")
    assert found.expires == NOW + 65_000
    assert found.claims["aud"] == HERE


@pytest.mark.parametrize("typ", ["JWT", "jwt", "application/JWT", None])
def test_type_is_compared_without_case_and_prefix(typ: str | None) -> None:
    assert check(APP.assertion(HERE, header={"typ": typ})).subject == "app"
    with pytest.raises(BadAssertion, match="typ is another"):
        check(APP.assertion(HERE, header={"typ": typ}), types={"oauth-id-jag+jwt"})


@pytest.mark.parametrize("audience", [HERE, f"{HERE}/token", [HERE], [HERE, f"{HERE}/token"]], ids=str)
def test_audience_is_this_server_by_any_of_its_names(audience: Any) -> None:
    assert check(APP.assertion(audience)).subject == "app"


@pytest.mark.parametrize(
    "audience",
    [None, "", f"{HERE}/", "https://evil.example", [], [HERE, "https://evil.example"], [[HERE]], {"a": HERE}, 1],
)
def test_any_other_audience_is_refused_beside_the_right_one_too(audience: Any) -> None:
    with pytest.raises(BadAssertion, match="audience"):
        check(APP.assertion(audience))


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({"exp": None}, "no exp"),
        ({"exp": "1800000060"}, "exp is no time"),
        ({"exp": True}, "exp is no time"),
        ({"exp": -1}, "exp is no time"),
        ({"exp": 1e300}, "exp is no time"),
        ({"exp": [SECONDS]}, "exp is no time"),
        ({"exp": SECONDS - 5}, "expired"),
        ({"exp": SECONDS + 306, "iat": None}, "lives for too long"),
        ({"iat": SECONDS - 305}, "expired"),
        ({"iat": SECONDS + 6}, "from the future"),
        ({"nbf": SECONDS + 6}, "from the future"),
        ({"iat": "now"}, "iat is no time"),
        ({"nbf": {}}, "nbf is no time"),
        ({"iss": None}, "issuer is another"),
        ({"iss": "App"}, "issuer is another"),
        ({"iss": ["app"]}, "issuer is another"),
        ({"sub": None}, "no sub"),
        ({"sub": ""}, "no sub"),
        ({"sub": 1}, "no sub"),
        ({"jti": None}, "no jti"),
        ({"jti": ""}, "no jti"),
        ({"jti": "j" * 513}, "no jti"),
        ({"jti": 7}, "no jti"),
    ],
    ids=str,
)
def test_wrong_claim_is_refused(claims: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadAssertion, match=problem):
        check(APP.assertion(HERE, **claims))


@pytest.mark.parametrize(
    ("claims", "expires"),
    [
        ({"exp": SECONDS + 60.5}, NOW + 65_500),
        ({"exp": SECONDS - 4}, NOW + 1_000),
        ({"exp": SECONDS + 300, "iat": None}, NOW + 305_000),
        ({"exp": SECONDS + 3600}, NOW + 305_000),
        ({"exp": SECONDS + 3600, "iat": SECONDS - 299}, NOW + 6_000),
        ({"iat": SECONDS + 5, "nbf": SECONDS + 5}, NOW + 65_000),
    ],
    ids=str,
)
def test_clocks_may_be_off_a_little_and_no_assertion_counts_for_long(claims: dict[str, Any], expires: int) -> None:
    assert check(APP.assertion(HERE, **claims)).expires == expires


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ({"typ": "at+jwt"}, "typ is another"),
        ({"typ": 1}, "typ is no string"),
        ({"kid": "other"}, "no key of the signer fits"),
        ({"crit": ["exp"]}, "not understood"),
        ({"crit": []}, "not understood"),
        ({"b64": False, "crit": ["b64"]}, "not understood"),
        ({"kid": 1}, "not understood"),
        ({"alg": "ES384"}, "no key of the signer fits"),
        ({"alg": "RS256"}, "no key of the signer fits"),
        ({"alg": "HS256"}, "not allowed"),
        ({"alg": "none"}, "not allowed"),
        ({"alg": "RS1"}, "not allowed"),
        ({"alg": ["ES256"]}, "no algorithm"),
        ({"alg": None}, "no algorithm"),
    ],
    ids=str,
)
def test_wrong_header_is_refused(header: dict[str, Any], problem: str) -> None:
    _, payload, signature = APP.assertion(HERE).split(".")
    head = {"alg": "ES256", "typ": "JWT", "kid": "one"} | header
    encoded = b64({name: value for name, value in head.items() if value is not None})
    with pytest.raises(BadAssertion, match=problem):
        check(f"{encoded}.{payload}.{signature}")


def test_key_in_the_header_is_not_believed() -> None:
    """A thief who signs with a key of its own and sends it along."""
    for extra in ({"jwk": OTHER.jwk}, {"jku": "https://evil.example/jwks"}, {"x5u": "https://evil.example"}, {}):
        with pytest.raises(BadAssertion, match="signature is wrong"):
            check(OTHER.assertion(HERE, header=extra))
    assert check(APP.assertion(HERE, header={"jwk": OTHER.jwk})).subject == "app"


def test_public_key_is_no_secret_to_sign_with() -> None:
    for secret in (json.dumps(APP.jwk), APP.jwk["x"]):
        key = OctKey.import_key(secret)
        forged = jwt.encode({"alg": "HS256", "kid": "one"}, {"iss": "app"}, key, algorithms=["HS256"])
        with pytest.raises(BadAssertion, match="not allowed"):
            check(forged)


def test_algorithm_is_held_to_what_the_client_said() -> None:
    signer = Signer("app", "RS256", now=lambda: SECONDS)
    with pytest.raises(BadAssertion, match="not allowed"):
        check(signer.assertion(HERE), signer, algorithms=("PS256",))


@given(st.data())
def test_changed_assertion_is_refused(data: st.DataObject) -> None:
    value = APP.assertion(HERE)
    place = data.draw(st.integers(0, len(value) - 1))
    other = data.draw(st.sampled_from("ABCabc019-_.= é"))
    changed = value[:place] + other + value[place + 1 :]
    # The last character of a part has bits that stand for nothing.
    if _decoded(changed) != _decoded(value):
        with pytest.raises(BadAssertion):
            check(changed)


@given(st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}"))
def test_any_text_is_refused_and_breaks_nothing(text: str) -> None:
    for read in (check, claimed_issuer):
        try:
            read(text)
        except BadAssertion:
            continue
        assert read is claimed_issuer


@pytest.mark.parametrize(
    "part", ["[]", '"alg"', "1", "null", "[" * 6000, '{"alg":' * 1500, '{"alg":"ES256",' + '"a":' * 9]
)
def test_odd_json_is_refused(part: str) -> None:
    encoded = base64.urlsafe_b64encode(part.encode()).decode().rstrip("=")
    _, payload, signature = APP.assertion(HERE).split(".")
    for value in (f"{encoded}.{payload}.{signature}", f"{b64({'alg': 'ES256'})}.{encoded}.{signature}"):
        with pytest.raises(BadAssertion):
            check(value)


def test_length_is_capped() -> None:
    assert check(APP.assertion(HERE, extra="x" * 8_000)).subject == "app"
    with pytest.raises(BadAssertion, match="too long"):
        check(APP.assertion(HERE, extra="x" * LONGEST))


def test_payload_that_is_no_object_is_refused_though_it_is_signed() -> None:
    for payload in (b"[]", b"1", b"{", b'{"exp": NaN}'):
        value = jws.serialize_compact({"alg": "ES256", "kid": "one"}, payload, APP.key, algorithms=["ES256"])
        with pytest.raises(BadAssertion):
            check(value)


def test_claimed_issuer_is_read_without_believing_it() -> None:
    assert claimed_issuer(APP.assertion(HERE)) == "app"
    assert claimed_issuer(APP.assertion(HERE, iss=None)) == ""
    assert claimed_issuer(APP.assertion(HERE, iss=["app"])) == ""
    with pytest.raises(BadAssertion):
        claimed_issuer("a.b.c")


def test_assertion_counts_once_for_its_issuer_until_it_ends() -> None:
    ledger = MemoryLedger(NOW)
    one = check(APP.assertion(HERE, jti="j"))
    stranger = Assertion("other", "other", "j", one.issued, one.expires, {})

    async def scene() -> None:
        await one.use_once(ledger, NOW)
        await stranger.use_once(ledger, NOW)
        for later in (NOW, one.expires - 1):
            with pytest.raises(BadAssertion, match="replayed"):
                await one.use_once(ledger, later)

    asyncio.run(scene())
    with pytest.raises(BadAssertion, match="expired"):
        check(APP.assertion(HERE), now=one.expires)


@pytest.mark.parametrize(
    ("claims", "issued"),
    [
        ({}, NOW),
        ({"iat": SECONDS - 10}, NOW - 10_000),
        ({"iat": SECONDS + 5}, NOW + 5_000),
        ({"iat": None}, NOW - 240_000),
        ({"iat": SECONDS - 10, "nbf": SECONDS}, NOW - 10_000),
    ],
    ids=str,
)
def test_it_is_as_old_as_it_says_or_can_be(claims: dict[str, Any], issued: int) -> None:
    assert check(APP.assertion(HERE, **claims)).issued == issued


def test_from_before_the_memory_of_the_ledger_nobody_knows_whether_it_was_used() -> None:
    """Its signer need not register anew, as on a refusal: another assertion will do."""
    one = check(APP.assertion(HERE))
    asyncio.run(one.use_once(MemoryLedger(NOW), NOW))
    # Its times are whole seconds, so nobody knows which came first within one.
    asyncio.run(one.use_once(MemoryLedger(NOW + 999), NOW + 999))
    ledger = MemoryLedger(NOW + 1000)
    with pytest.raises(TemporarilyUnavailable, match="sign another") as unavailable:
        asyncio.run(one.use_once(ledger, NOW + 1000))
    assert "memory" in unavailable.value.reason
    assert not asyncio.run(ledger.state(NOW + 1000)).spent


def test_what_it_says_is_not_in_the_repr() -> None:
    assert "secret" not in repr(check(APP.assertion(HERE, jti="secret", other="secret")))


def b64(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _decoded(value: str) -> list[bytes] | None:
    try:
        return [base64.urlsafe_b64decode(part + "==") for part in value.split(".")]
    except ValueError:
        return None
