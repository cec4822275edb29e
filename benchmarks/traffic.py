"""What replicas tell one another: bytes and processor time, by how many they are and how much changes.

Every replica is reached by its peers through a relay that counts, and by the load without one.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import httpx

from benchmarks.contestants import Scene, Service
from benchmarks.load import Refreshes, ask
from tests.ports import free_port
from tests.replica import wait_for

SECONDS = 8.0
_READ = 65_536


@dataclass(frozen=True, slots=True)
class Traffic:
    """For each replica and second: bytes that it sends to its peers, as many of which reach it, and processor time."""

    replicas: int
    changes: float
    sent: float
    cpu: float


def run(scene: Scene, replicas: int, rates: tuple[int, ...]) -> Iterator[Traffic]:
    """One fleet, changed at each rate in turn: so many refreshes a second, by turns at every replica."""
    with _relays(replicas) as relays, _fleet(scene, relays) as fleet:
        client_id, tokens = fleet[0].refresh_tokens()
        grants = [Refreshes(client_id, deque([token])) for token in tokens]
        for rate in rates:
            before, cpu, began = sum(relay.passed for relay in relays), _cpu(fleet), time.monotonic()
            changed = _change(fleet, grants, rate)
            took = time.monotonic() - began
            passed = sum(relay.passed for relay in relays) - before
            yield Traffic(replicas, changed / took, passed / took / replicas, (_cpu(fleet) - cpu) / took / replicas)


def _change(fleet: list[Service], grants: list[Refreshes], rate: int) -> int:
    """Refresh at a steady rate for a while; how often that was."""
    began, changed = time.monotonic(), 0
    while (spent := time.monotonic() - began) < SECONDS:
        due = began + (changed + 1) / rate if rate else began + SECONDS
        time.sleep(max(0.0, min(due, began + SECONDS) - time.monotonic()))
        if not rate or spent >= SECONDS:
            continue
        grant = grants[changed % len(grants)]
        grant.answered(ask(fleet[changed % len(fleet)].server.port, grant.request()))
        changed += 1
    return changed


@contextmanager
def _fleet(scene: Scene, relays: list[_Relay]) -> Iterator[list[Service]]:
    place = Scene(scene.directory / f"traffic-{len(relays)}", scene.core, 1, 200)
    place.directory.mkdir()
    shared = {
        "TOKENSVC_PEERS": ",".join(f"http://127.0.0.1:{relay.port}" for relay in relays),
        "TOKENSVC_PEERS_BOOTSTRAP": "true",
    }
    fleet: list[Service] = []
    with ExitStack() as running:
        for number, relay in enumerate(relays):
            fleet.append(Service(place, f"replica {number}", "memory://", shared, relay.target))
            shared = {**fleet[0].server.environment}
            running.enter_context(fleet[-1].server)
        for service in fleet:
            _wait(service)
        yield fleet


def _wait(service: Service) -> None:
    def ready() -> bool:
        return httpx.get(f"http://127.0.0.1:{service.server.port}/readyz", timeout=60).status_code == 200

    wait_for(ready, f"{service.name} is ready", 60)


def _cpu(fleet: list[Service]) -> float:
    return sum(service.server.cpu for service in fleet)


@dataclass
class _Relay:
    """Hands on what comes to `port`, to `target` and back, and counts the bytes in both directions."""

    target: int
    port: int = 0
    passed: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def begin(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._hand_on(reader, back), self._hand_on(onward, writer))

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(_READ):
                self.passed += len(data)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@contextmanager
def _relays(count: int) -> Iterator[list[_Relay]]:
    """On a thread of their own, beside the load."""
    relays = [_Relay(free_port()) for _ in range(count)]
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    for relay in relays:
        asyncio.run_coroutine_threadsafe(relay.begin(), loop).result()
    try:
        yield relays
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
