"""Replicas of a fleet, real ledgers all, against a model that keeps every event for ever.

The model knows nothing of entries, floors, joins or rows. A replica of it is the set of events that it has heard of,
and each question is answered by looking through them.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.ledger.support import DAY, GRACE, NOW, SECOND, Driver, Grant, Minted
from tokensvc import ledger
from tokensvc.ledger import Advanced, Decided, Replayed, Spent, Taken, marks
from tokensvc.ledger.algebra import DENIED, Offer, State
from tokensvc.ledger.marks import MAX_AHEAD, Dead, FutureMark, Mark, Subject
from tokensvc.ledger.memory import MemoryLedger
from tokensvc.ledger.sqlite import SqliteLedger

FOREVER = NOW + 300 * DAY
FINAL = ("family", "token")
DRIFT = MAX_AHEAD // 2
"""So that no two clocks are further apart than what is tolerated."""
SETTLED = DRIFT + DRIFT + MAX_AHEAD + SECOND
"""After this long no clock, and no mark that was made ahead of one, lies in another's future."""


# The model.


@dataclass(frozen=True)
class Used:
    family: str
    generation: int
    at: int
    number: int


@dataclass(frozen=True)
class Marked:
    subject: Subject
    not_before: int


@dataclass(frozen=True)
class Burnt:
    use: str
    expires: int


@dataclass(frozen=True)
class Asked:
    code: str
    request: str


@dataclass(frozen=True)
class Answered:
    code: str
    decision: str


Event = Used | Marked | Burnt | Asked | Answered
Part = Literal["all", "marks", "families", "spent", "offers"]
OF_PART: dict[Part, tuple[type[Event], ...]] = {
    "all": (Used, Marked, Burnt, Asked, Answered),
    "marks": (Marked,),
    "families": (Used,),
    "spent": (Burnt,),
    "offers": (Asked, Answered),
}


@dataclass
class Known:
    """What one replica has heard of, and since when it would have heard."""

    spent_since: int
    marks_since: int
    events: set[Event] = field(default_factory=set)

    def copy(self) -> "Known":
        return replace(self, events=set(self.events))

    def used(self, family: str) -> list[Used]:
        return [event for event in self.events if isinstance(event, Used) and event.family == family]

    def ended(self, family: str) -> bool:
        redemptions = [event for event in self.used(family) if event.generation == 0]
        return len(redemptions) > 1 or any(event.subject == ("family", family) for event in self.marked())

    def marked(self) -> list[Marked]:
        return [event for event in self.events if isinstance(event, Marked)]

    def revoked(self, minted: Minted) -> bool:
        """Dead by a mark, whatever the ledger's memory."""
        subjects = set(minted.subjects)
        return any(self.ended(names[0]) for kind, *names in subjects if kind == "family") or any(
            event.subject[0] in FINAL or minted.authorized_at <= event.not_before
            for event in self.marked()
            if event.subject in subjects
        )

    def lifted_over(self, subject: Subject, not_before: int, now: int) -> int:
        """A mark that ends all up to now ends what was lifted over another mark, or over the beginning, too."""
        if subject[0] in FINAL or not_before < now:
            return not_before
        highest = max((event.not_before + 1 for event in self.marked()), default=0)
        return max(not_before, min(max(highest, self.spent_since, self.marks_since), now + MAX_AHEAD))

    def dead(self, minted: Minted) -> bool:
        return minted.authorized_at < self.marks_since or self.revoked(minted)

    def use(self, grant: Grant, generation: int, now: int, grace: int, number: int) -> Advanced | type[Exception]:
        forgotten = generation == 0 and grant.authorized_at < self.spent_since
        if forgotten or self.dead(grant.minted):
            return Dead
        used = self.used(grant.family)
        head = max((event.generation for event in used), default=-1) + 1
        if generation < head:
            first = min(event.at for event in used if event.generation >= generation)
            if generation and grace and now - first < grace:
                return Advanced(head, "repeated")
            self.events.add(Marked(("family", grant.family), now))
            return Replayed
        self.events.add(Used(grant.family, generation, now, number))
        return Advanced(generation + 1, "trusted" if generation and not used else "advanced")

    def burn(self, use: str, expires: int, now: int) -> type[Exception] | None:
        spent = (event for event in self.events if isinstance(event, Burnt) and event.use == use)
        if any(event.expires > now for event in spent):
            return Spent
        self.events.add(Burnt(use, expires))
        return None

    def offered(self, code: str) -> Offer | None:
        requests = {event.request for event in self.events if isinstance(event, Asked) and event.code == code}
        decisions = {event.decision for event in self.events if isinstance(event, Answered) and event.code == code}
        if not requests:
            return None
        decision = DENIED if len(requests) > 1 or len(decisions) > 1 else "".join(decisions)
        return Offer(max(requests), FOREVER, decision)

    def news(self, part: Part, now: int) -> set[Event]:
        """What it tells: nothing that has expired, and that a family has ended as a mark of its own."""
        ended = {Marked(("family", event.family), 0) for event in self.events if isinstance(event, Used)}
        told = self.events | {mark for mark in ended if self.ended(mark.subject[1])}
        alive = {event for event in told if not isinstance(event, Burnt) or event.expires > now}
        return {event for event in alive if isinstance(event, OF_PART[part])}

    def hear(self, other: "Known", part: Part, told_at: int, now: int) -> type[Exception] | None:
        news = other.news(part, told_at)
        if any(event.not_before > now + MAX_AHEAD for event in news if isinstance(event, Marked)):
            return FutureMark
        self.events |= news
        if part == "all":
            self.spent_since = min(self.spent_since, other.spent_since)
            self.marks_since = min(self.marks_since, other.marks_since)
        return None


# The real thing.


class Token(NamedTuple):
    """The code of a grant is generation 0, a refresh token any later one."""

    grant: Grant
    generation: int


class Replica:
    """A ledger with a clock of its own, what the model says that it knows, and what it was seen to do."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self.durable = durable
        self.clock = NOW
        self._folder = folder
        self._crashes = 0
        self.driver = self._open()
        self.begin_anew(Known(self.clock, self.clock))

    @property
    def path(self) -> Path:
        return self._folder / str(self._crashes) / "ledger.db"

    def begin_anew(self, known: Known) -> None:
        """Whatever was promised before, its memory does not reach back to it."""
        self.known = known
        self.buried: set[Minted] = set()
        self.redeemed: set[str] = set()

    def restart(self) -> None:
        self.driver.close()
        self.driver = self._open()
        assert not self.restored
        if not self.durable:
            self.begin_anew(Known(self.clock, self.clock))

    def crash(self) -> None:
        """Go on with the files as a power switch would leave them."""
        before = self.driver
        if self.durable:
            left = self.path
            self._crashes += 1
            self.path.parent.mkdir()
            for suffix in ("-witness", "", "-wal"):
                shutil.copyfile(left.with_name(left.name + suffix), self.path.with_name(left.name + suffix))
        self.driver = self._open()
        before.close()
        assert not self.restored
        if not self.durable:
            self.begin_anew(Known(self.clock, self.clock))

    def back_up(self) -> tuple[Path, Known]:
        copy = self._folder / "backup.db"
        self.driver.close()
        shutil.copyfile(self.path, copy)
        self.driver = self._open()
        return copy, self.known.copy()

    def restore(self, backup: tuple[Path, Known]) -> None:
        copy, known = backup
        self.driver.close()
        shutil.copyfile(copy, self.path)
        self.driver = self._open()
        assert self.restored
        self.begin_anew(Known(self.clock, self.clock, set(known.events)))

    @property
    def restored(self) -> bool:
        return isinstance(self.driver.ledger, SqliteLedger) and self.driver.ledger.restored

    def _open(self) -> Driver:
        if not self.durable:
            return Driver(MemoryLedger(self.clock))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return Driver(SqliteLedger(self.path, self.clock))


def raised_by(outcome: object) -> object:
    return type(outcome) if isinstance(outcome, Exception) else outcome


replicas = st.integers(0, 2)
people = st.sampled_from([("acme", "ada"), ("acme", "bob"), ("corp", "ada")])
waits = st.sampled_from([1, SECOND, SECOND, GRACE - SECOND, GRACE])
# The later ones are far more often asked for than the first ones.
recent = st.integers(0, 3) | st.integers(0, 50)


class Fleet(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        # In memory where that can be: that a commit survives a power cut is sqlite's promise, and not tried here.
        shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="tokensvc-fleet-", dir=shared))
        self.fleet = [
            Replica(self.folder / "memory", durable=False),
            Replica(self.folder / "one", durable=True),
            Replica(self.folder / "other", durable=True),
        ]
        self.backup: tuple[Path, Known] | None = None
        self.tokens: list[Token] = []
        self.signed_in: dict[str, Replica] = {}
        self.number = 0

    def teardown(self) -> None:
        for replica in self.fleet:
            replica.driver.close()
        shutil.rmtree(self.folder)

    def pass_time(self, milliseconds: int) -> None:
        for replica in self.fleet:
            replica.clock += milliseconds

    def latest(self, number: int) -> Token:
        return self.tokens[-1 - number % len(self.tokens)]

    # Sign in, use, revoke.

    @initialize()
    def someone_signs_in(self) -> None:
        self.sign_in(0, ("acme", "ada"), "app", 1)

    @rule(where=replicas, person=people, client=st.sampled_from(["app", "web"]), redeemed=st.none() | replicas)
    def sign_in(self, where: int, person: tuple[str, str], client: str, redeemed: int | None) -> None:
        replica, (account, user) = self.fleet[where], person
        self.number += 1
        grant = Grant(f"f{self.number}", account, user, client, f"key-of-{user}", expires=FOREVER)
        authorized_at = replica.driver.lift(grant.person, replica.clock)
        assert replica.clock <= authorized_at <= replica.clock + MAX_AHEAD + 1
        code = Token(replace(grant, authorized_at=authorized_at), 0)
        replica.driver.check(code.grant.minted)
        self.tokens.append(code)
        self.signed_in[grant.family] = replica
        if redeemed is not None:
            self.use(redeemed, code)

    @rule(where=replicas, which=recent)
    def refresh(self, where: int, which: int) -> None:
        """Something alive, where anything is."""
        known = self.fleet[where].known
        alive = [token for token in self.tokens if token.generation and not known.dead(token.grant.minted)]
        self.use(where, alive[-1 - which % len(alive)] if alive else self.latest(which))

    @rule(where=replicas, which=recent, at_once=st.integers(2, 4), grace=st.sampled_from([GRACE, GRACE, 0]))
    def refresh_at_once(self, where: int, which: int, at_once: int, grace: int) -> None:
        self.use(where, self.latest(which), at_once, grace)

    @rule(where=replicas, which=recent)
    def redeem(self, where: int, which: int) -> None:
        codes = [token for token in self.tokens if not token.generation]
        self.use(where, codes[-1 - which % len(codes)])

    def use(self, where: int, token: Token, at_once: int = 1, grace: int = GRACE) -> None:
        replica, (grant, generation) = self.fleet[where], token
        step = grant.step(generation, grace, FOREVER)
        outcomes = replica.driver.together(
            *(replica.driver.ledger.advance(step, replica.clock) for _ in range(at_once))
        )
        for outcome in outcomes:
            self.number += 1
            expected = replica.known.use(grant, generation, replica.clock, grace, self.number)
            assert raised_by(outcome) == expected
            if isinstance(expected, Advanced):
                self.tokens.append(Token(grant, expected.head))
                assert generation or grant.family not in replica.redeemed
                replica.redeemed |= {grant.family} if not generation else set()

    @rule(
        where=replicas,
        which=recent,
        kind=st.sampled_from([0, 1, 2, 3, 4, 5, 6, 6, 6, 7, 7, 7, 7]),
        ahead=st.sampled_from([0, 0, -GRACE, 1, MAX_AHEAD, MAX_AHEAD + 1]),
    )
    def revoke(self, where: int, which: int, kind: int, ahead: int) -> None:
        replica, (grant, generation) = self.fleet[where], self.latest(which)
        subject = grant.access(generation).subjects[kind]
        not_before = replica.clock + ahead
        expected = replica.known.lifted_over(subject, not_before, replica.clock)
        (outcome,) = replica.driver.together(
            replica.driver.ledger.mark(subject, Mark(not_before, FOREVER), replica.clock)
        )
        if ahead > MAX_AHEAD:
            assert raised_by(outcome) is FutureMark
        else:
            assert isinstance(outcome, ledger.Marked)
            assert outcome.mark.not_before == expected
            # Many tokens of one family are the family.
            assert outcome.subject in {subject, marks.family(grant.family)}
            replica.known.events.add(Marked(outcome.subject, expected))
            if ahead >= 0:
                self.who_signed_in_here_is_dead(replica, subject)

    def who_signed_in_here_is_dead(self, replica: Replica, subject: Subject) -> None:
        """Unless the sign-in was lifted over the last of what is allowed, in this very millisecond."""
        here = {grant.minted for grant, _ in self.tokens if self.signed_in[grant.family] is replica}
        ended = {minted for minted in here if subject in minted.subjects}
        assert replica.driver.dead_among(ended) >= {
            minted for minted in ended if minted.authorized_at <= replica.clock + MAX_AHEAD
        }

    # One-use ids and short codes.

    @rule(where=replicas, use=st.sampled_from(["u1", "u2"]), lifetime=st.sampled_from([1, GRACE, 300 * DAY]))
    def spend(self, where: int, use: str, lifetime: int) -> None:
        replica = self.fleet[where]
        expires = replica.clock + lifetime
        (outcome,) = replica.driver.together(replica.driver.ledger.spend(use, expires, replica.clock))
        assert raised_by(outcome) == replica.known.burn(use, expires, replica.clock)

    @rule(
        where=replicas,
        code=st.sampled_from(["c1", "c2"]),
        request=st.sampled_from(["q1", "q2"]),
        decision=st.sampled_from(["", "yes", "no"]),
    )
    def offer_or_decide(self, where: int, code: str, request: str, decision: str) -> None:
        replica = self.fleet[where]
        offered = replica.known.offered(code)
        if decision:
            step = replica.driver.ledger.decide(code, decision, replica.clock)
            expected: object = None if offered and not offered.decision else Decided
        else:
            step = replica.driver.ledger.offer(code, request, FOREVER, replica.clock)
            expected = Taken if offered else None
        (outcome,) = replica.driver.together(step)
        assert raised_by(outcome) == expected
        if outcome is None:
            replica.known.events.add(Answered(code, decision) if decision else Asked(code, request))

    # Hear of one another.

    @rule(sender=replicas, receiver=replicas, part=st.sampled_from(sorted(OF_PART)), delay=waits)
    def tell(self, sender: int, receiver: int, part: Part, delay: int) -> None:
        """The news is as old as its way took."""
        here, there = self.fleet[sender], self.fleet[receiver]
        whole, told_at, known = here.driver.state(here.clock), here.clock, here.known.copy()
        self.pass_time(delay)
        parts = {
            "all": whole,
            "marks": State(marks=whole.marks),
            "families": State(families=whole.families),
            "spent": State(spent=whole.spent),
            "offers": State(offers=whole.offers),
        }
        (outcome,) = there.driver.together(there.driver.ledger.merge(parts[part], there.clock))
        assert raised_by(outcome) == there.known.hear(known, part, told_at, there.clock)

    @rule()
    def hear_all_of_one_another(self) -> None:
        """Then every replica holds the same state, and so gives every answer alike."""
        self.pass_time(SETTLED)
        for receiver in (*self.fleet, *self.fleet):
            for sender in self.fleet:
                if sender is receiver:
                    continue
                receiver.driver.merge(sender.driver.state(sender.clock), receiver.clock)
                assert receiver.known.hear(sender.known, "all", sender.clock, receiver.clock) is None
        latest = max(replica.clock for replica in self.fleet)
        states = [replica.driver.state(latest) for replica in self.fleet]
        assert states[0] == states[1] == states[2]

    # Time, and what it brings.

    @rule(milliseconds=waits, where=replicas, ahead=st.integers(0, 2 * DRIFT))
    def wait_and_drift(self, milliseconds: int, where: int, ahead: int) -> None:
        """A clock runs ahead of the slowest, and stands still rather than going back."""
        self.pass_time(milliseconds)
        replica = self.fleet[where]
        replica.clock = max(replica.clock, min(other.clock for other in self.fleet) + ahead)

    @rule(where=replicas, how=st.sampled_from(["restart", "crash", "back up", "put back"]))
    def restart(self, where: int, how: str) -> None:
        self.pass_time(SETTLED)
        replica = self.fleet[where]
        if how == "back up":
            self.backup = self.fleet[1].back_up()
        elif how == "put back" and self.backup:
            self.fleet[1].restore(self.backup)
            self.nothing_lives_on(self.fleet[1])
        else:
            replica.crash() if how == "crash" else replica.restart()
            if not replica.durable:
                self.nothing_lives_on(replica)

    def nothing_lives_on(self, replica: Replica) -> None:
        judged = {grant.access(generation) for grant, generation in self.tokens}
        assert replica.driver.dead_among(judged) == judged
        steps = [
            replica.driver.ledger.advance(token.grant.step(token.generation), replica.clock) for token in self.tokens
        ]
        assert all(isinstance(outcome, Dead) for outcome in replica.driver.together(*steps))

    # What holds at any time.

    @invariant()
    def every_verdict_is_the_models_and_what_was_revoked_stays_dead(self) -> None:
        judged = {token.grant.minted for token in self.tokens}
        judged |= {token.grant.access(token.generation) for token in self.tokens}
        for replica in self.fleet:
            dead = replica.driver.dead_among(judged)
            assert dead == {minted for minted in judged if replica.known.dead(minted)}
            assert dead >= replica.buried
            replica.buried |= {minted for minted in dead if minted.authorized_at >= replica.known.marks_since}

    @invariant()
    def every_offer_is_the_models(self) -> None:
        for replica in self.fleet:
            for code in ("c1", "c2"):
                assert replica.driver.offered(code, replica.clock) == replica.known.offered(code)


TestFleet = Fleet.TestCase
TestFleet.settings = settings(max_examples=15, stateful_step_count=40, deadline=None)
