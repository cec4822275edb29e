"""The command line as a whole: help, version, usage, exit codes."""

from __future__ import annotations

import pytest

from tests.commands.transcript import tokensvc
from tokensvc import __version__
from tokensvc.cli import COMMANDS, main

WORDS = ["", *COMMANDS, "keys new", "keys status", "apikey new"]


def test_version_is_printed() -> None:
    ran = tokensvc("--version")
    assert (ran.code, ran.out, ran.err) == (0, f"tokensvc {__version__}\n", "")


def test_help_says_what_there_is_and_where_to_begin() -> None:
    ran = tokensvc("--help")
    assert (ran.code, ran.err) == (0, "")
    assert (
        ran.out
        == """\
usage: tokensvc [-h] [--version] COMMAND ...

An OAuth 2.1 authorization server for MCP servers that keeps no token database.

positional arguments:
  COMMAND
    serve     run a replica
    keys      make key ring entries, see the state of the rings
    apikey    make an API key
    revoke    end tokens through a running replica
    explain   what a token is, and why it would be refused
    doctor    compare replicas, and say what to do where they differ
    probe     which MCP clients would connect, and what is in the way
    demo      three replicas, and a story that proves itself

options:
  -h, --help  show this help message and exit
  --version   print the version

The settings are environment variables, TOKENSVC_ISSUER and so on; the README lists them all.
To try it out without any: tokensvc demo, or tokensvc serve --development DIR
"""
    )


@pytest.mark.parametrize("words", WORDS)
def test_every_command_has_help(
    words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On stdout, without anything else, and no wider than a terminal but for examples."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as left:
        main([*words.split(), "--help"])
    printed = capsys.readouterr()
    assert (left.value.code, printed.err) == (0, "")
    assert printed.out.startswith(f"usage: tokensvc {words}".rstrip())
    assert "%(" not in printed.out
    assert "None" not in printed.out
    assert max(map(len, printed.out.splitlines())) <= 120


@pytest.mark.parametrize(
    "arguments",
    [
        *("", "bogus", "--bogus", "serve --bogus", "serve extra", "keys", "keys bogus", "keys new --bogus", "apikey"),
        *("serve --port x", "serve --port -1", "serve --port 65536", "serve --port ²", "serve --workers 0"),
        *("serve --workers 257", "serve --workers 1.5", "keys new --activates tomorrow", "keys new --kid a@b"),
        *("keys new --kid ä", "keys new --activates 2027-01-31", "apikey new", "apikey new --account a --user b"),
        *("revoke", "revoke --user", "revoke --bogus x", "explain a b", "doctor x", "doctor --bogus", "demo x"),
    ],
)
def test_wrong_usage_is_exit_code_2_with_the_usage_on_stderr(
    arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments.split())
    printed = capsys.readouterr()
    assert (left.value.code, printed.out) == (2, "")
    assert printed.err.startswith("usage: tokensvc")
    assert "error: " in printed.err


def test_command_that_is_unknown_is_answered_with_those_that_are_known() -> None:
    ran = tokensvc("bogus")
    assert (ran.code, ran.out) == (2, "")
    assert all(name in ran.err for name in COMMANDS)


@pytest.mark.parametrize("command", ["serve --port 0", "keys status", "explain x"])
def test_settings_that_are_missing_are_named_with_the_way_out(command: str) -> None:
    ran = tokensvc(*command.split())
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("tokensvc: TOKENSVC_ISSUER is not set. Set it to its public base URL")
    assert ran.err.count("\n") == 1


def test_newcomer_who_has_set_nothing_is_told_how_to_try_it_out() -> None:
    assert "tokensvc serve --development DIR" in tokensvc("serve", "--port", "0").err
    assert "--development" not in tokensvc("serve", "--port", "0", variables={"TOKENSVC_STRICT": "true"}).err
