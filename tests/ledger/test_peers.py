"""The tasks of a replica among peers: when it tells, how long it waits, and what it does before it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.ledger.support import DAY, GRACE, Grant
from tokensvc.errors import TemporarilyUnavailable
from tokensvc.ledger import Replayed, line, marks, peers
from tokensvc.ledger.exchange import Exchange
from tokensvc.ledger.marks import Mark, Subject
from tokensvc.ledger.memory import MemoryLedger
from tokensvc.ledger.messages import Answer, Question, Unheard
from tokensvc.ledger.peers import PeeredLedger

ACME: Subject = marks.account("acme")


def clock() -> int:
    return time.time_ns() // 1_000_000


class Fleet:
    """Replicas in one process. `silent` ones do not answer, `hanging` ones not before they are let go."""

    def __init__(self, size: int) -> None:
        self.urls = [str(number) for number in range(size)]
        self.silent: set[str] = set()
        self.hanging: set[str] = set()
        self.let_go = asyncio.Event()
        self.ledgers = [MemoryLedger(clock()) for _ in range(size)]
        self.replicas = [self.make(ledger) for ledger in self.ledgers]

    def make(self, ledger: MemoryLedger) -> PeeredLedger:
        exchange = Exchange(ledger, "1", 30_000, clock())
        exchange.caught_up = True
        replica = PeeredLedger(ledger, exchange, self, self, clock)
        replica.begin(lambda: None)
        return replica

    async def look(self) -> list[str]:
        return self.urls

    async def ask(self, url: str, question: Question) -> Answer:
        if url in self.hanging:
            await self.let_go.wait()
        if url in self.silent:
            raise Unheard("it is silent")
        return await self.replicas[int(url)].answer(question, clock())

    async def close(self) -> None:
        """Nothing to close: it is the test's."""

    async def mark(self, number: int) -> dict[str, bool]:
        now = clock()
        return dict((await self.replicas[number].mark(ACME, Mark(now, now + DAY), now)).peers)

    async def holds(self, number: int, what: Callable[[MemoryLedger], Coroutine[Any, Any, bool]]) -> None:
        async with asyncio.timeout(10):
            while not await what(self.ledgers[number]):  # noqa: ASYNC110  # nothing there could set an event
                await asyncio.sleep(0.01)

    async def know_each_other(self) -> None:
        """All have asked all, and know which address is their own."""
        async with asyncio.timeout(10):
            for number, replica in enumerate(self.replicas):
                others = len(self.urls) - 1
                while sum(peer.heard_ago is not None for peer in replica.report(clock()).peers) != others:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                assert str(number) not in {peer.url for peer in replica.report(clock()).peers}


def lived(story: Callable[[Fleet], Coroutine[Any, Any, None]], size: int = 3) -> None:
    async def live() -> None:
        fleet = Fleet(size)
        await fleet.know_each_other()
        try:
            await story(fleet)
        finally:
            fleet.let_go.set()
            for replica in fleet.replicas:
                await replica.close()

    asyncio.run(live())


async def is_marked(ledger: MemoryLedger) -> bool:
    return ACME in await ledger.marks(clock())


async def has_family(ledger: MemoryLedger) -> bool:
    return "fam" in (await ledger.state(clock())).families


def grant() -> Grant:
    return Grant(authorized_at=clock(), expires=clock() + DAY)


def test_mark_is_held_by_all_when_it_is_answered() -> None:
    async def story(fleet: Fleet) -> None:
        assert await fleet.mark(0) == {"1": True, "2": True}
        assert [await is_marked(ledger) for ledger in fleet.ledgers] == [True] * 3

    lived(story)


def test_mark_waits_half_a_second_for_who_is_slower_than_the_first_and_tells_it_all_the_same() -> None:
    async def story(fleet: Fleet) -> None:
        fleet.hanging.add("2")
        began = time.monotonic()
        assert await fleet.mark(0) == {"1": True, "2": False}
        assert time.monotonic() - began < peers.MARK_SECONDS
        fleet.let_go.set()
        await fleet.holds(2, is_marked)

    lived(story)


def test_mark_that_nobody_takes_is_refused_and_holds() -> None:
    async def story(fleet: Fleet) -> None:
        fleet.silent |= {"1", "2"}
        with pytest.raises(TemporarilyUnavailable, match="repeat"):
            await fleet.mark(0)
        assert await is_marked(fleet.ledgers[0])
        fleet.silent.clear()
        await fleet.holds(1, is_marked)
        await fleet.holds(2, is_marked)

    lived(story)


def test_mark_that_nobody_answers_is_refused_within_bounds() -> None:
    async def story(fleet: Fleet) -> None:
        fleet.hanging |= {"1", "2"}
        began = time.monotonic()
        with pytest.raises(TemporarilyUnavailable):
            await fleet.mark(0)
        assert peers.MARK_SECONDS - 0.1 < time.monotonic() - began < peers.MARK_SECONDS + 2

    lived(story)


def test_every_step_is_told() -> None:
    async def story(fleet: Fleet) -> None:
        one, now = fleet.replicas[0], clock()
        await one.advance(grant().step(0, GRACE), now)
        await one.spend("jti", now + DAY, now)
        await one.offer("ABC", "request", now + DAY, now)
        await one.decide("ABC", "yes", now)
        await one.offer("DEF", "request", now + DAY, now)
        with pytest.raises(Replayed):
            await one.advance(grant().step(0, GRACE), now)
        known = await fleet.ledgers[0].state(now)

        async def knows_all(ledger: MemoryLedger) -> bool:
            state = await ledger.state(now)
            parts = ("marks", "families", "spent", "offers")
            return all(getattr(state, part) == getattr(known, part) for part in parts)

        assert len(known.offers) == 2
        for number in (1, 2):
            await fleet.holds(number, knows_all)

    lived(story)


def test_replica_that_ends_tells_what_it_has_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a code that was redeemed just before a restart of `memory://` could be redeemed again."""

    async def story(fleet: Fleet) -> None:
        await fleet.replicas[0].advance(grant().step(0, GRACE), clock())
        await fleet.replicas[0].advance(grant().step(1, GRACE), clock())
        await fleet.replicas[0].close()
        assert [await has_family(ledger) for ledger in fleet.ledgers] == [True] * 3

    monkeypatch.setattr(line, "ASK_EVERY", 1000.0)
    monkeypatch.setattr(line, "TELL_EVERY", 1000.0)
    lived(story)


def test_what_is_never_told_is_found_by_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(fleet: Fleet) -> None:
        await fleet.ledgers[0].advance(grant().step(0, GRACE), clock())
        await fleet.holds(1, has_family)
        await fleet.holds(2, has_family)

    monkeypatch.setattr(line, "ASK_EVERY", 0.05)
    lived(story)
