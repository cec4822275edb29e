"""An active token, as an answer of introspection describes it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.resource.support import TOKEN, facts
from tokensvc.resource import AccessToken

NAMES = ("iss", "aud", "sub", "account", "user", "role", "client_id", "jti", "family", "exp", "scope")


def test_it_says_who_calls_and_what_for() -> None:
    token = AccessToken.parse(facts(extra=1))
    assert (token.account, token.user, token.role, token.sub) == ("acme", "ada", "admin", "acme/ada")
    assert token.scopes == {"mcp", "files"}
    assert token.claims["extra"] == 1
    assert (token.is_authenticated, token.identity, token.display_name) == (True, "acme/ada", "ada")


def test_nobody_changes_it() -> None:
    token = AccessToken.parse(facts())
    with pytest.raises(dataclasses.FrozenInstanceError):
        token.role = "owner"  # type: ignore[misc]
    with pytest.raises(TypeError):
        token.claims["role"] = "owner"  # type: ignore[index]


def test_its_repr_holds_no_token() -> None:
    assert TOKEN not in repr(AccessToken.parse(facts(token=TOKEN)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [None, 1.5, [], {}, True], ids=repr)
def test_an_answer_that_does_not_say_all_of_it_is_no_token(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match="missing"):
        AccessToken.parse(facts(**{name: value}))


@given(st.dictionaries(st.sampled_from(NAMES), st.none() | st.booleans() | st.integers() | st.text() | st.floats()))
def test_whatever_an_answer_holds_it_is_a_token_or_a_value_error(changes: dict[str, Any]) -> None:
    try:
        token = AccessToken.parse(facts(**changes))
    except ValueError:
        return
    assert all(isinstance(getattr(token, name), int if name == "exp" else str) for name in NAMES)
