"""Rounds in which the contestants take turns, so that whatever else the machine does meets them all alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Literal

from benchmarks.contestants import Contestant, Rival, Scene, Service, registrations
from benchmarks.load import Bounds, Chain, Repeats, ask, drive
from benchmarks.process import Server
from tests.ports import free_port

Endpoint = Literal["introspect", "token", "register"]
ENDPOINTS: tuple[Endpoint, ...] = ("introspect", "token", "register")
WARM_UP = Bounds(seconds=1, requests=300)


@dataclass(frozen=True)
class Entry:
    """One line of a contest: who, and the requests."""

    name: str
    server: Server
    chains: Sequence[Chain]


@dataclass(frozen=True)
class Contest:
    """The first entry is the floor to compare with, `rival` names the rival."""

    endpoint: Endpoint
    entries: Sequence[Entry]
    rival: str


@dataclass(frozen=True, slots=True)
class Sample:
    """Requests a second, and microseconds of the server's processor time for each."""

    rate: float
    cpu: float


@dataclass(frozen=True)
class Result:
    """The samples of every entry, by round."""

    contest: Contest
    samples: dict[str, list[Sample]]

    def rates(self, name: str) -> list[float]:
        return [sample.rate for sample in self.samples[name]]

    def cpu(self, name: str) -> float:
        return median(sample.cpu for sample in self.samples[name])

    def throughput(self, name: str, other: str) -> float:
        """How many requests it serves for one of the other's: the median of the rounds' ratios."""
        return median(one.rate / two.rate for one, two in self._pairs(name, other))

    def economy(self, name: str, other: str) -> float:
        """How many requests it serves with the processor time of one of the other's."""
        return median(two.cpu / one.cpu for one, two in self._pairs(name, other))

    def _pairs(self, name: str, other: str) -> Iterator[tuple[Sample, Sample]]:
        return zip(self.samples[name], self.samples[other], strict=True)


@contextmanager
def prepare(scene: Scene, endpoints: Sequence[Endpoint]) -> Iterator[list[Contest]]:
    """All servers run at once while the contests last; who has no turn is idle."""
    sqlite = Service(scene, "tokensvc, sqlite ledger", "sqlite:///tokensvc.db")
    memory = Service(scene, "tokensvc, memory ledger", "memory://")
    normal, full = Rival(scene, "NORMAL"), Rival(scene, "FULL")
    with sqlite.server, memory.server, normal.server, full.server, _floors(scene, sqlite) as floors:

        def contest(endpoint: Endpoint) -> Contest:
            sides: dict[Endpoint, tuple[Contestant, ...]] = {
                "introspect": (memory, sqlite, normal),
                "token": (memory, sqlite, normal, full),
                "register": (sqlite, normal, full),
            }
            entries = [Entry(side.name, side.server, _chains(side, endpoint)) for side in sides[endpoint]]
            return Contest(endpoint, [*_floor_entries(floors, sqlite, endpoint), *entries], normal.name)

        yield [contest(endpoint) for endpoint in endpoints]


def run(contest: Contest, rounds: int, bounds: Bounds) -> Result:
    samples: dict[str, list[Sample]] = {entry.name: [] for entry in contest.entries}
    for entry in contest.entries:
        drive(entry.server.port, entry.chains, WARM_UP)
    for turn in range(rounds):
        # Everybody is first, and everybody comes after everybody, about as often.
        start = turn % len(contest.entries)
        for entry in (*contest.entries[start:], *contest.entries[:start]):
            samples[entry.name].append(_measure(entry, bounds))
    return Result(contest, samples)


def _measure(entry: Entry, bounds: Bounds) -> Sample:
    before = entry.server.cpu
    measured = drive(entry.server.port, entry.chains, bounds)
    used = entry.server.cpu - before
    return Sample(measured.requests / measured.seconds, used / measured.requests * 1_000_000)


def _chains(contestant: Contestant, endpoint: Endpoint) -> list[Chain]:
    if endpoint == "introspect":
        return contestant.introspections()
    if endpoint == "token":
        return contestant.refreshes()
    return registrations(contestant.scene.connections)


def _floors(scene: Scene, service: Service) -> Server:
    """A server that gives the answers that the service gave."""
    answers = {
        endpoint: json.loads(ask(service.server.port, _chains(service, endpoint)[0].request()))
        for endpoint in ENDPOINTS
    }
    file = scene.directory / "answers.json"
    file.write_text(json.dumps(answers))
    port = free_port()
    arguments = ["benchmarks.serving", "--port", str(port), "floors", str(file)]
    return Server(arguments, port, scene.core, scene.directory / "floors")


def _floor_entries(floors: Server, service: Service, endpoint: Endpoint) -> Iterator[Entry]:
    """The floors, asked what the service is asked, but always the same: their answers are nobody's next request."""
    readers = {"json": "floor, request.json()"}
    if endpoint != "register":
        readers = {"form": "floor, request.form()", "parse_qsl": "floor, parse_qsl once"}
    for reader, name in readers.items():
        line, moved = f"POST /{endpoint} ".encode(), f"POST /{reader}/{endpoint} ".encode()
        requests = [chain.request().replace(line, moved, 1) for chain in _chains(service, endpoint)]
        yield Entry(name, floors, [Repeats.of([request]) for request in requests])
