"""What every ledger does, whatever holds its entries. A new adapter joins in conftest.py."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger.conftest import Begin
from tests.ledger.support import BEGAN, DAY, GRACE, NOW, SECOND, Driver, Grant, Minted
from tests.promises import proves
from tokensvc.errors import TemporarilyUnavailable
from tokensvc.ledger import Advanced, Decided, Replayed, Spent, Taken, marks
from tokensvc.ledger.algebra import DENIED, MAX_GRACE, Continuity, Family, Offer, State
from tokensvc.ledger.marks import MAX_AHEAD, Dead, FutureMark, Mark, Subject

GRANT = Grant()
OTHER = Grant(family="other", account="corp", user="bob", client="web", credential="pass")
FOREVER = NOW + 300 * DAY
EACH_KIND: list[Subject] = [*GRANT.person, marks.family(GRANT.family), marks.token("fam.1")]
HOSTILE = ["a/b", "50%", "%2F", "o'; DROP TABLE marks; --", 'a"b', "ünï/çødé 中文", "a:b@1,c", " "]


def kind_of(subject: Subject) -> str:
    return subject[0]


class TestAdvance:
    def test_a_code_is_redeemed_once(self, ledger: Driver) -> None:
        assert ledger.advance(GRANT.step(0), NOW) == Advanced(1, "advanced")

    @pytest.mark.parametrize("later", [0, 1, GRACE - 1, GRACE, DAY])
    def test_a_second_use_of_a_code_ends_its_family_however_soon_it_is(self, ledger: Driver, later: int) -> None:
        ledger.advance(GRANT.step(0), NOW)
        ledger.check(GRANT.access(1))
        with pytest.raises(Replayed):
            ledger.advance(GRANT.step(0), NOW + later)
        for generation in range(3):
            assert ledger.is_dead(GRANT.access(generation))
            with pytest.raises(Dead):
                ledger.advance(GRANT.step(generation), NOW + later)

    def test_generations_follow_one_another(self, ledger: Driver) -> None:
        for generation in range(5):
            advanced = ledger.advance(GRANT.step(generation), NOW + generation * DAY)
            assert advanced == Advanced(generation + 1, "advanced")

    def test_a_family_that_nothing_is_known_of_is_trusted(self, ledger: Driver) -> None:
        assert ledger.advance(GRANT.step(3), NOW) == Advanced(4, "trusted")
        assert ledger.advance(GRANT.step(4), NOW) == Advanced(5, "advanced")

    def test_a_generation_that_another_ledger_minted_may_skip_some(self, ledger: Driver) -> None:
        ledger.advance(GRANT.step(0), NOW)
        assert ledger.advance(GRANT.step(7), NOW) == Advanced(8, "advanced")

    def test_a_repeat_inside_the_window_yields_the_head(self, ledger: Driver) -> None:
        for generation in range(4):
            ledger.advance(GRANT.step(generation), NOW)
        for generation in (3, 2, 1):
            assert ledger.advance(GRANT.step(generation), NOW + GRACE - 1) == Advanced(4, "repeated")

    @proves("refresh", "memory", "outside it, the grant ends")
    def test_a_repeat_outside_the_window_ends_the_family(self, ledger: Driver) -> None:
        ledger.advance(GRANT.step(1), NOW)
        ledger.advance(GRANT.step(2), NOW + GRACE - 1)
        with pytest.raises(Replayed):
            ledger.advance(GRANT.step(1), NOW + GRACE)
        assert ledger.is_dead(GRANT.access(3))
        with pytest.raises(Dead):
            ledger.advance(GRANT.step(3), NOW + GRACE)

    def test_repeats_do_not_prolong_the_window(self, ledger: Driver) -> None:
        ledger.advance(GRANT.step(1), NOW)
        for later in range(0, GRACE, GRACE // 4):
            assert ledger.advance(GRANT.step(1), NOW + later).outcome == "repeated"
        with pytest.raises(Replayed):
            ledger.advance(GRANT.step(1), NOW + GRACE)

    @pytest.mark.parametrize("later", [0, -1, 1])
    def test_without_a_window_any_second_use_ends_the_family(self, ledger: Driver, later: int) -> None:
        """Even where the second process read its clock first."""
        ledger.advance(GRANT.step(1, grace=0), NOW)
        with pytest.raises(Replayed):
            ledger.advance(GRANT.step(1, grace=0), NOW + later)
        assert ledger.is_dead(GRANT.minted)

    def test_families_do_not_know_each_other(self, ledger: Driver) -> None:
        ledger.advance(GRANT.step(0), NOW)
        with pytest.raises(Replayed):
            ledger.advance(GRANT.step(0), NOW)
        assert ledger.advance(OTHER.step(0), NOW) == Advanced(1, "advanced")
        ledger.check(OTHER.access(1))

    @pytest.mark.parametrize("subject", EACH_KIND[:-1], ids=kind_of)
    def test_what_is_dead_is_refused_and_used_up_no_further(self, ledger: Driver, subject: Subject) -> None:
        ledger.mark(subject, Mark(NOW, FOREVER), NOW)
        with pytest.raises(Dead):
            ledger.advance(GRANT.step(0), NOW)
        assert not ledger.state(NOW).families

    @pytest.mark.parametrize("name", HOSTILE)
    def test_a_family_of_any_name_is_kept_apart(self, ledger: Driver, name: str) -> None:
        ledger.advance(GRANT.step(0), NOW)
        hostile = Grant(family=name)
        ledger.advance(hostile.step(0), NOW)
        with pytest.raises(Replayed):
            ledger.advance(hostile.step(0), NOW)
        assert ledger.is_dead(hostile.minted)
        ledger.check(GRANT.minted)


class TestAtOnce:
    @proves("redeem a code", "memory", "at most once")
    def test_of_64_uses_of_one_code_at_once_one_succeeds_and_the_family_ends(self, ledger: Driver) -> None:
        outcomes = ledger.together(*(ledger.ledger.advance(GRANT.step(0), NOW) for _ in range(64)))
        assert sorted(type(outcome).__name__ for outcome in outcomes) == [
            "Advanced",
            *["Dead"] * 62,
            "Replayed",
        ]
        assert ledger.is_dead(GRANT.access(1))

    def test_64_repeats_of_one_refresh_at_once_get_the_same_successor(self, ledger: Driver) -> None:
        ledger.advance(GRANT.step(0), NOW)
        outcomes = ledger.together(*(ledger.ledger.advance(GRANT.step(1), NOW) for _ in range(64)))
        assert outcomes.count(Advanced(2, "advanced")) == 1
        assert outcomes.count(Advanced(2, "repeated")) == 63

    def test_a_crowd_of_families_is_served_each_for_itself(self, ledger: Driver) -> None:
        """More than one transaction's worth of steps, refusals among them."""
        crowd = [Grant(family=f"fam{number % 500}") for number in range(600)]
        outcomes = ledger.together(*(ledger.ledger.advance(one.step(0), NOW) for one in crowd))
        assert [type(outcome) for outcome in outcomes] == [Advanced] * 500 + [Replayed] * 100
        assert [ledger.is_dead(one.minted) for one in crowd[:500]] == [True] * 100 + [False] * 400

    def test_a_mark_that_races_a_refresh_leaves_nothing_alive(self, ledger: Driver) -> None:
        mark = marks.family(GRANT.family), Mark(NOW, FOREVER), NOW
        for first in (True, False):
            steps = [ledger.ledger.advance(GRANT.step(1), NOW), ledger.ledger.mark(*mark)]
            ledger.together(*(steps if first else reversed(steps)))
            assert ledger.is_dead(GRANT.access(2))

    def test_a_one_use_id_is_spent_once(self, ledger: Driver) -> None:
        outcomes = ledger.together(*(ledger.ledger.spend("jti", FOREVER, NOW) for _ in range(64)))
        assert outcomes.count(None) == 1
        assert sum(isinstance(outcome, Spent) for outcome in outcomes) == 63

    def test_a_short_code_is_offered_once(self, ledger: Driver) -> None:
        outcomes = ledger.together(*(ledger.ledger.offer("ABC", str(number), FOREVER, NOW) for number in range(64)))
        assert outcomes.count(None) == 1
        assert sum(isinstance(outcome, Taken) for outcome in outcomes) == 63
        assert ledger.offered("ABC", NOW) == Offer(str(outcomes.index(None)), FOREVER)

    def test_a_decision_is_set_once_and_is_the_winners(self, ledger: Driver) -> None:
        ledger.offer("ABC", "request", FOREVER, NOW)
        outcomes = ledger.together(*(ledger.ledger.decide("ABC", f"by {who}", NOW) for who in range(64)))
        assert outcomes.count(None) == 1
        assert sum(isinstance(outcome, Decided) for outcome in outcomes) == 63
        assert ledger.offered("ABC", NOW) == Offer("request", FOREVER, f"by {outcomes.index(None)}")


class TestMark:
    @pytest.mark.parametrize("subject", EACH_KIND, ids=kind_of)
    def test_a_mark_ends_what_falls_under_its_subject_alone(self, ledger: Driver, subject: Subject) -> None:
        ledger.check(GRANT.access(1))
        ledger.mark(subject, Mark(NOW, FOREVER), NOW)
        assert ledger.is_dead(GRANT.access(1))
        assert ledger.is_dead(OTHER.access(1)) == (subject == marks.EVERYTHING)

    def test_a_mark_on_a_token_leaves_the_rest_of_its_family(self, ledger: Driver) -> None:
        ledger.mark(marks.token("fam.1"), Mark(NOW, FOREVER), NOW)
        ledger.check(GRANT.access(2))
        ledger.check(GRANT.minted)
        assert ledger.advance(GRANT.step(1), NOW) == Advanced(2, "trusted")

    @pytest.mark.parametrize("subject", GRANT.person, ids=kind_of)
    def test_a_coarse_mark_ends_what_was_authorized_at_or_before_it(self, ledger: Driver, subject: Subject) -> None:
        ledger.mark(subject, Mark(NOW, FOREVER), NOW)
        for authorized_at, dead in [(NOW - DAY, True), (NOW, True), (NOW + 1, False), (NOW + DAY, False)]:
            assert ledger.is_dead(Minted((subject,), authorized_at)) == dead

    @pytest.mark.parametrize("subject", EACH_KIND[-2:], ids=kind_of)
    def test_a_mark_on_a_family_or_token_is_final_whatever_its_time(self, ledger: Driver, subject: Subject) -> None:
        ledger.mark(subject, Mark(0, FOREVER), NOW)
        assert ledger.is_dead(Minted((subject,), NOW + 200 * DAY))

    @pytest.mark.parametrize("subject", EACH_KIND, ids=kind_of)
    def test_a_mark_may_lie_5_seconds_ahead_and_no_more(self, ledger: Driver, subject: Subject) -> None:
        with pytest.raises(FutureMark, match="ahead"):
            ledger.mark(subject, Mark(NOW + MAX_AHEAD + 1, FOREVER), NOW)
        with pytest.raises(FutureMark):
            ledger.mark(subject, Mark(-1, FOREVER), NOW)
        assert not ledger.state(NOW).marks
        ledger.mark(subject, Mark(NOW + MAX_AHEAD, FOREVER), NOW)
        assert ledger.is_dead(GRANT.access(1))

    def test_marks_merge_by_maximum_and_never_sink(self, ledger: Driver) -> None:
        subject = marks.account("acme")
        for mark in (Mark(NOW, NOW + DAY), Mark(NOW - DAY, NOW + 2 * DAY), Mark(NOW - 1, NOW)):
            assert ledger.mark(subject, mark, NOW) == mark
        assert ledger.state(NOW).marks == {subject: Mark(NOW, NOW + 2 * DAY)}

    @pytest.mark.parametrize("ahead", [0, 7, MAX_AHEAD - 1])
    def test_it_ends_what_was_lifted_over_an_earlier_mark(self, ledger: Driver, ahead: int) -> None:
        """Revoke, sign in, revoke, all in one millisecond, or with a first mark ahead of the clock."""
        ledger.mark(marks.user("acme", "ada"), Mark(NOW + ahead, FOREVER), NOW)
        fresh = Grant(authorized_at=ledger.lift(GRANT.person, NOW))
        assert not ledger.is_dead(fresh.minted)
        put = ledger.mark(marks.account("acme"), Mark(NOW, FOREVER), NOW)
        assert ledger.is_dead(fresh.minted)
        assert ledger.state(NOW).marks[marks.account("acme")] == put
        assert not ledger.is_dead(Grant(authorized_at=ledger.lift(GRANT.person, NOW)).minted)

    def test_it_ends_what_was_lifted_over_the_beginning_of_the_memory(self, begin: Begin) -> None:
        """Where this clock lags the one that began the ledger."""
        ledger, behind = begin(NOW), NOW - SECOND
        lifted = Grant(authorized_at=ledger.lift(GRANT.person, behind))
        ledger.check(lifted.minted)
        ledger.mark(marks.user("acme", "ada"), Mark(behind, FOREVER), behind)
        assert ledger.is_dead(lifted.minted)

    def test_a_mark_of_earlier_is_put_as_it_is(self, ledger: Driver) -> None:
        """It speaks of what was authorized up to then, and no later sign-in is meant."""
        ledger.mark(marks.EVERYTHING, Mark(NOW, FOREVER), NOW)
        fresh = Grant(authorized_at=ledger.lift(GRANT.person, NOW))
        earlier = Mark(NOW - 1, FOREVER)
        assert ledger.mark(marks.account("acme"), earlier, NOW) == earlier
        ledger.check(fresh.minted)

    def test_the_mark_on_a_family_lives_as_long_as_what_was_minted_of_it(self, ledger: Driver) -> None:
        """Whoever ends a family may hold one of its older tokens, which expire sooner."""
        ledger.advance(GRANT.step(0, expires=NOW + 30 * DAY), NOW)
        ledger.mark(marks.family(GRANT.family), Mark(NOW, NOW + DAY), NOW)
        ledger.spend("any", NOW + DAY, NOW + 2 * DAY)
        assert ledger.is_dead(GRANT.minted)
        assert ledger.state(NOW).marks[marks.family(GRANT.family)].expires == NOW + 30 * DAY

    def test_the_mark_on_a_token_outlives_a_repeat_of_it(self, ledger: Driver) -> None:
        """A refresh that is repeated inside the window mints the same jti once more, to expire later."""
        ledger.mark(marks.token("fam.1"), Mark(NOW, NOW + DAY), NOW)
        ledger.spend("any", NOW + DAY, NOW + DAY + MAX_GRACE - 1)
        assert ledger.is_dead(GRANT.access(1))

    def test_a_replay_ends_its_family_for_as_long_as_what_was_minted_of_it(self, ledger: Driver) -> None:
        ledger.advance(GRANT.step(1, expires=NOW + DAY), NOW)
        ledger.advance(GRANT.step(1, expires=NOW + DAY + 1), NOW + 1)
        with pytest.raises(Replayed):
            ledger.advance(GRANT.step(1, expires=NOW + SECOND), NOW + GRACE)
        assert ledger.state(NOW).marks[marks.family(GRANT.family)].expires == NOW + DAY + 1

    @pytest.mark.parametrize("name", HOSTILE)
    @pytest.mark.parametrize("part", ["account", "user"])
    def test_a_mark_on_a_hostile_name_is_nobody_elses(self, ledger: Driver, name: str, part: str) -> None:
        account, user = (name, "x") if part == "account" else ("x", name)
        subject = marks.user(account, user)
        ledger.mark(subject, Mark(NOW, FOREVER), NOW)
        assert ledger.is_dead(Minted((subject,), NOW))
        assert list(ledger.state(NOW).marks) == [subject]
        strangers = [marks.user(user, account), marks.account(account), marks.account(user)]
        strangers += [
            marks.account(f"{account}/{user}"),
            marks.user(account, f"{user}/"),
            marks.user("a", "b"),
        ]
        ledger.check(Minted(tuple(strangers), NOW))


class TestLift:
    def test_a_fresh_authorization_is_of_now(self, ledger: Driver) -> None:
        ledger.mark(marks.account("acme"), Mark(NOW - 1, FOREVER), NOW)
        assert ledger.lift(GRANT.person, NOW) == NOW

    @pytest.mark.parametrize("subject", GRANT.person, ids=kind_of)
    def test_who_signs_in_right_after_a_revocation_is_alive_and_what_was_before_is_dead(
        self, ledger: Driver, subject: Subject
    ) -> None:
        """In the same millisecond."""
        ledger.mark(subject, Mark(NOW, FOREVER), NOW)
        fresh = Grant(family="fresh", authorized_at=ledger.lift(GRANT.person, NOW))
        assert ledger.advance(fresh.step(0), NOW) == Advanced(1, "advanced")
        ledger.check(fresh.access(1))
        assert ledger.is_dead(GRANT.minted)

    def test_it_lies_over_the_latest_mark_on_any_of_the_subjects(self, ledger: Driver) -> None:
        ledger.mark(marks.credential("key"), Mark(NOW + 3, FOREVER), NOW)
        ledger.mark(marks.EVERYTHING, Mark(NOW + 7, FOREVER), NOW)
        ledger.mark(marks.account("corp"), Mark(NOW + 99, FOREVER), NOW)
        assert ledger.lift(GRANT.person, NOW) == NOW + 8

    @pytest.mark.parametrize("behind", [1, MAX_AHEAD])
    def test_it_is_alive_where_the_clock_lags_the_one_that_began_the_ledger(self, begin: Begin, behind: int) -> None:
        ledger = begin(NOW)
        fresh = Grant(authorized_at=ledger.lift(GRANT.person, NOW - behind))
        assert ledger.advance(fresh.step(0), NOW - behind) == Advanced(1, "advanced")

    def test_a_clock_that_is_wrong_beyond_bounds_authorizes_nothing(self, begin: Begin) -> None:
        """It would reach over marks of the next seconds."""
        ledger = begin(NOW)
        early = NOW - MAX_AHEAD - 1
        assert ledger.is_dead(Minted(GRANT.person, ledger.lift(GRANT.person, early)))


class TestContinuity:
    @pytest.mark.parametrize(("authorized_at", "dead"), [(NOW - 1, True), (NOW, False), (NOW + 1, False)])
    def test_what_is_older_than_the_ledgers_memory_is_refused(
        self, begin: Begin, authorized_at: int, dead: bool
    ) -> None:
        ledger = begin(NOW)
        grant = Grant(authorized_at=authorized_at)
        assert ledger.is_dead(grant.minted) == dead
        for generation in (1, 0):
            step = Grant(family=f"f{generation}", authorized_at=authorized_at).step(generation)
            if dead:
                with pytest.raises(Dead):
                    ledger.advance(step, NOW)
            else:
                ledger.advance(step, NOW)

    def test_a_new_ledger_knows_since_when_it_is_complete(self, begin: Begin) -> None:
        assert begin(NOW).state(NOW) == State(continuity=Continuity(NOW, NOW))

    def test_codes_are_judged_by_their_own_stamp_too(self, begin: Begin) -> None:
        """Marks may be known further back than redemptions."""
        ledger = begin(NOW)
        ledger.merge(State(continuity=Continuity(spent_since=NOW, marks_since=BEGAN)), NOW)
        earlier = Grant(authorized_at=NOW - 1)
        ledger.check(earlier.minted)
        with pytest.raises(Dead):
            ledger.advance(earlier.step(0), NOW)
        assert ledger.advance(earlier.step(1), NOW) == Advanced(2, "trusted")


class TestSpend:
    def test_a_spent_id_is_refused_until_it_expires(self, ledger: Driver) -> None:
        ledger.spend("jti", NOW + SECOND, NOW)
        for later in (0, 1, SECOND - 1):
            with pytest.raises(Spent):
                ledger.spend("jti", NOW + SECOND, NOW + later)
        ledger.spend("jti", NOW + DAY, NOW + SECOND)
        with pytest.raises(Spent):
            ledger.spend("jti", NOW + DAY, NOW + SECOND)

    @pytest.mark.parametrize("use", HOSTILE)
    def test_ids_do_not_know_each_other(self, ledger: Driver, use: str) -> None:
        ledger.spend(use, FOREVER, NOW)
        ledger.spend(use + " ", FOREVER, NOW)
        ledger.spend(use.swapcase() + "x", FOREVER, NOW)
        with pytest.raises(Spent):
            ledger.spend(use, FOREVER, NOW)


class TestOffer:
    def test_nothing_is_offered_under_an_unknown_code(self, ledger: Driver) -> None:
        assert ledger.offered("ABC", NOW) is None
        with pytest.raises(Decided):
            ledger.decide("ABC", "yes", NOW)

    def test_an_offer_is_there_until_it_expires(self, ledger: Driver) -> None:
        ledger.offer("ABC", "request", NOW + SECOND, NOW)
        assert ledger.offered("ABC", NOW + SECOND - 1) == Offer("request", NOW + SECOND)
        assert ledger.offered("ABC", NOW + SECOND) is None
        with pytest.raises(Decided):
            ledger.decide("ABC", "yes", NOW + SECOND)

    def test_a_code_is_taken_until_it_expires(self, ledger: Driver) -> None:
        ledger.offer("ABC", "first", NOW + SECOND, NOW)
        with pytest.raises(Taken):
            ledger.offer("ABC", "second", FOREVER, NOW + SECOND - 1)
        assert ledger.offered("ABC", NOW) == Offer("first", NOW + SECOND)
        ledger.offer("ABC", "second", FOREVER, NOW + SECOND)
        assert ledger.offered("ABC", NOW + SECOND) == Offer("second", FOREVER)

    def test_the_first_decision_stands(self, ledger: Driver) -> None:
        ledger.offer("ABC", "request", FOREVER, NOW)
        ledger.decide("ABC", "yes", NOW)
        for decision in ("no", "yes"):
            with pytest.raises(Decided):
                ledger.decide("ABC", decision, NOW)
        assert ledger.offered("ABC", NOW) == Offer("request", FOREVER, "yes")

    def test_a_new_offer_under_an_expired_code_is_undecided(self, ledger: Driver) -> None:
        ledger.offer("ABC", "first", NOW + SECOND, NOW)
        ledger.decide("ABC", "yes", NOW)
        ledger.offer("ABC", "second", FOREVER, NOW + SECOND)
        ledger.decide("ABC", "no", NOW + SECOND)
        assert ledger.offered("ABC", NOW + SECOND) == Offer("second", FOREVER, "no")


NEWS = State(
    marks={marks.user("acme", "a/b"): Mark(NOW, FOREVER), marks.EVERYTHING: Mark(BEGAN, FOREVER)},
    families={"fam": Family(3, FOREVER, 1, ((1, NOW - 2), (2, NOW)), "redeemed")},
    spent={"jti": FOREVER},
    offers={"ABC": Offer("request", FOREVER, "yes")},
    continuity=Continuity(BEGAN - 2, BEGAN - 1),
)


class TestMerge:
    def test_all_that_is_merged_is_known_and_in_force(self, ledger: Driver) -> None:
        ledger.merge(NEWS, NOW)
        assert ledger.state(NOW) == NEWS
        assert ledger.is_dead(Minted((marks.user("acme", "a/b"),), NOW))
        assert ledger.advance(GRANT.step(2), NOW) == Advanced(3, "repeated")
        with pytest.raises(Spent):
            ledger.spend("jti", FOREVER, NOW)
        with pytest.raises(Taken):
            ledger.offer("ABC", "another", FOREVER, NOW)
        with pytest.raises(Decided):
            ledger.decide("ABC", "no", NOW)

    def test_hearing_it_again_changes_nothing(self, ledger: Driver) -> None:
        ledger.merge(NEWS, NOW)
        ledger.merge(NEWS, NOW)
        ledger.merge(ledger.state(NOW), NOW)
        ledger.merge(State(), NOW)
        assert ledger.state(NOW) == NEWS

    def test_a_part_leaves_the_ledger_as_complete_as_it_was(self, ledger: Driver) -> None:
        ledger.merge(State(spent={"jti": FOREVER}), NOW)
        assert ledger.state(NOW).continuity == Continuity(BEGAN, BEGAN)

    def test_a_whole_state_brings_its_memory_along(self, begin: Begin) -> None:
        """A fresh replica accepts what its peer was there for, and what it knows is dead stays so."""
        peer, fresh = begin(BEGAN), begin(NOW)
        peer.mark(marks.account("corp"), Mark(NOW - 1, FOREVER), NOW)
        earlier = Grant(authorized_at=NOW - 1)
        assert fresh.is_dead(earlier.minted)
        fresh.merge(peer.state(NOW), NOW)
        fresh.check(earlier.minted)
        assert fresh.is_dead(Minted(OTHER.person, NOW - 1))
        assert fresh.is_dead(Grant(authorized_at=BEGAN - 1).minted)

    @pytest.mark.parametrize("ahead", [Mark(NOW + MAX_AHEAD + 1, FOREVER), Mark(-1, FOREVER)])
    def test_a_mark_from_the_future_spoils_all_that_comes_with_it(self, ledger: Driver, ahead: Mark) -> None:
        before = ledger.state(NOW)
        marked = {**NEWS.marks, marks.account("acme"): ahead}
        with pytest.raises(FutureMark):
            ledger.merge(State(marked, NEWS.families, NEWS.spent, NEWS.offers, NEWS.continuity), NOW)
        assert ledger.state(NOW) == before

    def test_a_code_redeemed_on_both_sides_ends_its_family_on_both(self, begin: Begin) -> None:
        one, other = begin(BEGAN), begin(BEGAN)
        for ledger in (one, other):
            assert ledger.advance(GRANT.step(0), NOW) == Advanced(1, "advanced")
        for here, there in ((one, other), (other, one)):
            here.merge(there.state(NOW), NOW)
            assert here.is_dead(GRANT.access(1))
            with pytest.raises(Dead):
                here.advance(GRANT.step(1), NOW)

    def test_a_code_redeemed_on_one_side_is_replayed_on_the_other(self, begin: Begin) -> None:
        one, other = begin(BEGAN), begin(BEGAN)
        one.advance(GRANT.step(0), NOW)
        other.merge(one.state(NOW), NOW)
        one.merge(other.state(NOW), NOW)
        one.check(GRANT.access(1))
        with pytest.raises(Replayed):
            other.advance(GRANT.step(0), NOW)

    def test_a_generation_used_on_one_side_is_repeated_or_replayed_on_the_other(self, begin: Begin) -> None:
        one, other = begin(BEGAN), begin(BEGAN)
        one.advance(GRANT.step(1), NOW)
        other.merge(one.state(NOW), NOW)
        assert other.advance(GRANT.step(1), NOW + GRACE - 1) == Advanced(2, "repeated")
        with pytest.raises(Replayed):
            other.advance(GRANT.step(1), NOW + GRACE)

    def test_the_earliest_use_counts(self, begin: Begin) -> None:
        one, other = begin(BEGAN), begin(BEGAN)
        one.advance(GRANT.step(1), NOW)
        other.advance(GRANT.step(1), NOW + GRACE - 1)
        other.merge(one.state(NOW), NOW)
        with pytest.raises(Replayed):
            other.advance(GRANT.step(1), NOW + GRACE)

    @pytest.mark.parametrize("mark_first", [True, False])
    def test_the_mark_on_a_family_outlives_what_the_other_side_minted(self, ledger: Driver, mark_first: bool) -> None:
        ended = State(marks={marks.family("fam"): Mark(NOW, NOW + SECOND)})
        went_on = State(families={"fam": Family(3, NOW + DAY, recent=((2, NOW),))})
        for news in (ended, went_on) if mark_first else (went_on, ended):
            ledger.merge(news, NOW)
        assert ledger.state(NOW).marks == {marks.family("fam"): Mark(NOW, NOW + DAY)}

    def test_other_requests_under_one_short_code_are_denied(self, begin: Begin) -> None:
        one, other = begin(BEGAN), begin(BEGAN)
        one.offer("ABC", "mine", FOREVER, NOW)
        other.offer("ABC", "theirs", FOREVER, NOW)
        other.decide("ABC", "yes", NOW)
        one.merge(other.state(NOW), NOW)
        assert one.offered("ABC", NOW) == Offer("theirs", FOREVER, DENIED)
        with pytest.raises(Decided):
            one.decide("ABC", "yes", NOW)

    def test_merging_a_crowd_takes_all_of_it(self, ledger: Driver) -> None:
        crowd = State(
            marks={marks.account(f"a{number}"): Mark(NOW, FOREVER) for number in range(2_000)},
            families={f"f{number}": Family(1, FOREVER, recent=((0, NOW),)) for number in range(2_000)},
            spent={f"u{number}": FOREVER for number in range(2_000)},
            continuity=Continuity(BEGAN, BEGAN),
        )
        ledger.merge(crowd, NOW)
        assert ledger.state(NOW) == crowd


class TestMarksInForce:
    def test_they_are_those_of_the_state(self, ledger: Driver) -> None:
        ledger.merge(NEWS, NOW)
        ledger.mark(marks.token("fam.1"), Mark(NOW, FOREVER), NOW)
        assert ledger.marks(NOW) == ledger.state(NOW).marks
        assert len(ledger.marks(NOW)) == len(NEWS.marks) + 1

    def test_what_has_expired_is_none_of_them(self, ledger: Driver) -> None:
        ledger.mark(marks.account("acme"), Mark(NOW, NOW + SECOND), NOW)
        assert list(ledger.marks(NOW + SECOND - 1)) == [marks.account("acme")]
        assert not ledger.marks(NOW + SECOND)


class TestReady:
    def test_a_clock_may_lag_the_ledgers_by_5_seconds_and_no_more(self, ledger: Driver) -> None:
        """What the later time has forgotten cannot be judged by the earlier one."""
        ledger.ready(NOW)
        ledger.ready(NOW - MAX_AHEAD)
        with pytest.raises(TemporarilyUnavailable):
            ledger.ready(NOW - MAX_AHEAD - 1)
        ledger.ready(NOW - MAX_AHEAD)

    def test_a_clock_that_runs_on_is_ready(self, ledger: Driver) -> None:
        for day in range(3):
            ledger.ready(NOW + day * DAY)


class TestForgetting:
    def test_the_state_leaves_out_what_has_expired(self, ledger: Driver) -> None:
        ledger.mark(marks.account("acme"), Mark(NOW, NOW + SECOND), NOW)
        ledger.advance(OTHER.step(0, expires=NOW + SECOND), NOW)
        ledger.spend("jti", NOW + SECOND, NOW)
        ledger.offer("ABC", "request", NOW + SECOND, NOW)
        assert ledger.state(NOW + SECOND) == State(continuity=Continuity(BEGAN, BEGAN))
        before = ledger.state(NOW + SECOND - 1)
        assert [len(part) for part in (before.marks, before.families, before.spent, before.offers)] == [1] * 4

    def test_what_has_not_expired_is_remembered_for_as_long_as_that_takes(self, ledger: Driver) -> None:
        ledger.mark(marks.account("acme"), Mark(NOW, FOREVER), NOW)
        ledger.advance(OTHER.step(0, expires=FOREVER), NOW)
        ledger.spend("jti", FOREVER, NOW)
        ledger.offer("ABC", "request", FOREVER, NOW)
        for day in range(1, 300, 13):
            ledger.spend("often", NOW, NOW + day * DAY)
        last = FOREVER - 1
        assert ledger.is_dead(GRANT.minted)
        with pytest.raises(Replayed):
            ledger.advance(OTHER.step(0), last)
        with pytest.raises(Spent):
            ledger.spend("jti", FOREVER, last)
        assert ledger.offered("ABC", last) == Offer("request", FOREVER)

    @pytest.mark.parametrize("busy_with", ["advance", "mark", "spend", "offer", "merge"])
    def test_what_has_expired_is_dropped_by_whatever_happens_next(self, ledger: Driver, busy_with: str) -> None:
        """Seen by a clock that is put back: a ledger of one verb's traffic only must not grow without bound."""
        ledger.mark(marks.account("acme"), Mark(NOW, NOW + SECOND), NOW)
        later = NOW + 10 * 60 * SECOND
        steps: dict[str, Callable[[], object]] = {
            "advance": lambda: ledger.advance(OTHER.step(0), later),
            "mark": lambda: ledger.mark(marks.client("web"), Mark(NOW, FOREVER), later),
            "spend": lambda: ledger.spend("jti", FOREVER, later),
            "offer": lambda: ledger.offer("ABC", "request", FOREVER, later),
            "merge": lambda: ledger.merge(State(), later),
        }
        steps[busy_with]()
        assert marks.account("acme") not in ledger.state(NOW).marks


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(names=st.lists(texts, min_size=5, max_size=5, unique=True))
def test_any_text_is_a_name_and_comes_back_as_it_was(begin: Begin, names: list[str]) -> None:
    ledger = begin(BEGAN)
    account, person, use, code, request = names
    state = State(
        marks={marks.user(account, person): Mark(1, FOREVER), marks.account(person): Mark(2, FOREVER)},
        families={account: Family(1, FOREVER, recent=((0, NOW),), redemption=person)},
        spent={use: FOREVER},
        offers={code: Offer(request, FOREVER, use)},
        continuity=Continuity(BEGAN, BEGAN),
    )
    ledger.merge(state, NOW)
    assert ledger.state(NOW) == state
    assert ledger.is_dead(Minted((marks.user(account, person),), 0))
