"""The ledger: the little that cannot travel inside an artefact. This module is its port.

It remembers which generation of a family was used, what was revoked, which one-use ids were spent, and since when it
knows. Every adapter does each step atomically, for all processes that share it, or raises
errors.TemporarilyUnavailable: what it cannot answer is never a refusal.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol

from tokensvc.ledger.algebra import Continuity, Key, Offer, State
from tokensvc.ledger.marks import Mark, Minted, Subject


class Step(NamedTuple):
    """The use of one generation of a family. `expires` is when the last artefact minted from it ends.

    `expires` is in milliseconds since the epoch, `grace` in milliseconds.
    """

    family: str
    generation: int
    minted: Minted
    expires: int
    grace: int


class Advanced(NamedTuple):
    """What to mint: the artefacts of generation `head`."""

    head: int
    outcome: Literal["advanced", "trusted", "repeated"]


class Marked(NamedTuple):
    """A mark as it was put, on what, and which peers have said that they hold it; none where there are no peers."""

    subject: Subject
    mark: Mark
    peers: Mapping[str, bool] = MappingProxyType({})


class Changes(NamedTuple):
    """A page of what has changed, with the continuity of now. `cursor` asks for the next, and `more` says it waits.

    Whoever took all pages up to one without more holds all that the ledger held then.
    """

    state: State
    cursor: str
    more: bool


class Feed(NamedTuple):
    """Marks in the order in which they came, the position up to which they are told, and whether more have come."""

    marks: dict[Subject, Mark]
    position: int
    more: bool


class Summary(NamedTuple):
    """What doctor compares: the kind of ledger, since when it is complete, and how many families it knows."""

    kind: str
    continuity: Continuity
    families: int


class Replayed(Exception):
    """A generation was used twice, and its family has ended with this."""


class Spent(Exception):
    """A one-use id was used before."""


class Taken(Exception):
    """A short code already stands for another request."""


class Decided(Exception):
    """The request under a short code is gone, or was decided before; the first decision stands."""


class Ledger(Protocol):
    """All times are in milliseconds since the epoch.

    `epoch` is the random name of one memory, which all processes that share it agree on. Where it is lost or comes back
    as it was before, another one begins.
    """

    @property
    def epoch(self) -> str: ...

    async def ready(self, now: int) -> None:
        """Raise TemporarilyUnavailable where this clock lags the ledger's by more than marks.MAX_AHEAD.

        What the later time has forgotten cannot be judged by the earlier one.
        """

    async def fresh(self, now: int) -> None:
        """Raise TemporarilyUnavailable where the news of others are too old to call anything active."""

    async def check(self, minted: Minted) -> None:
        """Raise marks.Dead if a mark ends it, or if it is older than the ledger's memory."""

    async def lift(self, subjects: Iterable[Subject], now: int) -> int:
        """The time that a fresh authorization by a person gets: now, or just after the latest mark on a subject.

        No earlier than the ledger's memory begins either, where that lies within marks.MAX_AHEAD.
        """

    async def advance(self, step: Step, now: int) -> Advanced:
        """Check and advance in one atomic step. Raises marks.Dead; Replayed, and then the family has ended."""

    async def mark(self, subject: Subject, mark: Mark, now: int, instead: Subject | None = None) -> Marked:
        """Revoke; durable and in force for all who share the ledger on return. ValueError for the future.

        `instead` is what is marked in place of a family or a token where there are too many marks on those.
        A mark on a family or a token is kept for longer than it says where more was minted of that.
        TemporarilyUnavailable where there are peers and none has taken it; it holds here all the same.
        """

    async def spend(self, use: str, expires: int, now: int) -> None:
        """Use a one-use id. Raises Spent."""

    async def offer(self, code: str, request: str, expires: int, now: int) -> None:
        """Offer a sealed request under a short code. Raises Taken."""

    async def offered(self, code: str, now: int) -> Offer | None:
        """The request under a short code and the decision on it, if any."""

    async def decide(self, code: str, decision: str, now: int) -> None:
        """Set the decision, once. Raises Decided."""

    async def merge(self, state: State, now: int) -> None:
        """Join in what another ledger knows. ValueError, and nothing is taken, for a mark from the future."""

    async def changes(self, since: str, limit: int, now: int) -> Changes:
        """What has changed after a cursor, by a `limit` in algebra.weight. "" is the beginning, and so is a cursor
        of another epoch."""

    async def excerpt(self, keys: Iterable[Key], now: int) -> State:
        """What is known under these keys, without continuity."""

    async def settled(self) -> bool:
        """Whether this memory was complete once, so that only what happened since can be missing in it."""

    async def settle(self, now: int, since: Continuity | None = None) -> None:
        """From now on it is; since then, where that is another time than it says itself."""

    async def marks(self, now: int) -> dict[Subject, Mark]:
        """The marks that are in force."""

    async def feed(self, position: int, most: int, now: int) -> Feed:
        """The marks in force that came after a position in this process, by at most so many changes.

        Cheap where nothing came. 0 is the beginning, and a position that is not known here means it too.
        """

    async def summary(self, now: int) -> Summary: ...

    async def state(self, now: int) -> State:
        """All that is known and not expired."""

    async def close(self) -> None: ...
