"""Replicas for the flows: started by the test or its module, stopped at the module's end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest

from tests.flows.balancer import Balancer
from tests.ports import free_port
from tests.replica import API_KEY, Replica, api_key_entry, ring_entry, settings

LONG_KEY = "key-of-the-longest-identity-that-is-ordinary"
SQLITE = "sqlite:///ledger.db"


class Start(Protocol):
    """Start a replica with a ledger of its own; `path` is the issuer's, `changes` are settings by name."""

    def __call__(self, ledger: str = SQLITE, *, workers: int = 1, path: str = "", **changes: str) -> Replica: ...


@pytest.fixture(scope="module")
def running() -> Iterator[ExitStack]:
    """What ends with the module."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def start(running: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Start:
    def start_one(ledger: str = SQLITE, *, workers: int = 1, path: str = "", **changes: str) -> Replica:
        port = free_port()
        directory = tmp_path_factory.mktemp("replica")
        if path:
            changes["issuer"] = f"http://127.0.0.1:{port}{path}"
        return running.enter_context(Replica(settings(ledger, port, **changes), port, workers, directory))

    return start_one


@pytest.fixture(scope="module")
def pair(start: Start, running: ExitStack) -> tuple[Replica, Replica]:
    """Two replicas with one ring and one ledger file."""
    first = start()
    return first, running.enter_context(first.twin())


@pytest.fixture(scope="module")
def balanced(
    start: Start, running: ExitStack, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Balancer, Replica, Replica]:
    """Two replicas with one ring and one ledger file behind nginx, whose address is their issuer."""
    balancer = Balancer(tmp_path_factory.mktemp("nginx"))
    keys = [api_key_entry(API_KEY), api_key_entry(LONG_KEY, "a" * 26, "u" * 28, "r" * 26)]
    first = start(issuer=balancer.url, api_keys=",".join(keys), keys=ring_entry("k2345678"))
    second = running.enter_context(first.twin())
    balancer.start([first.port, second.port])
    running.callback(balancer.stop)
    return balancer, first, second
