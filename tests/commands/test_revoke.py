"""`tokensvc revoke`: transcripts against a running replica."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.transcript import Ran, called, tokensvc
from tests.ports import free_port
from tests.replica import ADMIN_TOKEN, API_KEY, Client, Replica, settings
from tokensvc.identity import credential_of
from tokensvc.tokens.kinds import client_handle

Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    port = free_port()
    directory: Path = tmp_path_factory.mktemp("revoke")
    with Replica(settings("memory://", port), port, directory=directory) as started:
        yield started


def revoke(replica: Replica, *arguments: str, stdin: str = "", run: Run = called, **changes: str) -> Ran:
    variables = {"TOKENSVC_ISSUER": replica.url, "TOKENSVC_ADMIN_TOKENS": ADMIN_TOKEN}
    variables |= {f"TOKENSVC_{name.upper()}": value for name, value in changes.items()}
    given = {name: value for name, value in variables.items() if value}
    return run("revoke", *arguments, stdin=stdin, variables=given)


def credential() -> str:
    return credential_of(hashlib.sha256(API_KEY.encode()).hexdigest())


@pytest.mark.parametrize(
    "kind", ["everything", "account", "user", "user-client", "credential", "client", "family", "token"]
)
def test_every_subject_ends_what_it_names(replica: Replica, kind: str) -> None:
    client = Client(replica.url)
    issued = client.sign_in()
    facts = client.introspect(issued.access)
    handle = client_handle(client.client_id)
    arguments, subject = {
        "everything": (["--everything"], ""),
        "account": (["--account", "acme"], "acme"),
        "user": (["--user", "acme/ada"], "acme/ada"),
        "user-client": (["--user", "acme/ada", "--client", client.client_id], f"acme/ada/{handle}"),
        "credential": (["--credential", credential()], credential()),
        "client": (["--client", handle], handle),
        "family": (["--family", facts["family"]], facts["family"]),
        "token": (["--token", facts["jti"]], facts["jti"]),
    }[kind]
    ran = revoke(replica, *arguments, run=tokensvc if kind in {"everything", "user-client"} else called)
    assert ran.code == 0
    not_before = ran.facts["not_before"]
    expected = {"kind": kind, "subject": subject, "not_before": not_before}
    assert ran.facts == {name: value for name, value in expected.items() if value}
    assert ran.err.startswith("What was authorized until 20")
    assert not client.active(issued.access)
    assert (client.refresh(issued.refresh).status_code == 200) is (kind == "token")


def test_answer_as_json_is_all_that_is_said(replica: Replica) -> None:
    ran = revoke(replica, "--account", "nobody", "--json", run=tokensvc)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json.keys() == {"kind", "subject", "not_before", "peers"}
    assert (ran.json["kind"], ran.json["subject"], ran.json["peers"]) == ("account", "nobody", {})


@pytest.mark.parametrize("name", ["-leading", "-"])
def test_value_that_begins_with_a_hyphen_is_a_value(replica: Replica, name: str) -> None:
    """One family in 64 does; a hyphen alone reads standard input."""
    ran = revoke(replica, "--family", name, stdin="from-stdin\n", run=tokensvc)
    assert ran.facts["subject"] == ("from-stdin" if name == "-" else name)


def test_value_comes_from_standard_input(replica: Replica) -> None:
    ran = revoke(replica, "--user", "acme/ada", "--client", "-", stdin="tscl_x\n")
    assert ran.facts["subject"] == f"acme/ada/{client_handle('tscl_x')}"
    ran = revoke(replica, "--user", "-", "--client", "-", stdin="x")
    assert (ran.code, ran.out) == (2, "")
    assert "standard input holds one value" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        *("", "--user acme/ada --account acme", "--everything --user acme/ada", "--client x --account y"),
        *("--user a/b --client c --family d", "--user=", "--everything --client=", "--user a/b --client="),
    ],
)
def test_anything_but_one_subject_is_wrong_usage_and_ends_nothing(replica: Replica, arguments: str) -> None:
    ran = revoke(replica, *arguments.split(), run=called if arguments else tokensvc)
    assert (ran.code, ran.out) == (2, "")
    assert "tokensvc revoke: error: " in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--user", "acme"], "answered 400: the subject of user "),
        (["--family", "a b"], "answered 400: the subject of family "),
        (["--account", "%ff"], "answered 400: account, user and role are UTF-8, percent-encoded"),
    ],
    ids=str,
)
def test_subject_that_names_nothing_is_refused_by_the_replica(
    replica: Replica, arguments: list[str], said: str
) -> None:
    ran = revoke(replica, *arguments)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"tokensvc: {replica.url} {said}")
    assert ran.err.count("\n") == 1


def test_wrong_secret_is_refused(replica: Replica) -> None:
    for wrong in ("wrong", f"wrong,{ADMIN_TOKEN}"):
        ran = revoke(replica, "--everything", admin_tokens=wrong, run=tokensvc)
        assert (ran.code, ran.out) == (1, "")
        assert ran.err == (
            f"tokensvc: {replica.url} does not know the first secret in TOKENSVC_ADMIN_TOKENS: use one of its own\n"
        )
        assert "wrong" not in ran.err


def test_secret_may_stand_in_a_file_that_can_be_read(replica: Replica, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    ran = revoke(replica, "--account", "x", admin_tokens="", admin_tokens_file=str(file))
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        f"tokensvc: TOKENSVC_ADMIN_TOKENS_FILE names {file}, which cannot be read: No such file or directory\n"
    )
    file.write_text(f"{ADMIN_TOKEN},another\n")
    assert revoke(replica, "--account", "x", admin_tokens="", admin_tokens_file=str(file)).code == 0


def test_secret_that_is_missing_or_unsendable_is_said(replica: Replica) -> None:
    ran = revoke(replica, "--everything", admin_tokens="")
    assert (ran.code, ran.err) == (1, "tokensvc: set TOKENSVC_ADMIN_TOKENS to a secret of that replica\n")
    ran = revoke(replica, "--everything", admin_tokens="é")
    assert (ran.code, ran.err) == (1, "tokensvc: the secret in TOKENSVC_ADMIN_TOKENS is not ASCII\n")


def test_replica_that_cannot_be_reached_or_is_none_is_said(replica: Replica) -> None:
    port = free_port()
    for url, said in (
        (f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port} cannot be reached: [Errno 111] Connection refused"),
        (f"{replica.url}/elsewhere", f"{replica.url}/elsewhere has no admin endpoint: set TOKENSVC_ADMIN_TOKENS there"),
        ("127.0.0.1:1", "the URL of a replica begins with http:// or https://"),
        ("file:///etc/passwd", "the URL of a replica begins with http:// or https://"),
    ):
        ran = revoke(replica, "--everything", "--url", url, run=tokensvc if str(port) in url else called)
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith(f"tokensvc: {said}")
        assert ran.err.count("\n") == 1
    ran = revoke(replica, "--everything", issuer="")
    assert (ran.code, ran.err) == (1, "tokensvc: which replica? Give --url, or set TOKENSVC_ISSUER\n")


def test_url_comes_before_the_issuer(replica: Replica) -> None:
    ran = revoke(replica, "--account", "x", "--url", f"{replica.url}/", issuer="https://auth.invalid")
    assert ran.code == 0
