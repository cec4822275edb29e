"""Every step of a ledger, written once over a book: whatever can hold the entries, inside one atomic section.

A step that refuses raises after it wrote what the refusal entails (a replay ends its family), so an adapter commits
then too.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, TypeVar

from tokensvc.errors import TemporarilyUnavailable
from tokensvc.ledger import Advanced, Decided, Feed, Marked, Replayed, Spent, Step, Taken, algebra
from tokensvc.ledger.algebra import MAX_GRACE, Continuity, Family, Key, Offer, State
from tokensvc.ledger.marks import (
    FINAL,
    MAX_AHEAD,
    RETENTION,
    Dead,
    FutureMark,
    Mark,
    Marks,
    Minted,
    Subject,
    check_not_before,
    family,
    family_of,
)

Name = TypeVar("Name")
Value = TypeVar("Value")

MOST_TOKENS = 8
"""Marks on single tokens of one family: with the next one, the family ends."""
MOST_FINAL = 250_000
"""Marks on families and tokens, about 130 MB: what comes after that ends more than one grant."""
REFUSALS = (Dead, Decided, FutureMark, Replayed, Spent, Taken)
"""What a step raises that leaves the book in order."""


class Book(Protocol):
    """The entries. Nothing here decides; `put_*` replaces, `forget` drops what has expired."""

    continuity: Continuity

    def marks_on(self, subjects: Iterable[Subject]) -> Marks: ...
    def marks_on_tokens(self, family: str) -> int: ...
    def final_marks(self) -> int: ...
    def highest_mark(self) -> int: ...
    def put_mark(self, subject: Subject, mark: Mark) -> None: ...
    def family(self, name: str) -> Family | None: ...
    def put_family(self, name: str, entry: Family) -> None: ...
    def spent(self, use: str) -> int | None: ...
    def put_spent(self, use: str, expires: int) -> None: ...
    def offer(self, code: str) -> Offer | None: ...
    def put_offer(self, code: str, offer: Offer) -> None: ...


def advance(book: Book, step: Step, now: int) -> Advanced:
    check_continuity(book.continuity, step.minted, redeemed=step.generation == 0)
    book.marks_on(step.minted.subjects).check(step.minted)
    entry, outcome = algebra.advance(
        book.family(step.family),
        step.generation,
        now=now,
        grace=step.grace,
        redemption="" if step.generation else secrets.token_urlsafe(6),
        expires=step.expires,
    )
    if outcome == "replayed":
        app = next((subject for subject in step.minted.subjects if subject[0] == "user-client"), None)
        mark(book, family(step.family), Mark(now, max(entry.expires, step.expires)), now, app)
        raise Replayed(f"generation {step.generation} of {step.family}, head {entry.head}")
    book.put_family(step.family, entry)
    return Advanced(entry.head, outcome)


def mark(book: Book, subject: Subject, new: Mark, now: int, instead: Subject | None = None) -> Marked:
    """The mark as it was put, and on what.

    One that ends all up to now also ends the sign-ins that were lifted: over another mark of this millisecond, or over
    a mark or the beginning of the memory ahead of this clock. Final marks end whatever the time.
    """
    check_not_before(new.not_before, now)
    subject, new = _coarsened(book, subject, new, now, instead)
    not_before = new.not_before
    if not_before >= now and subject[0] not in FINAL:
        lifted_to = max(book.highest_mark() + 1, _complete_since(book.continuity))
        not_before = max(not_before, min(lifted_to, now + MAX_AHEAD))
    put = Mark(not_before, max(new.expires, _last_expiry(book, subject, new)))
    book.put_mark(subject, put)
    return Marked(subject, put)


def spend(book: Book, use: str, expires: int, now: int) -> None:
    before = book.spent(use)
    if before is not None and before > now:
        raise Spent(use)
    book.put_spent(use, expires)


def offer(book: Book, code: str, request: str, expires: int, now: int) -> None:
    before = book.offer(code)
    if before is not None and before.expires > now:
        raise Taken(code)
    book.put_offer(code, Offer(request, expires))


def offered(book: Book, code: str, now: int) -> Offer | None:
    found = book.offer(code)
    return found if found is not None and found.expires > now else None


def decide(book: Book, code: str, decision: str, now: int) -> None:
    found = offered(book, code, now)
    if found is None or found.decision:
        raise Decided(code)
    book.put_offer(code, Offer(found.request, found.expires, decision))


def merge(book: Book, news: State, now: int) -> None:
    """Join entry by entry, so that the cost is that of the news and not of all that is known.

    Only what changes is put: peers pass on what was put, and would pass the same back and forth for ever.
    """
    for new in news.marks.values():
        check_not_before(new.not_before, now)
    named = {*news.families, *(names[0] for kind, *names in news.marks if kind == "family")}
    known = State(
        marks=dict(book.marks_on([*news.marks, *map(family, news.families)])),
        families={name: entry for name in named if (entry := book.family(name))},
        spent={use: expires for use in news.spent if (expires := book.spent(use))},
        offers={code: found for code in news.offers if (found := book.offer(code))},
        continuity=book.continuity,
    )
    joined = algebra.join(known, news)
    for subject, joined_mark in _changed(known.marks, joined.marks):
        book.put_mark(subject, joined_mark)
    for name, entry in _changed(known.families, joined.families):
        book.put_family(name, entry)
    for use, expires in _changed(known.spent, joined.spent):
        book.put_spent(use, expires)
    for code, joined_offer in _changed(known.offers, joined.offers):
        book.put_offer(code, joined_offer)
    if joined.continuity and joined.continuity != known.continuity:
        book.continuity = joined.continuity


def excerpt(book: Book, keys: Iterable[Key], now: int) -> State:
    """What is known under these keys and not expired."""
    named: dict[str, list[Key]] = {"mark": [], "family": [], "spent": [], "offer": []}
    for kind, *names in keys:
        named[kind].append(tuple(names))
    found = State(
        marks=dict(book.marks_on(named["mark"])),
        families={name: entry for (name,) in named["family"] if (entry := book.family(name))},
        spent={use: expires for (use,) in named["spent"] if (expires := book.spent(use))},
        offers={code: offer for (code,) in named["offer"] if (offer := book.offer(code))},
    )
    return algebra.forget(found, now)


def feed(marks: Marks, position: int, most: int, now: int) -> Feed:
    found, reached = marks.since(position, most)
    in_force = {subject: mark for subject, mark in found.items() if mark.expires > now}
    return Feed(in_force, reached, more=reached < marks.position)


def check_clock(latest: int, now: int) -> None:
    """`latest` is the latest time that the ledger was given."""
    if now + MAX_AHEAD < latest:
        behind = f"this clock is {(latest - now) // 1000} s behind the ledger's"
        raise TemporarilyUnavailable("the clock of this replica is off", reason=behind)


def lifted(marks: Marks, continuity: Continuity, subjects: Iterable[Subject], now: int) -> int:
    """Over the beginning of the ledger's memory too, where this clock lags the one that wrote it within bounds."""
    since = min(_complete_since(continuity), now + MAX_AHEAD)
    return max(now, since, marks.latest(subjects) + 1)


def check_continuity(continuity: Continuity, minted: Minted, *, redeemed: bool = False) -> None:
    """Raise Dead for what is older than the ledger's memory, whatever cut that memory short."""
    since = _complete_since(continuity) if redeemed else continuity.marks_since
    if minted.authorized_at < since:
        raise Dead("minted before the ledger's memory begins")


def _coarsened(book: Book, subject: Subject, new: Mark, now: int, instead: Subject | None) -> tuple[Subject, Mark]:
    """Token, family, app of a person: where marks are many, the next coarser one ends what was asked for and more.

    So nobody fills the memory of every replica by revoking, and nothing that was to end lives on.
    """
    longest = Mark(new.not_before, max(new.expires, now + RETENTION))
    if subject[0] == "token" and book.marks_on_tokens(family_of(subject)) >= MOST_TOKENS:
        subject, new = family(family_of(subject)), longest
    if subject[0] in FINAL and instead is not None and book.final_marks() >= MOST_FINAL:
        return instead, longest
    return subject, new


def _changed(known: Mapping[Name, Value], joined: Mapping[Name, Value]) -> Iterator[tuple[Name, Value]]:
    return ((name, value) for name, value in joined.items() if known.get(name) != value)


def _complete_since(continuity: Continuity) -> int:
    return max(continuity.marks_since, continuity.spent_since)


def _last_expiry(book: Book, subject: Subject, new: Mark) -> int:
    """When the last artefact that a mark ends is gone, which may be later than the one that was shown.

    A family may have gone on; a token repeated inside the grace window is the same token, minted later.
    """
    if subject[0] == "token":
        return new.expires + MAX_GRACE
    entry = book.family(subject[1]) if subject[0] == "family" else None
    return entry.expires if entry else new.expires
