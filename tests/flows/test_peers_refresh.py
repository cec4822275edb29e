"""Refresh tokens among replicas that share nothing: a repeat means the same wherever it is presented."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.flows.partition import Fleet
from tests.promises import proves
from tests.replica import Client, tokens, wait_for, wait_until

GRACE = 3


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory: Path = tmp_path_factory.mktemp("fleet")
    with Fleet(directory, changes={"refresh_grace": str(GRACE)}) as begun:
        yield begun


@pytest.fixture
def clients(fleet: Fleet) -> list[Client]:
    """One client, as it meets each of the replicas."""
    met = fleet.clients()
    met[0].register()
    for other in met[1:]:
        other.client_id, other.verifier = met[0].client_id, met[0].verifier
    return met


@proves("refresh", "peers", "a repeat inside the window gets the same successor, heard of or not")
@pytest.mark.parametrize("parted", [False, True], ids=["heard", "unheard"])
def test_a_repeat_on_another_replica_gets_the_same_successor(fleet: Fleet, clients: list[Client], parted: bool) -> None:
    one, _, other = clients
    issued = one.sign_in()
    if parted:
        fleet.part(2)
    first, second = tokens(one.refresh(issued.refresh)), tokens(other.refresh(issued.refresh))
    fleet.join()
    jtis = [client.introspect(access)["jti"] for client in (one, other) for access in (first.access, second.access)]
    assert len(set(jtis)) == 1
    again = [tokens(client.refresh(second.refresh)) for client in clients]
    assert all(client.active(token.access) for client in clients for token in again)


@proves("refresh", "peers", "a later one ends the grant on all")
def test_a_repeat_outside_the_window_on_another_replica_ends_the_family_everywhere(clients: list[Client]) -> None:
    one, other, third = clients
    stolen = one.sign_in()
    issued = tokens(one.refresh(stolen.refresh))
    wait_until(time.time() + GRACE)
    assert other.refresh(stolen.refresh).json()["error"] == "invalid_grant"
    for client in (one, other, third):
        wait_for(partial(is_dead, client, issued.access), "the family is dead everywhere", 5)
        assert client.refresh(issued.refresh).json()["error"] == "invalid_grant"


def is_dead(client: Client, access: str) -> bool:
    return not client.active(access)
