"""Names: asked of the system in threads that are bounded, and that nobody waits for."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.replica import SECONDS
from tokensvc.outbound import Busy
from tokensvc.outbound.resolver import Resolver


class NameServers:
    """In the place of the system's: silent about names that begin with `silent`, until they are let go."""

    def __init__(self) -> None:
        self.answering = threading.Event()

    def __call__(self, host: str, port: int, **_options: Any) -> list[Any]:
        if host.startswith("silent"):
            self.answering.wait(SECONDS)
        if host.startswith("odd"):
            raise UnicodeError("label too long")
        if not host.startswith("good"):
            raise socket.gaierror("no such host")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServers]:
    servers = NameServers()
    monkeypatch.setattr(socket, "getaddrinfo", servers)
    yield servers
    servers.answering.set()


@pytest.mark.usefixtures("servers")
def test_addresses_are_the_systems_and_none_where_there_are_none() -> None:
    async def scene() -> None:
        resolve = Resolver(1)
        assert await resolve("good.example", 443) == ["192.0.2.1"]
        for name in ("no.example", "odd.example"):
            assert not await resolve(name, 443)

    asyncio.run(scene())


def test_silent_name_servers_hold_so_many_threads_and_no_more_even_where_nobody_waits(servers: NameServers) -> None:
    async def scene() -> None:
        resolve, other = Resolver(3), Resolver(1)
        for n in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(resolve(f"silent{n}.example", 443), 0.01)
        with pytest.raises(Busy):
            await resolve("good.example", 443)
        assert await other("good.example", 443), "it has threads of its own"
        servers.answering.set()
        async with asyncio.timeout(SECONDS):
            while resolve._free < 3:  # noqa: ASYNC110  # nothing tells when it is
                await asyncio.sleep(0.01)
        assert await resolve("good.example", 443)

    asyncio.run(scene())


def test_process_ends_while_a_name_is_being_resolved() -> None:
    program = """
import asyncio, socket, time
from tokensvc.outbound.resolver import Resolver

def silent(*_arguments, **_options):
    print("asked", flush=True)
    time.sleep(600)

async def main():
    try:
        await asyncio.wait_for(Resolver(1)("silent.example", 443), 0.1)
    except TimeoutError:
        print("left")

socket.getaddrinfo = silent
asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert (ended.stdout.split(), ended.stderr) == (["asked", "left"], "")
