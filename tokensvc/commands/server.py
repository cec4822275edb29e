"""The server of one process: uvicorn's, with an end in order.

Told to leave, it first says so at /readyz and goes on answering, so that a balancer can take it out while nobody is
refused. Then it stops listening, finishes what has begun, closes the ledger and ends.
"""

import asyncio
import math
import signal
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import FrameType

import uvicorn

from tokensvc.observability import log

BEAT, DRAIN, RETIRE, STOP = b".", b"d", b"r", b"s"
"""What a worker tells its supervisor each second, and what it is told: to drain, to leave its place to a successor that
listens on the same socket, to stop at once."""
_CLOSE = (b"connection", b"close")
_TICKS_A_SECOND = 10


class Server(uvicorn.Server):
    """`drain` is how many seconds it goes on answering after SIGTERM. A worker has a `supervisor`, at the other end.

    `problem` is why the application ended it, which keeps a list of `problems` in the state of its lifespan.
    """

    def __init__(self, config: uvicorn.Config, drain: float, supervisor: socket.socket | None = None) -> None:
        super().__init__(config)
        self.interrupted = False
        self.problem = ""
        self._drain = drain
        self._supervisor = supervisor
        self._until = math.inf
        self._leaving = asyncio.Event()

    def leave(self, drain: float) -> None:
        """Stop listening after so many seconds. Told again, the earlier end counts."""
        self._until = min(self._until, time.monotonic() + drain)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # Whoever answers a request finds it in the state of its scope.
        self.lifespan.state["leaving"] = self._leaving
        if self._supervisor:
            asyncio.get_running_loop().add_reader(self._supervisor, self._told, self._supervisor)
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        if self._until < math.inf and not self._leaving.is_set():
            log("replica leaving", seconds=max(0, round(self._until - time.monotonic())))
            self._leaving.set()
            # Idle connections are for nobody to use again: each ends with its next answer.
            self.config.encoded_headers.append(_CLOSE)
            counter = 0  # Now, and not with the next second, does uvicorn take these headers up.
        if self._supervisor and counter % _TICKS_A_SECOND == 0:
            with suppress(OSError):
                self._supervisor.send(BEAT)
        if problems := self.lifespan.state.get("problems"):
            self.problem = problems[0]
            self.leave(0)
        self.should_exit = self.should_exit or time.monotonic() >= self._until
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """SIGTERM drains; SIGINT, a person's, does not wait. A second one ends the process as the system does."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        if self._supervisor:
            # A terminal and an init system send theirs to every process: it is for the supervisor to act on them.
            numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
            before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
        else:
            before = {number: signal.signal(number, self._asked) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _asked(self, number: int, _frame: FrameType | None) -> None:
        self.interrupted = number == signal.SIGINT
        self.leave(0 if self.interrupted else self._drain)
        for other in (signal.SIGTERM, signal.SIGINT):
            signal.signal(other, signal.SIG_DFL)

    def _told(self, supervisor: socket.socket) -> None:
        """An end of file says that the supervisor is gone, and that nobody would end this worker any more."""
        message = supervisor.recv(1)
        if not message:
            asyncio.get_running_loop().remove_reader(supervisor)
        if message == RETIRE:
            for server in self.servers:
                server.close()
        self.leave(self._drain if message in {DRAIN, RETIRE} else 0)
