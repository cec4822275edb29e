"""The exchange between replicas that share no storage: who has told what to whom. Pure: no clock, timer or transport.

A ledger's state is a join-semilattice (algebra), so this is all there is to it: tell what changed, ask for what changed
since one last asked, and join. No order, no election, no membership. What a replica may answer follows from whom it has
*heard*, which means: it asked, and has taken all that the other held by then.

- *Fresh*: within the bound it has heard all peers but one at most, and one at least. A revocation that was answered is
  held by two replicas, so whoever misses one of them has it from the other.
- *Caught up*: once, all peers but one at most were heard, one at least, and either one of them was caught up and fresh
  itself, whose stamps of continuity become this replica's own; or this replica and all that it heard had a complete
  memory before they started, which then reaches back as far as the shortest of them. A peer that remembers nothing says
  nothing of what it knew.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from tokensvc.errors import TemporarilyUnavailable
from tokensvc.ledger import Ledger, algebra
from tokensvc.ledger.algebra import Continuity, Key, State
from tokensvc.ledger.marks import MAX_AHEAD, Mark, Subject
from tokensvc.ledger.messages import PAGE, Answer, Question, Unheard, new_nonce
from tokensvc.ledger.peer import Peer, Report

LONGEST_OUTBOX = 100_000
"""Keys to tell a peer; where more wait, none do, and the peer finds them when it asks."""
LOOK_FOR = 5_000
"""How long a replica that remembers nothing looks for others at least before it gives up, in milliseconds."""
BOOTSTRAP_AFTER = 3_000
"""How long a replica that may begin a fleet looks for one first, in milliseconds."""


class Exchange:
    """One replica's part. `bound` is how old news may be, `began` when it started, both in milliseconds.

    Where it may `bootstrap`, it begins a fleet once it has looked for one that is caught up and found none.
    """

    def __init__(self, ledger: Ledger, version: str, bound: int, began: int, *, bootstrap: bool = False) -> None:
        self.caught_up = False
        self._ledger = ledger
        self._version = version
        self._bound = bound
        self._began = began
        self._bootstrap = bootstrap
        self._peers: dict[str, Peer] = {}
        self._early: dict[Subject, Mark] = {}
        self._settled = False

    @property
    def replica(self) -> str:
        """Processes that share a ledger are one replica."""
        return self._ledger.epoch

    @property
    def peers(self) -> list[Peer]:
        """All but this replica itself, where the list contains it."""
        return [peer for peer in self._peers.values() if not peer.itself]

    @property
    def listed(self) -> list[Peer]:
        return [*self._peers.values()]

    def meet(self, urls: Iterable[str]) -> None:
        """The peers that there are now. What was known of one that is still there stays known."""
        self._peers = {url: self._peers.get(url) or Peer(url) for url in urls}

    def knows(self, replica: str) -> bool:
        return replica == self.replica or any(peer.replica == replica for peer in self._peers.values())

    # What is told

    def note(self, keys: Iterable[Key]) -> None:
        """These have changed here, and every peer is to be told."""
        keys = [*keys]
        for peer in self.peers:
            peer.outbox.update(keys)
            if len(peer.outbox) > LONGEST_OUTBOX:
                peer.outbox.clear()

    async def tell(self, keys: Iterable[Key], now: int) -> tuple[Question, list[Key]]:
        """A question with as much news of these keys as a page holds, and the keys that it leaves out."""
        waiting = [*keys]
        told, left = waiting[:PAGE], waiting[PAGE:]
        while True:
            news = await self._ledger.excerpt(told, now)
            if algebra.weight(news) <= PAGE or len(told) == 1:
                return Question(new_nonce(), self.replica, now, news=news), left
            half = len(told) // 2
            told, left = told[:half], told[half:] + left

    def taken(self, peer: Peer, answer: Answer) -> bool:
        """Whether another replica now holds what it was told. Raises Unheard."""
        self._recognize(peer, answer)
        return answer.accepted and not peer.itself

    # What is asked

    def question(self, peer: Peer, now: int) -> Question:
        """One that catches up asks for less at a time: whoever asks it meanwhile comes to the end of what it holds."""
        limit = PAGE if self.caught_up else PAGE // 4
        return Question(new_nonce(), self.replica, now, cursor=peer.cursor, limit=limit)

    async def answer(self, question: Question, now: int) -> Answer:
        accepted = question.news is not None and await self._take(question.news, now)
        caught_up = self.caught_up and self.is_fresh(now)
        settled = await self._is_settled()
        answer = Answer(question.nonce, self.replica, now, self._version, caught_up, settled, accepted)
        if question.cursor is None:
            return answer
        page = await self._ledger.changes(question.cursor, max(1, min(question.limit, PAGE)), now)
        return replace(answer, news=page.state, cursor=page.cursor, more=page.more)

    async def hear(self, peer: Peer, asked: int, answer: Answer, now: int) -> bool:
        """Take an answer to a question that was asked at a time; true where there is more to ask for at once.

        Raises Unheard.
        """
        self._recognize(peer, answer)
        if peer.itself:
            return False
        peer.replica, peer.version, peer.answered = answer.replica, answer.version, asked
        peer.caught_up, peer.settled, peer.since = answer.caught_up, answer.settled, answer.news.continuity
        peer.offset = answer.clock - (asked + now) // 2
        peer.uncertainty = (now - asked + 1) // 2
        whole = not answer.more and answer.caught_up and self.caught_up
        await self._take(replace(answer.news, continuity=peer.since if whole else None), now)
        peer.cursor = answer.cursor
        if not answer.more:
            peer.heard = asked
            await self._catch_up(now)
        return answer.more

    # What follows

    def is_fresh(self, now: int) -> bool:
        fresh = [peer for peer in self.peers if peer.is_fresh(now, self._bound)]
        return self.alone or _but_one(len(fresh), len(self.peers))

    @property
    def alone(self) -> bool:
        """Whether there is nobody who would know more. That every address is its own has to be meant to be so."""
        return not self.peers and (self._bootstrap or not self._peers)

    def clock_ok(self, now: int) -> bool:
        """False where more than half of the peers that answer have another time. One of two cannot be told."""
        answering = self._answering(now)
        return 2 * sum(peer.is_off for peer in answering) <= len(answering)

    def ahead(self, now: int) -> int:
        """How far the clock of any peer may be ahead of this one, in milliseconds: a mark covers what is minted there.

        Where one does not answer, as far as a mark can reach that those accept who do.
        """
        answering = self._answering(now)
        if len(answering) == len(self.peers):
            ahead = max((peer.offset + peer.uncertainty for peer in answering), default=0)
        else:
            slowest = min((peer.offset - peer.uncertainty for peer in answering if not peer.is_off), default=0)
            ahead = MAX_AHEAD + slowest
        return min(max(ahead, 0), MAX_AHEAD)

    def check_ready(self, now: int) -> None:
        """Raises TemporarilyUnavailable."""
        self.check_clock(now)
        if not self.caught_up:
            raise TemporarilyUnavailable("this replica is still catching up", reason="peers: not caught up yet")

    def check_clock(self, now: int) -> None:
        """Raises TemporarilyUnavailable."""
        if not self.clock_ok(now):
            reason = "peers: this clock is more than 5 s off most of theirs"
            raise TemporarilyUnavailable("the clock of this replica is off", reason=reason)

    def check_fresh(self, now: int) -> None:
        """Raises TemporarilyUnavailable."""
        if not self.is_fresh(now):
            missed = [peer.url for peer in self.peers if not peer.is_fresh(now, self._bound)]
            reason = f"peers: no news within {self._bound // 1000} s from {', '.join(missed)}"
            raise TemporarilyUnavailable("this replica lacks news of the others", reason=reason)

    async def bootstrap(self, now: int) -> bool:
        """Begin a fleet where that is allowed, due, and there is none that was found; whether it did.

        What others knew is not known then, so that the memory of this one begins now too.
        """
        due = self._bootstrap and not self.caught_up and now - self._began >= BOOTSTRAP_AFTER
        if not due or self._found(now):
            return False
        await self._settle(now, Continuity(now, now))
        return True

    async def is_lost(self, now: int) -> bool:
        """Whether it looked for a caught-up peer for as long as the bound, found none, and remembers nothing."""
        looked = now - self._began > max(self._bound, LOOK_FOR)
        if self.caught_up or self._bootstrap or not looked or self._found(now):
            return False
        return not await self._is_settled()

    def report(self, now: int) -> Report:
        peers = tuple(peer.report(now) for peer in self.peers)
        return Report(self.replica, self.caught_up, self.is_fresh(now), self.clock_ok(now), peers)

    def _answering(self, now: int) -> list[Peer]:
        return [peer for peer in self.peers if peer.answers(now, self._bound)]

    def _found(self, now: int) -> bool:
        """Whether there is a fleet to join."""
        return any(peer.caught_up and peer.answers(now, self._bound) for peer in self.peers)

    async def _is_settled(self) -> bool:
        """Once it is, it stays so."""
        self._settled = self._settled or await self._ledger.settled()
        return self._settled

    def _recognize(self, peer: Peer, answer: Answer) -> None:
        """Is it this replica itself? One address is, at most, and none that was another's.

        Raises Unheard: somebody on the way sends questions back to whoever asked, who would believe to be alone.
        """
        peer.itself = False
        if answer.replica != self.replica:
            return
        if peer.replica or any(other.itself for other in self._peers.values()):
            raise Unheard("it is this replica under another's address")
        peer.itself = True

    async def _take(self, news: State, now: int) -> bool:
        """Whether all of it holds here now. Marks from the future wait until they are not: one of two clocks is off."""
        marks = algebra.join(State(marks=self._early), State(marks=news.marks)).marks
        self._early = {subject: mark for subject, mark in marks.items() if mark.not_before > now + MAX_AHEAD}
        due = {subject: mark for subject, mark in marks.items() if subject not in self._early}
        await self._ledger.merge(replace(news, marks=due), now)
        return not any(subject in self._early for subject in news.marks)

    async def _catch_up(self, now: int) -> None:
        if self.caught_up or not self.peers:
            return
        fresh = [peer for peer in self.peers if peer.is_fresh(now, self._bound)]
        settled = [peer.since for peer in fresh if peer.settled and peer.since]
        complete = [peer.since for peer in fresh if peer.caught_up and peer.since]
        if await self._is_settled() and _but_one(len(settled), len(self.peers)):
            own = (await self._ledger.summary(now)).continuity
            await self._settle(now, _continuity(max, [own, *settled]))
        elif complete and self.is_fresh(now):
            await self._settle(now, _continuity(min, complete))

    async def _settle(self, now: int, since: Continuity) -> None:
        await self._ledger.settle(now, since)
        self.caught_up = True


def _but_one(heard: int, peers: int) -> bool:
    """All but one at most, and one at least."""
    return heard >= max(peers - 1, 1)


def _continuity(which: Callable[[Iterable[int]], int], stamps: list[Continuity]) -> Continuity:
    return Continuity(which(one.spent_since for one in stamps), which(one.marks_since for one in stamps))
