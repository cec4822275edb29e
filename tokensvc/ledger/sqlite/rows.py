"""The entries as rows of the file, and the marks of the file as they are mirrored in memory."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote

from tokensvc.ledger import algebra
from tokensvc.ledger.algebra import Continuity, Family, Offer, State
from tokensvc.ledger.marks import MAX_AHEAD, Mark, Marks, Subject, subject_text

TABLES = {
    "marks": "subject, not_before, expires",
    "families": "name, head, expires, floor, recent, redemption",
    "spent": "use, expires",
    "offers": "code, request, expires, decision",
}
"""The columns of each, beside `seq`. Marks come first, here and on their way to another ledger."""


class Rows:
    """The entries as rows, inside a transaction that the writer holds. `marked` says whether a mark was put.

    What every step asks for is mirrored: nobody else writes during a transaction, so one look at its start is enough.
    An offer is not, and can be read outside of one too.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._mirror = Mirror(connection)
        self.marked = False

    def look(self, now: int) -> None:
        """At the start of a transaction, each of which forgets a few of the mirrored marks that have expired."""
        self._mirror.look()
        self._mirror.marks.forget(now - MAX_AHEAD)

    def look_again(self) -> None:
        """After a rollback: the mirror may have what the file has not."""
        self._mirror = Mirror(self._connection)
        self.marked = False

    @property
    def continuity(self) -> Continuity:
        return self._mirror.continuity

    @continuity.setter
    def continuity(self, continuity: Continuity) -> None:
        self.put_meta("spent_since", continuity.spent_since)
        self.put_meta("marks_since", continuity.marks_since)
        self._mirror.catch_up()

    def settle(self, since: Continuity | None) -> None:
        self.put_meta("settled", 1)
        if since:
            self.continuity = since

    def meta(self, name: str) -> int | None:
        row = self._execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else None

    def put_meta(self, name: str, value: int) -> None:
        self._execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def marks_on(self, subjects: Iterable[Subject]) -> Marks:
        return self._mirror.marks.on(subjects)

    def marks_on_tokens(self, family: str) -> int:
        return self._mirror.marks.on_tokens(family)

    def final_marks(self) -> int:
        return self._mirror.marks.final

    def highest_mark(self) -> int:
        return self._mirror.marks.highest

    def put_mark(self, subject: Subject, mark: Mark) -> None:
        """Every change takes a new `seq`, which is how mirrors find it."""
        merged = self.marks_on([subject])
        merged.put(subject, mark)
        for _, (not_before, expires) in merged:
            values = (subject_text(subject), not_before, expires)
            self._execute("INSERT OR REPLACE INTO marks (subject, not_before, expires) VALUES (?, ?, ?)", values)
        self._mirror.catch_up()
        self.marked = True

    def families(self) -> int:
        (count,) = self._execute("SELECT count(*) FROM families").fetchone()
        return int(count)

    def family(self, name: str) -> Family | None:
        query = "SELECT head, expires, floor, recent, redemption FROM families WHERE name = ?"
        row = self._execute(query, (name,)).fetchone()
        return _family(row) if row else None

    def put_family(self, name: str, entry: Family) -> None:
        values = (name, entry.head, entry.expires, entry.floor, json.dumps(entry.recent), entry.redemption)
        query = (
            "INSERT OR REPLACE INTO families (name, head, expires, floor, recent, redemption) VALUES (?, ?, ?, ?, ?, ?)"
        )
        self._execute(query, values)

    def spent(self, use: str) -> int | None:
        row = self._execute("SELECT expires FROM spent WHERE use = ?", (use,)).fetchone()
        return int(row[0]) if row else None

    def put_spent(self, use: str, expires: int) -> None:
        self._execute("INSERT OR REPLACE INTO spent (use, expires) VALUES (?, ?)", (use, expires))

    def offer(self, code: str) -> Offer | None:
        row = self._execute("SELECT request, expires, decision FROM offers WHERE code = ?", (code,)).fetchone()
        return Offer(*row) if row else None

    def put_offer(self, code: str, offer: Offer) -> None:
        values = (code, offer.request, offer.expires, offer.decision)
        self._execute("INSERT OR REPLACE INTO offers (code, request, expires, decision) VALUES (?, ?, ?, ?)", values)

    def state(self, now: int) -> State:
        found = [
            self._execute(f"SELECT {columns} FROM {table} WHERE expires > ?", (now,))  # noqa: S608  # names of our own
            for table, columns in TABLES.items()
        ]
        return _state(found, self.continuity)

    def changes(self, after: Sequence[int], limit: int, now: int) -> tuple[State, list[int], bool]:
        """What changed after a `seq` of each table, the ones that this reaches, and whether there may be more."""
        rows = limit
        while True:
            state, reached, more = self._page(after, rows)
            if rows == 1 or algebra.weight(state) <= limit:
                return algebra.forget(state, now), reached, more
            rows //= 2

    def _page(self, after: Sequence[int], limit: int) -> tuple[State, list[int], bool]:
        left, reached = limit, [*after]
        found: list[list[Any]] = []
        for place, (table, columns) in enumerate(TABLES.items()):
            query = f"SELECT seq, {columns} FROM {table} WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608  # our own
            rows = self._execute(query, (after[place], left)).fetchall()
            left -= len(rows)
            reached[place] = rows[-1][0] if rows else after[place]
            found.append([row[1:] for row in rows])
        return _state(found, self.continuity), reached, left == 0

    def forget(self, now: int) -> None:
        for table in TABLES:
            self._execute(f"DELETE FROM {table} WHERE expires <= ?", (now,))  # noqa: S608  # names of our own


class Mirror:
    """The marks and the continuity in memory, brought up to date by what was committed since the last look."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._version = self._seq = -1
        self.marks = Marks()
        self.continuity = Continuity(0, 0)

    def look(self) -> None:
        """Catch up if another connection than this one has committed."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self.catch_up()
            self._version = version

    def catch_up(self) -> None:
        rows = dict(self._connection.execute("SELECT name, value FROM meta"))
        self.continuity = Continuity(rows.get("spent_since", 0), rows.get("marks_since", 0))
        query = "SELECT seq, subject, not_before, expires FROM marks WHERE seq > ? ORDER BY seq"
        for seq, text, not_before, expires in self._connection.execute(query, (self._seq,)):
            self.marks.put(_subject(text), Mark(not_before, expires))
            self._seq = seq


def _state(found: Sequence[Iterable[Any]], continuity: Continuity) -> State:
    """From the rows of each table, in the order of TABLES."""
    marks, families, spent, offers = found
    return State(
        marks={_subject(text): Mark(not_before, expires) for text, not_before, expires in marks},
        families={name: _family(row) for name, *row in families},
        spent=dict(spent),
        offers={code: Offer(*row) for code, *row in offers},
        continuity=continuity,
    )


def _family(row: Iterable[Any]) -> Family:
    head, expires, floor, recent, redemption = row
    return Family(head, expires, floor, tuple((generation, at) for generation, at in json.loads(recent)), redemption)


def _subject(text: str) -> Subject:
    """The inverse of `subject_text`, of whatever kind: a later release that shares the file may know more of them."""
    kind, _, name = text.partition(":")
    return (kind, *(unquote(part) for part in name.split("/"))) if name else (kind,)
