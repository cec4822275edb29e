"""What a replica knows of another that it shares no storage with."""

from dataclasses import dataclass, field
from typing import NamedTuple

from tokensvc.ledger.algebra import Continuity, Key
from tokensvc.ledger.marks import MAX_AHEAD


@dataclass(slots=True)
class Peer:
    """What is known of one. `outbox` holds the keys of what it was not told yet; times are in milliseconds.

    `heard` is when the question was asked that led to the end of its news, `answered` when the last one was that it
    answered at all; `offset` is how far its clock is ahead, give or take `uncertainty`. `since` is its continuity.
    `itself` is true where its address is this replica's own.
    """

    url: str
    replica: str = ""
    version: str = ""
    cursor: str = ""
    heard: int | None = None
    answered: int | None = None
    offset: int = 0
    uncertainty: int = 0
    caught_up: bool = False
    settled: bool = False
    since: Continuity | None = None
    itself: bool = False
    outbox: set[Key] = field(default_factory=set)

    def is_fresh(self, now: int, bound: int) -> bool:
        """A clock that was set back says nothing of how long ago it is."""
        return self.heard is not None and 0 <= now - self.heard <= bound

    def answers(self, now: int, bound: int) -> bool:
        return self.answered is not None and 0 <= now - self.answered <= bound

    @property
    def is_off(self) -> bool:
        """Whether the clocks differ by more than marks.MAX_AHEAD, whatever the way there and back took."""
        return abs(self.offset) - self.uncertainty > MAX_AHEAD

    def report(self, now: int) -> "PeerReport":
        heard_ago = None if self.heard is None else now - self.heard
        offset = None if self.answered is None else self.offset
        return PeerReport(self.url, self.replica, self.version, heard_ago, offset, self.caught_up, len(self.outbox))


class PeerReport(NamedTuple):
    """A peer as operators see it. `heard_ago` and `clock_offset` are in milliseconds, None where it was never heard."""

    url: str
    replica: str
    version: str
    heard_ago: int | None
    clock_offset: int | None
    caught_up: bool
    waiting: int


class Report(NamedTuple):
    """This replica among its peers."""

    replica: str
    caught_up: bool
    fresh: bool
    clock_ok: bool
    peers: tuple[PeerReport, ...]
