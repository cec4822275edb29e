"""The thread that writes: it takes all steps that wait for it into one transaction, and witnesses what it wrote."""

import asyncio
import queue
import secrets
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tokensvc.ledger import book
from tokensvc.ledger.algebra import Continuity
from tokensvc.ledger.sqlite.connection import SCHEMA, file_at, place_of, unavailable
from tokensvc.ledger.sqlite.rows import Rows
from tokensvc.ledger.witness import Witness

SWEEP_EVERY = 60_000
"""Milliseconds between two sweeps of what has expired."""
BEAT_EVERY = 1_000
"""Milliseconds between two heartbeats while no mark is written: a backup from within them goes unnoticed."""
ORPHANED = "another file stands where the ledger's was, or none: restart"
_BATCH = 256


class Job(NamedTuple):
    step: "Callable[[Rows], Any]"
    now: int
    done: "asyncio.Future[Any]"


class Writer:
    """The thread that owns the writing connection.

    `orphaned` is true while another file, or none, stands where the ledger's was: what other processes write there
    is unknown here, so nothing can be answered. `begun` is the heartbeat that the file was found with, `epoch` the
    name of its memory.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.orphaned = False
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._path = path
        self._file = file_at(path)
        self._connection = connection
        self._book = Rows(connection)
        self._witness = Witness(path)
        self._swept = self._beaten = self.begun = 0
        self._unwitnessed = False
        self.epoch = ""
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def begin(self, now: int, *, alone: bool) -> bool:
        """Make the tables where they are missing and settle since when the file is complete."""
        self._connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT")
        self._connection.execute("BEGIN IMMEDIATE")
        beat = self._book.meta("beat")
        self.begun = beat or 0
        seen = self._witness.read()
        restored = beat is not None and (seen is None or seen > beat)
        if beat is None or restored:
            self._book.continuity = Continuity(spent_since=now, marks_since=now)
            self._book.put_meta("settled", int(alone))
            self._book.put_meta("place", 0)
        self.epoch = self._begin_epoch()
        beaten = self._beat(now, seen or 0)
        if beat is None or restored:
            # Before the commit: another process that opens the file must find its witness there.
            self._witness.write(beaten)
        self._connection.execute("COMMIT")
        self._witness.write(beaten)
        return restored

    def start(self) -> None:
        self._thread.start()

    def put(self, job: Job) -> None:
        self._jobs.put(job)

    def stop(self) -> None:
        self._jobs.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while (batch := self._take()) is not None:
            if batch:
                _deliver(batch, self._commit(batch))
            else:
                self._rest()
        self._commit([], beat=True)

    def _take(self) -> list[Job] | None:
        """All jobs that wait; none after a second without any; None when the ledger closes."""
        try:
            first = self._jobs.get(timeout=BEAT_EVERY / 1000)
        except queue.Empty:
            return []
        if first is None:
            return None
        batch = [first]
        while len(batch) < _BATCH and not self._jobs.empty():
            job = self._jobs.get()
            if job is None:
                self._jobs.put(None)
                break
            batch.append(job)
        return batch

    def _rest(self) -> None:
        """No advance stays unwitnessed, and no file that was taken away unnoticed, because nothing else happens."""
        self.orphaned = file_at(self._path) != self._file
        if self._unwitnessed:
            self._commit([], beat=True)

    def _commit(self, batch: list[Job], *, beat: bool = False) -> list[Any]:
        """The outcome of each step, a result or an exception, once all of them are on disk."""
        try:
            return self._transact(batch, beat=beat)
        except Exception as error:
            with suppress(sqlite3.Error):
                self._connection.rollback()
            self._book.look_again()
            if isinstance(error, sqlite3.Error | OSError):
                return [unavailable(error) for _ in batch]
            if len(batch) == 1:
                return [error]
            # A fault of one step is not its neighbours'.
            return [outcome for job in batch for outcome in self._commit([job])]

    def _transact(self, batch: list[Job], *, beat: bool) -> list[Any]:
        self.orphaned = file_at(self._path) != self._file
        if self.orphaned:
            raise OSError(ORPHANED)
        now = max((job.now for job in batch), default=self._beaten)
        before = self._connection.total_changes
        self._connection.execute("BEGIN IMMEDIATE")
        self._book.look(now)
        outcomes = [_attempt(job, self._book) for job in batch]
        self._sweep(now)
        self._unwitnessed |= self._connection.total_changes > before
        late = self._unwitnessed and not 0 <= now - self._beaten < BEAT_EVERY
        beaten = self._beat(now) if beat or late or self._book.marked else None
        self._connection.execute("COMMIT")
        self._book.marked = False
        # What was committed stands, and says so: to call it unanswered would have its code redeemed a second time. A
        # witness that cannot be written is tried again every second.
        if beaten is not None:
            self._unwitnessed = True
            with suppress(OSError):
                self._witness.write(beaten)
                self._unwitnessed = False
        return outcomes

    def _begin_epoch(self) -> str:
        """The file's own, but anew where it lies in another place: two copies of a file are two memories."""
        place = place_of(self._path)
        if self._book.meta("place") != place:
            self._book.put_meta("place", place)
            self._book.put_meta("epoch", secrets.randbits(62))
        return f"{self._book.meta('epoch'):x}"

    def _beat(self, now: int, seen: int = 0) -> int:
        """Raise the heartbeat, which never stands still: the witness holds a copy that no backup of the file has."""
        beat = max(now, seen + 1, (self._book.meta("beat") or 0) + 1)
        self._book.put_meta("beat", beat)
        self._beaten = now
        return beat

    def _sweep(self, now: int) -> None:
        if now - self._swept > SWEEP_EVERY:
            self._book.forget(now)
            self._swept = now


def _attempt(job: Job, entries: Rows) -> Any:
    try:
        return job.step(entries)
    except book.REFUSALS as refusal:
        return refusal


def _deliver(batch: list[Job], outcomes: list[Any]) -> None:
    """Hand the outcomes to the event loops that wait for them, with one wake-up each."""
    for loop in {job.done.get_loop() for job in batch}:
        answers = [
            (job.done, outcome) for job, outcome in zip(batch, outcomes, strict=True) if job.done.get_loop() is loop
        ]
        # A loop that is closed has nobody who waits any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, answers)


def _resolve(answers: "list[tuple[asyncio.Future[Any], Any]]") -> None:
    for done, outcome in answers:
        if done.done():
            continue
        if isinstance(outcome, Exception):
            done.set_exception(outcome)
        else:
            done.set_result(outcome)
