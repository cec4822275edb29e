"""What the ledger's tests share: a grant as tokens carry it, and a ledger whose verbs are plain calls."""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from hypothesis import HealthCheck, settings

from tokensvc.ledger import Advanced, Ledger, Step, marks
from tokensvc.ledger.algebra import Offer, State
from tokensvc.ledger.marks import Dead, Mark, Subject

SECOND = 1_000
DAY = 86_400 * SECOND
NOW = 1_767_225_600_000
BEGAN = NOW - DAY
"""When the ledgers of these tests began: what is authorized at NOW is in their memory."""
GRACE = 60 * SECOND

unhurried = settings(suppress_health_check=[HealthCheck.too_slow])
"""The first text that hypothesis makes on a machine takes it a second, or several on a busy one."""

Result = TypeVar("Result")


class Minted(NamedTuple):
    """What the ledger judges of an artefact."""

    subjects: tuple[Subject, ...]
    authorized_at: int


@dataclass(frozen=True)
class Grant:
    """What a person authorized, once."""

    family: str = "fam"
    account: str = "acme"
    user: str = "ada"
    client: str = "app"
    credential: str = "key"
    authorized_at: int = NOW
    expires: int = NOW + 30 * DAY

    @property
    def person(self) -> tuple[Subject, ...]:
        """What a fresh authorization is lifted over."""
        return (
            marks.EVERYTHING,
            marks.account(self.account),
            marks.user(self.account, self.user),
            marks.user_client(self.account, self.user, self.client),
            marks.credential(self.credential),
            marks.client(self.client),
        )

    @property
    def minted(self) -> Minted:
        """As codes and refresh tokens are judged."""
        return Minted((*self.person, marks.family(self.family)), self.authorized_at)

    def access(self, generation: int) -> Minted:
        """As an access token is judged."""
        jti = f"{self.family}.{generation}"
        return Minted((*self.person, marks.family(self.family), marks.token(jti)), self.authorized_at)

    def step(self, generation: int, grace: int = GRACE, expires: int = 0) -> Step:
        return Step(self.family, generation, self.minted, expires or self.expires, grace)


class Driver:
    """A ledger on an event loop of its own."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._runner = asyncio.Runner()

    def ready(self, now: int) -> None:
        self.run(self.ledger.ready(now))

    def check(self, minted: Minted) -> None:
        self.run(self.ledger.check(minted))

    def lift(self, subjects: Iterable[Subject], now: int) -> int:
        return self.run(self.ledger.lift(subjects, now))

    def advance(self, step: Step, now: int) -> Advanced:
        return self.run(self.ledger.advance(step, now))

    def mark(self, subject: Subject, mark: Mark, now: int, instead: Subject | None = None) -> Mark:
        return self.run(self.ledger.mark(subject, mark, now, instead)).mark

    def spend(self, use: str, expires: int, now: int) -> None:
        self.run(self.ledger.spend(use, expires, now))

    def offer(self, code: str, request: str, expires: int, now: int) -> None:
        self.run(self.ledger.offer(code, request, expires, now))

    def offered(self, code: str, now: int) -> Offer | None:
        return self.run(self.ledger.offered(code, now))

    def decide(self, code: str, decision: str, now: int) -> None:
        self.run(self.ledger.decide(code, decision, now))

    def merge(self, state: State, now: int) -> None:
        self.run(self.ledger.merge(state, now))

    def marks(self, now: int) -> dict[Subject, Mark]:
        return self.run(self.ledger.marks(now))

    def state(self, now: int) -> State:
        return self.run(self.ledger.state(now))

    def close(self) -> None:
        self.run(self.ledger.close())
        self._runner.close()

    def is_dead(self, minted: Minted) -> bool:
        return minted in self.dead_among([minted])

    def dead_among(self, judged: Iterable[Minted]) -> set[Minted]:
        async def judge() -> set[Minted]:
            dead = set()
            for minted in judged:
                try:
                    await self.ledger.check(minted)
                except Dead:
                    dead.add(minted)
            return dead

        return self.run(judge())

    def run(self, step: Coroutine[Any, Any, Result]) -> Result:
        return self._runner.run(step)

    def together(self, *steps: Coroutine[Any, Any, Result]) -> list[Result | BaseException]:
        """The outcomes of steps that are taken at the same time, results or exceptions."""

        async def gather() -> list[Result | BaseException]:
            return await asyncio.gather(*steps, return_exceptions=True)

        return self.run(gather())
