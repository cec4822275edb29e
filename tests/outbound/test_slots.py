"""Room for fetches: bounded altogether and for each host, and never waited for long."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tokensvc.outbound import Busy, slots
from tokensvc.outbound.slots import Slots


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "PATIENCE", 0.02)


def test_no_host_takes_all_the_room() -> None:
    async def scene() -> None:
        room = Slots(3, 2)
        async with AsyncExitStack() as held:
            for _ in range(2):
                await held.enter_async_context(room.one("greedy.example"))
            with pytest.raises(Busy):
                await held.enter_async_context(room.one("greedy.example"))
            await held.enter_async_context(room.one("other.example"))
            with pytest.raises(Busy):
                await held.enter_async_context(room.one("third.example"))
        for host in ("greedy.example", "third.example") * 2:
            async with room.one(host):
                pass

    asyncio.run(scene())


def test_slot_that_becomes_free_goes_to_whoever_waits() -> None:
    async def scene() -> None:
        room = Slots(1, 1)
        first = room.one("a.example")
        await first.__aenter__()
        waiting = asyncio.create_task(room.one("b.example").__aenter__())
        await asyncio.sleep(0)
        await first.__aexit__(None, None, None)
        await waiting

    asyncio.run(scene())


def test_hosts_are_forgotten() -> None:
    async def scene() -> None:
        room = Slots(1, 1)
        for n in range(50):
            async with room.one(f"h{n}.example"):
                pass
        assert not room._of_hosts

    asyncio.run(scene())
