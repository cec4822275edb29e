"""Marks: revocation as rules. A mark is a subject and a `not_before`; what was authorized at or before it is dead.

A family or a single token is never authorized anew, so a mark on one of these is final whatever its time. All other
subjects can sign in again: a later authorization lives.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple, Protocol

from tokensvc.errors import SettingsError
from tokensvc.identity import quote_part, unquote_part
from tokensvc.ledger.expiries import AT_ONCE, Expiries
from tokensvc.ledger.journal import Journal

Subject = tuple[str, ...]
"""The kind, then the names that kind needs: `("user", "acme", "ada")`. Built by the functions below alone."""

EVERYTHING: Subject = ("everything",)
KINDS = ("everything", "account", "user", "user-client", "credential", "client", "family", "token")
MAX_AHEAD = 5_000
"""How far in the future a `not_before` may lie, in milliseconds, whatever its source."""
RETENTION = 366 * 86_400_000
"""How long a mark on a subject is kept after its `not_before`: the ceiling of every lifetime, in milliseconds."""

FINAL = frozenset({"family", "token"})
_PARTS = {"everything": 0, "account": 1, "user": 2, "user-client": 3}
_FORMS = {"token": "a jti", "family": "the family that introspection names", "credential": "a digest"}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_JTI = re.compile(r"[A-Za-z0-9_-]{1,64}\.[0-9]{1,9}")


class Mark(NamedTuple):
    """Both in milliseconds since the epoch; `expires` is when the mark may be forgotten."""

    not_before: int
    expires: int


class Minted(Protocol):
    """What the ledger judges of an artefact: the subjects that could end it, and when a person authorized it.

    Subjects are asked for only where there are marks.
    """

    @property
    def subjects(self) -> tuple[Subject, ...]: ...
    @property
    def authorized_at(self) -> int: ...


class FutureMark(ValueError):
    """A mark whose `not_before` lies too far ahead: it would end what is not minted yet."""


class Dead(Exception):
    """The artefact was revoked, or is older than the ledger's memory. The message is for the log."""


def account(name: str) -> Subject:
    return ("account", name)


def user(account: str, user: str) -> Subject:
    return ("user", account, user)


def user_client(account: str, user: str, client: str) -> Subject:
    return ("user-client", account, user, client)


def credential(digest: str) -> Subject:
    return ("credential", digest)


def client(handle: str) -> Subject:
    return ("client", handle)


def family(name: str) -> Subject:
    return ("family", name)


def token(jti: str) -> Subject:
    return ("token", jti)


def family_of(subject: Subject) -> str:
    """Of the subject of a token: its jti is the family and the generation."""
    return subject[1].rpartition(".")[0]


def subject_text(subject: Subject) -> str:
    """`kind:part/part`, each part percent-encoded: the form of TOKENSVC_DENYLIST, of the sqlite file, of the API."""
    return f"{subject[0]}:{subject_name(subject)}"


def subject_name(subject: Subject) -> str:
    return "/".join(quote_part(part) for part in subject[1:])


def parse_subject(kind: str, name: str) -> Subject:
    """The inverse of `subject_text`, which every name goes through that comes from outside. Raises ValueError."""
    if kind not in KINDS:
        raise ValueError(f"the kind is one of {', '.join(KINDS)}")
    parts = name.split("/") if name else []
    if len(parts) != _PARTS.get(kind, 1):
        raise ValueError(f"the subject of {kind} has {_PARTS.get(kind, 1)} parts")
    if kind not in _PARTS or kind == "user-client":
        if not (_JTI if kind == "token" else _NAME).fullmatch(parts[-1]):
            raise ValueError(f"the subject of {kind} is {_FORMS.get(kind, 'a client handle')}")
        return (kind, *(unquote_part(part) for part in parts[:-1]), parts[-1])
    return (kind, *(unquote_part(part) for part in parts))


def check_not_before(not_before: int, now: int) -> None:
    """Raises FutureMark."""
    if not 0 <= not_before <= now + MAX_AHEAD:
        raise FutureMark("not_before lies more than 5 seconds ahead")


class Marks:
    """A table of marks that answers whether something minted is dead."""

    def __init__(self, marks: Mapping[Subject, Mark] | None = None) -> None:
        self._marks: dict[Subject, Mark] = {}
        self._changed: Journal[Subject] = Journal()
        self._expiries: Expiries[Subject] = Expiries()
        self._tokens: dict[str, int] = {}
        self.highest = -1
        self.final = 0
        for subject, mark in (marks or {}).items():
            self.put(subject, mark)

    @property
    def position(self) -> int:
        """How many changes there were so far."""
        return self._changed.last

    def __iter__(self) -> Iterator[tuple[Subject, Mark]]:
        return iter(self._marks.items())

    def __len__(self) -> int:
        return len(self._marks)

    def check(self, minted: Minted) -> None:
        """Raise Dead if a mark ends it."""
        if not self._marks:
            return
        for subject in minted.subjects:
            mark = self._marks.get(subject)
            if mark is not None and (subject[0] in FINAL or minted.authorized_at <= mark.not_before):
                raise Dead(f"marked by {subject_text(subject)}")

    def on(self, subjects: Iterable[Subject]) -> "Marks":
        """The part of the table on these subjects."""
        return Marks({subject: self._marks[subject] for subject in subjects if subject in self._marks})

    def latest(self, subjects: Iterable[Subject]) -> int:
        """The latest `not_before` on any of the subjects: a fresh authorization has to be later."""
        return max((self._marks[s].not_before for s in subjects if s in self._marks), default=-1)

    def put(self, subject: Subject, mark: Mark) -> None:
        """Merge one mark in, by maximum."""
        self.highest = max(self.highest, mark.not_before)
        present = self._marks.get(subject)
        self._marks[subject] = joined = join_marks(present, mark) if present else mark
        if present is None:
            self._expiries.add(subject, mark.expires)
            self._count(subject, 1)
        if present is None or joined.not_before > present.not_before:
            self._changed.note(subject)

    def since(self, position: int, most: int) -> tuple[dict[Subject, Mark], int]:
        """What was put or raised after a position, at most so many changes, and the position that this leads to.

        A position that was never reached here means from the beginning.
        """
        noted = [*islice(self._changed.after(position if position <= self.position else 0), most)]
        reached = noted[-1][0] if len(noted) == most else self.position
        return {subject: self._marks[subject] for _, subject in noted}, reached

    def on_tokens(self, family: str) -> int:
        """How many single tokens of a family are marked. `final` says how many families and tokens are in all."""
        return self._tokens.get(family, 0)

    def _count(self, subject: Subject, change: int) -> None:
        if subject[0] not in FINAL:
            return
        self.final += change
        if subject[0] == "token":
            name = family_of(subject)
            self._tokens[name] = self._tokens.get(name, 0) + change
            if not self._tokens[name]:
                del self._tokens[name]

    def forget(self, now: int, most: int = AT_ONCE) -> list[Subject]:
        """Drop what has expired, of so many marks at most that are looked at, and say what was dropped."""
        dropped = [*self._expiries.expired(now, most, lambda subject: self._marks[subject].expires)]
        for subject in dropped:
            del self._marks[subject]
            self._changed.forget(subject)
            self._count(subject, -1)
        return dropped


def join_marks(one: Mark, other: Mark) -> Mark:
    return Mark(max(one.not_before, other.not_before), max(one.expires, other.expires))


def parse_denylist(text: str, now: int) -> dict[Subject, Mark]:
    """Read TOKENSVC_DENYLIST: `kind:subject@not_before_ms`, comma or line separated. Raises SettingsError."""
    marks: dict[Subject, Mark] = {}
    for entry in filter(None, (entry.strip() for entry in re.split(r"[,\n]", text))):
        try:
            name, _, at = entry.rpartition("@")
            kind, _, subject = name.partition(":")
            if not (at.isascii() and at.isdigit() and len(at) <= 15):
                raise ValueError("not_before is milliseconds since the epoch")
            check_not_before(int(at), now)
            parsed = parse_subject(kind, subject)
            # What a final mark ends may be younger than its time.
            mark = Mark(int(at), (max(int(at), now) if kind in FINAL else int(at)) + RETENTION)
        except ValueError as error:
            problem = f"has an entry that is refused: {error}"
            remedy = "Write kind:subject@not_before_ms, for example user:acme/ada@1767225600000"
            raise SettingsError("TOKENSVC_DENYLIST", problem, remedy) from None
        marks[parsed] = join_marks(marks[parsed], mark) if parsed in marks else mark
    return marks
