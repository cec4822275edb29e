"""Proof Key for Code Exchange (RFC 7636)."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.errors import InvalidGrant, InvalidRequest
from tokensvc.protocol.pkce import check_challenge, check_verifier

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
"""RFC 7636 appendix B."""
UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


def test_example_of_the_standard() -> None:
    assert check_challenge(CHALLENGE, "S256", required=True) == CHALLENGE
    check_verifier(VERIFIER, CHALLENGE)


@given(st.text(UNRESERVED, min_size=43, max_size=128))
def test_every_verifier_of_the_standard_opens_its_own_challenge_alone(verifier: str) -> None:
    digest = hashlib.sha256(verifier.encode()).digest()
    check_verifier(verifier, base64.urlsafe_b64encode(digest).decode().rstrip("="))
    with pytest.raises(InvalidGrant):
        check_verifier(verifier, CHALLENGE)


@pytest.mark.parametrize(
    "verifier",
    [VERIFIER[:-1], f"{VERIFIER}x", "x" * 129, f"{VERIFIER}\n", "é" * 43, VERIFIER.lower(), CHALLENGE],
)
def test_other_verifiers_are_refused_as_a_wrong_code_is(verifier: str) -> None:
    with pytest.raises(InvalidGrant, match=r"^the code is not valid$"):
        check_verifier(verifier, CHALLENGE)


def test_verifier_that_is_too_short_does_not_count_even_if_it_matches() -> None:
    short = "x" * 42
    challenge = base64.urlsafe_b64encode(hashlib.sha256(short.encode()).digest()).decode().rstrip("=")
    with pytest.raises(InvalidGrant):
        check_verifier(short, challenge)


def test_missing_verifier_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest):
        check_verifier(None, CHALLENGE)


def test_verifier_that_nobody_asked_for_is_a_downgrade() -> None:
    """RFC 9700 §4.8.2."""
    check_verifier(None, "")
    for verifier in (VERIFIER, ""):
        with pytest.raises(InvalidGrant):
            check_verifier(verifier, "")


@pytest.mark.parametrize("method", [None, "", "plain", "s256", "S512"])
def test_challenge_is_s256_and_says_so(method: str | None) -> None:
    for required in (True, False):
        with pytest.raises(InvalidRequest, match="S256"):
            check_challenge(CHALLENGE, method, required=required)


@pytest.mark.parametrize("challenge", ["", "x", CHALLENGE[:-1], f"{CHALLENGE}=", f"{CHALLENGE}x", f"{CHALLENGE[:-1]}+"])
def test_challenge_is_43_characters_of_base64url(challenge: str) -> None:
    with pytest.raises(InvalidRequest):
        check_challenge(challenge, "S256", required=True)


def test_challenge_may_be_left_out_only_where_it_is_not_required() -> None:
    assert check_challenge(None, None, required=False) == ""
    for method, required in ((None, True), ("S256", True), ("S256", False)):
        with pytest.raises(InvalidRequest):
            check_challenge(None, method, required=required)
