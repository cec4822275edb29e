"""TOKENSVC_ROLE_SCOPES: what a role may have of the scopes that are offered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.errors import SettingsError
from tokensvc.protocol.scope import Scopes

OFFERED = "read write admin"
_some = st.lists(st.sampled_from(OFFERED.split()), unique=True)


def test_role_has_what_its_entry_names_and_one_without_entry_has_all() -> None:
    scopes = Scopes.parse(OFFERED, "viewer=read;editor=write read")
    assert scopes.limit("read write admin", "viewer") == "read"
    assert scopes.limit("read write admin", "editor") == "read write"
    assert scopes.limit("read write admin", "owner") == "read write admin"


def test_role_with_an_empty_entry_has_nothing() -> None:
    assert Scopes.parse(OFFERED, "guest=").limit("read", "guest") == ""


@pytest.mark.parametrize("text", ["", " ", ";", "\n;\n"], ids=repr)
def test_nothing_set_limits_nobody(text: str) -> None:
    assert Scopes.parse(OFFERED, text).limit("read admin", "viewer") == "read admin"


def test_entries_stand_on_one_line_or_on_several() -> None:
    written = "viewer=read\n editor = read write ;guest=;\n"
    assert Scopes.parse(OFFERED, written).roles == Scopes.parse(OFFERED, "viewer=read;editor=read write;guest=").roles


@pytest.mark.parametrize(
    ("written", "role"), [("a%3Bb=read", "a;b"), ("a%3Db=read", "a=b"), ("%C3%A9=read", "é"), ("a%2Fb=read", "a/b")]
)
def test_role_is_percent_encoded_as_elsewhere(written: str, role: str) -> None:
    assert Scopes.parse(OFFERED, written).limit("read write", role) == "read"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("viewer", "an entry without `=`"),
        ("viewer=read;editor", "an entry without `=`"),
        ("=read", "1 to 128 bytes"),
        ("a%0Ab=read", "control characters"),
        ("%FF=read", "percent-encoded"),
        ("a%2=read", "percent-encoded"),
        ("100%=read", "percent-encoded"),
        ("%zz=read", "percent-encoded"),
        ("viewer=read;viewer=write", "names a role twice"),
        ("viewer=read;%76iewer=write", "names a role twice"),
        ("viewer=reed", "a scope that is not offered"),
        ("viewer=read,write", "a scope that is not offered"),
    ],
)
def test_what_is_no_mapping_is_refused_with_the_way_out(text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=f"^TOKENSVC_ROLE_SCOPES .*{problem}.*\\. [A-Z]"):
        Scopes.parse(OFFERED, text)


def test_offline_access_may_be_named_and_changes_nothing() -> None:
    assert Scopes.parse(OFFERED, "viewer=read offline_access").limit("read write", "viewer") == "read"


@given(_some, _some)
def test_what_is_left_was_granted_and_is_allowed(granted: list[str], allowed: list[str]) -> None:
    left = Scopes.parse(OFFERED, f"role={' '.join(allowed)}").limit(" ".join(granted), "role").split()
    assert left == [scope for scope in granted if scope in allowed]
