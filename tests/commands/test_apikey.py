"""`tokensvc apikey new`: transcripts."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.commands.transcript import called, tokensvc
from tokensvc.commands import now
from tokensvc.identity import Identity
from tokensvc.identity.api_keys import ApiKeys


def new(*more: str, account: str = "acme", user: str = "ada", role: str = "admin") -> tuple[str, ...]:
    return ("apikey", "new", f"--account={account}", f"--user={user}", f"--role={role}", *more)


def test_key_is_printed_once_with_the_entry_that_knows_it() -> None:
    ran = tokensvc(*new())
    assert ran.code == 0
    assert re.fullmatch(r"api_key: key_[A-Za-z0-9_-]{43}\nentry: sha256:[0-9a-f]{64}=acme/ada/admin\n", ran.out)
    assert ran.err == (
        "The key is for its owner and is shown only now. The entry is for TOKENSVC_API_KEYS; the key is not in it.\n"
    )


def test_as_json_it_is_all_that_is_said() -> None:
    ran = tokensvc(*new("--json"))
    assert (ran.code, ran.err) == (0, "")
    assert ran.json.keys() == {"api_key", "entry"}


@pytest.mark.parametrize("name", ["a/b", "50%", "é", "日本", "a=b", "a@b", "a b", "-", "--json"])
def test_entry_means_exactly_the_names_that_were_given(name: str) -> None:
    ran = called(*new(account=name, user=name, role=name))
    api_keys = ApiKeys.parse(ran.facts["entry"])
    signed_in = asyncio.run(api_keys.sign_in(ran.facts["api_key"], now()))
    assert signed_in
    assert signed_in.identity == Identity(name, name, name)


def test_prefix_is_what_the_key_begins_with() -> None:
    assert called(*new("--prefix", "acme-prod")).facts["api_key"].startswith("acme-prod_")


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({"account": ""}, ()),
        ({"user": "x" * 129}, ()),
        ({"role": "é" * 65}, ()),
        ({"account": "a\nb"}, ()),
        ({"account": "a\x1b[31m"}, ()),
        ({}, ("--prefix", "")),
        ({}, ("--prefix", "a b")),
        ({}, ("--prefix", "x" * 33)),
    ],
    ids=["empty", "129 bytes", "130 bytes", "two lines", "escape", "no prefix", "spaced prefix", "long prefix"],
)
def test_name_that_no_identity_can_have_is_wrong_usage(changes: dict[str, str], more: tuple[str, ...]) -> None:
    ran = called(*new(*more, **changes))
    assert (ran.code, ran.out) == (2, "")
    assert "tokensvc apikey new: error: argument --" in ran.err
