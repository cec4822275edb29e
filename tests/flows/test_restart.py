"""A process that ends, by order or by force, loses nothing it answered, and brings nothing revoked back to life.

Faults 10 (SIGKILL between advance and response) and 11 (restart with memory and sqlite ledgers, restored backups).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.flows.conftest import SQLITE, Start
from tests.flows.wire import Answer, HeldRequest, Post, race
from tests.promises import proves
from tests.replica import INTROSPECTION_TOKEN, SECONDS, TLS, Client, Replica, Tokens, tokens, wait_for

IN_FLIGHT = 20


def ledger_of(replica: Replica) -> Path:
    assert replica.directory
    return replica.directory / "ledger.db"


def back_up(replica: Replica) -> Path:
    """A copy of the ledger as sqlite makes it, while the replica runs."""
    backup = ledger_of(replica).with_name("backup")
    with closing(sqlite3.connect(ledger_of(replica))) as source, closing(sqlite3.connect(backup)) as copy:
        source.backup(copy)
    return backup


def kill_between_commit_and_response(replica: Replica, posts: Sequence[Post]) -> list[Answer | None]:
    """Let the service commit all requests together, and kill it before it can answer them.

    While this process holds the ledger's lock, the requests queue up behind the first one. When it lets go, the service
    commits that one, then all others at once. Answering those takes it milliseconds, and killing it does not.
    """
    held = [HeldRequest(post) for post in posts]
    with closing(sqlite3.connect(ledger_of(replica), isolation_level=None, timeout=30)) as ledger:
        ledger.execute("BEGIN IMMEDIATE")
        for request in held:
            request.send()
        # One loop serves all connections in turn: when it answers this it has read what came before.
        for _ in range(2):
            assert httpx.get(f"{replica.url}/healthz", verify=TLS).status_code == 200
        ledger.execute("ROLLBACK")
        commits, deadline = set[int](), time.monotonic() + 5
        while len(commits) < 3 and time.monotonic() < deadline:
            commits.add(ledger.execute("PRAGMA data_version").fetchone()[0])
        replica.kill()
    return [request.answer_or_none() for request in held]


@proves("redeem a code", "sqlite", "after a crash too")
def test_sigkill_after_the_commit_leaves_a_code_spent_and_a_refresh_to_be_repeated(start: Start) -> None:
    """Fault 10. Of what was committed and never answered, nothing is issued twice, and nobody is locked out."""
    replica = start()
    client = Client(replica.url)
    client.register()
    own = {"client_id": client.client_id}
    code_form = {"grant_type": "authorization_code", "code_verifier": client.verifier, **own}
    refresh_form = {"grant_type": "refresh_token", **own}

    def kill_and_ask_again() -> bool:
        """Whether the kill fell between commit and response for a code and for a refresh token."""
        codes = [client.code() for _ in range(IN_FLIGHT)]
        firsts = [tokens(client.redeem(client.code())) for _ in range(IN_FLIGHT)]
        jtis = [f"{client.introspect(first.access)['family']}.2" for first in firsts]
        forms = [code_form | {"code": code} for code in codes]
        forms += [refresh_form | {"refresh_token": first.refresh} for first in firsts]
        answers = kill_between_commit_and_response(replica, [Post(f"{replica.url}/token", form) for form in forms])
        assert {answer.status for answer in answers if answer} <= {200}
        replica.start()
        before = len(replica.settled())
        for code, answer in zip(codes, answers[:IN_FLIGHT], strict=True):
            if answer is None:
                again = client.redeem(code)
                assert again.status_code == 200 or again.json()["error"] == "invalid_grant"
        for first, jti, answer in zip(firsts, jtis, answers[IN_FLIGHT:], strict=True):
            if answer is None:
                issued = tokens(client.refresh(first.refresh))
                assert client.introspect(issued.access)["jti"] == jti
                assert client.refresh(issued.refresh).status_code == 200
            else:
                assert client.introspect(answer.json["access_token"])["jti"] == jti
        assert client.active(tokens(client.redeem(client.code())).access)
        events = {line["event"] for line in replica.settled()[before:]}
        return {"token replayed", "token repeated"} <= events

    wait_for(kill_and_ask_again, "a kill between commit and response", 4 * SECONDS)


def everybody_refreshed(chains: list[list[Tokens]]) -> bool:
    return all(len(chain) > 5 for chain in chains)


@proves("refresh", "sqlite", "after a crash too")
def test_sigkill_amid_a_stream_of_refreshes_forks_no_family_and_ends_none(start: Start) -> None:
    """Fault 10. At any moment, with several workers: whoever lost an answer asks again, and gets that very token."""
    replica = start(workers=2)
    people = [Client(replica.url) for _ in range(4)]
    for _ in range(2):
        chains = [[person.sign_in()] for person in people]
        stopping = threading.Event()

        def refresh(person: Client, chain: list[Tokens], stopping: threading.Event = stopping) -> None:
            """Refresh until the service is gone."""
            while not stopping.is_set():
                try:
                    chain.append(tokens(person.refresh(chain[-1].refresh)))
                except httpx.TransportError:
                    return

        with ThreadPoolExecutor(len(people)) as pool:
            running = [pool.submit(refresh, person, chain) for person, chain in zip(people, chains, strict=True)]
            wait_for(partial(everybody_refreshed, chains), "everybody refreshes")
            replica.kill()
            stopping.set()
            for each in running:
                each.result()
        replica.start()
        for person, chain in zip(people, chains, strict=True):
            facts = person.introspect(chain[-1].access)
            following = tokens(person.refresh(chain[-1].refresh))
            family, _, generation = facts["jti"].partition(".")
            assert person.introspect(following.access)["jti"] == f"{family}.{int(generation) + 1}"
            assert all(person.active(each.access) for each in chain[-3:])


@proves("restart", "memory", "everything ends but registrations")
def test_a_restart_with_the_memory_ledger_ends_everything_but_registrations(start: Start) -> None:
    """Fault 11. Nothing that was revoked comes back, since nothing comes back."""
    replica = start("memory://")
    client = Client(replica.url)
    issued, revoked = client.sign_in(), client.sign_in()
    client.revoke(revoked.refresh)
    code = client.code()
    replica.restart()
    assert client.redeem(code).json()["error"] == "invalid_grant"
    assert not any(client.active(each.access) for each in (issued, revoked))
    assert {client.refresh(each.refresh).json()["error"] for each in (issued, revoked)} == {"invalid_grant"}
    assert client.active(client.sign_in().access)


@proves("restart", "sqlite", "nothing is lost")
@pytest.mark.parametrize("how", ["restart", "kill"])
def test_a_restart_with_the_sqlite_ledger_loses_nothing(start: Start, how: str) -> None:
    """Fault 11. What was good stays good, and what was spent or revoked stays spent or revoked."""
    replica = start()
    client = Client(replica.url)
    revoked = [client.sign_in() for _ in range(2)]
    client.revoke(revoked[0].refresh)
    client.admin_revoke("user", "acme/ada")
    issued, used, alone = client.sign_in(), client.sign_in(), client.sign_in()
    followed = tokens(client.refresh(used.refresh))
    client.revoke(alone.access)
    code, spent = client.code(), client.code()
    redeemed = tokens(client.redeem(spent))
    if how == "kill":
        replica.kill()
        replica.start()
    else:
        replica.restart()
    assert [client.active(each.access) for each in (issued, used, followed, redeemed)] == [True] * 4
    assert not any(client.active(each.access) for each in (*revoked, alone))
    assert {client.refresh(each.refresh).status_code for each in revoked} == {400}
    again = tokens(client.refresh(used.refresh))
    assert client.introspect(again.access)["jti"] == client.introspect(followed.access)["jti"]
    assert client.refresh(issued.refresh).status_code == 200
    assert client.redeem(code).status_code == 200
    assert client.redeem(spent).json()["error"] == "invalid_grant"
    assert not client.active(redeemed.access)


LOSSES = {
    # what happens to the file, to its witness
    "an earlier copy of the file": ("restored", "kept"),
    "an earlier copy of the file and no witness": ("restored", "lost"),
    "no file": ("lost", "kept"),
    "no file and no witness": ("lost", "lost"),
}


@proves("restart", "sqlite", "a lost or restored file is noticed")
@pytest.mark.parametrize(("file", "witness"), LOSSES.values(), ids=LOSSES)
def test_a_ledger_that_lost_its_memory_is_noticed_and_everything_from_before_ends(
    start: Start, file: str, witness: str
) -> None:
    """Fault 11. A revocation and a redemption are in no copy from before them, and yet they hold."""
    replica = start()
    client = Client(replica.url)
    untouched, revoked = client.sign_in(), client.sign_in()
    spent, code = client.code(), client.code()
    backup = back_up(replica)
    redeemed = tokens(client.redeem(spent))
    client.revoke(revoked.refresh)
    replica.stop()
    for part in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        ledger_of(replica).with_name(part).unlink(missing_ok=True)
    if file == "restored":
        backup.rename(ledger_of(replica))
    if witness == "lost":
        ledger_of(replica).with_name("ledger.db-witness").unlink()
    replica.start()
    if file == "restored":
        assert replica.logged("ledger restored")
    assert not any(client.active(each.access) for each in (untouched, revoked, redeemed))
    assert {client.refresh(each.refresh).json()["error"] for each in (untouched, revoked, redeemed)} == {
        "invalid_grant"
    }
    assert {client.redeem(each).json()["error"] for each in (spent, code)} == {"invalid_grant"}
    assert client.active(client.sign_in().access)


@proves("out of reach", "sqlite", "the ledger: 503, and nothing is lost by it")
def test_a_file_replaced_under_a_running_replica_is_answered_503_and_never_inactive(start: Start) -> None:
    """Fault 11. What other processes write there is unknown, so nothing is refused and nothing confirmed."""
    replica = start()
    client = Client(replica.url)
    issued = client.sign_in()
    backup = back_up(replica)
    backup.replace(ledger_of(replica))

    def introspection() -> httpx.Response:
        headers = {"Authorization": f"Bearer {INTROSPECTION_TOKEN}"}
        return client.http.post(f"{client.url}/introspect", data={"token": issued.access}, headers=headers)

    def noticed() -> bool:
        answer = introspection()
        assert answer.status_code == 503 or answer.json()["active"], answer.text
        return answer.status_code == 503

    wait_for(noticed, "the replica notices")
    refused = client.refresh(issued.refresh)
    assert (refused.status_code, refused.json()["error"]) == (503, "temporarily_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert client.revoke(issued.refresh).status_code == 503


@proves("out of reach", "sqlite", "the ledger: 503, and nothing is lost by it")
def test_a_ledger_that_is_locked_for_long_is_answered_503_and_recovers(start: Start) -> None:
    """Faults 10 and 14 for sqlite: no false refusal, no revocation that did not happen, and then all is as before."""
    replica = start(SQLITE)
    client = Client(replica.url)
    client.register()
    issued, code = tokens(client.redeem(client.code())), client.code()
    own = {"client_id": client.client_id}
    refresh = {"grant_type": "refresh_token", "refresh_token": issued.refresh}
    redemption = {"grant_type": "authorization_code", "code": code, "code_verifier": client.verifier}
    posts = [
        Post(f"{replica.url}/token", own | refresh),
        Post(f"{replica.url}/token", own | redemption),
        Post(f"{replica.url}/revoke", own | {"token": issued.refresh}),
    ]
    with closing(sqlite3.connect(ledger_of(replica), isolation_level=None)) as ledger:
        ledger.execute("BEGIN IMMEDIATE")
        answers = race(posts)
        assert client.active(issued.access)
        ledger.execute("ROLLBACK")
    for answer in answers:
        assert (answer.status, answer.json["error"]) == (503, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) > 0
    assert client.redeem(code).status_code == 200
    following = tokens(client.refresh(issued.refresh))
    assert client.introspect(following.access)["jti"].endswith(".2")
    assert "token repeated" not in {line["event"] for line in replica.settled()}
