"""The line to one peer: what changed is told soon after, and it is asked each second for whatever was missed."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from tokensvc.errors import TemporarilyUnavailable
from tokensvc.ledger.algebra import Key
from tokensvc.ledger.exchange import Exchange
from tokensvc.ledger.messages import Answer, Question, Unheard
from tokensvc.ledger.peer import Peer
from tokensvc.observability import log, warn

ASK_EVERY = 1.0
"""Seconds between two questions for news, which are also how a peer is known to be there."""
ASK_SOON = 0.2
"""The same, while this replica is still catching up."""
TELL_EVERY = 0.1
"""Seconds between two messages to one peer: what changes meanwhile goes with the second. Marks do not wait."""
LONGEST_PAUSE = 4.0
"""Seconds until a peer that does not answer is tried again."""


class Post(Protocol):
    """The way to other replicas."""

    async def ask(self, url: str, question: Question) -> Answer:
        """Raises Unheard."""

    async def close(self) -> None: ...


class Line:
    """`news` are there to tell the peer, `wake` asks it before its time."""

    def __init__(self, peer: Peer, exchange: Exchange, post: Post, clock: Callable[[], int]) -> None:
        self.peer = peer
        self.news = asyncio.Event()
        self.wake = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self._exchange = exchange
        self._post = post
        self._clock = clock
        self._silent: bool | None = None
        """Whether it failed to answer last, None before the first time."""

    def begin(self) -> None:
        if not self.tasks:
            self.tasks = [asyncio.create_task(self._keep_telling()), asyncio.create_task(self._keep_asking())]

    def end(self) -> None:
        for task in self.tasks:
            task.cancel()

    async def tell(self, keys: Iterable[Key]) -> bool:
        """Whether the peer took them; where it did not, they wait in its outbox."""
        left = [*keys]
        try:
            while left:
                question, left = await self._exchange.tell(left, self._clock())
                if not self._exchange.taken(self.peer, await self._post.ask(self.peer.url, question)):
                    raise Unheard("it did not take the news")
        except (Unheard, TemporarilyUnavailable):
            self.peer.outbox.update(keys)
            self.news.set()
            return False
        return True

    async def empty(self) -> bool:
        """Tell the peer all that it was not told yet."""
        waiting, self.peer.outbox = self.peer.outbox, set()
        return self.peer.itself or await self.tell(waiting)

    async def _keep_telling(self) -> None:
        pause = TELL_EVERY
        while True:
            await self.news.wait()
            self.news.clear()
            told = False
            # Whatever happens: a peer that is not told any more would hear of everything a second late.
            with suppress(Exception):
                told = await self.empty()
            pause = TELL_EVERY if told else min(2 * pause, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _keep_asking(self) -> None:
        pause = 0.0
        while True:
            try:
                more = await self._ask()
            except Exception as error:
                # What nobody foresaw, too: a peer that is not asked any more would make this replica stale.
                known = isinstance(error, Unheard | TemporarilyUnavailable)
                self._say(str(error) if known else f"unforeseen {type(error).__name__}")
                pause = min(max(2 * pause, ASK_SOON), LONGEST_PAUSE)
            else:
                self._say("")
                pause = 0.0 if more else self._until_next()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.wake.wait()
            self.wake.clear()

    async def _ask(self) -> bool:
        asked = self._clock()
        answer = await self._post.ask(self.peer.url, self._exchange.question(self.peer, asked))
        return await self._exchange.hear(self.peer, asked, answer, self._clock())

    def _until_next(self) -> float:
        if self.peer.itself:
            return LONGEST_PAUSE
        return ASK_EVERY if self._exchange.caught_up else ASK_SOON

    def _say(self, problem: str) -> None:
        """One line where a peer falls silent, and one where it is heard again."""
        silent = bool(problem)
        if silent == self._silent or self.peer.itself:
            return
        self._silent = silent
        if silent:
            warn("peer lost", peer=self.peer.url, reason=problem)
        else:
            log("peer heard", peer=self.peer.url, replica=self.peer.replica, version=self.peer.version)
