"""What proxies are told (behind real ones: tests/examples/test_proxies.py)."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from tests.resource.support import ISSUER, METADATA_URL, SECRET, TOKEN, Scripted, facts, get, run
from tokensvc.resource import verify

PLACES = {"X-Auth-Account": "account", "X-Auth-User": "user", "X-Auth-Role": "role"}


@pytest.mark.parametrize("name", ["ada", "a/b", "ö %", "a\r\nX-Auth-Role: owner", "\u2028", '"'])
def test_the_caller_is_named_and_no_name_brings_a_header_of_its_own(name: str) -> None:
    service = Scripted(answers=facts(account=name, user=name, role=name))
    answer = run(get(verify.application(service.verifier(), ["mcp"]), "/verify", TOKEN))
    assert answer.status_code == 200
    assert {unquote(answer.headers[header]) for header in PLACES} == {name}
    assert answer.headers["x-auth-scope"] == "mcp files"
    assert answer.headers["x-auth-client"] == "c" * 22
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content == b""


@pytest.mark.parametrize("others", [False, True])
def test_without_a_token_of_the_service_there_is_no_name(others: bool) -> None:
    app = verify.application(Scripted().verifier(), ["mcp"], pass_others=others)
    answer = run(get(app, "/verify", "an-api-key"))
    assert answer.status_code == (200 if others else 401)
    assert not [name for name in answer.headers if name.startswith("x-auth-")]
    if not others:
        assert f'resource_metadata="{METADATA_URL}"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ({"answers": {"active": False}}, 401),
        ({"answers": facts(scope="files")}, 403),
        ({"status": 503}, 503),
        ({"status": 500}, 503),
    ],
    ids=["inactive", "lacks a scope", "unavailable", "broken"],
)
@pytest.mark.parametrize("others", [False, True])
def test_a_token_that_may_not_is_let_through_by_no_option(script: dict[str, Any], status: int, others: bool) -> None:
    app = verify.application(Scripted(**script).verifier(), ["mcp"], pass_others=others)
    assert run(get(app, "/verify", TOKEN)).status_code == status


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({}, "are not set"),
        ({"OAUTH_ISSUER": ISSUER}, "belong together"),
        ({"OAUTH_INTROSPECTION_TOKEN_FILE": "/no"}, "No such"),
    ],
    ids=["none", "half", "no file"],
)
def test_it_does_not_start_without_its_variables(
    variables: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=r"^1$"):
        verify.main([])
    said = capsys.readouterr().err
    assert problem in said
    assert SECRET not in said
