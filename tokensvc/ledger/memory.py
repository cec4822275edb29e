"""`memory://`: the ledger of one process. It begins empty, so whatever an earlier process minted is refused."""

import secrets
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import Any

from tokensvc.ledger import Advanced, Changes, Feed, Marked, Step, Summary, algebra, book
from tokensvc.ledger.algebra import Continuity, Family, Key, Offer, State
from tokensvc.ledger.expiries import AT_ONCE, Expiries
from tokensvc.ledger.journal import Journal, read_cursor, write_cursor
from tokensvc.ledger.marks import MAX_AHEAD, Mark, Marks, Minted, Subject


class MemoryLedger:
    """Atomic because it never awaits. `now` is when it began."""

    def __init__(self, now: int) -> None:
        self.epoch = secrets.token_urlsafe(9)
        self._settled = False
        self._book = _MemoryBook(Continuity(spent_since=now, marks_since=now))
        self._latest = now

    async def ready(self, now: int) -> None:
        self._latest = max(self._latest, now)
        book.check_clock(self._latest, now)

    async def fresh(self, now: int) -> None:
        """There are no others."""

    async def check(self, minted: Minted) -> None:
        book.check_continuity(self._book.continuity, minted)
        self._book.marks.check(minted)

    async def lift(self, subjects: Iterable[Subject], now: int) -> int:
        return book.lifted(self._book.marks, self._book.continuity, subjects, now)

    async def advance(self, step: Step, now: int) -> Advanced:
        self._sweep(now)
        return book.advance(self._book, step, now)

    async def mark(self, subject: Subject, mark: Mark, now: int, instead: Subject | None = None) -> Marked:
        self._sweep(now)
        return book.mark(self._book, subject, mark, now, instead)

    async def spend(self, use: str, expires: int, now: int) -> None:
        self._sweep(now)
        book.spend(self._book, use, expires, now)

    async def offer(self, code: str, request: str, expires: int, now: int) -> None:
        self._sweep(now)
        book.offer(self._book, code, request, expires, now)

    async def offered(self, code: str, now: int) -> Offer | None:
        return book.offered(self._book, code, now)

    async def decide(self, code: str, decision: str, now: int) -> None:
        book.decide(self._book, code, decision, now)

    async def merge(self, state: State, now: int) -> None:
        # What comes at once is never more than what may go at once.
        self._sweep(now, AT_ONCE + algebra.weight(state))
        book.merge(self._book, state, now)

    async def changes(self, since: str, limit: int, now: int) -> Changes:
        (number,) = read_cursor(since, self.epoch, 1)
        state, reached = self._book.changes(number, limit, now)
        return Changes(state, write_cursor(self.epoch, reached), reached < self._book.journal.last)

    async def excerpt(self, keys: Iterable[Key], now: int) -> State:
        return book.excerpt(self._book, keys, now)

    async def settled(self) -> bool:
        return self._settled

    async def settle(self, now: int, since: Continuity | None = None) -> None:  # noqa: ARG002  # the port's
        self._settled = True
        self._book.continuity = since or self._book.continuity

    async def marks(self, now: int) -> dict[Subject, Mark]:
        return {subject: mark for subject, mark in self._book.marks if mark.expires > now}

    async def feed(self, position: int, most: int, now: int) -> Feed:
        return book.feed(self._book.marks, position, most, now)

    async def summary(self, now: int) -> Summary:
        self._sweep(now)
        return Summary("memory", self._book.continuity, self._book.families)

    async def state(self, now: int) -> State:
        return algebra.forget(self._book.state(), now)

    async def close(self) -> None:
        """Nothing to close."""

    def _sweep(self, now: int, most: int = AT_ONCE) -> None:
        """With each step a few, since all others wait for it. A clock that is set back within bounds finds its own."""
        self._book.forget(now - MAX_AHEAD, most)


class _MemoryBook:
    def __init__(self, continuity: Continuity) -> None:
        self.continuity = continuity
        self.marks = Marks()
        self.journal: Journal[Key] = Journal()
        self._expiries: Expiries[Key] = Expiries()
        self._families: dict[str, Family] = {}
        self._spent: dict[str, int] = {}
        self._offers: dict[str, Offer] = {}
        self._entries: dict[str, dict[str, Any]] = {
            "family": self._families,
            "spent": self._spent,
            "offer": self._offers,
        }

    def marks_on(self, subjects: Iterable[Subject]) -> Marks:
        return self.marks.on(subjects)

    def marks_on_tokens(self, family: str) -> int:
        return self.marks.on_tokens(family)

    def final_marks(self) -> int:
        return self.marks.final

    def highest_mark(self) -> int:
        return self.marks.highest

    def put_mark(self, subject: Subject, mark: Mark) -> None:
        self.marks.put(subject, mark)
        self.journal.note(("mark", *subject))

    @property
    def families(self) -> int:
        return len(self._families)

    def family(self, name: str) -> Family | None:
        return self._families.get(name)

    def put_family(self, name: str, entry: Family) -> None:
        self._note(("family", name), entry.expires)
        self._families[name] = entry

    def spent(self, use: str) -> int | None:
        return self._spent.get(use)

    def put_spent(self, use: str, expires: int) -> None:
        self._note(("spent", use), expires)
        self._spent[use] = expires

    def offer(self, code: str) -> Offer | None:
        return self._offers.get(code)

    def put_offer(self, code: str, offer: Offer) -> None:
        self._note(("offer", code), offer.expires)
        self._offers[code] = offer

    def changes(self, number: int, limit: int, now: int) -> tuple[State, int]:
        """What changed after a number, and the number that this reaches."""
        noted = [*islice(self.journal.after(number), limit)]
        found = book.excerpt(self, (key for _, key in noted), now)
        while len(noted) > 1 and algebra.weight(found) > limit:
            noted = noted[: len(noted) // 2]
            found = book.excerpt(self, (key for _, key in noted), now)
        reached = noted[-1][0] if noted else self.journal.last
        return replace(found, continuity=self.continuity), reached

    def state(self) -> State:
        return State(dict(self.marks), self._families, self._spent, self._offers, self.continuity)

    def forget(self, now: int, most: int) -> None:
        """Drop what has expired, of so many marks and so many other entries at most that are looked at."""
        for subject in self.marks.forget(now, most):
            self.journal.forget(("mark", *subject))
        for key in self._expiries.expired(now, most, self._expires):
            kind, name = key
            del self._entries[kind][name]
            self.journal.forget(key)

    def _note(self, key: Key, expires: int) -> None:
        kind, name = key
        if name not in self._entries[kind]:
            self._expiries.add(key, expires)
        self.journal.note(key)

    def _expires(self, key: Key) -> int:
        kind, name = key
        if kind == "family":
            return self._families[name].expires
        return self._spent[name] if kind == "spent" else self._offers[name].expires
