"""`sqlite://`: the ledger of one machine, shared by any number of processes, durable before anything is answered.

One thread a process writes. It takes all steps that wait for it into one transaction, so that a busy replica pays for
one flush to disk and not for each request. Reading needs no thread: marks are mirrored in memory, and sqlite says for
the price of a look into shared memory (`PRAGMA data_version`) whether another connection has committed since. An offer
is one row, found by its code.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TypeVar

from tokensvc.ledger import Advanced, Changes, Feed, Marked, Step, Summary, book
from tokensvc.ledger.algebra import Continuity, Key, Offer, State
from tokensvc.ledger.journal import read_cursor, write_cursor
from tokensvc.ledger.marks import MAX_AHEAD, Mark, Marks, Minted, Subject
from tokensvc.ledger.sqlite.connection import connect, unavailable
from tokensvc.ledger.sqlite.rows import TABLES, Mirror, Rows
from tokensvc.ledger.sqlite.writer import ORPHANED, Job, Writer

Result = TypeVar("Result")


class SqliteLedger:
    """Open with `SqliteLedger(path, now)`. `restored` is true where the file is older than its witness.

    A file that is new or restored counts as settled where it stands `alone`: there is nobody who knows more.
    """

    def __init__(self, path: Path, now: int, *, alone: bool = True) -> None:
        path = path.absolute()
        try:
            with ExitStack() as opened:
                writing = opened.enter_context(closing(connect(path)))
                reading = opened.enter_context(closing(connect(path)))
                self._writer = Writer(path, writing)
                self.restored = self._writer.begin(now, alone=alone)
                self._reading, self._mirror, self._entries = reading, Mirror(reading), Rows(reading)
                opened.pop_all()
        except (sqlite3.Error, OSError) as error:
            raise unavailable(error) from error
        self.epoch = self._writer.epoch
        self._looked = False
        self._latest = max(now, self._writer.begun)
        self._closed = False
        self._writer.start()

    async def ready(self, now: int) -> None:
        self._latest = max(self._latest, now)
        book.check_clock(self._latest, now)

    async def fresh(self, now: int) -> None:
        """All that share the file are told at once."""

    async def check(self, minted: Minted) -> None:
        marks = self._marks()
        book.check_continuity(self._mirror.continuity, minted)
        marks.check(minted)

    async def lift(self, subjects: Iterable[Subject], now: int) -> int:
        marks = self._marks()
        return book.lifted(marks, self._mirror.continuity, subjects, now)

    async def advance(self, step: Step, now: int) -> Advanced:
        return await self._write(lambda entries: book.advance(entries, step, now), now)

    async def mark(self, subject: Subject, mark: Mark, now: int, instead: Subject | None = None) -> Marked:
        return await self._write(lambda entries: book.mark(entries, subject, mark, now, instead), now)

    async def spend(self, use: str, expires: int, now: int) -> None:
        await self._write(lambda entries: book.spend(entries, use, expires, now), now)

    async def offer(self, code: str, request: str, expires: int, now: int) -> None:
        await self._write(lambda entries: book.offer(entries, code, request, expires, now), now)

    async def offered(self, code: str, now: int) -> Offer | None:
        """No step: who asks again and again waits for no writer, and has nobody wait."""
        self._check_file()
        try:
            return book.offered(self._entries, code, now)
        except sqlite3.Error as error:
            raise unavailable(error) from error

    async def decide(self, code: str, decision: str, now: int) -> None:
        await self._write(lambda entries: book.decide(entries, code, decision, now), now)

    async def merge(self, state: State, now: int) -> None:
        await self._write(lambda entries: book.merge(entries, state, now), now)

    async def changes(self, since: str, limit: int, now: int) -> Changes:
        after = read_cursor(since, self.epoch, len(TABLES))
        state, reached, more = await self._write(lambda entries: entries.changes(after, limit, now), now)
        return Changes(state, write_cursor(self.epoch, *reached), more)

    async def excerpt(self, keys: Iterable[Key], now: int) -> State:
        named = [*keys]
        return await self._write(lambda entries: book.excerpt(entries, named, now), now)

    async def settled(self) -> bool:
        return await self._write(lambda entries: bool(entries.meta("settled")), self._latest)

    async def settle(self, now: int, since: Continuity | None = None) -> None:
        await self._write(lambda entries: entries.settle(since), now)

    async def marks(self, now: int) -> dict[Subject, Mark]:
        return {subject: mark for subject, mark in self._marks() if mark.expires > now}

    async def feed(self, position: int, most: int, now: int) -> Feed:
        return book.feed(self._marks(), position, most, now)

    async def summary(self, now: int) -> Summary:
        families = await self._write(lambda entries: entries.families(), now)
        self._marks()
        return Summary("sqlite", self._mirror.continuity, families)

    async def state(self, now: int) -> State:
        return await self._write(lambda entries: entries.state(now), now)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._writer.stop)
        self._reading.close()

    def _marks(self) -> Marks:
        self._check_file()
        if not self._looked:
            self._look()
        return self._mirror.marks

    def _check_file(self) -> None:
        if self._writer.orphaned:
            raise unavailable(OSError(ORPHANED))

    def _look(self) -> None:
        """One look serves every request that was here by then: it counts until the event loop turns to newer ones."""
        try:
            self._mirror.look()
        except sqlite3.Error as error:
            raise unavailable(error) from error
        self._looked = True
        asyncio.get_running_loop().call_soon(self._look_no_more)

    def _look_no_more(self) -> None:
        self._looked = False

    async def _write(self, step: "Callable[[Rows], Result]", now: int) -> Result:
        if self._closed:
            raise unavailable(OSError("it is closed"))
        self._mirror.marks.forget(now - MAX_AHEAD)
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._writer.put(Job(step, now, done))
        return await done
