"""Room for what is under way at once, so that no host can take all of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from tokensvc.outbound import Busy

PATIENCE = 1.0
"""Seconds for which a slot is waited for: whatever is under way ends within a few."""


class Slots:
    """`most` altogether, and `most_of_a_host` for one host."""

    def __init__(self, most: int, most_of_a_host: int) -> None:
        self._free = asyncio.Semaphore(most)
        self._most_of_a_host = most_of_a_host
        # A host is forgotten once nobody holds or waits for a slot of it.
        self._of_hosts: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def one(self, host: str) -> AsyncIterator[None]:
        """Raises Busy where none becomes free soon."""
        of_host = self._of_hosts.setdefault(host, asyncio.Semaphore(self._most_of_a_host))
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(PATIENCE):
                    await held.enter_async_context(of_host)
                    await held.enter_async_context(self._free)
            except TimeoutError:
                raise Busy("too many fetches are under way") from None
            yield
