"""Replicas that are cut off from one another and joined again, with the time that it takes them to notice both."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.fleet.conftest import Figures
from tests.fleet.fleet import FILE, MEMORY
from tests.fleet.test_joining import introspected
from tests.fleet.test_killed import is_dead
from tests.flows.partition import Fleet
from tests.promises import proves
from tests.replica import Client, tokens, wait_for

STALENESS = 2
HEALING = 15.0
"""Seconds in which replicas that are joined again agree: a peer that was not there is tried every few seconds."""


@proves("out of reach", "peers", "the others: 503 at introspection, and all agree when they are back")
def test_replicas_cut_off_from_one_another_and_joined_again(tmp_path: Path, figures: Figures) -> None:
    """One of three, which has a ledger in memory; one of the others has a file."""
    with Fleet(tmp_path, (MEMORY, FILE, MEMORY), changes={"staleness": str(STALENESS)}) as fleet:
        left, right, lone = clients = fleet.clients()
        lone.register()
        for client in clients:
            client.client_id, client.verifier = lone.client_id, lone.verifier
        living, here, there = (lone.sign_in() for _ in range(3))
        code = lone.code()
        fleet.part(2)
        cut = time.monotonic()

        refused = lone.revoke(here.refresh)
        assert (refused.status_code, refused.json()["error"]) == (503, "temporarily_unavailable")
        taken = left.admin_revoke("family", left.introspect(there.access)["family"])
        assert (taken.status_code, sorted(taken.json()["peers"].values())) == (200, [False, True])
        wait_for(partial(is_dead, right, there.access), "the other half knows", 1)
        twice = [tokens(client.redeem(code)) for client in (lone, left)]

        wait_for(partial(is_stale, fleet, living.access), "the lone one knows that it is stale", STALENESS + 5)
        stale = time.monotonic() - cut
        assert [introspected(fleet.replicas[2], token) for token in (here.access, there.access)] == ["503", "503"]
        assert left.active(living.access), "one of two peers is enough"
        assert right.active(living.access)

        fleet.join()
        mended = time.monotonic()
        agree: dict[str, Callable[[Client], bool]] = {
            "the revocation that was answered 503": lambda client: is_dead(client, here.access),
            "the revocation that was answered 200": lambda client: is_dead(client, there.access),
            "the code that was redeemed on both sides": lambda client: all(is_dead(client, t.access) for t in twice),
        }
        wait_for(lambda: introspected(fleet.replicas[2], living.access) == "active", "it has news again", HEALING)
        for what, known in agree.items():
            for client in clients:
                wait_for(partial(known, client), f"every replica knows of {what}", HEALING)
        healed = time.monotonic() - mended
        assert all(client.active(living.access) for client in clients), "nothing else was lost"
    figures(f"stale after {stale:.1f} s of a bound of {STALENESS} s, agreed again {healed:.1f} s after it was mended")


def is_stale(fleet: Fleet, access: str) -> bool:
    return introspected(fleet.replicas[2], access) == "503"
