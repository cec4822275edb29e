"""Clocks that are off, by libfaketime: a minute is noticed, three seconds are survived."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.fleet.clocks import off_by
from tests.fleet.conftest import Figures
from tests.fleet.fleet import Fleet
from tests.fleet.load import FACTOR, Load
from tests.fleet.test_joining import introspected
from tests.fleet.test_killed import is_dead
from tests.fleet.test_revocation import PROMISED
from tests.replica import SECONDS, tokens, wait_for

pytestmark = [pytest.mark.needs("haproxy"), pytest.mark.needs("faketime")]


WATCHED_SECONDS = 3
"""Longer than it takes a replica to hear its peers, three times over."""


def test_replica_whose_clock_is_a_minute_off_is_not_ready(tmp_path: Path, figures: Figures) -> None:
    """Ahead or behind, it answers 503 wherever the time matters, and the others go on without it."""
    asked = 0
    with Fleet(tmp_path, late={2}) as fleet, Load(fleet.url) as load:
        living = fleet.client(0).sign_in().access
        strange = fleet.replicas[2]
        own = strange.environment
        for seconds in (60, -60):
            strange.environment = dict(own) | off_by(seconds)
            strange.begin()
            wait_for(lambda: alive(strange.url), "it listens")
            until = time.monotonic() + WATCHED_SECONDS
            while time.monotonic() < until:
                assert (strange.ready(), introspected(strange, living)) == (False, "503")
                asked += 1
            assert fleet.haproxy.up() == {"r0", "r1"}
            load.go_on()
            strange.stop()
    figures(f"asked {asked} times, 503 each time; {load.summary()}")
    assert not load.failures


def test_clocks_three_seconds_apart_are_survived(tmp_path: Path, figures: Figures) -> None:
    """Nothing valid is refused; what either minted is dead once the other was told; whoever signs in again lives."""
    times: list[float] = []
    with Fleet(tmp_path, apart={2: off_by(3)}) as fleet:
        slow, _, fast = clients = [fleet.client(number) for number in range(fleet.size)]
        for marking, minting in ((slow, fast), (fast, slow)) * 3 * FACTOR:
            issued = minting.sign_in()
            assert [client.active(issued.access) for client in clients] == [True] * fleet.size
            renewed = tokens(marking.refresh(issued.refresh, client_id=minting.client_id))
            assert [client.active(renewed.access) for client in clients] == [True] * fleet.size
            assert marking.admin_revoke("user", "acme/ada").status_code == 200
            answered = time.monotonic()
            for client in clients:
                for access in (issued.access, renewed.access):
                    wait_for(partial(is_dead, client, access), "the token is dead", PROMISED)
            times.append(time.monotonic() - answered)
    figures(f"{len(times)} times signed in at one, revoked at the other: dead everywhere in {max(times) * 1000:.0f} ms")


def alive(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=SECONDS).status_code == 200
    except httpx.TransportError:
        return False
