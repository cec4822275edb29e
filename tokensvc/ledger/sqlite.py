"""`sqlite://`: the ledger of one machine, shared by any number of processes, durable before anything is answered.

One thread a process writes. It takes all steps that wait for it into one transaction, so that a busy replica pays for
one flush to disk and not for each request. Reading needs no thread: marks are mirrored in memory, and sqlite says for
the price of a look into shared memory (`PRAGMA data_version`) whether another connection has committed since.
"""

import asyncio
import json
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote

from tokensvc.errors import TemporarilyUnavailable
from tokensvc.ledger import Advanced, Feed, Step, Summary, book
from tokensvc.ledger.algebra import Continuity, Family, Offer, State
from tokensvc.ledger.marks import Mark, Marks, Minted, Subject, subject_text
from tokensvc.ledger.witness import Witness

BUSY_SECONDS = 5.0
"""How long a step waits for another process's transaction before it answers 503."""
SWEEP_EVERY = 60_000
"""Milliseconds between two sweeps of what has expired."""
BEAT_EVERY = 1_000
"""Milliseconds between two heartbeats while no mark is written: a backup from within them goes unnoticed."""
_BATCH = 256
_ORPHANED = "another file stands where the ledger's was, or none: restart"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL UNIQUE,
    not_before INTEGER NOT NULL, expires INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS families (
    name TEXT PRIMARY KEY, head INTEGER NOT NULL, expires INTEGER NOT NULL, floor INTEGER NOT NULL,
    recent TEXT NOT NULL, redemption TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent (use TEXT PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS offers (
    code TEXT PRIMARY KEY, request TEXT NOT NULL, expires INTEGER NOT NULL, decision TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS marks_highest ON marks (not_before);
CREATE INDEX IF NOT EXISTS families_expire ON families (expires);
CREATE INDEX IF NOT EXISTS spent_expire ON spent (expires);
"""

Result = TypeVar("Result")


class SqliteLedger:
    """Open with `SqliteLedger(path, now)`. `restored` is true where the file is older than its witness."""

    def __init__(self, path: Path, now: int) -> None:
        path = path.absolute()
        try:
            with ExitStack() as opened:
                writing = opened.enter_context(closing(_connect(path)))
                reading = opened.enter_context(closing(_connect(path)))
                self._writer = _Writer(path, writing)
                self.restored = self._writer.begin(now)
                self._reading, self._mirror = reading, _Mirror(reading)
                opened.pop_all()
        except (sqlite3.Error, OSError) as error:
            raise _unavailable(error) from error
        self._looked = False
        self._swept = now
        self._latest = max(now, self._writer.begun)
        self._closed = False
        self._writer.start()

    async def ready(self, now: int) -> None:
        self._latest = max(self._latest, now)
        book.check_clock(self._latest, now)

    async def check(self, minted: Minted) -> None:
        marks = self._marks()
        book.check_continuity(self._mirror.continuity, minted)
        marks.check(minted)

    async def lift(self, subjects: Iterable[Subject], now: int) -> int:
        marks = self._marks()
        return book.lifted(marks, self._mirror.continuity, subjects, now)

    async def advance(self, step: Step, now: int) -> Advanced:
        return await self._write(lambda entries: book.advance(entries, step, now), now)

    async def mark(self, subject: Subject, mark: Mark, now: int) -> Mark:
        return await self._write(lambda entries: book.mark(entries, subject, mark, now), now)

    async def spend(self, use: str, expires: int, now: int) -> None:
        await self._write(lambda entries: book.spend(entries, use, expires, now), now)

    async def offer(self, code: str, request: str, expires: int, now: int) -> None:
        await self._write(lambda entries: book.offer(entries, code, request, expires, now), now)

    async def offered(self, code: str, now: int) -> Offer | None:
        return await self._write(lambda entries: book.offered(entries, code, now), now)

    async def decide(self, code: str, decision: str, now: int) -> None:
        await self._write(lambda entries: book.decide(entries, code, decision, now), now)

    async def merge(self, state: State, now: int) -> None:
        await self._write(lambda entries: book.merge(entries, state, now), now)

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
        if self._writer.orphaned:
            raise _unavailable(OSError(_ORPHANED))
        if not self._looked:
            self._look()
        return self._mirror.marks

    def _look(self) -> None:
        """One look serves every request that was here by then: it counts until the event loop turns to newer ones."""
        try:
            self._mirror.look()
        except sqlite3.Error as error:
            raise _unavailable(error) from error
        self._looked = True
        asyncio.get_running_loop().call_soon(self._look_no_more)

    def _look_no_more(self) -> None:
        self._looked = False

    async def _write(self, step: "Callable[[_SqliteBook], Result]", now: int) -> Result:
        if self._closed:
            raise _unavailable(OSError("it is closed"))
        if now - self._swept > SWEEP_EVERY:
            self._swept = now
            self._mirror.marks.forget(now)
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._writer.put(_Job(step, now, done))
        return await done


class _Job(NamedTuple):
    step: "Callable[[_SqliteBook], Any]"
    now: int
    done: "asyncio.Future[Any]"


class _Writer:
    """The thread that owns the writing connection.

    `orphaned` is true while another file, or none, stands where the ledger's was: what other processes write there
    is unknown here, so nothing can be answered. `begun` is the heartbeat that the file was found with.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.orphaned = False
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._path = path
        self._file = _file_at(path)
        self._connection = connection
        self._book = _SqliteBook(connection)
        self._witness = Witness(path)
        self._swept = self._beaten = self.begun = 0
        self._unwitnessed = False
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def begin(self, now: int) -> bool:
        """Make the tables where they are missing and settle since when the file is complete."""
        self._connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT")
        self._connection.execute("BEGIN IMMEDIATE")
        beat = self._book.meta("beat")
        self.begun = beat or 0
        seen = self._witness.read()
        restored = beat is not None and (seen is None or seen > beat)
        if beat is None or restored:
            self._book.continuity = Continuity(spent_since=now, marks_since=now)
        beaten = self._beat(now, seen or 0)
        if beat is None or restored:
            # Before the commit: another process that opens the file must find its witness there.
            self._witness.write(beaten)
        self._connection.execute("COMMIT")
        self._witness.write(beaten)
        return restored

    def start(self) -> None:
        self._thread.start()

    def put(self, job: _Job) -> None:
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

    def _take(self) -> list[_Job] | None:
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
        self.orphaned = _file_at(self._path) != self._file
        if self._unwitnessed:
            self._commit([], beat=True)

    def _commit(self, batch: list[_Job], *, beat: bool = False) -> list[Any]:
        """The outcome of each step, a result or an exception, once all of them are on disk."""
        try:
            return self._transact(batch, beat=beat)
        except Exception as error:
            with suppress(sqlite3.Error):
                self._connection.rollback()
            self._book.look_again()
            if isinstance(error, sqlite3.Error | OSError):
                return [_unavailable(error) for _ in batch]
            if len(batch) == 1:
                return [error]
            # A fault of one step is not its neighbours'.
            return [outcome for job in batch for outcome in self._commit([job])]

    def _transact(self, batch: list[_Job], *, beat: bool) -> list[Any]:
        self.orphaned = _file_at(self._path) != self._file
        if self.orphaned:
            raise OSError(_ORPHANED)
        now = max((job.now for job in batch), default=self._beaten)
        before = self._connection.total_changes
        self._connection.execute("BEGIN IMMEDIATE")
        self._book.look()
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


class _SqliteBook:
    """The entries as rows, inside a transaction that the writer holds. `marked` says whether a mark was put.

    What every step asks for is mirrored: nobody else writes during a transaction, so one look at its start is enough.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._mirror = _Mirror(connection)
        self.marked = False

    def look(self) -> None:
        self._mirror.look()

    def look_again(self) -> None:
        """After a rollback: the mirror may have what the file has not."""
        self._mirror = _Mirror(self._connection)
        self.marked = False

    @property
    def continuity(self) -> Continuity:
        return self._mirror.continuity

    @continuity.setter
    def continuity(self, continuity: Continuity) -> None:
        self.put_meta("spent_since", continuity.spent_since)
        self.put_meta("marks_since", continuity.marks_since)
        self._mirror.catch_up()

    def meta(self, name: str) -> int | None:
        row = self._execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else None

    def put_meta(self, name: str, value: int) -> None:
        self._execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def marks_on(self, subjects: Iterable[Subject]) -> Marks:
        return self._mirror.marks.on(subjects)

    def highest_mark(self) -> int:
        return self._mirror.marks.highest

    def put_mark(self, subject: Subject, mark: Mark) -> None:
        """Every change takes a new `seq`, which is how mirrors find it."""
        merged = self.marks_on([subject])
        merged.put(subject, mark)
        for _, (not_before, expires) in merged:
            values = (subject_text(subject), not_before, expires)
            self._execute("INSERT OR REPLACE INTO marks (subject, not_before, expires) VALUES (?, ?, ?)", values)
        self._mirror.catch_up()
        self.marked = True

    def families(self) -> int:
        (count,) = self._execute("SELECT count(*) FROM families").fetchone()
        return int(count)

    def family(self, name: str) -> Family | None:
        query = "SELECT head, expires, floor, recent, redemption FROM families WHERE name = ?"
        row = self._execute(query, (name,)).fetchone()
        return _family(row) if row else None

    def put_family(self, name: str, entry: Family) -> None:
        values = (name, entry.head, entry.expires, entry.floor, json.dumps(entry.recent), entry.redemption)
        self._execute("INSERT OR REPLACE INTO families VALUES (?, ?, ?, ?, ?, ?)", values)

    def spent(self, use: str) -> int | None:
        row = self._execute("SELECT expires FROM spent WHERE use = ?", (use,)).fetchone()
        return int(row[0]) if row else None

    def put_spent(self, use: str, expires: int) -> None:
        self._execute("INSERT OR REPLACE INTO spent VALUES (?, ?)", (use, expires))

    def offer(self, code: str) -> Offer | None:
        row = self._execute("SELECT request, expires, decision FROM offers WHERE code = ?", (code,)).fetchone()
        return Offer(*row) if row else None

    def put_offer(self, code: str, offer: Offer) -> None:
        values = (code, offer.request, offer.expires, offer.decision)
        self._execute("INSERT OR REPLACE INTO offers VALUES (?, ?, ?, ?)", values)

    def state(self, now: int) -> State:
        marks = self._execute("SELECT subject, not_before, expires FROM marks WHERE expires > ?", (now,))
        families = self._execute(
            "SELECT name, head, expires, floor, recent, redemption FROM families WHERE expires > ?", (now,)
        )
        spent = self._execute("SELECT use, expires FROM spent WHERE expires > ?", (now,))
        offers = self._execute("SELECT code, request, expires, decision FROM offers WHERE expires > ?", (now,))
        return State(
            marks={_subject(text): Mark(not_before, expires) for text, not_before, expires in marks},
            families={name: _family(row) for name, *row in families},
            spent=dict(spent),
            offers={code: Offer(*row) for code, *row in offers},
            continuity=self.continuity,
        )

    def forget(self, now: int) -> None:
        self._mirror.marks.forget(now)
        for table in ("marks", "families", "spent", "offers"):
            self._execute(f"DELETE FROM {table} WHERE expires <= ?", (now,))  # noqa: S608  # names of our own


class _Mirror:
    """The marks and the continuity in memory, brought up to date by what was committed since the last look."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._version = self._seq = -1
        self.marks = Marks()
        self.continuity = Continuity(0, 0)

    def look(self) -> None:
        """Catch up if another connection than this one has committed."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self.catch_up()
            self._version = version

    def catch_up(self) -> None:
        rows = dict(self._connection.execute("SELECT name, value FROM meta"))
        self.continuity = Continuity(rows.get("spent_since", 0), rows.get("marks_since", 0))
        query = "SELECT seq, subject, not_before, expires FROM marks WHERE seq > ? ORDER BY seq"
        for seq, text, not_before, expires in self._connection.execute(query, (self._seq,)):
            self.marks.put(_subject(text), Mark(not_before, expires))
            self._seq = seq


def _connect(path: Path) -> sqlite3.Connection:
    """Transactions are begun and ended by hand; a commit is on disk when it returns."""
    # It names accounts and users. What sqlite puts beside it gets the same rights.
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Where several processes make a new file at once, each switches it; sqlite itself does not wait for that."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up:
                raise
            time.sleep(0.01)
        else:
            return


def _file_at(path: Path) -> tuple[int, int] | None:
    """Which file it is, whatever its name; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _family(row: Iterable[Any]) -> Family:
    head, expires, floor, recent, redemption = row
    return Family(head, expires, floor, tuple((generation, at) for generation, at in json.loads(recent)), redemption)


def _subject(text: str) -> Subject:
    """The inverse of `subject_text`, of whatever kind: a later release that shares the file may know more of them."""
    kind, _, name = text.partition(":")
    return (kind, *(unquote(part) for part in name.split("/"))) if name else (kind,)


def _attempt(job: _Job, entries: _SqliteBook) -> Any:
    try:
        return job.step(entries)
    except book.REFUSALS as refusal:
        return refusal


def _deliver(batch: list[_Job], outcomes: list[Any]) -> None:
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


def _unavailable(error: Exception) -> TemporarilyUnavailable:
    return TemporarilyUnavailable("the ledger cannot be asked", reason=f"ledger: {type(error).__name__}: {error}")
