"""`serve --workers N`: several processes of one replica, on one listening socket and one ledger file.

The supervisor answers no request. It starts workers, starts another where one ended or hangs, and passes on what it is
told: SIGTERM lets all of them drain, SIGINT stops them without, SIGHUP replaces them one by one, each by a successor
that listens already. A second SIGTERM or SIGINT kills. If the supervisor itself is killed, its end of each pair of
sockets closes, which its worker takes for being told to stop.
"""

import multiprocessing
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from types import FrameType

import uvicorn

from tokensvc.commands import CommandFailed
from tokensvc.commands.server import DRAIN, RETIRE, STOP, Server
from tokensvc.errors import SettingsError, TemporarilyUnavailable
from tokensvc.observability import log, take_over_logging, warn

HOPELESS = 3
"""The exit code of a worker whose successors would end as it did."""
HUNG_SECONDS = 30.0
"""Without a beat, of which an event loop that runs gives one a second."""
_STARTING_SECONDS = 60.0
"""For a successor to answer before it is given up, and the worker that it was to replace goes on."""
_PAUSE_SECONDS = 1.0
"""Between two starts in place of workers that ended: one that cannot live is not started in a tight loop."""
_TICK_SECONDS = 0.1

_spawn = multiprocessing.get_context("spawn")
"""Not forked: a worker that is started later runs the code and reads the files of then."""


def work(config: uvicorn.Config, listening: socket.socket, channel: socket.socket, drain: float) -> None:
    """What a worker does until it is told to stop."""
    take_over_logging()
    config.configure_logging()
    server = Server(config, drain, channel)
    try:
        server.run([listening])
    except (SettingsError, TemporarilyUnavailable) as error:
        sys.exit(f"tokensvc: {error}")
    if server.problem:
        print(f"tokensvc: {server.problem}", file=sys.stderr)
        sys.exit(HOPELESS)


@dataclass(eq=False)
class Worker:
    """A process and what is known of it. `heard` is when its last beat came, None before the first."""

    process: BaseProcess
    channel: socket.socket
    begun: float = field(default_factory=time.monotonic)
    heard: float | None = None
    leaving: bool = False

    @classmethod
    def begin(cls, config: uvicorn.Config, listening: socket.socket, drain: float) -> "Worker":
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        with closing(theirs):
            process = _spawn.Process(target=work, args=(config, listening, theirs, drain))
            process.start()
        return cls(process, ours)

    @property
    def hangs(self) -> bool:
        return self.heard is not None and time.monotonic() - self.heard > HUNG_SECONDS

    def listen(self) -> None:
        """Note the beats that came."""
        with suppress(OSError):
            if self.channel.recv(4096):
                self.heard = time.monotonic()

    def tell(self, message: bytes) -> None:
        self.leaving = True
        with suppress(OSError):
            self.channel.send(message)

    def close(self) -> None:
        self.process.join()
        self.process.close()
        self.channel.close()


class Workers:
    """The workers of a replica. `run` returns when it was told to end, and all of them have.

    `successors` is how those are run that start while others serve, and may take their time before they listen.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        listening: socket.socket,
        drain: float,
        successors: uvicorn.Config | None = None,
    ) -> None:
        self.interrupted = False
        self._config = config
        self._successors = successors or config
        self._listening = listening
        self._drain = drain
        self._workers: list[Worker] = []
        self._stale: list[Worker] = []
        self._successor: Worker | None = None
        self._signals: list[int] = []
        self._ending = False
        self._failed = False
        self._next_start = 0.0

    def run(self) -> None:
        """Raises CommandFailed where no worker could start."""
        with self._captured_signals():
            for _ in range(self._config.workers):
                self._begin()
            while self._workers:
                self._tick()
                time.sleep(_TICK_SECONDS)
        if self._failed:
            raise CommandFailed("the workers cannot go on; the log says why")

    def _tick(self) -> None:
        while self._signals:
            self._obey(self._signals.pop(0))
        for worker in [*self._workers]:
            worker.listen()
            if worker.hangs:
                warn("worker hangs", pid=worker.process.pid)
                worker.process.kill()
            if worker.process.exitcode is not None:
                self._bury(worker)
        self._replace()
        self._refill()

    def _obey(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._stale = [worker for worker in self._workers if not worker.leaving and worker is not self._successor]
            return
        if self._ending:
            for worker in self._workers:
                worker.process.kill()
            return
        self.interrupted = number == signal.SIGINT
        self._end(STOP if self.interrupted else DRAIN)

    def _end(self, message: bytes) -> None:
        self._ending = True
        self._stale = []
        for worker in self._workers:
            worker.tell(message)

    def _bury(self, worker: Worker) -> None:
        """Of a worker that ended: say so where nobody told it to, and give up where none started, or none could."""
        code, pid = worker.process.exitcode, worker.process.pid
        self._workers.remove(worker)
        worker.close()
        if worker.leaving:
            return
        warn("worker ended", pid=pid, code=code)
        if worker is self._successor:
            self._give_up()
        elif code == HOPELESS or (worker.heard is None and not any(other.heard for other in self._workers)):
            self._failed = True
            self._end(STOP)

    def _replace(self) -> None:
        """One step of a rolling replacement: a successor is started, answers, and takes the place of the stale one."""
        self._stale = [worker for worker in self._stale if worker in self._workers]
        successor = self._successor
        if successor is None:
            if self._stale and not any(worker.leaving for worker in self._workers):
                self._successor = self._begin()
        elif successor.heard:
            self._successor = None
            if self._stale:
                log("worker replaced", pid=self._stale[0].process.pid, successor=successor.process.pid)
                self._stale.pop(0).tell(RETIRE)
        elif time.monotonic() - successor.begun > _STARTING_SECONDS:
            successor.process.kill()

    def _give_up(self) -> None:
        """The workers that are there go on, with what they started with."""
        self._successor = None
        self._stale = []

    def _refill(self) -> None:
        staying = [worker for worker in self._workers if not worker.leaving and worker is not self._successor]
        missing = self._config.workers - len(staying)
        if not self._ending and missing > 0 and time.monotonic() > self._next_start:
            self._next_start = time.monotonic() + _PAUSE_SECONDS
            self._begin()

    def _begin(self) -> Worker:
        serving = any(worker.heard and not worker.leaving for worker in self._workers)
        config = self._successors if serving else self._config
        worker = Worker.begin(config, self._listening, self._drain)
        self._workers.append(worker)
        return worker

    @contextmanager
    def _captured_signals(self) -> Iterator[None]:
        def note(number: int, _frame: FrameType | None) -> None:
            self._signals.append(number)

        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.signal(number, note) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
