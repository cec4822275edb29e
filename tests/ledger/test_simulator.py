"""The fleet of simulator.py in many worlds. `SIMULATIONS` says in how many, `SIMULATE_FROM` which seed is the first.

What failed names its seed: `SIMULATE_FROM=17 SIMULATIONS=1` lives through that world alone, again and again the same.
"""

import os
from pathlib import Path

import pytest

from tests.ledger.simulator import World, simulate

FIRST = int(os.environ.get("SIMULATE_FROM", "0"))
WORLDS = int(os.environ.get("SIMULATIONS", "25"))
WITH_FILES = 4


def live_through(seed: int, folder: Path | None = None) -> World:
    try:
        return simulate(seed, folder)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}") from error


def test_promises_hold_whatever_happens_to_messages_clocks_and_replicas() -> None:
    answered = refused = 0
    for seed in range(FIRST, FIRST + WORLDS):
        world = live_through(seed)
        answered += world.answered
        refused += world.refused
    # Both happen in every few worlds: a simulator in which nothing goes wrong proves nothing.
    assert WORLDS < 10 or (answered > WORLDS and refused > WORLDS)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + min(WITH_FILES, WORLDS)))
def test_promises_hold_where_replicas_come_back_with_their_files(seed: int, tmp_path: Path) -> None:
    live_through(seed, tmp_path)


def test_same_seed_is_the_same_world() -> None:
    one, other = live_through(FIRST), live_through(FIRST)
    assert (one.answered, one.refused, len(one.live)) == (other.answered, other.refused, len(other.live))
