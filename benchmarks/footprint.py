"""What is held in memory and on disk: after many registrations, after many refreshes of few grants, and of many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.contestants import Contestant, Rival, Scene, Service, registrations
from benchmarks.load import Bounds, drive

CONNECTIONS = 10
FEW = 100
_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Growth:
    """Bytes that requests added to what is in memory, and bytes on disk once the server had ended."""

    what: str
    name: str
    resident: int
    stored: int


def run(scene: Scene, requests: int) -> Iterator[Growth]:
    """A fresh server for every line."""
    for what, grants in (
        (f"{requests:,} registrations", 0),
        (f"{requests:,} refreshes of {FEW} grants", FEW),
        (f"{requests:,} refreshes of {requests:,} grants", requests),
    ):
        directory = scene.directory / what.replace(" ", "-")
        directory.mkdir()
        place = Scene(directory, scene.core, CONNECTIONS, grants // CONNECTIONS)
        for contestant in (
            Service(place, "tokensvc, memory ledger", "memory://"),
            Service(place, "tokensvc, sqlite ledger", "sqlite:///tokensvc.db"),
            Rival(place, "NORMAL"),
        ):
            yield _grow(contestant, what, requests, refreshing=grants > 0)


def _grow(contestant: Contestant, what: str, requests: int, *, refreshing: bool) -> Growth:
    with contestant.server as server:
        chains = contestant.refreshes() if refreshing else registrations(CONNECTIONS)
        # So that what is loaded and cached at the first requests is not taken for growth.
        drive(server.port, registrations(CONNECTIONS), Bounds(_SECONDS, CONNECTIONS))
        drive(server.port, chains, Bounds(_SECONDS, len(chains)))
        before = server.resident
        drive(server.port, chains, Bounds(_SECONDS, requests))
        grown = server.resident - before
        server.stop()
        return Growth(what, contestant.name, grown, server.stored)
