"""A sqlite file as a replica's memory: its name, and whether it was complete before."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ledger.support import BEGAN, DAY, NOW, SECOND, Driver, Grant
from tokensvc.ledger import marks
from tokensvc.ledger.algebra import keys
from tokensvc.ledger.marks import Mark
from tokensvc.ledger.sqlite import SqliteLedger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@contextmanager
def opened(path: Path, now: int = NOW, *, alone: bool = False) -> Iterator[Driver]:
    driver = Driver(SqliteLedger(path, now, alone=alone))
    yield driver
    driver.close()


def is_settled(driver: Driver) -> bool:
    return driver.run(driver.ledger.settled())


def test_file_has_one_name_for_all_that_open_it_and_for_ever(path: Path) -> None:
    with opened(path) as one, opened(path) as other:
        name = one.ledger.epoch
        assert other.ledger.epoch == name
    with opened(path, NOW + DAY) as again:
        assert again.ledger.epoch == name


def test_copy_of_a_file_is_another_memory(path: Path, tmp_path: Path) -> None:
    """Or two replicas that began with copies would each take the other for itself."""
    with opened(path) as one:
        name = one.ledger.epoch
    copied = tmp_path / "copy"
    copied.mkdir()
    for file in tmp_path.glob("ledger.db*"):
        shutil.copy(file, copied)
    with opened(copied / "ledger.db") as copy:
        assert copy.ledger.epoch != name
        assert not copy.run(copy.ledger.changes(f"{name}.0.0.0.0", 1, NOW)).cursor.startswith(name)
    with opened(path) as one:
        assert one.ledger.epoch == name


def test_new_file_is_complete_where_there_is_nobody_who_knows_more(path: Path, tmp_path: Path) -> None:
    with opened(path) as among_others, opened(tmp_path / "alone.db", alone=True) as alone:
        assert not is_settled(among_others)
        assert is_settled(alone)


def test_file_that_was_complete_once_says_so_ever_after(path: Path) -> None:
    with opened(path) as driver:
        driver.run(driver.ledger.settle(NOW))
    with opened(path) as driver:
        assert is_settled(driver)


def test_file_that_was_alone_is_complete_when_it_gets_peers(path: Path) -> None:
    with opened(path, alone=True):
        pass
    with opened(path) as driver:
        assert is_settled(driver)


def test_restored_file_is_not_complete_and_another_memory(path: Path, tmp_path: Path) -> None:
    with opened(path, BEGAN, alone=True) as driver:
        name = driver.ledger.epoch
        driver.mark(marks.account("acme"), Mark(BEGAN, NOW + DAY), BEGAN)
    shutil.copy(path, tmp_path / "backup")
    with opened(path, BEGAN + SECOND) as driver:
        driver.mark(marks.account("corp"), Mark(BEGAN + SECOND, NOW + DAY), BEGAN + SECOND)
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    path.write_bytes((tmp_path / "backup").read_bytes())
    with opened(path) as driver:
        assert not is_settled(driver)
        assert driver.ledger.epoch != name
        assert [*driver.marks(NOW)] == [marks.account("acme")]


def test_what_another_process_wrote_is_news_too(path: Path) -> None:
    with opened(path) as one, opened(path) as other:
        before = one.run(one.ledger.changes("", 100, NOW))
        other.advance(Grant().step(0), NOW)
        other.mark(marks.account("acme"), Mark(NOW, NOW + DAY), NOW)
        after = one.run(one.ledger.changes(before.cursor, 100, NOW))
        assert [*keys(after.state)] == [("mark", "account", "acme"), ("family", "fam")]


def test_number_of_a_dropped_row_is_not_given_again(path: Path) -> None:
    """Or who asked up to it would miss what has it next."""
    with opened(path) as driver:
        driver.spend("jti", NOW + SECOND, NOW)
        page = driver.run(driver.ledger.changes("", 100, NOW))
        later = NOW + 10 * 60 * SECOND
        driver.spend("late", later + DAY, later)
        driver.spend("later", later + DAY, later)
        news = driver.run(driver.ledger.changes(page.cursor, 100, later))
        assert [*news.state.spent] == ["late", "later"]
