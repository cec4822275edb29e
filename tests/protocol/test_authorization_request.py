"""The authorization request's answer: exactly what belongs in it (RFC 6749 §4.1.2, RFC 9207)."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.errors import AccessDenied
from tokensvc.protocol.authorization_request import ReturnAddress
from tokensvc.protocol.redirect_uri import RedirectUri

URI = RedirectUri.parse("https://app.example/callback?own=1")
ISSUER = "https://auth.example.com/a"


def parameters(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True))


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_state_comes_back_exactly_as_it_came(state: str) -> None:
    answer = ReturnAddress(URI, state, ISSUER).answer(code="c")
    assert parameters(answer) == {"own": "1", "code": "c", "state": state, "iss": ISSUER}


def test_error_comes_with_state_and_issuer_too() -> None:
    answer = ReturnAddress(URI, "s", ISSUER).refuse(AccessDenied("the person did not allow it"))
    expected = {"error": "access_denied", "error_description": "the person did not allow it"}
    assert parameters(answer) == {"own": "1", "state": "s", "iss": ISSUER} | expected


@pytest.mark.parametrize("state", [None, ""])
def test_state_is_there_only_if_it_was(state: str | None) -> None:
    assert ("state" in parameters(ReturnAddress(URI, state, ISSUER).answer(code="c"))) is (state is not None)
