"""How one ledger learns from another what is new: pages of changes, and excerpts. Of every kind of ledger."""

from collections.abc import Iterator

import pytest

from tests.ledger.conftest import Begin
from tests.ledger.support import BEGAN, DAY, NOW, SECOND, Driver, Grant
from tokensvc.ledger import Changes, Replayed, marks
from tokensvc.ledger.algebra import CONFLICT, Continuity, Family, Key, Offer, State, join, keys, weight
from tokensvc.ledger.journal import Journal
from tokensvc.ledger.marks import Mark

FOREVER = NOW + 300 * DAY
GRANT = Grant()
CROWD = State(
    marks={marks.account(f"a{number}"): Mark(NOW, FOREVER) for number in range(50)},
    families={f"f{number}": Family(1, FOREVER, recent=((0, NOW),)) for number in range(50)},
    spent={f"u{number}": FOREVER for number in range(50)},
    offers={f"C{number}": Offer("request", FOREVER) for number in range(50)},
)


def changes(ledger: Driver, since: str = "", limit: int = 1000, now: int = NOW) -> Changes:
    return ledger.run(ledger.ledger.changes(since, limit, now))


def pages(ledger: Driver, since: str = "", limit: int = 1000) -> Iterator[Changes]:
    """All pages up to the last."""
    for _ in range(1000):
        page = changes(ledger, since, limit)
        yield page
        since = page.cursor
        if not page.more:
            return
    raise AssertionError("there is more and more")


def fill(ledger: Driver) -> None:
    ledger.mark(marks.account("acme"), Mark(NOW, FOREVER), NOW)
    ledger.advance(Grant(account="other").step(0), NOW)
    ledger.spend("jti", FOREVER, NOW)
    ledger.offer("ABC", "request", FOREVER, NOW)


def test_everything_is_new_to_who_knows_nothing(ledger: Driver) -> None:
    fill(ledger)
    page = changes(ledger)
    assert page.state == ledger.state(NOW)
    assert page.state.continuity == Continuity(BEGAN, BEGAN)


def test_nothing_is_new_to_who_knows_all(ledger: Driver) -> None:
    fill(ledger)
    *_, last = pages(ledger)
    again = changes(ledger, last.cursor)
    assert again == Changes(State(continuity=Continuity(BEGAN, BEGAN)), last.cursor, more=False)


@pytest.mark.parametrize("limit", [1, 7, 50, 1000])
def test_pages_together_are_everything(ledger: Driver, limit: int) -> None:
    ledger.merge(CROWD, NOW)
    known = State()
    for page in pages(ledger, limit=limit):
        assert weight(page.state) <= limit
        known = join(known, page.state)
    assert known == ledger.state(NOW)


def test_pages_of_what_is_heavy_are_about_full(ledger: Driver) -> None:
    """Or a fresh replica of many grants would need a page for every few of them."""
    recent = tuple((generation, NOW) for generation in range(16))
    ledger.merge(State(families={f"f{number}": Family(16, FOREVER, recent=recent) for number in range(100)}), NOW)
    *full, _ = [weight(page.state) for page in pages(ledger, limit=60)]
    assert min(full) > 60 // 4


def test_what_changes_between_two_pages_comes_with_a_later_one(ledger: Driver) -> None:
    ledger.merge(CROWD, NOW)
    first = changes(ledger, limit=30)
    fill(ledger)
    ledger.mark(marks.account("a0"), Mark(NOW + 1, FOREVER), NOW + 1)
    known = first.state
    for page in pages(ledger, first.cursor, 30):
        known = join(known, page.state)
    assert known == ledger.state(NOW)


def test_each_step_is_news_of_what_it_changed(ledger: Driver) -> None:
    *_, last = pages(ledger)
    for step in (
        lambda: ledger.advance(GRANT.step(0), NOW),
        lambda: ledger.advance(GRANT.step(1), NOW),
        lambda: ledger.mark(marks.client("web"), Mark(NOW, FOREVER), NOW),
        lambda: ledger.spend("jti", FOREVER, NOW),
        lambda: ledger.offer("ABC", "request", FOREVER, NOW),
        lambda: ledger.decide("ABC", "yes", NOW),
    ):
        step()
        page = changes(ledger, last.cursor)
        assert len([*keys(page.state)]) == 1
        last = page
    with pytest.raises(Replayed):
        ledger.advance(GRANT.step(0), NOW)
    assert [*changes(ledger, last.cursor).state.marks] == [marks.family("fam")]


def test_what_is_known_already_is_no_news(ledger: Driver) -> None:
    """Or two ledgers would tell each other the same for ever."""
    ledger.merge(CROWD, NOW)
    *_, last = pages(ledger)
    ledger.merge(CROWD, NOW)
    ledger.merge(ledger.state(NOW), NOW)
    assert not [*keys(changes(ledger, last.cursor).state)]


def test_two_that_ask_each_other_agree_and_fall_silent(begin: Begin) -> None:
    one, other = begin(BEGAN), begin(BEGAN)
    fill(one)
    other.advance(Grant(account="other").step(0), NOW)
    cursors = ["", ""]
    for _ in range(3):
        for place, (asker, asked) in enumerate(((one, other), (other, one))):
            page = changes(asked, cursors[place])
            asker.merge(page.state, NOW)
            cursors[place] = page.cursor
    assert one.state(NOW) == other.state(NOW)
    assert one.state(NOW).families["fam"].redemption == CONFLICT
    assert [[*keys(changes(asked, cursor).state)] for asked, cursor in zip((other, one), cursors, strict=True)] == [
        [],
        [],
    ]


@pytest.mark.parametrize("cursor", ["another.1.2.3.4", "another.1", "?", ".", "....", "\0", "x" * 500])
def test_cursor_of_another_memory_is_the_beginning(ledger: Driver, cursor: str) -> None:
    fill(ledger)
    assert changes(ledger, cursor).state == ledger.state(NOW)


@pytest.mark.parametrize("numbers", [".-1", ".1e9", ".٣", ".99999999999999999999"])
def test_cursor_that_nobody_wrote_is_the_beginning(ledger: Driver, numbers: str) -> None:
    fill(ledger)
    assert changes(ledger, ledger.ledger.epoch + numbers).state == ledger.state(NOW)


def test_what_has_expired_is_no_news(ledger: Driver) -> None:
    ledger.mark(marks.account("acme"), Mark(NOW, NOW + SECOND), NOW)
    assert not [*keys(changes(ledger, now=NOW + SECOND).state)]


def test_large_entries_make_small_pages(ledger: Driver) -> None:
    for number in range(20):
        ledger.offer(f"C{number}", "x" * 10_000, FOREVER, NOW)
    found = [*pages(ledger, limit=200)]
    assert max(len(page.state.offers) for page in found) <= 2
    assert sum(len(page.state.offers) for page in found) == 20


def test_excerpt_is_what_is_known_under_the_keys(ledger: Driver) -> None:
    ledger.merge(CROWD, NOW)
    asked = [("mark", "account", "a1"), ("family", "f1"), ("spent", "u1"), ("offer", "C1"), ("family", "unknown")]
    found = ledger.run(ledger.ledger.excerpt(asked, NOW))
    assert [*keys(found)] == asked[:4]
    assert found.continuity is None
    assert not [*keys(ledger.run(ledger.ledger.excerpt(asked, FOREVER)))]


def test_every_memory_has_a_name_of_its_own(begin: Begin) -> None:
    assert len({begin(BEGAN).ledger.epoch for _ in range(5)}) == 5


def test_memory_that_was_settled_stays_so(ledger: Driver) -> None:
    ledger.run(ledger.ledger.settle(NOW))
    assert ledger.run(ledger.ledger.settled())


def test_journal_of_one_entry_that_changes_for_ever_stays_small() -> None:
    journal: Journal[Key] = Journal()
    for _ in range(10_000):
        journal.note(("family", "fam"))
    assert [*journal.after(0)] == [(10_000, ("family", "fam"))]
    assert sum(map(len, journal._parts)) == 1
