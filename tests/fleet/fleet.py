"""A fleet: replicas as processes behind HAProxy, that share nothing but what stands in their settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.fleet.haproxy import DRAIN, HAProxy
from tests.ports import free_port
from tests.replica import Client, Replica, changed, ring_entry, settings, wait_for

MEMORY, FILE = "memory://", "sqlite:///ledger.db"


@dataclass
class Fleet:
    """Use as a context manager. Each replica has a directory, a ledger and ring files of its own.

    `changes` are settings of all of them, by field name; `start_with` are variables of all of them, `apart` of one, by
    its number. Those that are `late` are for the test to start.
    """

    directory: Path
    size: int = 3
    ledger: str = MEMORY
    changes: Mapping[str, str] = field(default_factory=dict)
    apart: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    start_with: Mapping[str, str] = field(default_factory=dict)
    late: Collection[int] = ()

    def __post_init__(self) -> None:
        self.haproxy = HAProxy(self.directory)
        self.keys = [ring_entry("k1")]
        client_keys = ring_entry("c1")
        ports = [free_port() for _ in range(self.size)]
        shared = {
            "issuer": self.haproxy.url,
            "client_keys": client_keys,
            "peers": ",".join(f"http://127.0.0.1:{port}" for port in ports),
        } | dict(self.changes)
        self.replicas = []
        for number, port in enumerate(ports):
            directory = self.directory / f"r{number}"
            directory.mkdir()
            own = settings(self.ledger, port, **(shared | {"keys": "", "keys_file": str(directory / "keys")}))
            environment = own | dict(self.start_with) | dict(self.apart.get(number, {}))
            self.replicas.append(Replica(environment, port, directory=directory, drain=DRAIN))
            self.write_ring(number, self.keys)

    def __enter__(self) -> Fleet:
        first, *others = (replica for number, replica in enumerate(self.replicas) if number not in self.late)
        try:
            self.begin_with(first)
            together(Replica.start, others)
            self.haproxy.start([replica.port for replica in self.replicas])
            self.wait_until_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        begun = [replica for replica in self.replicas if hasattr(replica, "process")]
        together(Replica.kill, begun)
        if hasattr(self.haproxy, "_process"):
            self.haproxy.stop()

    def begin_with(self, first: Replica) -> None:
        """The first of all finds nobody to inherit from, and is told that this is right. The others ask it."""
        environment = first.environment
        if environment.get("TOKENSVC_PEERS"):
            first.environment = changed(environment, peers_bootstrap="true")
        first.start()
        first.environment = environment

    @property
    def url(self) -> str:
        return self.haproxy.url

    def client(self, number: int | None = None) -> Client:
        """Of the balancer, or of one replica."""
        return Client(self.url if number is None else self.replicas[number].url)

    def write_ring(self, number: int, entries: Iterable[str]) -> None:
        """The ring file of a replica, replaced in one step, as configuration management does it."""
        file = self.replicas[number].directory
        assert file
        new = file / "keys.new"
        new.touch(mode=0o600)
        new.write_text(",".join(entries), encoding="utf-8")
        os.replace(new, file / "keys")

    def wait_until_up(self) -> None:
        """HAProxy sends requests to every replica that was started."""
        names = {f"r{number}" for number, replica in enumerate(self.replicas) if hasattr(replica, "process")}
        wait_for(lambda: self.haproxy.up() == names, "every replica is up")

    @contextmanager
    def only(self, number: int) -> Iterator[Replica]:
        """Meanwhile every request that comes to HAProxy goes to one replica."""
        others = [f"tokensvc/r{other}" for other in range(self.size) if other != number]
        for server in others:
            self.haproxy.tell(f"set server {server} state drain")
        try:
            yield self.replicas[number]
        finally:
            for server in others:
                self.haproxy.tell(f"set server {server} state ready")

    def roll(self, change: Callable[[Replica], None] = lambda _replica: None) -> None:
        """Stop each in turn, change what stands in its environment, start it again, and go on once it is up."""
        for replica in self.replicas:
            replica.stop()
            change(replica)
            replica.start()
            self.wait_until_up()


def together(step: Callable[[Replica], object], replicas: Iterable[Replica]) -> None:
    """For all of them at the same time: none of the first is ready before most of the others are there."""
    several = list(replicas)
    with ThreadPoolExecutor(len(several) or 1) as pool:
        for _ in pool.map(step, several):
            pass
