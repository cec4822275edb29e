"""The addresses of a host, from the system's resolver."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Thread

from tokensvc.outbound import Busy


class Resolver:
    """Asks in at most `most` threads: a name whose servers are silent holds one for longer than anybody waits.

    They are no pool's but daemons, since a process that ends would wait for those of a pool.
    """

    def __init__(self, most: int) -> None:
        self._free = most

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """None at all where there are none. Raises Busy where every thread is held."""
        if not self._free:
            raise Busy("every thread that resolves names is held")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[str]] = loop.create_future()

        def tell(found: Sequence[str]) -> None:
            # Nobody is there to be told any more where the loop has ended meanwhile.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._told, answer, found)

        Thread(target=_look_up, args=(host, port, tell), name="resolve", daemon=True).start()
        self._free -= 1
        return await answer

    def _told(self, answer: asyncio.Future[Sequence[str]], found: Sequence[str]) -> None:
        self._free += 1
        if not answer.done():
            answer.set_result(found)


def _look_up(host: str, port: int, tell: Callable[[Sequence[str]], None]) -> None:
    found: list[str] = []
    try:
        found = [str(address[0]) for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, ValueError):
        pass
    finally:
        tell(found)
