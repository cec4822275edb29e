"""Replicas that share nothing but their rings: what one of them knows, all of them know, or say that they do not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from tests.flows.partition import Fleet, together
from tests.ports import free_port
from tests.promises import proves
from tests.proofs import BoundClient, bound
from tests.replica import (
    ADMIN_TOKEN,
    INTROSPECTION_TOKEN,
    SECONDS,
    TLS,
    Client,
    Replica,
    changed,
    redirect_parameters,
    settings,
    tokens,
    wait_for,
)

STALENESS = 2


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three that nothing happens to: two in memory, one with a file."""
    with Fleet(tmp_path_factory.mktemp("fleet")) as begun:
        yield begun


@pytest.fixture
def parting(tmp_path: Path) -> Iterator[Fleet]:
    """Three that a test parts or restarts."""
    with Fleet(tmp_path, changes={"staleness": str(STALENESS)}) as begun:
        yield begun


def introspection(client: Client, token: str) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {INTROSPECTION_TOKEN}"}
    answer = client.http.post(f"{client.url}/introspect", data={"token": token}, headers=headers)
    return answer.status_code, answer.json()


def everywhere(fleet: Fleet, token: str) -> list[bool]:
    return [client.active(token) for client in fleet.clients()]


def test_each_replica_goes_on_where_another_stopped(fleet: Fleet) -> None:
    one, other, third = fleet.clients()
    one.register()
    other.client_id = third.client_id = one.client_id
    other.verifier = third.verifier = one.verifier
    code = one.code()
    redeemed = tokens(other.redeem(code))
    refreshed = tokens(third.refresh(redeemed.refresh))
    assert everywhere(fleet, refreshed.access) == [True] * 3


@proves("revoke", "peers", "answered when a peer holds it too")
def test_revocation_names_who_took_it_and_is_in_force_everywhere_when_answered(fleet: Fleet) -> None:
    client = fleet.client(0)
    issued = client.sign_in()
    answer = client.admin_revoke("user", "acme/ada")
    assert answer.status_code == 200
    assert answer.json()["peers"] == {fleet.wire_url(0, 1): True, fleet.wire_url(0, 2): True}
    assert everywhere(fleet, issued.access) == [False] * 3
    assert everywhere(fleet, client.sign_in().access) == [True] * 3


@pytest.mark.parametrize("number", range(3))
def test_token_revoked_by_its_client_is_dead_everywhere(fleet: Fleet, number: int) -> None:
    client = fleet.client(number)
    issued = client.sign_in()
    assert client.revoke(issued.refresh).status_code == 200
    assert everywhere(fleet, issued.access) == [False] * 3


@proves("redeem a code", "peers", "at most once where the news have come, which takes about a second")
def test_replay_at_another_replica_ends_the_family_everywhere(fleet: Fleet) -> None:
    owner, thief = fleet.client(0), fleet.client(1)
    owner.register()
    thief.client_id, thief.verifier = owner.client_id, owner.verifier
    code = owner.code()
    issued = tokens(owner.redeem(code))
    wait_for(lambda: thief.redeem(code).status_code == 400, "the other replica has heard of it", 5)
    wait_for(lambda: everywhere(fleet, issued.access) == [False] * 3, "the family is dead everywhere", 5)


@proves("other one-use ids", "peers", "at most once where the news have come")
def test_proofs_and_pushed_requests_that_were_used_are_used_everywhere(fleet: Fleet) -> None:
    client = bound(fleet.client(0))
    client.register()
    other = bound(fleet.client(1), client.prover)
    other.client_id, other.verifier = client.client_id, client.verifier
    asked = dict(parse_qsl(client.authorize_url().partition("?")[2]))
    asked_again = {"client_id": client.client_id, "request_uri": pushed(client, asked)}
    url, page = client.page(**asked_again)
    code = redirect_parameters(client.decide(url, page))["code"]
    client.claims = other.claims = {"jti": "the-same"}
    known = families(other)
    issued = tokens(client.redeem(code))
    # What is told comes in the order in which it happened.
    wait_for(lambda: families(other) > known, "the other replica has heard of it", 5)
    assert other.refresh(issued.refresh).json()["error"] == "invalid_dpop_proof"
    url, page = other.page(**asked_again)
    assert other.decide(url, page).status_code == 400
    client.claims = {}
    assert client.refresh(issued.refresh).status_code == 200


def pushed(client: BoundClient, parameters: dict[str, str]) -> str:
    client.push(**parameters)  # For the nonce.
    return str(client.push(**parameters).json()["request_uri"])


def families(client: Client) -> int:
    state = client.http.get(f"{client.url}/admin/state", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}).json()
    return int(state["ledger"]["families"])


def test_peers_talk_to_nobody_else(fleet: Fleet) -> None:
    """Whatever is not sealed under the ring is one answer."""
    url = f"{fleet.replicas[0].url}/peers/exchange"
    for body in (b"", b"x" * 100, b"tspq_a..b.c.d", b"\xff" * 10):
        answer = httpx.post(url, content=body, verify=TLS)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert httpx.get(url, verify=TLS).status_code == 405
    fleet.replicas[0].logged("peer refused", address="127.0.0.1")


@proves("revoke", "peers", "503 where no peer took it, and in force here")
def test_revocation_that_no_peer_took_is_answered_503_and_holds_here(parting: Fleet) -> None:
    client = parting.client(0)
    issued, other = client.sign_in(), parting.client(1)
    parting.part(0)
    answer = client.admin_revoke("user", "acme/ada")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert parting.replicas[0].logged("revocation unconfirmed", subject="user:acme/ada")
    assert introspection(client, issued.access) != (200, {"active": True})
    parting.join()
    wait_for(lambda: not other.active(issued.access), "the others hear of it", 10)
    wait_for(lambda: client.admin_revoke("user", "acme/ada").status_code == 200, "it is taken when repeated", 10)


@proves("introspect", "peers", "as fresh as the news, and 503 where they are older than `TOKENSVC_STALENESS`")
def test_replica_that_is_cut_off_says_so_and_never_calls_a_revoked_token_active(parting: Fleet) -> None:
    alone, client = parting.client(2), parting.client(0)
    issued, kept = client.sign_in(), client.sign_in()
    parting.part(2)
    assert client.revoke(issued.refresh).status_code == 200
    revoked = time.monotonic()
    # Until the bound has passed it may not have heard; from then on it does not say.
    wait_for(lambda: introspection(alone, kept.access)[0] == 503, "the replica is stale", 10)
    assert time.monotonic() - revoked < STALENESS + 2
    assert introspection(alone, issued.access)[0] == 503
    assert everywhere_but(parting, 2, kept.access) == [True, True]
    assert everywhere_but(parting, 2, issued.access) == [False, False]
    assert httpx.get(f"{alone.url}/readyz", verify=TLS).status_code == 200
    parting.join()
    wait_for(lambda: introspection(alone, kept.access)[0] == 200, "it hears the others again", 10)
    assert not alone.active(issued.access)
    assert alone.active(kept.access)


@proves("introspect", "peers", "one peer that is down stops nobody")
def test_one_peer_that_is_down_stops_nobody(parting: Fleet) -> None:
    client = parting.client(0)
    issued = client.sign_in()
    parting.replicas[2].kill()
    assert client.admin_revoke("user", "acme/ada").json()["peers"] == {
        parting.wire_url(0, 1): True,
        parting.wire_url(0, 2): False,
    }
    down_for = time.monotonic()
    wait_for(lambda: time.monotonic() - down_for > STALENESS + 0.5, "longer than the bound", 10)
    assert everywhere_but(parting, 2, issued.access) == [False, False]
    assert everywhere_but(parting, 2, client.sign_in().access) == [True, True]


@proves("redeem a code", "peers", "two at once on two replicas end the grant as soon as they hear of each other")
def test_code_redeemed_on_both_sides_of_a_cut_ends_its_family_when_they_hear_of_each_other(parting: Fleet) -> None:
    one, other = parting.client(0), parting.client(2)
    one.register()
    other.client_id, other.verifier = one.client_id, one.verifier
    code = one.code()
    parting.part(2)
    issued = [tokens(side.redeem(code)) for side in (one, other)]
    assert one.active(issued[0].access)
    parting.join()
    for number in range(3):
        for pair in issued:
            wait_for(partial(_is_inactive, parting.client(number), pair.access), f"replica {number} ends it", 10)
    parting.wait_until_agreed()


@proves("out of reach", "peers", "the others: 503 at introspection, and all agree when they are back")
def test_marks_of_both_sides_of_a_cut_are_everywhere_once_it_is_healed(tmp_path: Path) -> None:
    with Fleet(tmp_path, ["memory://", "memory://", "sqlite:///a.db", "sqlite:///b.db"]) as fleet:
        fleet.part(0, 2)
        assert fleet.client(0).admin_revoke("account", "left").status_code == 200
        assert fleet.client(1).admin_revoke("account", "right").status_code == 200
        fleet.join()
        fleet.wait_until_agreed()
        assert {mark["subject"] for mark in fleet.marks(0)} == {"left", "right"}


@proves("restart", "peers", "nothing is lost: a replica is ready once it has asked its peers")
def test_replica_that_comes_back_without_memory_is_not_ready_before_it_has_the_marks(parting: Fleet) -> None:
    """Nor do the tokens end that it minted before: its memory begins where that of the others does."""
    client = parting.client(0)
    kept, revoked = client.sign_in(), client.sign_in()
    assert client.revoke(revoked.refresh).status_code == 200
    parting.replicas[0].kill()
    parting.part(0)
    parting.replicas[0].begin()
    wait_for(lambda: _status(parting.replicas[0], "healthz") == 200, "it listens")
    assert _status(parting.replicas[0], "readyz") == 503
    assert introspection(client, kept.access)[0] == 503
    assert introspection(client, revoked.access)[0] == 503
    parting.join()
    wait_for(lambda: _status(parting.replicas[0], "readyz") == 200, "it has caught up", 10)
    assert client.active(kept.access)
    assert not client.active(revoked.access)


@proves("restart", "peers", "all at once too, where they have files")
def test_all_replicas_with_files_come_back_at_once(tmp_path: Path) -> None:
    with Fleet(tmp_path, ["sqlite:///ledger.db"] * 3) as fleet:
        client = fleet.client(0)
        kept, revoked = client.sign_in(), client.sign_in()
        assert client.revoke(revoked.refresh).status_code == 200
        for replica in fleet.replicas:
            replica.kill()
        together(fleet.replicas)
        assert everywhere(fleet, kept.access) == [True] * 3
        assert everywhere(fleet, revoked.access) == [False] * 3


@proves("restart", "peers", "alone, with neither file nor peer, it does not start")
@pytest.mark.parametrize("ledger", ["memory://", "sqlite:///new.db"])
def test_replica_with_neither_peer_nor_file_ends_and_names_the_way_out(tmp_path: Path, ledger: str) -> None:
    port = free_port()
    nobody = f"http://127.0.0.1:{free_port()}"
    environment = settings(ledger, port, peers=nobody, staleness="1")
    command = [sys.executable, "-m", "tokensvc", "serve", "--port", str(port)]
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False, cwd=tmp_path
    )
    assert ended.returncode == 1, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert "TOKENSVC_PEERS names no replica" in last
    assert "TOKENSVC_PEERS_BOOTSTRAP=true" in last


def test_list_may_contain_the_replica_itself_which_takes_no_revocation_from_itself(tmp_path: Path) -> None:
    """Whatever the number of processes that share its ledger."""
    ports = [free_port(), free_port()]
    peers = ",".join(f"http://127.0.0.1:{port}" for port in ports)
    shared = settings("sqlite:///ledger.db", ports[0], peers=peers, staleness="10")
    replicas = []
    for number, port in enumerate(ports):
        directory = tmp_path / str(number)
        directory.mkdir()
        own = changed(shared, peers_bootstrap="true" if number == 0 else "")
        replicas.append(Replica(own, port, workers=2, directory=directory))
    one, other = replicas
    with one, other:
        client = Client(one.url)
        issued = client.sign_in()
        wait_for(
            lambda: [*client.admin_revoke("account", "x").json().get("peers", {})] == [other.url],
            "it knows itself",
            10,
        )
        assert client.admin_revoke("user", "acme/ada").json()["peers"] == {other.url: True}
        assert not Client(other.url).active(issued.access)
        other.kill()
        assert client.admin_revoke("user", "acme/bob").status_code == 503


def everywhere_but(fleet: Fleet, number: int, token: str) -> list[bool]:
    return [client.active(token) for other, client in enumerate(fleet.clients()) if other != number]


def _is_inactive(client: Client, token: str) -> bool:
    return introspection(client, token) == (200, {"active": False})


def _status(replica: Replica, name: str) -> int:
    try:
        return httpx.get(f"{replica.url}/{name}", timeout=5, verify=TLS).status_code
    except httpx.TransportError:
        return 0
