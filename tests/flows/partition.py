"""Replicas without shared storage, and a network between them that can be cut."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.ports import free_port
from tests.replica import ADMIN_TOKEN, TLS, Client, Replica, changed, settings, wait_for


class Wire:
    """A TCP proxy to one port, which can be cut. Use as a context manager."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._cut = False
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections; new ones are accepted and ended at once."""
        with self._lock:
            self._cut = True
            ending, self._open = self._open, set()
        for end in ending:
            _end(end)

    def mend(self) -> None:
        self._cut = False

    def close(self) -> None:
        self.cut()
        _end(self._listening)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                try:
                    called = socket.create_connection(("127.0.0.1", self._target), timeout=5)
                    called.settimeout(None)
                except OSError:
                    _end(caller)
                    continue
                with self._lock:
                    self._open |= {caller, called}
                    cut = self._cut
                if cut:
                    self.cut()
                for one, other in ((caller, called), (called, caller)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)
        for end in (one, other):
            self._open.discard(end)
            _end(end)


def _end(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@dataclass
class Fleet:
    """Use as a context manager: replicas with these ledgers, the first of which begins the fleet."""

    directory: Path
    ledgers: Sequence[str] = ("memory://", "sqlite:///ledger.db", "memory://")
    changes: Mapping[str, str] = field(default_factory=dict)
    replicas: list[Replica] = field(init=False)

    def __post_init__(self) -> None:
        ports = [free_port() for _ in self.ledgers]
        pairs = [(one, other) for one in range(len(ports)) for other in range(len(ports)) if one != other]
        self.wires = {(one, other): Wire(ports[other]) for one, other in pairs}
        shared = settings("memory://", ports[0], **self.changes)
        self.replicas = [self._make(shared, number, port) for number, port in enumerate(ports)]

    def _make(self, shared: Mapping[str, str], number: int, port: int) -> Replica:
        directory = self.directory / f"r{number}"
        directory.mkdir()
        peers = ",".join(self.wire_url(number, other) for one, other in self.wires if one == number)
        return Replica(changed(shared, ledger=self.ledgers[number], peers=peers), port, directory=directory)

    def __enter__(self) -> Fleet:
        try:
            first, *others = self.replicas
            first.environment = changed(first.environment, peers_bootstrap="true")
            first.start()
            first.environment = changed(first.environment, peers_bootstrap="")
            together(others)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        for wire in self.wires.values():
            wire.close()
        for replica in self.replicas:
            if hasattr(replica, "process"):
                replica.kill()

    def wire_url(self, one: int, other: int) -> str:
        """How one replica reaches another."""
        return f"http://127.0.0.1:{self.wires[one, other].port}"

    def part(self, *side: int) -> None:
        """The replicas of this side reach no other any more, and none of them reaches them."""
        for (one, other), wire in self.wires.items():
            if (one in side) != (other in side):
                wire.cut()

    def join(self) -> None:
        for wire in self.wires.values():
            wire.mend()

    def client(self, number: int) -> Client:
        return Client(self.replicas[number].url)

    def clients(self) -> list[Client]:
        return [self.client(number) for number in range(len(self.replicas))]

    def marks(self, number: int) -> list[dict[str, object]]:
        """The marks in force, as a replica lists them to operators."""
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        answer = httpx.get(f"{self.replicas[number].url}/admin/denylist", headers=headers, verify=TLS)
        marks: list[dict[str, object]] = answer.json()["marks"]
        return marks

    def families(self, number: int) -> int:
        """How many grants a replica knows of. What is told comes in the order in which it happened."""
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        answer = httpx.get(f"{self.replicas[number].url}/admin/state", headers=headers, verify=TLS)
        return int(answer.json()["ledger"]["families"])

    def wait_until_agreed(self) -> None:
        """All list the same marks."""
        numbers = range(len(self.replicas))
        wait_for(lambda: all(self.marks(number) == self.marks(0) for number in numbers), "all list the same marks", 10)


def together(replicas: Iterable[Replica]) -> None:
    """Start several at the same time."""
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(Replica.start, replicas):
            pass
