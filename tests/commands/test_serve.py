"""`tokensvc serve`: what it refuses to start with, by transcripts, and what a first run makes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.commands.transcript import Ran, called, environment, tokensvc
from tests.ports import free_port
from tests.replica import SECONDS, Client, Replica, ring_entry, settings, wait_for
from tokensvc.commands import CommandFailed
from tokensvc.commands.development import prepare

SETTINGS = {
    "TOKENSVC_ISSUER": "https://auth.example.com",
    "TOKENSVC_KEYS": ring_entry("k1"),
    "TOKENSVC_CLIENT_KEYS": ring_entry("c1"),
    "TOKENSVC_LEDGER": "memory://",
}


def variables_of(changes: dict[str, str]) -> dict[str, str]:
    """Of a start that would succeed but for the changes; an empty value leaves a variable out."""
    variables = SETTINGS | {f"TOKENSVC_{name.upper()}": value for name, value in changes.items()}
    return {name: value for name, value in variables.items() if value}


def serve(*arguments: str, directory: Path | None = None, changes: dict[str, str] | None = None) -> Ran:
    return tokensvc("serve", "--port", "0", *arguments, variables=variables_of(changes or {}), directory=directory)


def refused(ran: Ran) -> str:
    """The one line that a refusal is."""
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("tokensvc: ")
    assert ran.err.count("\n") == 1
    return ran.err.removeprefix("tokensvc: ").removesuffix("\n")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"keys": ""}, "TOKENSVC_KEYS is not set. Make an entry with `tokensvc keys new`"),
        (
            {"issuer": "http://auth.example.com"},
            "TOKENSVC_ISSUER is not https, which every host but loopback needs. It is: public base URL; https unless "
            "loopback",
        ),
        (
            {"keys": "k1=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
            "TOKENSVC_KEYS has a secret of k1 that is not random, like an example's. Make an entry with "
            "`tokensvc keys new`",
        ),
        (
            {"introspection_tokens": "a", "resources": "https://a.example,https://b.example"},
            "TOKENSVC_INTROSPECTION_TOKENS has a secret that names no resource. With more than one resource write "
            "resource=secret for each",
        ),
        (
            {"denylist": "user:acme/ada@99999999999999"},
            "TOKENSVC_DENYLIST has an entry that is refused: not_before lies more than 5 seconds ahead. Write "
            "kind:subject@not_before_ms, for example user:acme/ada@1767225600000",
        ),
        (
            {"ledger": "redis://localhost"},
            "TOKENSVC_LEDGER is no ledger of this version. Use sqlite:///PATH (three slashes relative, four absolute) "
            "or memory://",
        ),
    ],
    ids=["missing", "issuer", "example ring", "introspection", "denylist", "ledger"],
)
def test_unsafe_setting_is_refused_by_its_name_with_the_way_out(changes: dict[str, str], said: str) -> None:
    """A sample; tests/test_app.py has all."""
    assert refused(called("serve", variables=variables_of(changes))) == said


def test_refusal_is_one_line_and_exit_code_1() -> None:
    ran = serve(changes={"keys": "k1=secret"})
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "tokensvc: TOKENSVC_KEYS has a secret of k1 that is not 32 bytes in unpadded base64url. Make an entry with "
        "`tokensvc keys new`\n"
    )


def test_memory_ledger_is_for_one_process() -> None:
    assert refused(serve("--workers", "2")) == (
        "TOKENSVC_LEDGER is memory://, which one process alone can hold. Use sqlite:///PATH for several workers, or "
        "--workers 1"
    )


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("missing/ledger.db", "its directory is not there"),
        ("directory", "unable to open database file"),
        ("file/ledger.db", "its directory is not there"),
        ("file", "file is not a database"),
    ],
)
def test_ledger_that_cannot_be_written_is_refused_before_any_worker_starts(tmp_path: Path, path: str, why: str) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("This is no database, though it is long enough to be looked at. " * 20)
    said = refused(serve("--workers", "2", changes={"ledger": f"sqlite:///{path}"}, directory=tmp_path))
    assert said == (
        f"TOKENSVC_LEDGER names {path}, which cannot be used: {why}. Check the path and the rights of its directory, "
        "or name another file"
    )


def test_port_in_use_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(tokensvc("serve", "--port", str(port), variables=SETTINGS))
    assert said == f"cannot listen on 127.0.0.1 port {port}: Address already in use. Give another --port or --host"


def test_host_that_is_not_here_is_refused() -> None:
    said = refused(serve("--host", "203.0.113.1"))
    assert said == "cannot listen on 203.0.113.1 port 0: Cannot assign requested address. Give another --port or --host"


def test_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(ring_entry("k1"))
    file.chmod(0o644)
    said = refused(serve(changes={"keys": "", "keys_file": str(file)}))
    assert said == f"TOKENSVC_KEYS_FILE names {file}, which others may read or write. Run: chmod o= {file}"


def test_unknown_name_is_refused_if_the_operator_is_strict() -> None:
    said = refused(serve(changes={"strict": "true", "isuer": "https://auth.example.com"}))
    assert said == "TOKENSVC_ISUER is no setting of this version. Did you mean TOKENSVC_ISSUER?"


def test_secret_that_is_refused_is_not_shown() -> None:
    for changes in ({"keys": "hunter2"}, {"admin_tokens": "hunter2,hunter2"}, {"registration": "hunter2"}):
        assert "hunter2" not in refused(called("serve", variables=variables_of(changes)))


def test_unknown_name_is_warned_of_with_the_nearest_and_those_of_kubernetes_are_ignored(tmp_path: Path) -> None:
    port = free_port()
    strangers = {
        "TOKENSVC_ISUER": "x",
        "TOKENSVC_PORT": "tcp://10.0.0.1:8000",
        "TOKENSVC_PORT_8000_TCP_ADDR": "10.0.0.1",
        "TOKENSVC_SERVICE_HOST": "10.0.0.1",
        "TOKENSVC_SERVICE_PORT_HTTP": "8000",
    }
    variables = settings("memory://", port) | strangers | {"TOKENSVC_STRANGE\udcff": "x"}
    with Replica(variables, port, directory=tmp_path) as replica:
        warned = {line["variable"]: line["nearest"] for line in replica.settled() if line["event"] == "unknown setting"}
    assert warned.keys() == {"TOKENSVC_ISUER", "TOKENSVC_STRANGE\\udcff"}
    assert warned["TOKENSVC_ISUER"] == "TOKENSVC_ISSUER"


@contextmanager
def development(directory: Path, **variables: str) -> Iterator[tuple[list[str], subprocess.Popen[str]]]:
    """A development run on a free port: the lines it printed once it is ready, and its process."""
    command = [sys.executable, "-m", "tokensvc", "serve", "--development", "keys", "--port", "0"]
    environ = environment({f"TOKENSVC_{name.upper()}": value for name, value in variables.items()})
    with (
        (directory / "printed").open("w", encoding="utf-8") as printed,
        (directory / "log").open("w", encoding="utf-8") as log,
        subprocess.Popen(command, stdout=printed, stderr=log, cwd=directory, env=environ, text=True) as process,
    ):
        try:
            yield wait_for(lambda: _announced(directory, process), "the replica is announced"), process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(SECONDS)


def _announced(directory: Path, process: subprocess.Popen[str]) -> list[str]:
    assert process.poll() is None, (directory / "log").read_text(encoding="utf-8")
    lines = (directory / "printed").read_text(encoding="utf-8").splitlines()
    return lines if any(line.startswith("next: ") for line in lines) else []


def test_first_run_prints_what_a_newcomer_needs_and_the_next_run_the_same(tmp_path: Path) -> None:
    with development(tmp_path) as (first, _):
        facts = dict(line.split(": ", 1) for line in first)
        assert list(facts) == ["issuer", "api_key", "introspection_token", "admin_token", "next"]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", facts["issuer"])
        assert facts["issuer"] in facts["next"]
        wait_for(lambda: answers(facts["issuer"]), "the replica answers")
        client = Client(facts["issuer"], api_key=facts["api_key"])
        issued = client.sign_in()
        assert client.introspect(issued.access, facts["introspection_token"])["sub"] == "demo/ada"
        revoked = tokensvc(
            *("revoke", "--user", "demo/ada"),
            variables={"TOKENSVC_ISSUER": facts["issuer"], "TOKENSVC_ADMIN_TOKENS": facts["admin_token"]},
        )
        assert revoked.code == 0
    with development(tmp_path) as (second, _):
        again = dict(line.split(": ", 1) for line in second)
    unchanged = ("api_key", "introspection_token", "admin_token")
    assert [again[name] for name in unchanged] == [facts[name] for name in unchanged]


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_what_a_first_run_makes_is_for_its_owner_alone(tmp_path: Path) -> None:
    prepare(tmp_path / "keys", 8000, {})
    [made] = (tmp_path / "keys" / "development").iterdir()
    assert made.name == "secrets.json"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700


def test_a_format_of_jwt_brings_a_ring_that_signs_and_nothing_else_does(tmp_path: Path) -> None:
    sealed: dict[str, str] = {}
    prepare(tmp_path / "keys", 8000, sealed)
    assert "TOKENSVC_SIGNING_KEYS" not in sealed
    signed = {"TOKENSVC_ACCESS_TOKEN_FORMAT": "jwt"}
    prepare(tmp_path / "keys", 8000, signed)
    assert signed["TOKENSVC_SIGNING_KEYS"] == sealed["TOKENSVC_KEYS"] == signed["TOKENSVC_KEYS"]


def test_file_of_a_first_run_that_is_damaged_is_named(tmp_path: Path) -> None:
    made = tmp_path / "keys" / "development" / "secrets.json"
    made.parent.mkdir(parents=True)
    for text in ("", "{", "[]", "{}", json.dumps({"keys": "x"})):
        made.write_text(text)
        with pytest.raises(CommandFailed, match=r"secrets\.json cannot be read: remove it, and the next run"):
            prepare(tmp_path / "keys", 8000, {})


def test_variables_that_are_set_come_before_generated_ones(tmp_path: Path) -> None:
    """And what is printed is never a secret that does not open anything."""
    environ = {"TOKENSVC_API_KEYS": "x", "TOKENSVC_ADMIN_TOKENS_FILE": "y"}
    printed = prepare(tmp_path, 8123, environ)
    assert environ["TOKENSVC_API_KEYS"] == "x"
    assert "TOKENSVC_ADMIN_TOKENS" not in environ
    assert environ["TOKENSVC_ISSUER"] == "http://127.0.0.1:8123"
    assert {"TOKENSVC_KEYS", "TOKENSVC_CLIENT_KEYS", "TOKENSVC_INTROSPECTION_TOKENS"} <= environ.keys()
    facts = dict(line.split(": ", 1) for line in printed.splitlines())
    assert facts["api_key"] == "one of your TOKENSVC_API_KEYS"
    assert facts["admin_token"] == "one of your TOKENSVC_ADMIN_TOKENS"
    assert facts["introspection_token"] == environ["TOKENSVC_INTROSPECTION_TOKENS"]


@pytest.mark.parametrize(
    "issuer",
    ["https://auth.example.com", "http://127.0.0.1.evil.example", "http://localhost.evil.example", "http://[::1"],
)
def test_development_away_from_loopback_is_refused(tmp_path: Path, issuer: str) -> None:
    ran = tokensvc(
        *("serve", "--port", "0", "--development", "keys"),
        variables={"TOKENSVC_ISSUER": issuer},
        directory=tmp_path,
    )
    assert refused(ran) == (
        "TOKENSVC_ISSUER is not on loopback, where development secrets belong. Serve without --development, with rings "
        "of your own"
    )
    assert not (tmp_path / "keys").exists()


def test_replica_that_is_told_to_stop_says_so_and_stops(tmp_path: Path) -> None:
    with development(tmp_path) as (lines, process):
        issuer = lines[0].removeprefix("issuer: ")
        wait_for(lambda: answers(issuer), "the replica answers")
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) in {0, -signal.SIGTERM}
    log = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["event"] for line in log if line.startswith("{")][-1] == "replica stopped"
    assert os.path.exists(tmp_path / "tokensvc.db")
