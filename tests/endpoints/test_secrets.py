"""The secrets of those who may ask, as the settings give them."""

from __future__ import annotations

import pytest

from tokensvc.endpoints.secrets import Secrets, parse_introspection_secrets, parse_secrets
from tokensvc.errors import InvalidToken, SettingsError
from tokensvc.protocol.resource_indicator import Resources

ONE, OTHER = "https://one.example/mcp?x=y", "https://other.example"
BOTH = Resources.parse(f"{ONE},{OTHER}", "")


def test_secrets_are_listed_with_commas_and_empty_entries_left_out() -> None:
    assert parse_secrets(" a, b ,,c\n", "TOKENSVC_ADMIN_TOKENS") == ["a", "b", "c"]
    assert parse_secrets("", "TOKENSVC_ADMIN_TOKENS") == []


def test_secret_that_stands_twice_is_refused_unseen() -> None:
    with pytest.raises(SettingsError, match="TOKENSVC_ADMIN_TOKENS lists a secret twice") as refusal:
        parse_secrets("hunter2,hunter2", "TOKENSVC_ADMIN_TOKENS")
    assert "hunter2" not in str(refusal.value)


def test_introspection_secret_is_split_from_its_resource_at_the_last_equals_sign() -> None:
    secrets = parse_introspection_secrets(f"{ONE}=first,{ONE}=second,{OTHER}/=third", BOTH)
    opened = {name: secrets.open([name]) for name in ("first", "second", "third")}
    assert [opens and opens.identifier for opens in opened.values()] == [ONE, ONE, OTHER]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hunter2", "names no resource"),
        (f"{ONE}=hunter2,hunter3", "names no resource"),
        (f"{ONE}=", "empty secret"),
        ("https://unknown.example=hunter2", "unknown resource"),
        (f"{ONE}=hunter2,{OTHER}=hunter2", "twice"),
        (f"{ONE}=hunter2,{ONE}=hunter2", "twice"),
        ("hunter2==", "empty secret"),
    ],
)
def test_introspection_secret_that_is_unclear_is_refused_unseen(text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=rf"^TOKENSVC_INTROSPECTION_TOKENS .*{problem}") as refusal:
        parse_introspection_secrets(text, BOTH)
    assert "hunter" not in str(refusal.value)


def test_one_resource_needs_no_name_and_may_have_one() -> None:
    resources = Resources.parse("", OTHER)
    secrets = parse_introspection_secrets(f"bare,{OTHER}=named", resources)
    assert secrets.open(["bare"]) == secrets.open(["named"]) == resources.all[0]


def test_secrets_open_by_any_spelling_and_by_nothing_else() -> None:
    secrets = Secrets({"right": BOTH.all[0]})
    assert secrets.open(["wrong", "right"]) == BOTH.all[0]
    for presented in ([], [""], ["wrong"], ["right "], ["Right"], ["é"]):
        with pytest.raises(InvalidToken):
            secrets.open(presented)
    assert secrets
    assert not Secrets({})
