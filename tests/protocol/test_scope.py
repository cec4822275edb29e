"""Scope values (RFC 6749 §3.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.errors import SettingsError
from tokensvc.protocol.scope import Scopes

SCOPES = Scopes.parse("read write admin")
_requests = st.none() | st.lists(st.sampled_from(["read", "write", "admin", "x", "offline_access"])).map(" ".join)


def test_first_value_is_the_default() -> None:
    for requested in (None, "", " ", "unknown", "offline_access", "READ"):
        assert SCOPES.grant(requested) == "read"


def test_known_values_are_granted_in_the_order_of_the_setting() -> None:
    assert SCOPES.grant("admin unknown read admin") == "read admin"
    assert SCOPES.grant("  write\tread ") == "read write"


def test_refresh_narrows_and_never_widens() -> None:
    assert SCOPES.narrow("write", "read write") == "write"
    assert SCOPES.narrow("admin", "read write") == ""
    assert SCOPES.narrow(None, "read write") == ""


@given(_requests, _requests)
def test_what_is_granted_was_asked_for_and_is_within_the_grant(first: str | None, second: str | None) -> None:
    granted = SCOPES.grant(first)
    narrowed = SCOPES.narrow(second, granted).split()
    assert set(narrowed) <= set(granted.split()) & set((second or "").split())
    assert set(granted.split()) <= set(SCOPES.values)


def test_value_that_is_configured_no_more_is_dropped_from_old_grants() -> None:
    assert Scopes.parse("read").narrow("read write", "read write") == "read"


def test_offline_access_is_advertised_and_never_granted() -> None:
    for text in ("mcp", "mcp offline_access", "offline_access mcp"):
        scopes = Scopes.parse(text)
        assert scopes.supported == ("mcp", "offline_access")
        assert scopes.grant("offline_access mcp") == "mcp"


def test_values_that_stand_twice_count_once() -> None:
    assert Scopes.parse("b a b").values == ("b", "a")


@pytest.mark.parametrize("text", ["", " ", 'a"b', "a\\b", "é", "a\x7fb", "x" * 65, " ".join(["abcdefg"] * 129)])
def test_what_is_no_scope_is_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^TOKENSVC_SCOPES .*\. List scope values"):
        Scopes.parse(text)
