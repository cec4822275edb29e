"""What has expired goes a little at a time: no step waits for all of it, and what still waits is not answered."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger.support import BEGAN, DAY, NOW, SECOND, Driver, Grant
from tokensvc.ledger import journal, marks
from tokensvc.ledger.algebra import Family, Offer, State
from tokensvc.ledger.expiries import AT_ONCE
from tokensvc.ledger.journal import Journal
from tokensvc.ledger.marks import MAX_AHEAD, Mark, Marks
from tokensvc.ledger.memory import MemoryLedger

SOON = NOW + SECOND
FOREVER = NOW + 300 * DAY
AFTER = SOON + MAX_AHEAD
"""When what expires soon has expired by any clock."""


def ledger_of(state: State) -> Driver:
    driver = Driver(MemoryLedger(BEGAN))
    driver.merge(state, NOW)
    return driver


def families(number: int, expires: int, name: str = "f") -> dict[str, Family]:
    return {f"{name}{count}": Family(1, expires) for count in range(number)}


def known(ledger: Driver) -> int:
    return ledger.run(ledger.ledger.summary(AFTER)).families


def test_each_step_forgets_a_few_until_nothing_is_left_that_has_expired() -> None:
    ledger = ledger_of(State(families=families(3 * AT_ONCE, SOON) | families(7, FOREVER, "kept")))
    assert [known(ledger) for _ in range(4)] == [2 * AT_ONCE + 7, AT_ONCE + 7, 7, 7]
    ledger.close()


def test_what_comes_at_once_goes_at_once() -> None:
    """Else a replica that only hears of others would take in more than it forgets."""
    ledger = ledger_of(State(families=families(5 * AT_ONCE, SOON)))
    ledger.merge(State(families=families(4 * AT_ONCE, FOREVER, "new")), AFTER)
    assert known(ledger) == 4 * AT_ONCE
    ledger.close()


def test_family_that_was_prolonged_stays_and_goes_in_the_end() -> None:
    ledger = ledger_of(State())
    grant = Grant(authorized_at=NOW)
    ledger.advance(grant.step(0, expires=SOON), NOW)
    ledger.advance(grant.step(1, expires=SOON + DAY), NOW)
    assert known(ledger) == 1
    assert ledger.run(ledger.ledger.summary(SOON + DAY + MAX_AHEAD)).families == 0
    ledger.close()


def test_clock_that_is_set_back_within_bounds_finds_what_it_knew() -> None:
    ledger = ledger_of(State(families=families(1, SOON), marks={marks.family("f0"): Mark(NOW, SOON)}))
    assert ledger.run(ledger.ledger.summary(AFTER - 1)).families == 1
    assert len(ledger.marks(SOON - 1)) == 1
    ledger.close()


def test_what_has_expired_and_still_waits_is_not_answered() -> None:
    state = State(
        marks={marks.family("f0"): Mark(NOW, SOON)},
        families=families(2 * AT_ONCE, SOON),
        spent={"use": SOON},
        offers={"code": Offer("request", SOON)},
    )
    ledger = ledger_of(state)
    assert ledger.state(SOON) == State(continuity=ledger.state(SOON).continuity)
    page = ledger.run(ledger.ledger.changes("", 10_000, SOON)).state
    assert page == State(continuity=page.continuity)
    assert ledger.marks(SOON) == {}
    assert ledger.offered("code", SOON) is None
    ledger.spend("use", FOREVER, SOON)
    ledger.offer("code", "another", FOREVER, SOON)
    assert ledger.offered("code", AFTER) == Offer("another", FOREVER)
    ledger.close()


def test_table_of_marks_forgets_a_few_at_a_time() -> None:
    table = Marks({marks.account(f"a{number}"): Mark(NOW, SOON) for number in range(AT_ONCE + 1)})
    table.put(marks.account("a0"), Mark(NOW, FOREVER))
    assert len(table.forget(SOON)) + len(table.forget(SOON)) == AT_ONCE
    assert [subject for subject, _ in table] == [marks.account("a0")]


def test_no_step_of_a_large_ledger_waits_long() -> None:
    """A pass over all of it takes a hundred times as long; the best of some steps is free of what else runs here."""
    ledger = ledger_of(State(families=families(50_000, SOON) | families(50_000, FOREVER, "kept")))
    took = []
    for number in range(20):
        began = time.perf_counter()
        ledger.spend(f"use{number}", FOREVER, AFTER)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.02
    ledger.close()


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=200), st.integers(0, 200))
def test_journal_tells_the_last_change_of_each_in_order(steps: list[tuple[bool, int]], number: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "PART", 4)
        told: Journal[tuple[str, ...]] = Journal()
        latest: dict[tuple[str, ...], int] = {}
        for changed, name in steps:
            key = ("family", str(name))
            if changed:
                told.note(key)
                latest[key] = told.last
            else:
                told.forget(key)
                latest.pop(key, None)
        assert [*told.after(number)] == sorted((at, key) for key, at in latest.items() if at > number)
        assert sum(map(len, told._parts)) == len(latest)
        assert all(told._parts)
