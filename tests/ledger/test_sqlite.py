"""What sqlite adds: several processes, crashes, restarts, backups and a file that something happens to."""

import asyncio
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ledger.support import BEGAN, DAY, GRACE, NOW, SECOND, Driver, Grant, Minted
from tests.promises import proves
from tokensvc.errors import TemporarilyUnavailable
from tokensvc.ledger import Advanced, Replayed, Spent, marks
from tokensvc.ledger.algebra import Continuity, Offer, State
from tokensvc.ledger.marks import Dead, Mark
from tokensvc.ledger.sqlite import SqliteLedger, connection, writer

ROOT = Path(__file__).parents[2]
FOREVER = NOW + 300 * DAY
GRANT = Grant()
TABLES = ("marks", "families", "spent", "offers")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@contextmanager
def opened(path: Path, now: int = BEGAN) -> Iterator[Driver]:
    driver = Driver(SqliteLedger(path, now))
    try:
        yield driver
    finally:
        driver.close()


def restored(driver: Driver) -> bool:
    assert isinstance(driver.ledger, SqliteLedger)
    return driver.ledger.restored


def mark_account(driver: Driver, account: str, now: int = NOW) -> None:
    driver.mark(marks.account(account), Mark(now, FOREVER), now)


def witness_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-witness")


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.005)


class Process:
    """Another process that holds the ledger, as tests/ledger/process.py does."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.ledger.process", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def tell(self, *command: object) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())

    def ask(self, *command: object) -> Any:
        self.tell(*command)
        return self.hear()

    def kill(self) -> list[Any]:
        """SIGKILL; what it had still acknowledged. A line that it could not end is no acknowledgement."""
        assert self._process.stdout
        self._process.kill()
        return [json.loads(line) for line in self._process.stdout if line.endswith("\n")]

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def processes(path: Path, number: int) -> Iterator[list[Process]]:
    started = [Process(path) for _ in range(number)]
    try:
        for process in started:
            assert process.hear() == "open"
        yield started
    finally:
        for process in started:
            process.end()


class Opening:
    """A ledger that is opened in a thread of its own, as many workers do at once."""

    def __init__(self, path: Path, start: threading.Barrier | None = None) -> None:
        self._path = path
        self._start = start
        self._opened: Driver | Exception | None = None
        self.thread = threading.Thread(target=self._open, daemon=True)
        self.thread.start()

    def wait(self) -> Driver:
        self.thread.join()
        assert isinstance(self._opened, Driver), self._opened
        return self._opened

    def _open(self) -> None:
        if self._start:
            self._start.wait()
        try:
            self._opened = Driver(SqliteLedger(self._path, NOW))
        except Exception as failure:
            self._opened = failure


class TestProcesses:
    def test_of_the_uses_of_one_code_in_four_processes_one_succeeds(self, path: Path) -> None:
        """Each process tries 16 times, and all begin together: the file is contended in every round."""
        with processes(path, 4) as crowd, opened(path) as here:
            for number in range(10):
                for process in crowd:
                    process.tell("use", f"f{number}", 0, 16)
                outcomes = Counter(outcome for process in crowd for outcome in process.hear())
                assert outcomes == {"advanced": 1, "Replayed": 1, "Dead": 62}
                assert here.is_dead(Grant(family=f"f{number}").access(1))

    def test_processes_that_refresh_one_token_at_once_get_the_same_successor(self, path: Path) -> None:
        with processes(path, 4) as crowd, opened(path) as here:
            for number in range(5):
                here.advance(Grant(family=f"f{number}").step(0), NOW)
                for process in crowd:
                    process.tell("use", f"f{number}", 1, 4)
                outcomes = Counter(outcome for process in crowd for outcome in process.hear())
                assert outcomes == {"advanced": 1, "repeated": 15}
                assert here.state(NOW).families[f"f{number}"].head == 2
                here.check(Grant(family=f"f{number}").access(2))

    @proves("introspect", "sqlite", "exact, in every process")
    def test_a_mark_is_seen_by_the_very_next_check_in_another_process(self, path: Path) -> None:
        with processes(path, 1) as [other], opened(path) as here:
            for number in range(50):
                mine, theirs = f"mine{number}", f"theirs{number}"
                assert other.ask("check", mine) == "alive"
                mark_account(here, mine)
                assert other.ask("check", mine) == "dead"
                here.check(Grant(account=theirs).minted)
                other.ask("mark", theirs)
                assert here.is_dead(Grant(account=theirs).minted)

    def test_a_merge_of_another_process_lends_its_memory_at_once(self, path: Path) -> None:
        with opened(path, NOW) as here, opened(path, NOW) as there:
            earlier = Minted(GRANT.person, NOW - 1)
            assert here.is_dead(earlier)
            there.merge(State(continuity=Continuity(BEGAN, BEGAN)), NOW)
            here.check(earlier)

    def test_many_that_make_the_new_file_at_once_all_begin(self, tmp_path: Path) -> None:
        for attempt in range(5):
            path = tmp_path / str(attempt) / "ledger.db"
            path.parent.mkdir()
            start = threading.Barrier(4)
            openings = [Opening(path, start) for _ in range(4)]
            drivers = [opening.wait() for opening in openings]
            verdicts = [(restored(driver), driver.is_dead(GRANT.minted)) for driver in drivers]
            for driver in drivers:
                driver.close()
            assert verdicts == [(False, False)] * 4

    def test_who_finds_another_at_work_on_the_new_file_waits_for_it(self, path: Path) -> None:
        """sqlite itself refuses at once to switch a file that another process is about to write."""
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            opening = Opening(path)
            opening.thread.join(0.2)
            assert opening.thread.is_alive()
            other.execute("COMMIT")
        opening.wait().close()


class TestCrash:
    def test_whatever_was_acknowledged_before_a_kill_is_there_after_it(self, path: Path) -> None:
        """Two processes write; one is killed wherever it happens to be, and the other goes on."""
        acknowledged: list[list[str]] = []
        for attempt in range(4):
            with processes(path, 2) as [victim, survivor]:
                for name, process in (("victim", victim), ("survivor", survivor)):
                    process.tell("stream", f"{name}{attempt}-")
                for _ in range(random.randrange(1, 60)):
                    acknowledged += [victim.hear(), survivor.hear()]
                acknowledged += victim.kill()
                acknowledged += [survivor.hear() for _ in range(10)]
                acknowledged += survivor.kill()
            with opened(path) as ledger:
                assert not restored(ledger)
                state = ledger.state(NOW)
                for verb, name in acknowledged:
                    known = name in state.families if verb == "used" else marks.account(name) in state.marks
                    assert known, f"{verb} {name} was acknowledged"
                    assert verb == "used" or ledger.is_dead(Grant(account=name).minted)
                redeemed = [name for verb, name in acknowledged if verb == "used"]
                with pytest.raises(Replayed):
                    ledger.advance(Grant(family=redeemed[-1]).step(0), NOW + SECOND)
        with closing(sqlite3.connect(path)) as raw:
            assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    def test_a_process_that_is_stopped_inside_a_transaction_holds_nobody_up_once_it_is_killed(self, path: Path) -> None:
        with opened(path) as ledger, closing(sqlite3.connect(path, isolation_level=None)) as raw:
            raw.execute("BEGIN IMMEDIATE")
            raw.execute("INSERT INTO spent (use, expires) VALUES ('half', ?)", (FOREVER,))
            raw.close()
            ledger.spend("half", FOREVER, NOW)

    def test_a_restart_loses_nothing(self, path: Path) -> None:
        with opened(path) as before:
            before.advance(GRANT.step(0), NOW)
            before.advance(GRANT.step(1), NOW)
            mark_account(before, "corp")
            before.spend("jti", FOREVER, NOW)
            before.offer("ABC", "request", FOREVER, NOW)
            before.decide("ABC", "yes", NOW)
            known = before.state(NOW)
        with opened(path, NOW) as after:
            assert not restored(after)
            assert after.state(NOW) == known
            assert after.advance(GRANT.step(1), NOW + GRACE - 1) == Advanced(2, "repeated")
            assert after.is_dead(Grant(account="corp").minted)
            with pytest.raises(Spent):
                after.spend("jti", FOREVER, NOW)
            with pytest.raises(Replayed):
                after.advance(GRANT.step(0), NOW)


def copied(path: Path, backup: Path) -> None:
    """`cp` of what is there."""
    for suffix in ("", "-wal"):
        if path.with_name(path.name + suffix).exists():
            shutil.copyfile(path.with_name(path.name + suffix), backup.with_name(backup.name + suffix))


def backed_up(path: Path, backup: Path) -> None:
    """As `.backup` in sqlite's shell."""
    with closing(sqlite3.connect(path)) as raw, closing(sqlite3.connect(backup)) as copy:
        raw.backup(copy)


def put_back(backup: Path, path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    copied(backup, path)


def assert_begun_anew(path: Path, *, noticed: bool) -> None:
    """What was minted before is refused by check and by advance, now and after restarts; who signs in again lives."""
    later = NOW + DAY
    for expected in (noticed, False, False):
        with opened(path, later) as ledger:
            assert restored(ledger) == expected
            assert ledger.is_dead(GRANT.access(1))
            for generation in (0, 1, 2):
                with pytest.raises(Dead):
                    ledger.advance(Grant(family="used").step(generation), later)
            fresh = Grant(family=f"fresh{later}", authorized_at=ledger.lift(GRANT.person, later))
            assert ledger.advance(fresh.step(0), later) == Advanced(1, "advanced")
            ledger.check(fresh.access(1))
        later += SECOND


class TestBackup:
    @pytest.mark.parametrize("happens", ["mark", "advance"])
    @pytest.mark.parametrize("how", [copied, backed_up])
    @pytest.mark.parametrize("while_open", [True, False])
    def test_a_backup_that_is_put_back_is_noticed(
        self, path: Path, tmp_path: Path, happens: str, how: Callable[[Path, Path], None], while_open: bool
    ) -> None:
        backup = tmp_path / "backup.db"
        with opened(path) as ledger:
            ledger.advance(Grant(family="other").step(0), NOW)
            if while_open:
                how(path, backup)
                self.something(happens, ledger)
        if not while_open:
            how(path, backup)
            with opened(path) as ledger:
                self.something(happens, ledger)
        put_back(backup, path)
        assert_begun_anew(path, noticed=True)

    def something(self, happens: str, ledger: Driver) -> None:
        if happens == "mark":
            mark_account(ledger, "acme")
        else:
            ledger.advance(Grant(family="used").step(0), NOW)

    @pytest.mark.parametrize("happens", ["mark", "advance"])
    def test_it_is_noticed_after_a_kill_too(self, path: Path, tmp_path: Path, happens: str) -> None:
        """An advance is witnessed within a second of quiet, a mark before it is answered."""
        backup = tmp_path / "backup.db"
        with processes(path, 1) as [process]:
            process.ask("mark", "corp")
            copied(path, backup)
            witnessed = witness_of(path).read_text()
            if happens == "mark":
                process.ask("mark", "acme")
            else:
                assert process.ask("use", "used", 0, 1) == ["advanced"]
                until(lambda: witness_of(path).read_text() != witnessed)
            process.kill()
        put_back(backup, path)
        assert_begun_anew(path, noticed=True)

    def test_the_newer_file_that_is_put_back_after_its_backup_is_noticed_in_its_turn(
        self, path: Path, tmp_path: Path
    ) -> None:
        """Even where no time passes: what was revoked between the two is not in it."""
        backup, newer = tmp_path / "backup.db", tmp_path / "newer.db"
        with opened(path, NOW):
            pass
        copied(path, backup)
        with opened(path, NOW):
            pass
        copied(path, newer)
        put_back(backup, path)
        with processes(path, 1) as [process]:
            process.kill()
        put_back(newer, path)
        assert_begun_anew(path, noticed=True)

    def test_the_same_file_that_is_put_back_with_nothing_missing_is_no_backup(self, path: Path, tmp_path: Path) -> None:
        with opened(path) as ledger:
            ledger.advance(GRANT.step(0), NOW)
        copied(path, tmp_path / "moved.db")
        path.unlink()
        put_back(tmp_path / "moved.db", path)
        with opened(path) as ledger:
            assert not restored(ledger)
            ledger.check(GRANT.access(1))

    @pytest.mark.parametrize("content", [None, "", "half a numb"])
    def test_without_its_witness_a_file_is_taken_for_a_backup(self, path: Path, content: str | None) -> None:
        with opened(path) as ledger:
            ledger.advance(Grant(family="used").step(0), NOW)
        witness_of(path).unlink()
        if content is not None:
            witness_of(path).write_text(content)
        assert_begun_anew(path, noticed=True)

    def test_a_witness_that_cannot_be_read_now_ends_nothing(self, path: Path, tmp_path: Path) -> None:
        with opened(path) as ledger:
            ledger.advance(GRANT.step(0), NOW)
        aside = witness_of(path).rename(tmp_path / "aside")
        witness_of(path).mkdir()
        with pytest.raises(TemporarilyUnavailable):
            SqliteLedger(path, NOW + DAY)
        witness_of(path).rmdir()
        aside.rename(witness_of(path))
        with opened(path, NOW + DAY) as ledger:
            assert not restored(ledger)
            ledger.check(GRANT.access(1))

    @pytest.mark.parametrize("witness_too", [False, True])
    def test_a_lost_file_begins_anew(self, path: Path, witness_too: bool) -> None:
        with opened(path) as ledger:
            ledger.advance(Grant(family="used").step(0), NOW)
        path.unlink()
        if witness_too:
            witness_of(path).unlink()
        assert_begun_anew(path, noticed=False)

    def test_a_worker_that_starts_beside_others_takes_nothing_for_a_backup(self, path: Path) -> None:
        with opened(path) as one, opened(path) as other:
            for number in range(20):
                mark_account(one, f"a{number}")
                one.advance(Grant(family=f"f{number}").step(0), NOW + number * SECOND)
                other.advance(Grant(family=f"g{number}").step(0), NOW)
                with opened(path) as late:
                    assert not restored(late)
                    late.check(GRANT.minted)


class TestTheFileUnderneath:
    def test_a_file_that_is_replaced_under_a_running_process_is_not_written_to_any_more(
        self, path: Path, tmp_path: Path
    ) -> None:
        """Nobody would find what is written there, and what others write is not seen."""
        aside = tmp_path / "aside"
        aside.mkdir()
        with opened(path) as ledger:
            ledger.advance(GRANT.step(0), NOW)
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).rename(aside / (path.name + suffix))
            with opened(path) as replacement:
                mark_account(replacement, "acme")
                with pytest.raises(TemporarilyUnavailable) as refused:
                    ledger.advance(GRANT.step(1), NOW)
                assert "restart" in refused.value.reason
                with pytest.raises(TemporarilyUnavailable):
                    ledger.check(GRANT.access(1))
                with pytest.raises(TemporarilyUnavailable):
                    ledger.lift(GRANT.person, NOW)

    def test_a_process_that_only_reads_notices_within_a_second_or_so(self, path: Path) -> None:
        with opened(path) as ledger:
            ledger.check(GRANT.minted)
            path.unlink()

            def refused() -> bool:
                try:
                    ledger.check(GRANT.minted)
                except TemporarilyUnavailable:
                    return True
                return False

            until(refused)

    def test_a_relative_path_is_the_same_file_wherever_the_process_goes(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(path.parent)
        with opened(Path(path.name)) as ledger:
            monkeypatch.chdir("/")
            mark_account(ledger, "acme")
        with opened(path) as ledger:
            assert not restored(ledger)
            assert ledger.is_dead(GRANT.minted)

    @pytest.mark.parametrize("broken", ["no folder", "a folder", "a file in the way", "no database"])
    def test_a_file_that_cannot_be_used_is_said_to_be_unavailable(self, tmp_path: Path, broken: str) -> None:
        path = tmp_path / "there" / "ledger.db"
        if broken == "a folder":
            path.mkdir(parents=True)
        elif broken == "a file in the way":
            path.parent.write_text("")
        elif broken == "no database":
            path.parent.mkdir()
            path.write_text("this is no database " * 100)
        before = len(os.listdir("/dev/fd"))
        with pytest.raises(TemporarilyUnavailable) as refused:
            SqliteLedger(path, NOW)
        assert refused.value.reason.startswith("ledger: ")
        assert len(os.listdir("/dev/fd")) == before

    def test_closing_leaves_no_file_open_and_no_thread(self, path: Path) -> None:
        before = len(os.listdir("/dev/fd"))
        for _ in range(3):
            with opened(path) as ledger:
                ledger.advance(GRANT.step(1), NOW)
                mark_account(ledger, "corp")
        assert len(os.listdir("/dev/fd")) == before
        assert not [thread for thread in threading.enumerate() if thread.name == "ledger"]
        assert sorted(found.name for found in path.parent.iterdir()) == ["ledger.db", "ledger.db-witness"]

    def test_marks_of_a_kind_that_a_later_release_knows_are_left_alone(self, path: Path) -> None:
        """Two releases share the file while one is rolled out."""
        with opened(path) as ledger, closing(sqlite3.connect(path, isolation_level=None)) as raw:
            values = ("device:acme/ada%2F1", NOW, FOREVER)
            raw.execute("INSERT INTO marks (subject, not_before, expires) VALUES (?, ?, ?)", values)
            mark_account(ledger, "corp")
            ledger.check(GRANT.minted)
            assert ledger.is_dead(Grant(account="corp").minted)
            ledger.merge(ledger.state(NOW), NOW)
            assert ("device", "acme", "ada/1") in ledger.state(NOW).marks


class TestLocked:
    @pytest.fixture(autouse=True)
    def impatience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "BUSY_SECONDS", 0.05)

    def test_what_cannot_be_written_now_is_unavailable_and_used_up_by_nobody(self, path: Path) -> None:
        with opened(path) as ledger, closing(sqlite3.connect(path, isolation_level=None)) as raw:
            mark_account(ledger, "corp")
            raw.execute("BEGIN IMMEDIATE")
            refusals = ledger.together(
                ledger.ledger.advance(GRANT.step(0), NOW),
                ledger.ledger.mark(marks.account("acme"), Mark(NOW, FOREVER), NOW),
                ledger.ledger.spend("jti", FOREVER, NOW),
                ledger.ledger.offer("ABC", "request", FOREVER, NOW),
                ledger.ledger.decide("ABC", "yes", NOW),
                ledger.ledger.merge(State(), NOW),
                ledger.ledger.state(NOW),
            )
            assert {type(refusal) for refusal in refusals} == {TemporarilyUnavailable}
            assert len({id(refusal) for refusal in refusals}) == len(refusals)
            raw.execute("ROLLBACK")
            assert ledger.advance(GRANT.step(0), NOW) == Advanced(1, "advanced")
            ledger.spend("jti", FOREVER, NOW)
            assert ledger.offered("ABC", NOW) is None

    def test_introspection_goes_on_meanwhile(self, path: Path) -> None:
        with opened(path) as ledger, closing(sqlite3.connect(path, isolation_level=None)) as raw:
            mark_account(ledger, "corp")
            raw.execute("BEGIN IMMEDIATE")
            assert ledger.is_dead(Grant(account="corp").minted)
            ledger.check(GRANT.minted)
            assert ledger.lift(GRANT.person, NOW) == NOW

    def test_a_device_that_polls_is_answered_meanwhile_with_what_was_committed(self, path: Path) -> None:
        """It needs no transaction, so it waits for none, however often it asks."""
        with opened(path) as ledger, closing(sqlite3.connect(path, isolation_level=None)) as raw:
            ledger.offer("ABC", "request", FOREVER, NOW)
            raw.execute("BEGIN IMMEDIATE")
            raw.execute("UPDATE offers SET decision = 'yes'")
            assert ledger.offered("ABC", NOW) == Offer("request", FOREVER)
            raw.execute("COMMIT")
            assert ledger.offered("ABC", NOW) == Offer("request", FOREVER, "yes")
            assert ledger.offered("ABC", FOREVER) is None

    def test_a_ledger_that_is_closed_while_the_file_is_locked_closes(self, path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            with opened(path) as ledger:
                ledger.advance(GRANT.step(0), NOW)
                raw.execute("BEGIN IMMEDIATE")
            raw.execute("ROLLBACK")
        with opened(path) as ledger:
            assert not restored(ledger)
            ledger.check(GRANT.access(1))

    def test_a_start_on_a_locked_file_is_refused_and_leaves_nothing_behind(self, path: Path) -> None:
        with opened(path):
            pass
        before = len(os.listdir("/dev/fd"))
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            raw.execute("BEGIN IMMEDIATE")
            with pytest.raises(TemporarilyUnavailable):
                SqliteLedger(path, NOW)
        assert len(os.listdir("/dev/fd")) == before
        with opened(path) as ledger:
            assert not restored(ledger)


class TestThreads:
    def test_a_fault_of_one_step_is_not_its_neighbours(self, path: Path) -> None:
        with opened(path) as ledger:
            outcomes = ledger.together(
                ledger.ledger.spend("before", FOREVER, NOW),
                ledger.ledger.spend("too large", 2**70, NOW),
                ledger.ledger.spend("after", FOREVER, NOW),
            )
            assert [type(outcome) for outcome in outcomes] == [type(None), OverflowError, type(None)]
            assert ledger.state(NOW).spent == {"before": FOREVER, "after": FOREVER}

    def test_event_loops_of_several_threads_are_each_answered(self, path: Path) -> None:
        with opened(path) as ledger:
            outcomes: list[Advanced] = []

            def use(thread: int) -> None:
                async def steps() -> None:
                    for number in range(50):
                        step = Grant(family=f"f{thread}-{number}").step(0)
                        outcomes.append(await ledger.ledger.advance(step, NOW))

                asyncio.run(steps())

            threads = [threading.Thread(target=use, args=(number,), daemon=True) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            assert outcomes == [Advanced(1, "advanced")] * 200

    def test_a_step_whose_caller_went_away_is_taken_and_the_next_is_answered(self, path: Path) -> None:
        with opened(path) as ledger:

            async def go_away() -> None:
                step = asyncio.ensure_future(ledger.ledger.advance(GRANT.step(0), NOW))
                await asyncio.sleep(0)
                step.cancel()

            asyncio.run(go_away())
            with pytest.raises(Replayed):
                ledger.advance(GRANT.step(0), NOW)

    def test_a_closed_ledger_answers_that_it_is_unavailable(self, path: Path) -> None:
        with opened(path) as ledger:
            pass
        for step in (
            ledger.ledger.advance(GRANT.step(0), NOW),
            ledger.ledger.check(GRANT.minted),
            ledger.ledger.lift(GRANT.person, NOW),
            ledger.ledger.offered("ABC", NOW),
        ):
            with pytest.raises(TemporarilyUnavailable):
                asyncio.run(asyncio.wait_for(step, 5))
        asyncio.run(ledger.ledger.close())


class TestForgetting:
    def test_what_has_expired_is_gone_from_the_file_and_the_rest_is_there(self, path: Path) -> None:
        def rows() -> list[int]:
            with closing(sqlite3.connect(path)) as raw:
                return [raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES]  # noqa: S608

        with opened(path) as ledger:
            for number, expires in enumerate([NOW + SECOND] * 100 + [FOREVER] * 10):
                ledger.together(
                    ledger.ledger.advance(Grant(family=f"f{number}").step(0, expires=expires), NOW),
                    ledger.ledger.mark(marks.account(f"a{number}"), Mark(NOW, expires), NOW),
                    ledger.ledger.spend(f"u{number}", expires, NOW),
                    ledger.ledger.offer(f"c{number}", "request", expires, NOW),
                )
            assert rows() == [110] * 4
            ledger.spend("next", FOREVER, NOW + 2 * writer.SWEEP_EVERY)
            assert rows() == [10, 10, 11, 10]
            assert ledger.is_dead(Grant(account="a105").minted)

    def test_asking_writes_nothing(self, path: Path) -> None:
        """Else whoever polls a short code would wear the disk out."""
        with opened(path) as ledger:
            ledger.offer("ABC", "request", FOREVER, NOW)
            ledger.offered("ABC", NOW + DAY)
            before = path.with_name("ledger.db-wal").stat().st_mtime_ns, witness_of(path).stat().st_mtime_ns
            for later in range(20):
                assert ledger.offered("ABC", NOW + DAY + later * SECOND)
                ledger.check(GRANT.minted)
            after = path.with_name("ledger.db-wal").stat().st_mtime_ns, witness_of(path).stat().st_mtime_ns
            assert after == before


class TestWitness:
    def test_a_step_that_is_on_disk_stands_although_the_witness_cannot_be_written(self, path: Path) -> None:
        """To call it unanswered would have its code redeemed a second time."""
        with opened(path) as driver:
            witness_of(path).unlink()
            witness_of(path).mkdir()
            assert driver.advance(Grant().step(0), NOW) == Advanced(1, "advanced")
            mark_account(driver, "corp")
            witness_of(path).rmdir()
            until(witness_of(path).is_file)
        assert list(path.parent.glob(".*-witness-*")) == []

    def test_a_file_found_by_a_clock_that_lags_it_is_not_ready(self, path: Path) -> None:
        with opened(path) as driver:
            mark_account(driver, "corp", NOW + DAY)
        with opened(path, NOW) as driver:
            with pytest.raises(TemporarilyUnavailable):
                driver.run(driver.ledger.ready(NOW))
            driver.run(driver.ledger.ready(NOW + DAY))

    def test_its_file_is_for_nobody_else_to_read(self, path: Path) -> None:
        with opened(path):
            files = [found for found in path.parent.iterdir() if found.name.startswith(path.name)]
            assert files
            assert all(found.stat().st_mode & 0o077 == 0 for found in files)
