"""`tokensvc doctor`: transcripts against running replicas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.commands.transcript import Ran, called, tokensvc
from tests.ports import free_port
from tests.replica import ADMIN_TOKEN, API_KEY, Client, Replica, api_key_entry, leaks, ring_entry, settings

Run = Callable[..., Ran]
ISSUER = "http://127.0.0.1:9999"
STAGED = "2099-12-31T03:00:00Z"


@pytest.fixture(scope="module")
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def pair(running: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> tuple[Replica, Replica]:
    """Two replicas with one ring and one ledger file."""
    port = free_port()
    directory: Path = tmp_path_factory.mktemp("doctor")
    first = running.enter_context(Replica(settings("sqlite:///l.db", port, issuer=ISSUER), port, directory=directory))
    return first, running.enter_context(first.twin())


@pytest.fixture(scope="module")
def stranger(running: ExitStack, pair: tuple[Replica, Replica]) -> Replica:
    """Another one, whose configuration has drifted away."""
    keys = f"{pair[0].environment['TOKENSVC_KEYS']},{ring_entry('k2', STAGED)}"
    api_keys = api_key_entry("a-key-that-only-this-replica-knows")
    return running.enter_context(pair[0].twin(ledger="memory://", keys=keys, api_keys=api_keys, access_ttl="60"))


def doctor(*arguments: str, run: Run = called, **variables: str) -> Ran:
    given = {"admin_tokens": ADMIN_TOKEN} | variables
    return run("doctor", *arguments, variables={f"TOKENSVC_{n.upper()}": v for n, v in given.items() if v})


def name(replica: Replica) -> str:
    return replica.url.removeprefix("http://")


def test_replicas_that_agree_are_shown_and_that_they_do(pair: tuple[Replica, Replica]) -> None:
    ran = doctor(pair[0].url, f"{pair[1].url}/", run=tokensvc)
    assert (ran.code, ran.err) == (0, "")
    heads, *rows, empty, verdict = ran.out.splitlines()
    assert " ".join(heads.split()) == "replica version ready clock ledger complete since marks seals with hears"
    assert [row.split()[0] for row in rows] == [name(replica) for replica in pair]
    assert all(" yes " in row and row.endswith("k1, c1      -") for row in rows)
    assert (empty, verdict) == ("", "All replicas agree.")


def test_drift_is_said_with_the_way_out_and_exit_code_1(pair: tuple[Replica, Replica], stranger: Replica) -> None:
    Client(pair[0].url, api_key=API_KEY).admin_revoke("user", "acme/bob")
    nobody = f"127.0.0.1:{free_port()}"
    ran = doctor(*(replica.url for replica in (*pair, stranger)), f"http://{nobody}", run=tokensvc)
    assert (ran.code, ran.err) == (1, "tokensvc: 6 problems\n")
    agreed, other = f"{name(pair[0])}, {name(pair[1])}", name(stranger)
    _, *said = ran.out.strip().split("\n\n")
    assert [finding.split("\n  → ") for finding in said] == [
        [
            f"{nobody} cannot be reached: [Errno 111] Connection refused",
            "start it, or correct the address or the secret",
        ],
        [
            f"k2 of TOKENSVC_KEYS is missing on {agreed}",
            f"add it there before {STAGED}, when the others begin to seal with it",
        ],
        [f"TOKENSVC_ACCESS_TTL differs: {agreed} | {other}", "give all replicas the same"],
        [f"TOKENSVC_API_KEYS differs: {agreed} | {other}", "give all replicas the same"],
        [
            "they have neither peers nor one ledger: a revocation ends tokens on one of them",
            "set TOKENSVC_PEERS on all, or one TOKENSVC_LEDGER for the replicas of a machine",
        ],
        [
            f"the revocations differ, and after a second still do: 1 on {agreed}; 0 on {other}",
            "let them hear of each other, by TOKENSVC_PEERS or one TOKENSVC_LEDGER",
        ],
    ]


def test_answer_as_json_is_all_that_is_said(pair: tuple[Replica, Replica]) -> None:
    ran = doctor(pair[0].url, "--json", run=tokensvc)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json.keys() == {"replicas", "problems", "warnings"}
    assert ran.json["problems"] == []
    (found,) = ran.json["replicas"]
    assert (found["url"], found["version"], found["issuer"], found["unready"]) == (pair[0].url, "0.1.0", ISSUER, "")
    assert abs(found["ahead"]) <= 1000 + found["uncertain"]


def test_nothing_secret_is_shown(pair: tuple[Replica, Replica], stranger: Replica) -> None:
    known = {stranger.environment[f"TOKENSVC_{name}"] for name in ("API_KEYS", "INTROSPECTION_TOKENS", "ADMIN_TOKENS")}
    known |= {entry.partition("=")[2] for entry in stranger.environment["TOKENSVC_KEYS"].split(",")}
    for arguments in ([pair[0].url, stranger.url], [pair[0].url, stranger.url, "--json"]):
        ran = doctor(*arguments)
        assert ran.code == 1
        assert not leaks(ran.out + ran.err, known)


def test_issuer_is_asked_where_no_address_is_given(pair: tuple[Replica, Replica]) -> None:
    ran = doctor(issuer=pair[0].url)
    assert ran.code == 0
    assert ran.out.endswith("\nNothing is wrong.\n")


def test_secret_that_is_wrong_or_missing_is_said(pair: tuple[Replica, Replica]) -> None:
    ran = doctor(pair[0].url, admin_tokens="wrong")
    assert ran.code == 1
    assert f"{name(pair[0])} does not know the first secret in TOKENSVC_ADMIN_TOKENS" in ran.out
    assert "set TOKENSVC_ADMIN_TOKENS to a secret of that replica" in doctor(pair[0].url, admin_tokens="").out


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, ""),
        ({"keys": "k1=x"}, "TOKENSVC_KEYS has a secret of k1 that is not 32 bytes in unpadded base64url"),
        ({"denylist": "user:a/b@99999999999999"}, "TOKENSVC_DENYLIST has an entry that is refused"),
        ({"issuer": ""}, "TOKENSVC_ISSUER is not set"),
    ],
    ids=["valid", "keys", "denylist", "no issuer"],
)
def test_settings_of_the_environment_are_checked(
    pair: tuple[Replica, Replica], changes: dict[str, str], problem: str
) -> None:
    """Beside the replica that they lead to, before anything is started with them."""
    own: dict[str, Any] = {"issuer": pair[0].url, "keys": ring_entry("k1"), "client_keys": ring_entry("c1")} | changes
    ran = doctor(**own)
    assert ran.code == (1 if problem else 0), ran.out
    assert (f"this environment: {problem}" in ran.out) is bool(problem)
    assert "→" in ran.out or not problem


def test_nobody_to_ask_and_nothing_to_check_is_said() -> None:
    ran = doctor()
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "tokensvc: which replica? Give its address, or set TOKENSVC_ISSUER\n"


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "file:///etc/passwd"])
def test_what_is_no_address_is_wrong_usage(address: str) -> None:
    ran = doctor(address)
    assert (ran.code, ran.out) == (2, "")
    assert "the address of a replica begins with http:// or https://" in ran.err


def test_peers_are_found_from_the_one_at_the_issuer_and_all_are_compared(running: ExitStack) -> None:
    """And one that is gone is missed by name, also by those who heard it."""
    ports = [free_port(), free_port(), free_port()]
    peers = ",".join(f"http://127.0.0.1:{port}" for port in ports)
    variables = settings("memory://", ports[0], issuer=ISSUER, peers=peers)
    begins = Replica(variables | {"TOKENSVC_PEERS_BOOTSTRAP": "true"}, ports[0])
    others = [Replica(variables, port) for port in ports[1:]]
    with ThreadPoolExecutor() as starting:
        for replica in starting.map(Replica.start, (begins, *others)):
            running.callback(replica.stop)
    names = sorted(name(replica) for replica in (begins, *others))

    # Under another address, as behind a balancer, it counts once: under its own.
    for issuer in (others[0].url, others[0].url.replace("127.0.0.1", "localhost")):
        ran = doctor(issuer=issuer)
        assert (ran.code, ran.err) == (0, ""), ran.out
        rows = ran.out.splitlines()[1:-2]
        assert sorted(row.split()[0] for row in rows) == names
        assert all(row.endswith(" 2 of 2") for row in rows)
        assert ran.out.endswith("\nAll replicas agree.\n")

    others[1].kill()
    ran = doctor(issuer=others[0].url)
    assert ran.code == 1
    assert f"{name(others[1])} cannot be reached" in ran.out
