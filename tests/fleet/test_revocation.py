"""How long a revocation takes to reach every replica, and what it meets on the way."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest

from tests.fleet.conftest import Figures
from tests.fleet.fleet import Fleet
from tests.fleet.load import FACTOR, Load
from tests.flows.wire import Post, race
from tests.promises import proves
from tests.replica import Client, Tokens

pytestmark = pytest.mark.needs("haproxy")

PROMISED = 1.0
"""Seconds in which a revocation that was answered is known everywhere."""
ROUNDS = 8 * FACTOR


class Reached(NamedTuple):
    """Seconds after a revocation was answered: when the last question was asked that found the token active still, and
    when the first answer came that it was not. Between the two the replica has heard of it."""

    after: float
    before: float


@proves("revoke", "peers", "in force on all within a second")
@pytest.mark.parametrize("size", [3, 10])
def test_revocation_reaches_every_replica_under_load(tmp_path: Path, figures: Figures, size: int) -> None:
    """Ten replicas have one machine to themselves here, so each is given less to do."""
    pause = 0.003 * size
    with (
        Fleet(tmp_path, size) as fleet,
        Load(fleet.url, pause) as load,
        ThreadPoolExecutor(size) as pool,
    ):
        clients = [fleet.client(number) for number in range(size)]
        times: list[Reached] = []
        for number in range(ROUNDS):
            owner = fleet.client()
            issued = owner.sign_in()
            assert all(pool.map(Client.active, clients, [issued.access] * size))
            revoke(clients[number % size], owner, issued, number)
            answered = time.monotonic()
            times += pool.map(partial(until_dead, access=issued.access, since=answered, pause=2 * pause), clients)
    seen = [time.before for time in times]
    figures(
        f"{ROUNDS} revocations at {size} replicas, time to each: median {median(seen) * 1000:.0f} ms, "
        f"maximum {max(seen) * 1000:.0f} ms; {load.summary()}"
    )
    assert max(time.after for time in times) < PROMISED
    assert not load.failures


def test_no_token_survives_a_revocation_that_races_refreshes(tmp_path: Path, figures: Figures) -> None:
    """At one replica the grant is revoked, at the two others it is refreshed, all at the same time."""
    refreshed = 0
    with Fleet(tmp_path) as fleet:
        clients = [fleet.client(number) for number in range(fleet.size)]
        for number in range(ROUNDS):
            issued = clients[0].sign_in()
            form = {"client_id": clients[0].client_id}
            refresh = form | {"grant_type": "refresh_token", "refresh_token": issued.refresh}
            turned = [clients[(number + turn) % fleet.size].url for turn in range(fleet.size)]
            answers = race(
                [
                    Post(f"{turned[0]}/revoke", form | {"token": issued.refresh}),
                    *(Post(f"{url}/token", refresh) for url in turned[1:]),
                ]
            )
            revoked, *others = answers
            answered = time.monotonic()
            assert revoked.status == 200
            assert {answer.status for answer in others} <= {200, 400}
            renewed = [answer.json for answer in others if answer.status == 200]
            refreshed += len(renewed)
            for client in clients:
                for access in [issued.access, *(answer["access_token"] for answer in renewed)]:
                    assert until_dead(client, access, answered, 0.01).after < PROMISED
                for token in [issued.refresh, *(answer["refresh_token"] for answer in renewed)]:
                    answer = client.refresh(token, client_id=clients[0].client_id)
                    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    figures(f"{ROUNDS} races at {fleet.size} replicas, {refreshed} refreshes came before the revocation, none survived")


def revoke(client: Client, owner: Client, issued: Tokens, number: int) -> None:
    """By its owner, and every other time by an operator."""
    if number % 2:
        answer = client.admin_revoke("family", client.introspect(issued.access)["family"])
    else:
        answer = client.revoke(issued.refresh, client_id=owner.client_id)
    assert answer.status_code == 200, answer.text


def until_dead(client: Client, access: str, since: float, pause: float) -> Reached:
    """Ask a replica until it calls a token inactive."""
    active = 0.0
    while True:
        asked = time.monotonic() - since
        if not client.active(access):
            return Reached(active, time.monotonic() - since)
        active = asked
        assert asked < 10 * PROMISED, "the revocation does not arrive"
        threading.Event().wait(pause)
