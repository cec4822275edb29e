"""The ledger's state as a join-semilattice, and the one step that a family takes. Pure: no clock, no storage.

`join` is commutative, associative and idempotent, and every step only ever goes up in its order. Replicas that hear of
one another in any order, late or twice, therefore agree, and what is dead in one state is dead in every later one.
Forgetting what has expired is the one way down, and concerns only what no unexpired artefact can ask for.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from tokensvc.ledger.marks import Mark, Subject, family, join_marks

MAX_GRACE = 600_000
"""The longest grace window that a setting allows, in milliseconds: what is older is never asked for."""
MAX_RECENT = 64
"""How many recent generations a family remembers: no honest client refreshes more often inside one window."""
CONFLICT = "*"
"""The top of the order of redemptions: one code was redeemed twice."""
DENIED = "denied"
"""The top of the order of decisions: two that differ are a denial."""

Key = tuple[str, ...]
"""What names an entry of a state: ("mark", *subject), ("family", name), ("spent", use) or ("offer", code)."""

Outcome = Literal["advanced", "trusted", "repeated", "replayed"]
Name = TypeVar("Name")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Family:
    """A grant's chain of generations. The head is the generation that may be used next.

    `recent` holds when each generation from `floor` on was first advanced, in milliseconds, ascending by generation.
    Below the floor everything was advanced longer ago than any grace window.
    """

    head: int
    expires: int
    floor: int = 0
    recent: tuple[tuple[int, int], ...] = ()
    redemption: str = ""

    def advanced_at(self, generation: int) -> int | None:
        """When the generation was first advanced, at the latest; None if that is longer ago than any window.

        News of it may still be on its way while a later generation was advanced here: it was not advanced after that.
        """
        if generation < self.floor:
            return None
        return min((at for recorded, at in self.recent if recorded >= generation), default=None)


@dataclass(frozen=True, slots=True)
class Offer:
    """A request offered under a short code, sealed, and the decision on it: empty until it is set, once."""

    request: str
    expires: int
    decision: str = ""


@dataclass(frozen=True, slots=True)
class Continuity:
    """Since when the ledger is complete, in milliseconds: codes redeemed, and marks. What is older is refused."""

    spent_since: int
    marks_since: int


@dataclass(frozen=True, slots=True)
class State:
    """All of a ledger, or a part of it on its way to another. Only a whole one brings its continuity along."""

    marks: Mapping[Subject, Mark] = field(default_factory=dict)
    families: Mapping[str, Family] = field(default_factory=dict)
    spent: Mapping[str, int] = field(default_factory=dict)
    offers: Mapping[str, Offer] = field(default_factory=dict)
    continuity: Continuity | None = None


def advance(
    entry: Family | None, generation: int, *, now: int, grace: int, redemption: str, expires: int
) -> tuple[Family, Outcome]:
    """Use one generation of a family: 0 is the code, n the refresh token of generation n.

    `advanced` and `trusted` (nothing was known of the family) move the head to `generation + 1`. `repeated` means: use
    the present head, whose artefacts are minted once more and end later. `replayed` means: the family has to end.
    `grace` is in milliseconds.
    """
    if entry is None:
        first = Family(generation + 1, expires, recent=((generation, now),), redemption=redemption)
        return first, "trusted" if generation else "advanced"
    if generation >= entry.head:
        recent = (*entry.recent, (generation, now))
        grown = Family(generation + 1, max(entry.expires, expires), entry.floor, recent, entry.redemption)
        return _raise_floor(grown, now), "advanced"
    first_used = entry.advanced_at(generation)
    # Another process may have read its clock later and been served sooner: never less than no time has passed.
    if generation == 0 or first_used is None or max(now - first_used, 0) >= grace:
        return entry, "replayed"
    return replace(entry, expires=max(entry.expires, expires)), "repeated"


def join(one: State, other: State) -> State:
    """The least state that holds all that both know.

    A code that was redeemed twice ends its family, and the mark on an ended family outlives all that was minted of it.
    """
    families = _join_maps(one.families, other.families, join_families)
    marks = _join_maps(one.marks, other.marks, join_marks)
    marks |= {
        family(name): join_marks(marks.get(family(name), ended), ended)
        for name, entry in families.items()
        if (entry.redemption == CONFLICT or family(name) in marks) and (ended := Mark(0, entry.expires))
    }
    return State(
        marks=marks,
        families=families,
        spent=_join_maps(one.spent, other.spent, max),
        offers=_join_maps(one.offers, other.offers, join_offers),
        continuity=_join_continuity(one.continuity, other.continuity),
    )


def join_families(one: Family, other: Family) -> Family:
    floor = max(one.floor, other.floor)
    recent = _join_maps(dict(one.recent), dict(other.recent), min)
    return Family(
        head=max(one.head, other.head),
        expires=max(one.expires, other.expires),
        floor=floor,
        recent=tuple(sorted(item for item in recent.items() if item[0] >= floor)),
        redemption=_join_flat(one.redemption, other.redemption, CONFLICT),
    )


def join_offers(one: Offer, other: Offer) -> Offer:
    """Short codes are random, so two requests under one are an attack or an accident: neither is ever granted."""
    decision = _join_flat(one.decision, other.decision, DENIED)
    if one.request != other.request:
        decision = DENIED
    return Offer(max(one.request, other.request), max(one.expires, other.expires), decision)


def forget(state: State, now: int) -> State:
    """Drop what has expired."""
    return State(
        marks={subject: mark for subject, mark in state.marks.items() if mark.expires > now},
        families={name: entry for name, entry in state.families.items() if entry.expires > now},
        spent={use: expires for use, expires in state.spent.items() if expires > now},
        offers={code: offer for code, offer in state.offers.items() if offer.expires > now},
        continuity=state.continuity,
    )


def keys(state: State) -> Iterator[Key]:
    """The names of all entries."""
    yield from (("mark", *subject) for subject in state.marks)
    yield from (("family", name) for name in state.families)
    yield from (("spent", use) for use in state.spent)
    yield from (("offer", code) for code in state.offers)


def weight(state: State) -> int:
    """How large a state is on its way to another ledger: 1 for each entry of about 150 bytes, and never over 320."""
    recent = sum(len(entry.recent) for entry in state.families.values())
    sealed = sum(len(offer.request) + len(offer.decision) for offer in state.offers.values())
    names = sum(sum(map(len, subject)) // 128 for subject in state.marks)
    entries = len(state.marks) + len(state.families) + len(state.spent) + len(state.offers)
    return entries + recent // 8 + sealed // 128 + names


def _raise_floor(entry: Family, now: int) -> Family:
    """Forget generations that no grace window reaches any more. Part of an advance, so the order only goes up."""
    old = [generation + 1 for generation, at in entry.recent if now - at > MAX_GRACE]
    floor = max(entry.floor, entry.head - MAX_RECENT, *old)
    recent = tuple(item for item in entry.recent if item[0] >= floor)
    return Family(entry.head, entry.expires, floor, recent, entry.redemption)


def _join_maps(
    one: Mapping[Name, Value], other: Mapping[Name, Value], join_values: Callable[[Value, Value], Value]
) -> dict[Name, Value]:
    return dict(one) | {key: join_values(one[key], value) if key in one else value for key, value in other.items()}


def _join_flat(one: str, other: str, top: str) -> str:
    """Nothing, then any one value, then the top: two values that differ."""
    if not one or not other:
        return one or other
    return one if one == other else top


def _join_continuity(one: Continuity | None, other: Continuity | None) -> Continuity | None:
    if one is None or other is None:
        return one or other
    return Continuity(min(one.spent_since, other.spent_since), min(one.marks_since, other.marks_since))
