"""What much to remember costs: introspection, memory, and how long a fresh replica needs to catch up.

For every size there are two replicas that share no storage: one that finds its file with so many marks and families,
and one that begins with an empty memory and has all of it from the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.contestants import Scene, Service
from benchmarks.contests import Contest, Entry, Result, run
from benchmarks.load import Bounds
from tests.ports import free_port
from tests.replica import wait_for
from tokensvc.ledger import marks
from tokensvc.ledger.algebra import Family, State
from tokensvc.ledger.marks import RETENTION, Mark
from tokensvc.ledger.sqlite import SqliteLedger

LEDGER = "ledger.db"
_PAGE = 50_000
_SECONDS = 900.0


@dataclass(frozen=True)
class Measured:
    """A replica by its name: bytes in memory, and seconds until it was ready."""

    name: str
    resident: int
    ready: float


def measure(scene: Scene, sizes: Sequence[int], rounds: int, bounds: Bounds) -> tuple[list[Measured], Result]:
    with ExitStack() as running:
        pairs = [running.enter_context(_pair(scene, size)) for size in sizes]
        replicas = [replica for pair in pairs for replica in pair]
        entries = [Entry(service.name, service.server, service.introspections()) for service, _ in replicas]
        result = run(Contest("introspect", entries, entries[0].name), rounds, bounds)
        return [Measured(service.name, service.server.resident, ready) for service, ready in replicas], result


@contextmanager
def _pair(scene: Scene, size: int) -> Iterator[list[tuple[Service, float]]]:
    """The replica with the file and the one that catches up, each with the seconds until it was ready."""
    place = Scene(scene.directory / f"marks-{size}", scene.core, scene.connections, scene.grants)
    place.directory.mkdir()
    ports = free_port(), free_port()
    peers = {"TOKENSVC_PEERS": ",".join(f"http://127.0.0.1:{port}" for port in ports)}
    keeper = Service(place, f"sqlite, {size:,} marks, {size:,} families", f"sqlite:///{LEDGER}", peers, ports[0])
    shared = keeper.server.environment
    joiner = Service(place, f"memory, {size:,} marks, {size:,} families", "memory://", shared, ports[1])
    keeper.server.directory.mkdir()
    asyncio.run(_fill(keeper.server.directory / LEDGER, size))
    with ExitStack() as running:
        began = time.monotonic()
        running.enter_context(keeper.server)
        listening = time.monotonic()
        running.enter_context(joiner.server)
        joined = _wait(joiner, time.monotonic())
        # Neither is ready without the other, so the first is ready about when the second has caught up.
        yield [(keeper, listening - began), (joiner, joined)]


async def _fill(path: Path, size: int) -> None:
    """Marks on people and families of grants, as many of each."""
    now = time.time_ns() // 1_000_000
    ledger = SqliteLedger(path, now)
    for start in range(0, size, _PAGE):
        numbers = range(start, min(start + _PAGE, size))
        await ledger.merge(
            State(
                marks={marks.user("acme", f"user-{n:08}"): Mark(now - 1000, now + RETENTION) for n in numbers},
                families={f"family-{n:09}": Family(2, now + RETENTION, 0, ((0, now), (1, now))) for n in numbers},
            ),
            now,
        )
    await ledger.close()


def _wait(service: Service, began: float) -> float:
    def ready() -> bool:
        return httpx.get(f"http://127.0.0.1:{service.server.port}/readyz", timeout=60).status_code == 200

    wait_for(ready, f"{service.name} is ready", _SECONDS)
    return time.monotonic() - began
