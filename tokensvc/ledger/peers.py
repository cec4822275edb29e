"""The ledger of a replica among peers: its own ledger, and the exchange with theirs.

Every step is taken on the own ledger. What it changed is told to every peer soon after, a mark at once, and every peer
is asked each second for whatever was missed. The exchange decides; this module has the tasks and the waiting.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from tokensvc.errors import TemporarilyUnavailable
from tokensvc.ledger import Advanced, Changes, Feed, Ledger, Marked, Replayed, Step, Summary, algebra, marks
from tokensvc.ledger.algebra import Continuity, Key, Offer, State
from tokensvc.ledger.exchange import Exchange
from tokensvc.ledger.line import ASK_SOON, Line, Post
from tokensvc.ledger.marks import Mark, Minted, Subject
from tokensvc.ledger.messages import Answer, Question
from tokensvc.ledger.peer import Peer, Report
from tokensvc.observability import log, warn

LOOK_EVERY = 5.0
"""Seconds between two looks at who the peers are."""
MARK_SECONDS = 2.0
"""How long a revocation waits for a first peer to take it,"""
REST_SECONDS = 0.5
"""and how long after that for the others."""


class Directory(Protocol):
    """Who the peers are. `urls` is what is known without looking."""

    @property
    def urls(self) -> Sequence[str]: ...

    async def look(self) -> Sequence[str]:
        """The urls as they are now. One that cannot be resolved stands for itself, and is never heard."""


class PeeredLedger:
    """Use `begin` and `close` on the event loop that serves."""

    def __init__(
        self,
        local: Ledger,
        exchange: Exchange,
        post: Post,
        directory: Directory,
        clock: Callable[[], int],
    ) -> None:
        self._local = local
        self._exchange = exchange
        self._post = post
        self._directory = directory
        self._clock = clock
        self._lines: dict[str, Line] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._begun = False
        self._meet(directory.urls)

    @property
    def epoch(self) -> str:
        return self._local.epoch

    def begin(self, lost: Callable[[], None]) -> None:
        """Start to ask and to tell. `lost` is called once, where there is no peer and no memory to begin with."""
        self._begun = True
        self._meet(self._directory.urls)
        self._spawn(self._tend())
        self._spawn(self._start(lost))

    async def close(self) -> None:
        """Tell what was not told yet, as far as that goes quickly, and close the own ledger."""
        ending = [*self._tasks, *(task for line in self._lines.values() for task in line.tasks)]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(MARK_SECONDS):
                await asyncio.gather(*(line.empty() for line in self._lines.values()), return_exceptions=True)
        await self._post.close()
        await self._local.close()

    async def answer(self, question: Question, now: int) -> Answer:
        """What this replica says to another. One that is new here is asked in turn, so that it need not wait."""
        if not self._exchange.knows(question.replica):
            for line in self._lines.values():
                line.wake.set()
        return await self._exchange.answer(question, now)

    def report(self, now: int) -> Report:
        """This replica among its peers, as operators see it."""
        return self._exchange.report(now)

    # The port

    async def ready(self, now: int) -> None:
        self._exchange.check_ready(now)
        await self._local.ready(now)

    async def fresh(self, now: int) -> None:
        self._exchange.check_fresh(now)

    async def check(self, minted: Minted) -> None:
        await self._local.check(minted)

    async def lift(self, subjects: Iterable[Subject], now: int) -> int:
        return await self._local.lift(subjects, now)

    async def advance(self, step: Step, now: int) -> Advanced:
        try:
            advanced = await self._local.advance(step, now)
        except Replayed:
            ended = (subject for subject in step.minted.subjects if subject[0] in {"family", "user-client"})
            self._note([("mark", *subject) for subject in (*ended, marks.family(step.family))])
            raise
        self._note([("family", step.family)])
        return advanced

    async def mark(self, subject: Subject, mark: Mark, now: int, instead: Subject | None = None) -> Marked:
        """Peers may mint with clocks that are ahead of this one: what is minted there by now ends with this too.

        Not before they have confirmed this clock: a mark from the future is one that nobody takes.
        """
        self._exchange.check_ready(now)
        ahead = self._exchange.ahead(now) if mark.not_before >= now else 0
        put = await self._local.mark(subject, Mark(mark.not_before + ahead, mark.expires + ahead), now, instead)
        taken = await self._spread([("mark", *put.subject)])
        if not any(taken.values()) and not self._exchange.alone:
            reason = "peers: none of them took the mark, which holds here"
            raise TemporarilyUnavailable("no other replica has heard of it yet: repeat the request", reason=reason)
        return Marked(put.subject, put.mark, taken)

    async def spend(self, use: str, expires: int, now: int) -> None:
        await self._local.spend(use, expires, now)
        self._note([("spent", use)])

    async def offer(self, code: str, request: str, expires: int, now: int) -> None:
        await self._local.offer(code, request, expires, now)
        self._note([("offer", code)])

    async def offered(self, code: str, now: int) -> Offer | None:
        return await self._local.offered(code, now)

    async def decide(self, code: str, decision: str, now: int) -> None:
        await self._local.decide(code, decision, now)
        self._note([("offer", code)])

    async def merge(self, state: State, now: int) -> None:
        await self._local.merge(state, now)
        self._note(algebra.keys(state))

    async def changes(self, since: str, limit: int, now: int) -> Changes:
        return await self._local.changes(since, limit, now)

    async def excerpt(self, keys: Iterable[Key], now: int) -> State:
        return await self._local.excerpt(keys, now)

    async def settled(self) -> bool:
        return await self._local.settled()

    async def settle(self, now: int, since: Continuity | None = None) -> None:
        await self._local.settle(now, since)

    async def marks(self, now: int) -> dict[Subject, Mark]:
        return await self._local.marks(now)

    async def feed(self, position: int, most: int, now: int) -> Feed:
        return await self._local.feed(position, most, now)

    async def summary(self, now: int) -> Summary:
        return await self._local.summary(now)

    async def state(self, now: int) -> State:
        return await self._local.state(now)

    # To tell

    def _note(self, keys: Iterable[Key]) -> None:
        self._exchange.note(keys)
        for line in self._lines.values():
            line.news.set()

    async def _spread(self, keys: list[Key]) -> Mapping[str, bool]:
        """Tell all peers at once. Who has not answered in time is told further on, and counts as one that has not."""
        telling = {line.peer.url: self._spawn(line.tell(keys)) for line in self._others()}
        loop = asyncio.get_running_loop()
        until = loop.time() + MARK_SECONDS
        pending: set[asyncio.Task[bool]] = set(telling.values())
        while pending and (left := until - loop.time()) > 0:
            done, pending = await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if any(task.result() for task in done):
                until = min(until, loop.time() + REST_SECONDS)
        others = {line.peer.url for line in self._others()}
        return {url: task.done() and task.result() for url, task in telling.items() if url in others}

    # Who is there

    async def _tend(self) -> None:
        while True:
            self._meet(await self._directory.look())
            await asyncio.sleep(LOOK_EVERY)

    async def _start(self, lost: Callable[[], None]) -> None:
        """Until this replica has caught up: see whether it may begin a fleet, or has to give up."""
        while not self._exchange.caught_up:
            await asyncio.sleep(ASK_SOON)
            now = self._clock()
            with suppress(TemporarilyUnavailable):
                if await self._exchange.bootstrap(now):
                    warn("fleet begun", reason="no peer was found that is caught up: what others knew has ended")
                elif await self._exchange.is_lost(now):
                    lost()
                    return
        log("replica caught up", replica=self.epoch)

    def _meet(self, urls: Sequence[str]) -> None:
        self._exchange.meet(urls)
        known = {line.peer.url: line for line in self._lines.values()}
        self._lines = {peer.url: known.get(peer.url) or self._line(peer) for peer in self._exchange.listed}
        for url, line in known.items():
            if url not in self._lines:
                line.end()
        for line in self._lines.values():
            if self._begun:
                line.begin()

    def _line(self, peer: Peer) -> Line:
        return Line(peer, self._exchange, self._post, self._clock)

    def _others(self) -> list[Line]:
        return [line for line in self._lines.values() if not line.peer.itself]

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
