"""What every ledger tells of its marks: in the order in which they came, after a position, in pages."""

from tests.ledger.conftest import Begin
from tests.ledger.support import BEGAN, DAY, GRACE, NOW, Driver, Grant
from tokensvc.ledger import Feed, marks
from tokensvc.ledger.algebra import Continuity
from tokensvc.ledger.marks import RETENTION, Mark, Marks

GRANT = Grant()
FOREVER = NOW + 300 * DAY


def feed(ledger: Driver, position: int = 0, most: int = 10, now: int = NOW) -> Feed:
    return ledger.run(ledger.ledger.feed(position, most, now))


def test_marks_come_in_their_order_and_once(ledger: Driver) -> None:
    for number, name in enumerate("abc"):
        ledger.mark(marks.account(name), Mark(NOW + number, FOREVER), NOW + number)
    first = feed(ledger, 0, 2)
    assert [subject[1] for subject in first.marks] == ["a", "b"]
    assert first.more
    second = feed(ledger, first.position, 2)
    assert [subject[1] for subject in second.marks] == ["c"]
    assert not second.more
    assert feed(ledger, second.position, 2).marks == {}


def test_a_mark_that_is_raised_comes_again_and_one_that_is_repeated_does_not(ledger: Driver) -> None:
    ledger.mark(marks.account("a"), Mark(NOW, FOREVER), NOW)
    position = feed(ledger).position
    ledger.mark(marks.account("a"), Mark(NOW - 5, FOREVER), NOW)
    assert feed(ledger, position).marks == {}
    ledger.mark(marks.account("a"), Mark(NOW + 5, FOREVER), NOW + 5)
    assert feed(ledger, position).marks[marks.account("a")].not_before == NOW + 5


def test_a_position_that_was_never_reached_is_the_beginning(ledger: Driver) -> None:
    ledger.mark(marks.account("a"), Mark(NOW, FOREVER), NOW)
    assert len(feed(ledger, 999).marks) == 1


def test_what_has_expired_is_not_told(ledger: Driver) -> None:
    ledger.mark(marks.account("a"), Mark(NOW, NOW + DAY), NOW)
    assert feed(ledger, now=NOW + DAY).marks == {}


def test_a_summary_says_since_when_and_how_much(begin: Begin) -> None:
    ledger = begin(BEGAN)
    ledger.advance(GRANT.step(0, GRACE), NOW)
    summary = ledger.run(ledger.ledger.summary(NOW))
    assert summary.kind in {"memory", "sqlite"}
    assert summary.continuity == Continuity(BEGAN, BEGAN)
    assert summary.families == 1


def test_a_place_in_the_order_outlives_what_is_forgotten() -> None:
    """A reader who stayed behind while most of it expired misses nothing, and hears at worst something twice."""
    table = Marks()
    for number in range(5_000):
        table.put(marks.account(f"old{number}"), Mark(NOW, NOW + 1))
    position = table.position
    for number in range(10):
        table.put(marks.account(f"new{number}"), Mark(NOW, NOW + RETENTION))
    table.forget(NOW + 1, most=5_000)
    told, reached = table.since(position, 100)
    assert [subject[1] for subject in told] == [f"new{number}" for number in range(10)]
    assert reached == table.position
    told, _ = table.since(position - 3_000, 100)
    assert len(told) == 10
