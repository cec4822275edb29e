"""A fleet in one process, on one clock that only goes on when told: everything follows from a seed.

Replicas run the real exchange on real ledgers. Their clocks are off; messages are lost, late, doubled and reordered;
replicas crash, with and without what they knew; the network parts and heals. All the while people sign in, refresh,
replay and revoke, and the promises are checked as invariants.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Coroutine
from dataclasses import dataclass, field
from itertools import combinations, count
from pathlib import Path
from typing import Any

from tests.ledger.support import DAY, GRACE, NOW, SECOND, Grant
from tokensvc.errors import TemporarilyUnavailable
from tokensvc.ledger import Ledger, Replayed, marks
from tokensvc.ledger.algebra import Key, State
from tokensvc.ledger.exchange import Exchange
from tokensvc.ledger.marks import Dead, Mark, Subject
from tokensvc.ledger.memory import MemoryLedger
from tokensvc.ledger.messages import Answer, Question, Unheard
from tokensvc.ledger.peer import Peer
from tokensvc.ledger.sqlite import SqliteLedger

BOUND = 3 * SECOND
TIMEOUT = 1 * SECOND
TICK = 100
LATEST = 300
"""How late a message may be, in milliseconds, where it is not lost."""
SKEW = 2_000
"""How far a clock may be off true time. Any two are then less than marks.MAX_AHEAD apart."""


@dataclass
class Revocation:
    """A mark that was answered, and since when each replica holds it without having lost it, in true time."""

    subject: Subject
    not_before: int
    answered: int
    held: dict[str, int] = field(default_factory=dict)


@dataclass
class Replica:
    """One of the fleet. `incarnation` counts its starts; `keeps` says that a crash leaves what it knew."""

    url: str
    skew: int
    keeps: bool
    ledger: Ledger
    exchange: Exchange
    up: bool = True
    incarnation: int = 0
    asking: dict[str, str] = field(default_factory=dict)
    telling: dict[str, str] = field(default_factory=dict)
    next_ask: dict[str, int] = field(default_factory=dict)


@dataclass
class Redemption:
    code: Grant
    by: list[tuple[Replica, int]] = field(default_factory=list)


class World:
    """`run` lets it go on for so many milliseconds, `settle` ends all trouble, waits, and checks the end."""

    def __init__(self, seed: int, folder: Path | None = None) -> None:
        self.random = random.Random(seed)
        self.now = NOW
        self.trouble, self.quiet, self.begun = True, False, False
        self.folder = folder
        self.events: list[tuple[int, int, Coroutine[Any, Any, None]]] = []
        self.numbers = count()
        self.parted: set[frozenset[str]] = set()
        self.codes: list[Grant] = []
        self.redemptions: dict[str, Redemption] = {}
        self.live: dict[str, tuple[Grant, int]] = {}
        self.revocations: list[Revocation] = []
        self.known: dict[str, set[Subject]] = {}
        self.doomed: dict[str, list[Revocation]] = {}
        self.answered = self.refused = 0
        size = self.random.randint(3, 5)
        self.replicas = [self.make(f"r{number}") for number in range(size)]

    def make(self, url: str) -> Replica:
        keeps = self.random.random() < 0.4
        ledger = self.open(url) if keeps else MemoryLedger(self.now)
        skew = self.random.randint(-SKEW, SKEW)
        return Replica(url, skew, keeps, ledger, self.exchange(url, ledger, self.now + skew))

    def open(self, url: str) -> Ledger:
        """Of what survives a crash: a file, or, which is faster, a memory that is handed on."""
        return SqliteLedger(self.folder / f"{url}.db", self.now, alone=False) if self.folder else MemoryLedger(self.now)

    def exchange(self, url: str, ledger: Ledger, began: int) -> Exchange:
        return Exchange(ledger, "1", BOUND, began, bootstrap=url == "r0" and not self.begun)

    # Time

    async def run(self, milliseconds: int) -> None:
        until = self.now + milliseconds
        while self.now < until:
            self.now += TICK
            while self.events and self.events[0][0] <= self.now:
                await heapq.heappop(self.events)[2]
            for replica in self.replicas:
                if replica.up:
                    await self.exchange_some(replica)
            if self.trouble:
                await self.make_trouble()
            if not self.quiet:
                await self.live_on()
            if self.now % (5 * TICK) == 0:
                await self.check()

    def later(self, work: Coroutine[Any, Any, None], delay: int) -> None:
        heapq.heappush(self.events, (self.now + delay, next(self.numbers), work))

    async def close(self) -> None:
        for _, _, work in self.events:
            work.close()
        for replica in self.replicas:
            await replica.ledger.close()

    # The network

    def delays(self, one: Replica, other: Replica) -> list[int]:
        """When a message arrives: not at all, once or twice."""
        if frozenset((one.url, other.url)) in self.parted:
            return []
        if not self.trouble:
            return [self.random.randint(1, 20)]
        copies = self.random.choices((0, 1, 2), (10, 85, 5))[0]
        return [self.random.choice((self.random.randint(1, 30), self.random.randint(1, LATEST))) for _ in range(copies)]

    def send(self, asker: Replica, peer: Peer, question: Question, *, told: list[Key]) -> None:
        other = next(replica for replica in self.replicas if replica.url == peer.url)
        for delay in self.delays(asker, other):
            self.later(self.arrive(asker, asker.incarnation, other, peer, question, told), delay)

    async def arrive(
        self, asker: Replica, incarnation: int, other: Replica, peer: Peer, question: Question, told: list[Key]
    ) -> None:
        if not other.up:
            return
        answer = await other.exchange.answer(question, self.now + other.skew)
        for delay in self.delays(other, asker):
            self.later(self.come_back(asker, incarnation, peer, question, answer, told), delay)

    async def come_back(
        self, asker: Replica, incarnation: int, peer: Peer, question: Question, answer: Answer, told: list[Key]
    ) -> None:
        """As the transport has it: an answer to a question that nobody waits for any more is nothing."""
        now = self.now + asker.skew
        if not asker.up or asker.incarnation != incarnation or now - question.clock > TIMEOUT:
            return
        if asker.telling.get(peer.url) == question.nonce:
            del asker.telling[peer.url]
            if not asker.exchange.taken(peer, answer):
                peer.outbox.update(told)
        if asker.asking.get(peer.url) == question.nonce:
            del asker.asking[peer.url]
            try:
                more = await asker.exchange.hear(peer, question.clock, answer, now)
            except Unheard:
                more = False
            if more:
                asker.next_ask[peer.url] = self.now

    async def exchange_some(self, replica: Replica) -> None:
        now = self.now + replica.skew
        replica.exchange.meet(other.url for other in self.replicas)
        self.begun |= await replica.exchange.bootstrap(now)
        for peer in replica.exchange.listed:
            if self.now >= replica.next_ask.get(peer.url, 0):
                question = replica.exchange.question(peer, now)
                replica.asking[peer.url] = question.nonce
                replica.next_ask[peer.url] = self.now + SECOND
                self.send(replica, peer, question, told=[])
        for peer in replica.exchange.peers:
            if peer.outbox and peer.url not in replica.telling:
                told, peer.outbox = [*peer.outbox], set()
                question, left = await replica.exchange.tell(told, now)
                peer.outbox.update(left)
                replica.telling[peer.url] = question.nonce
                self.send(replica, peer, question, told=told)
                self.later(self.give_up(replica, replica.incarnation, peer, question, told), TIMEOUT)

    async def give_up(
        self, replica: Replica, incarnation: int, peer: Peer, question: Question, told: list[Key]
    ) -> None:
        if replica.incarnation == incarnation and replica.telling.get(peer.url) == question.nonce:
            del replica.telling[peer.url]
            peer.outbox.update(told)

    # Trouble

    async def make_trouble(self) -> None:
        dice = self.random.random()
        if dice < 0.010:
            await self.crash(self.random.choice(self.replicas))
        elif dice < 0.050:
            down = [replica for replica in self.replicas if not replica.up]
            if down:
                await self.start(self.random.choice(down))
        elif dice < 0.070:
            self.part()
        elif dice < 0.078:
            self.parted.clear()

    async def crash(self, replica: Replica) -> None:
        if not replica.up:
            return
        replica.up = False
        if replica.keeps and not self.folder:
            return
        if replica.keeps:
            await replica.ledger.close()
            return
        for revocation in self.revocations:
            revocation.held.pop(replica.url, None)

    async def start(self, replica: Replica) -> None:
        replica.up = True
        replica.incarnation += 1
        began = self.now + replica.skew
        if not replica.keeps:
            replica.ledger = MemoryLedger(began)
        elif self.folder:
            replica.ledger = SqliteLedger(self.folder / f"{replica.url}.db", began, alone=False)
        replica.exchange = self.exchange(replica.url, replica.ledger, began)
        replica.asking, replica.telling, replica.next_ask = {}, {}, {}

    def part(self) -> None:
        """Every replica is on one of two sides; or a single pair cannot reach each other."""
        if self.random.random() < 0.5:
            one, other = self.random.sample(self.replicas, 2)
            self.parted = {frozenset((one.url, other.url))}
            return
        side = {replica.url for replica in self.replicas if self.random.random() < 0.5}
        urls = [replica.url for replica in self.replicas]
        self.parted = {frozenset(pair) for pair in combinations(urls, 2) if len(side & set(pair)) == 1}

    # Life

    async def live_on(self) -> None:
        replica = self.random.choice(self.replicas)
        if not replica.up or not await self.is_ready(replica):
            return
        dice = self.random.random()
        if dice < 0.15:
            await self.sign_in(replica)
        elif dice < 0.35 and self.codes:
            await self.redeem(replica, self.random.choice(self.codes[-8:]))
        elif dice < 0.50 and self.live:
            await self.refresh(replica, self.random.choice([*self.live]))
        elif dice < 0.56 and self.live:
            await self.revoke(replica, self.live[self.random.choice([*self.live])][0])

    async def sign_in(self, replica: Replica) -> None:
        name = f"f{next(self.numbers)}"
        grant = Grant(family=name, user=f"u{self.random.randint(0, 5)}")
        at = await replica.ledger.lift(grant.person, self.now + replica.skew)
        self.codes.append(Grant(family=name, user=grant.user, authorized_at=at, expires=at + DAY))

    async def redeem(self, replica: Replica, code: Grant) -> None:
        if await self.step(replica, code, 0) is not None:
            self.redemptions.setdefault(code.family, Redemption(code)).by.append((replica, replica.incarnation))
            self.live[code.family] = (code, 1)

    async def refresh(self, replica: Replica, name: str) -> None:
        grant, generation = self.live[name]
        head = await self.step(replica, grant, generation)
        if head is not None:
            self.live[name] = (grant, head)

    async def step(self, replica: Replica, grant: Grant, generation: int) -> int | None:
        now = self.now + replica.skew
        try:
            advanced = await replica.ledger.advance(grant.step(generation, GRACE), now)
        except Replayed:
            replica.exchange.note([("mark", *marks.family(grant.family))])
            return None
        except Dead:
            return None
        replica.exchange.note([("family", grant.family)])
        return advanced.head

    async def revoke(self, replica: Replica, grant: Grant) -> None:
        """As PeeredLedger does: answered once a peer has it."""
        subject = self.random.choice((marks.user(grant.account, grant.user), marks.family(grant.family)))
        now = self.now + replica.skew
        try:
            replica.exchange.check_clock(now)
        except TemporarilyUnavailable:
            return
        not_before = now + replica.exchange.ahead(now)
        put = (await replica.ledger.mark(subject, Mark(not_before, now + DAY), now)).mark
        minted = {name: live for name, (live, _) in self.live.items() if subject in live.minted.subjects}
        key: Key = ("mark", *subject)
        for peer in replica.exchange.peers:
            question, _ = await replica.exchange.tell([key], now)
            peer.outbox.add(key)
            other = next(other for other in self.replicas if other.url == peer.url)
            for delay in self.delays(replica, other):
                self.later(
                    self.mark_arrives(replica, replica.incarnation, other, question, subject, put, minted), delay
                )

    async def mark_arrives(
        self,
        asker: Replica,
        incarnation: int,
        other: Replica,
        question: Question,
        subject: Subject,
        put: Mark,
        minted: dict[str, Grant],
    ) -> None:
        if not other.up or other is asker:
            return
        answer = await other.exchange.answer(question, self.now + other.skew)
        alive = asker.up and asker.incarnation == incarnation
        if not answer.accepted or not alive or frozenset((asker.url, other.url)) in self.parted:
            return
        self.answered += 1
        for grant in minted.values():
            revocation = Revocation(subject, put.not_before, self.now)
            revocation.held = {asker.url: self.now, other.url: self.now}
            self.revocations.append(revocation)
            self.doomed.setdefault(grant.family, []).append(revocation)

    # What is promised

    async def is_ready(self, replica: Replica) -> bool:
        now = self.now + replica.skew
        try:
            replica.exchange.check_ready(now)
            await replica.ledger.ready(now)
        except TemporarilyUnavailable:
            return False
        assert replica.exchange.caught_up
        return True

    async def check(self) -> None:
        for replica in self.replicas:
            if replica.up:
                self.note_what_is_held(replica, await replica.ledger.marks(self.now))
        for replica in self.replicas:
            if not replica.up or not await self.is_ready(replica):
                self.refused += 1
                continue
            if not replica.exchange.is_fresh(self.now + replica.skew):
                self.refused += 1
                continue
            for name, revocations in self.doomed.items():
                if any(self.has_to_be_known(revocation, replica) for revocation in revocations):
                    grant = self.live[name][0]
                    assert await is_dead(replica.ledger, grant), f"{replica.url} calls {name} active at {self.now}"
            await self.check_the_living(replica)

    async def check_the_living(self, replica: Replica) -> None:
        """What nobody ended is alive at everyone who answers: no restart and no partition ends it."""
        ended = {mark for other in self.replicas for mark in self.known.get(other.url, ())}
        for name, (grant, _) in self.live.items():
            used_twice = len(self.redemptions[name].by) > 1
            if not used_twice and not ended & set(grant.minted.subjects):
                assert not await is_dead(replica.ledger, grant), f"{replica.url} has forgotten {name} at {self.now}"

    def note_what_is_held(self, replica: Replica, known: dict[Subject, Mark]) -> None:
        self.known.setdefault(replica.url, set()).update(known)
        for revocation in self.revocations:
            mark = known.get(revocation.subject)
            if replica.url not in revocation.held and mark and mark.not_before >= revocation.not_before:
                revocation.held[replica.url] = self.now

    def has_to_be_known(self, revocation: Revocation, replica: Replica) -> bool:
        """It was answered, and for longer than the bound two replicas hold it, of which one may be out of reach."""
        since = self.now - BOUND - TICK
        return sum(at < since for at in revocation.held.values()) >= 2 or replica.url in revocation.held

    async def settle(self) -> None:
        """Nothing is in the way any more: all come to the same, and nothing that two knew is lost."""
        self.trouble = False
        self.parted.clear()
        for replica in self.replicas:
            if not replica.up:
                await self.start(replica)
        await self.run(6 * SECOND)
        if not any(replica.exchange.caught_up for replica in self.replicas):
            # All of them lost what they knew: an operator begins a new fleet, and everything before ends with that.
            self.begun = False
            self.live.clear()
            self.doomed.clear()
            await self.start(self.replicas[0])
        await self.run(6 * SECOND)
        self.quiet = True
        await self.run(2 * SECOND)
        states = [await replica.ledger.state(self.now) for replica in self.replicas]
        for replica, state in zip(self.replicas, states, strict=True):
            assert await self.is_ready(replica), f"{replica.url} is not ready in the end"
            assert replica.exchange.is_fresh(self.now + replica.skew)
            assert entries(state) == entries(states[0]), f"{replica.url} and r0 differ"
        for redemption in self.redemptions.values():
            known = {id(one) for one, incarnation in redemption.by if one.keeps or one.incarnation == incarnation}
            if len(known) > 1:
                for replica in self.replicas:
                    assert await is_dead(replica.ledger, redemption.code), "a code that was redeemed twice lives on"


def entries(state: State) -> tuple[object, ...]:
    return dict(state.marks), dict(state.families), dict(state.spent), dict(state.offers)


async def is_dead(ledger: Ledger, grant: Grant) -> bool:
    try:
        await ledger.check(grant.minted)
    except Dead:
        return True
    return False


def simulate(seed: int, folder: Path | None = None, milliseconds: int = 25 * SECOND) -> World:
    """One world from its beginning to its end. Raises AssertionError where a promise does not hold."""

    async def live() -> World:
        world = World(seed, folder)
        try:
            await world.run(milliseconds)
            await world.settle()
        finally:
            await world.close()
        return world

    return asyncio.run(live())
