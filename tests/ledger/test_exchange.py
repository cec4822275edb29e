"""One replica's part in the exchange: whom it has heard, what it may answer for that, and what it still has to tell."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from tests.ledger.support import DAY, NOW, SECOND, Grant
from tokensvc.errors import TemporarilyUnavailable
from tokensvc.ledger import exchange as exchanges
from tokensvc.ledger import marks
from tokensvc.ledger.algebra import Continuity, State, keys
from tokensvc.ledger.exchange import BOOTSTRAP_AFTER, LONGEST_OUTBOX, LOOK_FOR, Exchange
from tokensvc.ledger.marks import MAX_AHEAD, Mark
from tokensvc.ledger.memory import MemoryLedger
from tokensvc.ledger.messages import PAGE, Question, Unheard
from tokensvc.ledger.peer import Peer

BOUND = 10 * SECOND
FOREVER = NOW + 300 * DAY

Result = TypeVar("Result")


def run(step: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(step)


class Fleet:
    """Replicas by number, each with an empty memory that began when the test says."""

    def __init__(self, size: int, began: int = NOW, *, bootstrap: bool = False) -> None:
        self.ledgers = [MemoryLedger(began) for _ in range(size)]
        self.exchanges = [Exchange(ledger, "1", BOUND, began, bootstrap=bootstrap) for ledger in self.ledgers]
        for one in self.exchanges:
            one.meet(map(str, range(size)))

    def peer(self, one: int, other: int) -> Peer:
        return self.exchanges[one].listed[other]

    def ask(self, one: int, other: int, now: int = NOW, *, skew: int = 0, took: int = 0) -> bool:
        """Ask once; the clock of the other is so far ahead, and the way there and back takes so long."""
        question = self.exchanges[one].question(self.peer(one, other), now)
        answer = run(self.exchanges[other].answer(question, now + took // 2 + skew))
        return run(self.exchanges[one].hear(self.peer(one, other), now, answer, now + took))

    def settle(self, *numbers: int) -> None:
        """These were complete before."""
        for number in numbers:
            run(self.ledgers[number].settle(NOW))
            self.exchanges[number].caught_up = True

    def know_themselves(self, now: int = NOW) -> Fleet:
        for number in range(len(self.exchanges)):
            self.ask(number, number, now)
        return self


@pytest.mark.parametrize(
    ("size", "heard", "fresh"), [(2, 0, False), (2, 1, True), (3, 0, False), (3, 1, True), (5, 2, False), (5, 3, True)]
)
def test_replica_is_fresh_that_heard_all_but_one_and_one_at_least(size: int, heard: int, fresh: bool) -> None:
    fleet = Fleet(size).know_themselves()
    for other in range(1, heard + 1):
        fleet.ask(0, other)
    assert fleet.exchanges[0].is_fresh(NOW + BOUND) is fresh
    assert not fleet.exchanges[0].is_fresh(NOW + BOUND + 1)


def test_stale_replica_says_whose_news_it_lacks() -> None:
    with pytest.raises(TemporarilyUnavailable) as refused:
        Fleet(3).know_themselves().exchanges[0].check_fresh(NOW)
    assert refused.value.reason == "peers: no news within 10 s from 1, 2"


def test_clock_that_was_set_back_makes_stale() -> None:
    fleet = Fleet(2).know_themselves()
    fleet.ask(0, 1)
    assert fleet.exchanges[0].is_fresh(NOW)
    assert not fleet.exchanges[0].is_fresh(NOW - 1)


def test_replica_knows_itself_and_is_none_of_its_peers() -> None:
    fleet = Fleet(3).know_themselves()
    assert [peer.url for peer in fleet.exchanges[1].peers] == ["0", "2"]


def test_heard_is_who_was_asked_to_the_end() -> None:
    fleet = Fleet(2).know_themselves()
    fleet.settle(0)
    crowd = {marks.account(f"a{number}"): Mark(NOW, FOREVER) for number in range(PAGE + 1)}
    run(fleet.ledgers[1].merge(State(marks=crowd), NOW))
    assert fleet.ask(0, 1)
    assert not fleet.exchanges[0].is_fresh(NOW)
    assert not fleet.ask(0, 1)
    assert fleet.exchanges[0].is_fresh(NOW)
    assert run(fleet.ledgers[0].marks(NOW)) == crowd


def test_replica_catches_up_from_one_that_is_caught_up_and_fresh() -> None:
    fleet = Fleet(3).know_themselves()
    fleet.settle(1)
    fleet.ask(0, 1)
    assert not fleet.exchanges[0].caught_up, "the other has heard nobody, and may have missed a revocation"
    fleet.ask(1, 2)
    fleet.ask(0, 1)
    assert fleet.exchanges[0].caught_up
    fleet.exchanges[0].check_ready(NOW)


def test_replica_does_not_catch_up_from_those_that_began_as_it_did() -> None:
    fleet = Fleet(4).know_themselves()
    for other in (1, 2, 3):
        fleet.ask(0, other)
    assert not fleet.exchanges[0].caught_up
    with pytest.raises(TemporarilyUnavailable):
        fleet.exchanges[0].check_ready(NOW)


def test_replica_that_remembers_catches_up_from_others_that_do() -> None:
    fleet = Fleet(4).know_themselves()
    for number in (0, 1, 2):
        run(fleet.ledgers[number].settle(NOW))
    fleet.ask(0, 1)
    fleet.ask(0, 3)
    assert not fleet.exchanges[0].caught_up, "one remembers nothing, and one was not heard: both may have held a mark"
    fleet.ask(0, 2)
    assert fleet.exchanges[0].caught_up


def test_memory_of_a_replica_is_as_short_as_that_of_the_fleet_that_it_finds() -> None:
    """Between its end and the beginning of a fleet that remembers nothing, anything may have been revoked."""
    fleet = Fleet(3, NOW - DAY, bootstrap=True).know_themselves()
    run(fleet.ledgers[0].settle(NOW - DAY))
    assert run(fleet.exchanges[1].bootstrap(NOW))
    fleet.ask(1, 2)
    fleet.ask(0, 1)
    assert fleet.exchanges[0].caught_up
    assert run(fleet.ledgers[0].state(NOW)).continuity == Continuity(NOW, NOW)


def test_fleet_that_is_begun_remembers_nothing() -> None:
    fleet = Fleet(3, NOW - DAY, bootstrap=True).know_themselves()
    run(fleet.ledgers[0].settle(NOW - DAY))
    assert run(fleet.exchanges[0].bootstrap(NOW))
    assert run(fleet.ledgers[0].state(NOW)).continuity == Continuity(NOW, NOW)


def test_questions_that_come_back_do_not_make_a_replica_alone() -> None:
    """Somebody on the way who has no ring can do no more than that."""
    fleet = Fleet(3)
    for at in (1, 2):
        question = fleet.exchanges[0].question(fleet.peer(0, at), NOW)
        answer = run(fleet.exchanges[0].answer(question, NOW))
        if at == 1:
            assert not run(fleet.exchanges[0].hear(fleet.peer(0, at), NOW, answer, NOW))
        else:
            with pytest.raises(Unheard, match="this replica"):
                run(fleet.exchanges[0].hear(fleet.peer(0, at), NOW, answer, NOW))
    assert not fleet.exchanges[0].is_fresh(NOW)


def test_address_that_was_anothers_is_never_its_own() -> None:
    fleet = Fleet(2)
    fleet.ask(0, 1)
    question = fleet.exchanges[0].question(fleet.peer(0, 1), NOW)
    with pytest.raises(Unheard, match="this replica"):
        run(fleet.exchanges[0].hear(fleet.peer(0, 1), NOW, run(fleet.exchanges[0].answer(question, NOW)), NOW))


@pytest.mark.parametrize("meant", [True, False])
def test_replica_whose_list_names_it_alone_answers_where_that_is_meant(meant: bool) -> None:
    fleet = Fleet(1, bootstrap=meant).know_themselves()
    assert fleet.exchanges[0].is_fresh(NOW) is meant


def test_continuity_is_inherited_with_all_that_a_caught_up_peer_holds_and_not_before() -> None:
    fleet = Fleet(2).know_themselves()
    old = Continuity(NOW - DAY, NOW - 2 * DAY)
    crowd = {marks.account(f"a{number}"): Mark(NOW, FOREVER) for number in range(PAGE + 1)}
    run(fleet.ledgers[1].merge(State(marks=crowd, continuity=old), NOW))
    fleet.ask(1, 0)
    began = Continuity(NOW, NOW)

    def continuity() -> Continuity | None:
        return run(fleet.ledgers[0].state(NOW)).continuity

    while fleet.ask(0, 1):
        assert continuity() == began
    assert continuity() == began, "it was not caught up"
    fleet.settle(1)
    fleet.ask(0, 1)
    assert continuity() == old


def test_mark_from_the_future_waits_and_holds_up_nothing_else() -> None:
    fleet = Fleet(2).know_themselves()
    run(fleet.ledgers[1].mark(marks.account("acme"), Mark(NOW + MAX_AHEAD + SECOND, FOREVER), NOW + SECOND))
    run(fleet.ledgers[1].mark(marks.account("corp"), Mark(NOW, FOREVER), NOW + SECOND))
    fleet.ask(0, 1)
    assert [*run(fleet.ledgers[0].marks(NOW))] == [marks.account("corp")]
    assert fleet.exchanges[0].is_fresh(NOW)
    fleet.ask(0, 1, NOW + SECOND)
    assert {*run(fleet.ledgers[0].marks(NOW))} == {marks.account("corp"), marks.account("acme")}


def test_news_from_the_future_are_not_accepted() -> None:
    fleet = Fleet(2)
    news = State(marks={marks.account("acme"): Mark(NOW + MAX_AHEAD + 1, FOREVER)})
    answer = run(fleet.exchanges[0].answer(Question("n", "other", NOW, news=news), NOW))
    assert not answer.accepted
    assert run(fleet.exchanges[0].answer(Question("n", "other", NOW, news=news), NOW + 1)).accepted


@pytest.mark.parametrize(
    ("skew", "took", "ok"), [(5_000, 0, True), (5_001, 0, False), (-5_001, 0, False), (5_900, 2_000, True)]
)
def test_replica_whose_clock_is_off_most_of_its_peers_is_not_ready(skew: int, took: int, ok: bool) -> None:
    fleet = Fleet(3).know_themselves()
    fleet.settle(0)
    for other in (1, 2):
        fleet.ask(0, other, skew=skew, took=took)
    assert fleet.exchanges[0].clock_ok(NOW) is ok
    if not ok:
        with pytest.raises(TemporarilyUnavailable, match="clock"):
            fleet.exchanges[0].check_ready(NOW)


def test_one_clock_of_several_that_is_off_is_that_peers_affair() -> None:
    fleet = Fleet(3).know_themselves()
    fleet.ask(0, 1, skew=60_000)
    fleet.ask(0, 2)
    assert fleet.exchanges[0].clock_ok(NOW)


@pytest.mark.parametrize(("skews", "ahead"), [((3_000, 0), 3_000), ((-3_000, -10), 0), ((9_000, 0), MAX_AHEAD)])
def test_mark_reaches_as_far_ahead_as_the_fastest_clock(skews: tuple[int, int], ahead: int) -> None:
    fleet = Fleet(3).know_themselves()
    for other, skew in enumerate(skews, 1):
        fleet.ask(0, other, skew=skew)
    assert fleet.exchanges[0].ahead(NOW) == ahead


def test_mark_reaches_as_far_as_it_is_accepted_where_a_peer_is_silent() -> None:
    """What time it has is not known, and what it minted has to end."""
    fleet = Fleet(3).know_themselves()
    fleet.ask(0, 1, skew=-2_000)
    assert fleet.exchanges[0].ahead(NOW) == MAX_AHEAD - 2_000


def test_fleet_is_begun_by_who_may_after_it_has_looked_for_one() -> None:
    begins, waits = Fleet(3, bootstrap=True), Fleet(3)
    assert not run(begins.exchanges[0].bootstrap(NOW + BOOTSTRAP_AFTER - 1))
    assert not run(waits.exchanges[0].bootstrap(NOW + BOOTSTRAP_AFTER))
    assert run(begins.exchanges[0].bootstrap(NOW + BOOTSTRAP_AFTER))
    begins.exchanges[0].check_ready(NOW + BOOTSTRAP_AFTER)
    assert not run(begins.exchanges[0].bootstrap(NOW + BOOTSTRAP_AFTER))


def test_fleet_is_not_begun_beside_one_that_there_is() -> None:
    fleet = Fleet(4, bootstrap=True).know_themselves()
    fleet.settle(1)
    fleet.ask(1, 2)
    fleet.ask(1, 3)
    fleet.ask(0, 1)
    assert not run(fleet.exchanges[0].bootstrap(NOW + BOOTSTRAP_AFTER))


def test_replica_is_lost_that_found_nobody_and_remembers_nothing() -> None:
    fleet = Fleet(3)
    late = NOW + max(BOUND, LOOK_FOR) + 1
    assert not run(fleet.exchanges[0].is_lost(late - 1))
    assert run(fleet.exchanges[0].is_lost(late))
    run(fleet.ledgers[1].settle(NOW))
    assert not run(fleet.exchanges[1].is_lost(late))


def test_what_changed_waits_for_every_peer_once() -> None:
    fleet = Fleet(3).know_themselves()
    for _ in range(3):
        fleet.exchanges[0].note([("family", "fam")])
    assert [peer.outbox for peer in fleet.exchanges[0].peers] == [{("family", "fam")}] * 2


def test_outbox_that_grows_too_long_is_dropped_and_the_peer_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LONGEST_OUTBOX == 100_000
    monkeypatch.setattr(exchanges, "LONGEST_OUTBOX", 10)
    fleet = Fleet(2).know_themselves()
    fleet.exchanges[0].note(("spent", str(number)) for number in range(11))
    assert not fleet.peer(0, 1).outbox


def test_message_carries_a_page_and_says_what_it_left() -> None:
    fleet = Fleet(2)
    crowd = {f"u{number}": FOREVER for number in range(2 * PAGE + 1)}
    run(fleet.ledgers[0].merge(State(spent=crowd), NOW))
    left = [*keys(State(spent=crowd))]
    told: list[str] = []
    while left:
        question, left = run(fleet.exchanges[0].tell(left, NOW))
        assert question.news
        assert len(question.news.spent) <= PAGE
        told += question.news.spent
    assert sorted(told) == sorted(crowd)


def test_message_of_large_entries_is_small() -> None:
    fleet = Fleet(2)
    for number in range(50):
        run(fleet.ledgers[0].offer(f"C{number}", "x" * 16_000, FOREVER, NOW))
    question, left = run(fleet.exchanges[0].tell([("offer", f"C{number}") for number in range(50)], NOW))
    assert question.news
    assert 0 < len(question.news.offers) <= 16
    assert len(question.news.offers) + len(left) == 50


def test_address_that_is_given_up_is_forgotten_and_met_again_as_new() -> None:
    fleet = Fleet(2).know_themselves()
    fleet.ask(0, 1)
    one = fleet.exchanges[0]
    one.meet(["0", "1"])
    assert one.is_fresh(NOW)
    one.meet(["0"])
    one.meet(["0", "1"])
    assert not one.is_fresh(NOW)


def test_report_says_what_operators_compare() -> None:
    fleet = Fleet(3).know_themselves()
    fleet.ask(0, 1, skew=40)
    run(fleet.ledgers[0].advance(Grant().step(0), NOW))
    fleet.exchanges[0].note([("family", "fam")])
    report = fleet.exchanges[0].report(NOW + 500)
    assert (report.caught_up, report.fresh, report.clock_ok) == (False, True, True)
    heard, unheard = report.peers
    assert heard == ("1", fleet.ledgers[1].epoch, "1", 500, 40, False, 1)
    assert unheard == ("2", "", "", None, None, False, 1)
