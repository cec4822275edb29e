"""A refresh token rotates with every use; a repeat gets the same successor for a while, and ends everything after that.

Faults 6 (a stolen token), 7 (a client that races itself) and 8 (older generations, and what prolongs the window).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

from tests.flows.conftest import Start
from tests.flows.wire import HeldRequest, Post, race
from tests.promises import proves
from tests.replica import Client, Replica, Tokens, tokens, wait_for, wait_until

GRACE = 2
"""Seconds, where a test has to see the window close."""
MARGIN = 0.01
"""Seconds: the service counts whole milliseconds."""

REFRESH = """
import json, sys, urllib.request
from urllib.parse import urlencode
url, form = sys.argv[1], json.loads(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
with urllib.request.urlopen(url, urlencode(form).encode()) as answer:
    print(answer.read().decode())
"""


@pytest.fixture(scope="module", params=["memory://", "sqlite:///ledger.db"])
def replica(request: pytest.FixtureRequest, start: Start) -> Replica:
    """With a window of a minute, which no test here outlasts."""
    return start(request.param)


@pytest.fixture(scope="module")
def brief(start: Start) -> Replica:
    """With a window that a test can outlast, and several workers."""
    return start(workers=2, refresh_grace=str(GRACE))


@pytest.fixture(scope="module")
def strict(start: Start) -> Replica:
    """Without a window."""
    return start(workers=2, refresh_grace="0")


@dataclass
class Used:
    """A refresh token that was used, when at the earliest and at the latest, and its successor."""

    token: str
    earliest: float
    latest: float
    successor: Tokens

    @property
    def open(self) -> bool:
        """Whether the window is open still, whatever happens on the way."""
        return time.time() < self.earliest + GRACE - MARGIN

    def wait_until_closed(self) -> None:
        wait_until(self.latest + GRACE + MARGIN)


def use(client: Client, token: str) -> Used:
    earliest = time.time()
    successor = tokens(client.refresh(token))
    return Used(token, earliest, time.time(), successor)


def jti(client: Client, access: str) -> str:
    facts = client.introspect(access)
    assert facts["active"], facts
    name: str = facts["jti"]
    return name


def ended(client: Client, *issued: Tokens) -> bool:
    """Whether the family of all of these is dead, whatever of it is tried."""
    return not any(client.active(each.access) for each in issued) and all(
        client.refresh(each.refresh).json().get("error") == "invalid_grant" for each in issued
    )


@pytest.mark.parametrize("window", ["strict", "brief"])
def test_a_stolen_token_used_after_its_owner_ends_the_family(strict: Replica, brief: Replica, window: str) -> None:
    """Fault 6, outside the window; one of 0 seconds is never open."""
    replica = brief if window == "brief" else strict
    owner, thief = Client(replica.url), Client(replica.url)
    first = owner.sign_in()
    thief.client_id = owner.client_id
    used = use(owner, first.refresh)
    if window == "brief":
        used.wait_until_closed()
    assert thief.refresh(first.refresh).json()["error"] == "invalid_grant"
    assert ended(owner, first, used.successor)


@proves("refresh", "sqlite", "the same, across processes")
@pytest.mark.parametrize("window", ["strict", "brief"])
def test_a_stolen_token_used_before_its_owner_ends_the_family(strict: Replica, brief: Replica, window: str) -> None:
    """Fault 6, outside the window: it is the owner who reveals the theft, and the thief's tokens end too."""
    replica = brief if window == "brief" else strict
    owner, thief = Client(replica.url), Client(replica.url)
    first = owner.sign_in()
    thief.client_id = owner.client_id
    used = use(thief, first.refresh)
    stolen = [used.successor, tokens(thief.refresh(used.successor.refresh))]
    if window == "brief":
        used.wait_until_closed()
    assert owner.refresh(first.refresh).json()["error"] == "invalid_grant"
    assert ended(thief, first, *stolen)


@proves("refresh", "sqlite", "the same, across processes")
def test_five_processes_that_refresh_one_token_get_the_same_successor(start: Start) -> None:
    """Fault 7. Five real processes, three workers; and afterwards the session goes on with any of the answers."""
    client = Client(start(workers=3).url)
    first = client.sign_in()
    form = {"grant_type": "refresh_token", "refresh_token": first.refresh, "client_id": client.client_id}
    command = [sys.executable, "-c", REFRESH, f"{client.url}/token", json.dumps(form)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(5)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate(timeout=30)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0] * 5
    assert len({jti(client, answer["access_token"]) for answer in answers}) == 1
    followers = [tokens(client.refresh(answer["refresh_token"])) for answer in answers]
    assert len({jti(client, each.access) for each in followers}) == 1


@proves("refresh", "sqlite", "across replicas")
def test_64_concurrent_refreshes_of_one_token_get_the_same_successor(
    pair: tuple[Replica, Replica],
) -> None:
    """Fault 7, across two replicas on one ledger file."""
    client = Client(pair[0].url)
    first = client.sign_in()
    form = {"grant_type": "refresh_token", "refresh_token": first.refresh, "client_id": client.client_id}
    answers = race([Post(f"{pair[racer % 2].url}/token", form) for racer in range(64)])
    assert {answer.status for answer in answers} == {200}
    assert len({jti(client, answer.json["access_token"]) for answer in answers}) == 1
    assert client.active(first.access)


@proves("refresh", "memory", "inside the grace window a repeat gets the same successor")
def test_inside_the_window_every_generation_gets_the_head(replica: Replica) -> None:
    """Fault 8: n-1, n-2 and all before them, in any order, and none of it moves the head or forks the family."""
    client = Client(replica.url)
    chain = [client.sign_in()]
    for _ in range(5):
        chain.append(tokens(client.refresh(chain[-1].refresh)))
    head = jti(client, chain[-1].access)
    for older in (chain[4], chain[0], chain[2], chain[3], chain[1], chain[0]):
        assert jti(client, tokens(client.refresh(older.refresh)).access) == head
    following = tokens(client.refresh(chain[-1].refresh))
    assert jti(client, following.access) != head
    assert jti(client, tokens(client.refresh(chain[0].refresh)).access) == jti(client, following.access)
    assert all(client.active(each.access) for each in chain)


def test_repeats_do_not_prolong_the_window(brief: Replica) -> None:
    """Fault 8. However often a token is repeated inside its window, it counts from the first use."""
    client = Client(brief.url)
    first = client.sign_in()
    used = use(client, first.refresh)
    head = jti(client, used.successor.access)
    repeated = 0
    while used.open:
        answer = client.refresh(first.refresh)
        if used.open:
            assert jti(client, tokens(answer).access) == head
            repeated += 1
    assert repeated
    used.wait_until_closed()
    assert client.refresh(first.refresh).json()["error"] == "invalid_grant"
    assert ended(client, first, used.successor)


def test_a_generation_whose_window_has_closed_ends_the_family_though_a_later_one_is_in_its_own(brief: Replica) -> None:
    """Fault 8. Each generation has its own window, from when it was first used."""
    client = Client(brief.url)
    first = client.sign_in()
    old = use(client, first.refresh)
    old.wait_until_closed()

    latest = [old.successor]

    def repeated_in_time() -> bool:
        """Use the latest generation and repeat it; true if that certainly happened while its window was open."""
        used = use(client, latest[-1].refresh)
        latest.append(used.successor)
        repeat = client.refresh(used.token)
        if used.open:
            assert jti(client, tokens(repeat).access) == jti(client, used.successor.access)
        return used.open

    wait_for(repeated_in_time, "a repeat inside the window")
    assert client.refresh(first.refresh).json()["error"] == "invalid_grant"
    assert ended(client, first, *latest)


def test_with_a_window_of_zero_a_family_that_only_goes_forward_lives(strict: Replica) -> None:
    """Fault 8. The strictest setting troubles only those who repeat."""
    client = Client(strict.url)
    chain = [client.sign_in()]
    for _ in range(10):
        chain.append(tokens(client.refresh(chain[-1].refresh)))
    assert client.active(chain[-1].access)


def test_with_a_window_of_zero_concurrent_uses_end_the_family(strict: Replica) -> None:
    """Faults 6 and 8. Exactly one is answered, and then what it got is dead."""
    client = Client(strict.url)
    first = client.sign_in()
    form = {"grant_type": "refresh_token", "refresh_token": first.refresh, "client_id": client.client_id}
    answers = race([Post(f"{client.url}/token", form)] * 8)
    assert sorted(answer.status for answer in answers) == [200] + [400] * 7
    assert not client.active(first.access)
    assert not any(client.active(answer.json["access_token"]) for answer in answers if answer.status == 200)


def test_a_request_held_back_does_not_hold_the_window_open(brief: Replica) -> None:
    """Fault 8. Its time is when it has arrived as a whole, not when its connection was opened."""
    client = Client(brief.url)
    first = client.sign_in()
    form = {"grant_type": "refresh_token", "refresh_token": first.refresh, "client_id": client.client_id}
    held = HeldRequest(Post(f"{client.url}/token", form))
    used = use(client, first.refresh)
    used.wait_until_closed()
    answer = held.finish()
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert ended(client, first, used.successor)


MISUSES = {
    "no client": {"client_id": ""},
    "unknown client": {"client_id": "stranger"},
    "unknown resource": {"resource": "https://elsewhere.example.com"},
    "another grant type": {"grant_type": "authorization_code"},
}


@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES)
def test_a_refresh_that_is_refused_for_its_form_uses_nothing_up(replica: Replica, misuse: dict[str, str]) -> None:
    """Fault 6. Only a valid use counts as one: after it, the first use is still to come."""
    client = Client(replica.url)
    first = client.sign_in()
    assert client.refresh(first.refresh, **misuse).status_code in {400, 401}
    name = jti(client, tokens(client.refresh(first.refresh)).access)
    assert replica.logged("token issued", family=name.partition(".")[0], generation=2)


def test_a_refresh_token_at_another_client_is_refused_and_harms_nobody(replica: Replica) -> None:
    """Fault 6. Whoever has the token without its client cannot even end the family."""
    client, thief = Client(replica.url), Client(replica.url)
    first = client.sign_in()
    thief.register(client_name="Another client")
    assert thief.refresh(first.refresh).json()["error"] == "invalid_grant"
    assert thief.revoke(first.refresh).status_code == 400
    assert client.active(first.access)
    assert client.refresh(first.refresh).status_code == 200
