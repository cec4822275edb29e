"""The ledgers that the conformance suite runs against."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ledger.support import BEGAN, Driver
from tokensvc.ledger import Ledger
from tokensvc.ledger.exchange import Exchange
from tokensvc.ledger.memory import MemoryLedger
from tokensvc.ledger.messages import Answer, Question, Unheard
from tokensvc.ledger.peers import PeeredLedger
from tokensvc.ledger.sqlite import SqliteLedger

Begin = Callable[[int], Driver]


class Nobody:
    """Neither peers nor a way to any."""

    urls: tuple[str, ...] = ()

    async def look(self) -> tuple[str, ...]:
        return ()

    async def ask(self, url: str, question: Question) -> Answer:
        raise Unheard(f"{url}: {question.nonce}")

    async def close(self) -> None:
        """Nothing to close."""


def among_no_peers(now: int) -> PeeredLedger:
    local = MemoryLedger(now)
    exchange = Exchange(local, "1", 30_000, now)
    exchange.caught_up = True
    return PeeredLedger(local, exchange, Nobody(), Nobody(), lambda: now)


BACKENDS: dict[str, Callable[[Path, int], Ledger]] = {
    "memory": lambda _folder, now: MemoryLedger(now),
    "sqlite": lambda folder, now: SqliteLedger(folder / "ledger.db", now),
    "peers": lambda _folder, now: among_no_peers(now),
}


@pytest.fixture(params=BACKENDS)
def begin(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Begin]:
    """Begin a new ledger, of each kind in turn, at the time given."""
    drivers: list[Driver] = []

    def begin_at(now: int) -> Driver:
        folder = tmp_path / str(len(drivers))
        folder.mkdir()
        drivers.append(Driver(BACKENDS[request.param](folder, now)))
        return drivers[-1]

    yield begin_at
    for driver in drivers:
        driver.close()


@pytest.fixture
def ledger(begin: Begin) -> Driver:
    return begin(BEGAN)
