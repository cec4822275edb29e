"""Keys are rotated while people use what they seal."""

from __future__ import annotations

import base64
import json
import time
from functools import partial
from pathlib import Path

import pytest

from tests.fleet.conftest import Figures
from tests.fleet.fleet import Fleet
from tests.fleet.load import Load
from tests.replica import Replica, ring_entry, wait_for, wait_until

pytestmark = pytest.mark.needs("haproxy")

STAGED_SECONDS = 10
"""From staging to activation: longer than it takes until every replica has the ring."""


def test_key_rotation_under_load(tmp_path: Path, figures: Figures) -> None:
    """Stage, activate, retire, drop: one replica after the other takes the new ring, without a restart."""
    with Fleet(tmp_path) as fleet, Load(fleet.url) as load:
        old = fleet.client(0).sign_in()
        activation = time.time() + STAGED_SECONDS
        new = ring_entry("k2", str(int(activation)))
        rotate(fleet, load, [*fleet.keys, new])
        assert time.time() < activation, "every replica has the ring before it counts"
        assert {kid(person.tokens.access) for person in load.people} == {"k1"}
        wait_until(activation + 1)
        wait_for(lambda: kids(load) == {"k2"}, "everybody has refreshed")
        assert fleet.client().active(old.access), "what is listed opens"
        rotate(fleet, load, [new])
        load.go_on()
        assert [fleet.client(number).active(old.access) for number in range(fleet.size)] == [False] * fleet.size
    figures(f"k1 to k2 on {fleet.size} replicas; {load.summary()}")
    assert not load.failures


def rotate(fleet: Fleet, load: Load, entries: list[str]) -> None:
    """Give the first replica the ring, and once it has taken it the others: meanwhile old and new are mixed."""
    first, *others = range(fleet.size)
    for numbers in ([first], others):
        before = [reloads(replica) for replica in fleet.replicas]
        for number in numbers:
            fleet.write_ring(number, entries)
        wanted = [count + (number in numbers) for number, count in enumerate(before)]
        wait_for(partial(reloaded, fleet, wanted), "the replicas have taken their ring")
        load.go_on(20)


def reloaded(fleet: Fleet, times: list[int]) -> bool:
    return [reloads(replica) for replica in fleet.replicas] == times


def reloads(replica: Replica) -> int:
    return sum(line["event"] == "settings reloaded" for line in replica.log)


def kid(token: str) -> str:
    """The version of the ring that sealed it, which stands in its header before the day."""
    header = token.partition("_")[2].partition(".")[0]
    named: str = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]
    return named.partition(".")[0]


def kids(load: Load) -> set[str]:
    return {kid(token) for person in list(load.people) for token in (person.tokens.access, person.tokens.refresh)}
