"""The algebra: states form a join-semilattice, steps only go up in it, and what is dead stays dead."""

from functools import reduce
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger.support import Minted
from tokensvc.ledger import algebra
from tokensvc.ledger.algebra import (
    CONFLICT,
    DENIED,
    MAX_GRACE,
    MAX_RECENT,
    Continuity,
    Family,
    Offer,
    Outcome,
    State,
    forget,
    join,
)
from tokensvc.ledger.marks import EVERYTHING, Dead, Mark, Marks, Subject, family, token, user

NOTHING = State()
GRACE = 60_000
FAMILIES = ("f1", "f2")
SUBJECTS: tuple[Subject, ...] = (
    EVERYTHING,
    user("acme", "ada"),
    token("f1.1"),
    *map(family, FAMILIES),
)
SEVERITY: dict[Outcome, int] = {"advanced": 0, "trusted": 0, "repeated": 1, "replayed": 2}

# Small ranges, so that two states often speak of the same thing at the same time, and differ.
times = st.integers(0, 12)
generations = st.integers(0, 7)


@st.composite
def family_entries(draw: st.DrawFn) -> Family:
    """An entry as steps leave it: what was advanced last is remembered, and nothing below the floor is."""
    head = draw(st.integers(1, 6))
    floor = draw(st.integers(0, head - 1))
    older = draw(st.sets(st.integers(floor, head - 1)))
    recent = tuple((generation, draw(times)) for generation in sorted({*older, head - 1}))
    return Family(head, draw(times), floor, recent, draw(st.sampled_from(["", "r1", "r2", CONFLICT])))


offers = st.builds(Offer, st.sampled_from(["q1", "q2"]), times, st.sampled_from(["", "yes", "no", DENIED]))
states = st.builds(
    State,
    marks=st.dictionaries(st.sampled_from(SUBJECTS), st.builds(Mark, times, times)),
    families=st.dictionaries(st.sampled_from(FAMILIES), family_entries()),
    spent=st.dictionaries(st.sampled_from(["u1", "u2"]), times),
    offers=st.dictionaries(st.sampled_from(["c1", "c2"]), offers),
    continuity=st.none() | st.builds(Continuity, times, times),
).map(lambda state: join(state, NOTHING))
"""Closed states: what a redemption implies for its family has been drawn."""


def below(one: State, other: State) -> bool:
    return join(one, other) == other


def is_dead(state: State, minted: Minted) -> bool:
    try:
        Marks(state.marks).check(minted)
    except Dead:
        return True
    return False


# The semilattice.


@given(states, states)
def test_joining_is_commutative(one: State, other: State) -> None:
    assert join(one, other) == join(other, one)


@given(states, states, states)
def test_joining_is_associative(one: State, other: State, third: State) -> None:
    assert join(join(one, other), third) == join(one, join(other, third))


@given(states)
def test_joining_is_idempotent_and_nothing_is_its_identity(one: State) -> None:
    assert join(one, one) == one
    assert join(one, NOTHING) == one == join(NOTHING, one)


@given(states, states)
def test_a_join_is_an_upper_bound(one: State, other: State) -> None:
    assert below(one, join(one, other))
    assert below(other, join(one, other))


@given(states, states, states)
def test_a_join_is_the_least_upper_bound(one: State, other: State, more: State) -> None:
    bound = join(join(one, more), other)
    assert below(join(one, other), bound)


@given(states, states, states)
def test_joining_is_monotone(one: State, more: State, other: State) -> None:
    assert below(join(one, other), join(join(one, more), other))


@given(states, states)
def test_joining_changes_neither_side(one: State, other: State) -> None:
    before = repr((one, other))
    join(one, other)
    assert repr((one, other)) == before


@given(st.lists(states, min_size=1, max_size=4), st.data())
def test_news_in_any_order_and_any_number_of_times_ends_in_the_same_state(
    news: list[State], data: st.DataObject
) -> None:
    once = NOTHING
    for state in news:
        once = join(once, state)
    shuffled = NOTHING
    for state in data.draw(st.permutations([*news, *data.draw(st.lists(st.sampled_from(news)))])):
        shuffled = join(shuffled, state)
    assert shuffled == once


@given(states, states, times)
def test_what_has_expired_may_be_forgotten_before_or_after_the_join(one: State, other: State, now: int) -> None:
    """Of what is alive nothing is lost, and nothing is made up."""
    early, late = join(forget(one, now), forget(other, now)), forget(join(one, other), now)
    assert early.spent == late.spent
    assert early.families.keys() == late.families.keys()
    assert early.marks.keys() <= late.marks.keys()
    assert early.offers.keys() == late.offers.keys()
    assert forget(late, now) == late


# What is dead stays dead.


@given(states, states, st.sets(st.sampled_from(SUBJECTS)), times)
def test_what_is_dead_in_a_state_is_dead_in_every_later_one(
    one: State, other: State, subjects: set[Subject], authorized_at: int
) -> None:
    minted = Minted(tuple(subjects), authorized_at)
    assert not is_dead(one, minted) or is_dead(join(one, other), minted)


@given(st.none() | family_entries(), st.none() | family_entries(), generations, times, st.sampled_from([0, 3, 8]))
def test_a_use_is_judged_at_least_as_hard_in_every_later_state(
    one: Family | None, other: Family | None, generation: int, now: int, grace: int
) -> None:
    def judge(entry: Family | None) -> int:
        _, outcome = algebra.advance(entry, generation, now=now, grace=grace, redemption="new", expires=now + 9)
        return SEVERITY[outcome]

    joined = algebra.join_families(one, other) if one and other else one or other
    assert judge(one) <= judge(joined)


@given(states, states)
def test_what_is_spent_or_decided_stays_so(one: State, other: State) -> None:
    joined = join(one, other)
    for use, expires in one.spent.items():
        assert expires <= joined.spent[use]
    for code, offer in one.offers.items():
        later = joined.offers[code]
        assert later.decision in ({offer.decision, DENIED} if offer.decision else {"", "yes", "no", DENIED})


@given(states, states)
def test_an_ended_family_has_a_mark_that_lives_as_long_as_anything_of_it(one: State, other: State) -> None:
    joined = join(one, other)
    for name, entry in joined.families.items():
        if entry.redemption == CONFLICT or family(name) in joined.marks:
            assert joined.marks[family(name)].expires >= entry.expires


# A step goes up.


@given(states, st.sampled_from(FAMILIES), generations, st.integers(0, 3 * MAX_GRACE), st.sampled_from([0, 5]))
def test_a_step_only_goes_up(state: State, name: str, generation: int, now: int, grace: int) -> None:
    entry = state.families.get(name)
    after, outcome = algebra.advance(
        entry, generation, now=now, grace=grace, redemption="" if generation else "new", expires=now
    )
    risen = join(State(marks=state.marks, families={**state.families, name: after}), NOTHING)
    assert below(State(marks=state.marks, families=state.families), risen)
    if outcome in ("advanced", "trusted"):
        assert after.head == generation + 1
    else:
        assert entry is not None
        assert after.head == entry.head


@given(st.lists(st.tuples(generations, st.integers(0, 2 * MAX_GRACE)), max_size=200), st.integers(0, MAX_GRACE))
def test_an_entry_stays_small_and_in_order(uses: list[tuple[int, int]], grace: int) -> None:
    entry, now = None, 0
    for ahead, delay in uses:
        now += delay
        generation = ahead + (entry.head if entry else 0)
        entry, _ = algebra.advance(entry, generation, now=now, grace=grace, redemption="", expires=now)
        remembered = [recorded for recorded, _ in entry.recent]
        assert len(remembered) <= MAX_RECENT
        assert remembered == sorted(set(remembered))
        assert entry.floor <= remembered[0] <= remembered[-1] == entry.head - 1


# The grace rule, against an oracle that keeps every use for ever.


@settings(max_examples=300)
@given(
    start=st.integers(0, 2),
    uses=st.lists(
        st.tuples(st.integers(-4, 2), st.sampled_from([0, 1, GRACE // 3, GRACE - 1, GRACE, 700_000])),
        max_size=25,
    ),
    grace=st.sampled_from([0, 1, GRACE, MAX_GRACE]),
)
def test_the_grace_rule(start: int, uses: list[tuple[int, int]], grace: int) -> None:
    """Inside the window of its first use a generation yields the head; outside it, and a code ever, it is replayed."""
    used: dict[int, int] = {}
    entry, now = None, 1_000_000
    for relative, delay in [(0, 0), *uses]:
        now += delay
        head = max(used) + 1 if used else start
        generation = max(head + relative, 0)
        entry, outcome = algebra.advance(entry, generation, now=now, grace=grace, redemption="r", expires=now + 1)
        # A generation that was skipped was used before a later one was.
        first = min((at for other, at in used.items() if other >= generation), default=None)
        if first is None:
            assert outcome == ("trusted" if generation and not used else "advanced")
            used[generation] = now
        elif generation == 0 or now - first >= grace:
            assert outcome == "replayed"
        else:
            assert outcome == "repeated"
        assert entry.head == max(used) + 1


@pytest.mark.parametrize(
    ("grace", "elapsed", "outcome"),
    [
        (GRACE, 0, "repeated"),
        (GRACE, GRACE - 1, "repeated"),
        (GRACE, GRACE, "replayed"),
        (GRACE, -3_000, "repeated"),
        (0, 0, "replayed"),
        (0, -1, "replayed"),
    ],
)
def test_the_edges_of_the_window_for_clocks_before_and_behind(grace: int, elapsed: int, outcome: Outcome) -> None:
    """With grace 0 any second use is a replay, of two processes' too whose clocks were read in the other order."""
    entry = Family(head=2, expires=10**9, recent=((1, 1_000_000),))
    assert algebra.advance(entry, 1, now=1_000_000 + elapsed, grace=grace, redemption="", expires=0)[1] == outcome


def test_repeats_do_not_prolong_the_window() -> None:
    entry, _ = algebra.advance(None, 1, now=0, grace=GRACE, redemption="", expires=1)
    for now in range(0, GRACE, 1_000):
        entry, outcome = algebra.advance(entry, 1, now=now, grace=GRACE, redemption="", expires=now)
        assert outcome == "repeated"
    assert algebra.advance(entry, 1, now=GRACE, grace=GRACE, redemption="", expires=0)[1] == "replayed"


def test_a_repeat_keeps_the_entry_for_as_long_as_what_it_mints() -> None:
    entry, _ = algebra.advance(None, 1, now=0, grace=GRACE, redemption="", expires=1_000)
    repeated, _ = algebra.advance(entry, 1, now=50, grace=GRACE, redemption="", expires=1_050)
    assert repeated.expires == 1_050


def test_a_burst_longer_than_the_memory_of_a_family_ends_it_rather_than_trusting_it() -> None:
    entry = None
    for generation in range(1, MAX_RECENT + 2):
        entry, _ = algebra.advance(entry, generation, now=0, grace=GRACE, redemption="", expires=1)
    assert algebra.advance(entry, 2, now=0, grace=GRACE, redemption="", expires=1)[1] == "repeated"
    assert algebra.advance(entry, 1, now=0, grace=GRACE, redemption="", expires=1)[1] == "replayed"


# Replicas.


class Replica:
    """One family of a ledger, and the copies of it that are on their way."""

    def __init__(self) -> None:
        self.state = NOTHING

    def use(self, generation: int, now: int, redemption: str) -> None:
        entry, outcome = algebra.advance(
            self.state.families.get("f"), generation, now=now, grace=GRACE, redemption=redemption, expires=now
        )
        news = State(families={"f": entry})
        if outcome == "replayed":
            news = State(marks={family("f"): Mark(now, entry.expires)}, families={"f": entry})
        self.hear(news)

    def hear(self, news: State) -> None:
        self.state = join(self.state, news)


moves = st.one_of(
    st.tuples(st.just("use"), st.integers(0, 2), st.integers(0, 4), st.sampled_from([0, 10, GRACE])),
    st.tuples(st.just("send"), st.integers(0, 2), st.just(0), st.just(0)),
    st.tuples(st.just("deliver"), st.integers(0, 2), st.integers(0, 9), st.just(0)),
)


@settings(max_examples=200)
@given(st.lists(moves, max_size=30))
def test_replicas_that_advance_different_generations_agree_when_they_have_heard_of_each_other(
    script: list[tuple[str, int, int, int]],
) -> None:
    """News is delayed, doubled and overtaken on its way."""
    replicas, on_the_way, now = [Replica(), Replica(), Replica()], [NOTHING], 0
    redeemed: set[int] = set()
    for number, (move, which, argument, delay) in enumerate(script):
        now += delay
        replica = replicas[which]
        if move == "use":
            if argument == 0 and "f" not in replica.state.families:
                redeemed.add(number)
            replica.use(argument, now, "" if argument else f"r{number}")
        elif move == "send":
            on_the_way.append(replica.state)
        else:
            replica.hear(on_the_way[argument % len(on_the_way)])
    ends = [reduce(join, (replica.state for replica in order)) for order in permutations(replicas)]
    assert all(end == ends[0] for end in ends)
    assert len(redeemed) < 2 or family("f") in ends[0].marks


def test_a_code_that_was_redeemed_on_two_replicas_ends_its_family_on_both() -> None:
    one, other = Replica(), Replica()
    one.use(0, now=1, redemption="r1")
    other.use(0, now=2, redemption="r2")
    assert not one.state.marks
    assert not other.state.marks
    sent = one.state
    one.hear(other.state)
    other.hear(sent)
    assert one.state == other.state
    assert is_dead(one.state, Minted((family("f"),), 99))


def test_a_code_that_two_replicas_know_of_by_the_same_redemption_ends_nothing() -> None:
    one, other = Replica(), Replica()
    one.use(0, now=1, redemption="r1")
    other.hear(one.state)
    one.hear(other.state)
    assert not one.state.marks


def test_a_partition_longer_than_the_window_shows_as_a_replay_once_it_is_healed() -> None:
    one, other = Replica(), Replica()
    one.use(0, now=0, redemption="r1")
    other.hear(one.state)
    one.use(1, now=1_000, redemption="")
    one.use(2, now=2_000, redemption="")
    other.use(1, now=1_000 + 10 * GRACE, redemption="")
    one.hear(other.state)
    assert not one.state.marks
    one.use(2, now=2_000 + 10 * GRACE, redemption="")
    assert family("f") in one.state.marks


def test_the_mark_on_a_family_outlives_what_another_replica_minted_meanwhile() -> None:
    revoked = State(marks={family("f"): Mark(5, expires=10)})
    went_on = State(families={"f": Family(head=3, expires=99, recent=((2, 4),))})
    assert join(revoked, went_on).marks[family("f")] == Mark(5, expires=99)


@given(offers, offers)
def test_two_requests_or_two_decisions_under_one_short_code_are_a_denial(one: Offer, other: Offer) -> None:
    joined = algebra.join_offers(one, other)
    differ = one.request != other.request or (one.decision and other.decision and one.decision != other.decision)
    assert joined.decision == (DENIED if differ else one.decision or other.decision)
