"""A replica is killed in the middle of each step of a flow: the user finishes, or is asked to sign in again."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.fleet.conftest import Figures
from tests.fleet.fleet import Fleet
from tests.fleet.load import FACTOR
from tests.replica import INTROSPECTION_TOKEN, SECONDS, Client, Replica, redirect_parameters, tokens, wait_for

pytestmark = pytest.mark.needs("haproxy")


@dataclass
class Flow:
    """A client at the balancer, and what its steps have brought so far."""

    client: Client
    url: str = ""
    page: httpx.Response | None = None
    code: str = ""
    access: str = ""
    refresh: str = ""

    def registers(self) -> httpx.Response:
        asked = {"redirect_uris": [self.client.redirect_uri], "token_endpoint_auth_method": "none"}
        answer = self.client.http.post(f"{self.client.url}/register", json=asked)
        if answer.status_code == 201:
            self.client.client_id = answer.json()["client_id"]
        return answer

    def opens_the_page(self) -> httpx.Response:
        self.url, self.page = self.client.page()
        return self.page

    def allows(self) -> httpx.Response:
        assert self.page
        answer = self.client.decide(self.url, self.page)
        if answer.status_code == 303:
            self.code = redirect_parameters(answer)["code"]
        return answer

    def redeems(self) -> httpx.Response:
        return self._issued(self.client.redeem(self.code))

    def refreshes(self) -> httpx.Response:
        return self._issued(self.client.refresh(self.refresh))

    def is_validated(self) -> httpx.Response:
        headers = {"Authorization": f"Bearer {INTROSPECTION_TOKEN}"}
        return self.client.http.post(f"{self.client.url}/introspect", data={"token": self.access}, headers=headers)

    def is_revoked(self) -> httpx.Response:
        return self.client.revoke(self.refresh)

    def _issued(self, answer: httpx.Response) -> httpx.Response:
        if answer.status_code == 200:
            issued = tokens(answer)
            self.access, self.refresh = issued.access, issued.refresh
        return answer


Step = Callable[[Flow], httpx.Response]
STEPS: tuple[Step, ...] = (
    Flow.registers,
    Flow.opens_the_page,
    Flow.allows,
    Flow.redeems,
    Flow.is_validated,
    Flow.refreshes,
    Flow.is_revoked,
)


@dataclass
class Killer:
    """Kills another replica each time, and has every one back by then."""

    fleet: Fleet
    pool: ThreadPoolExecutor
    kills: int = 0
    returning: Future[Replica] | None = None

    def before_it_answers(self, step: Step, flow: Flow) -> None:
        """The request has come to a replica that does not move any more."""
        with self._victim() as victim:
            victim.process.send_signal(signal.SIGSTOP)
            asked = self.pool.submit(attempt, step, flow)
            wait_for(lambda: self.fleet.haproxy.busy(), "the request is with the replica")
            victim.kill()
            assert asked.result(SECONDS) is None

    def before_the_answer_arrives(self, step: Step, flow: Flow) -> None:
        """It was answered, and nobody has read the answer."""
        with self._victim() as victim:
            assert step(replace(flow)).status_code < 400
            victim.kill()

    def wait_for_all(self) -> None:
        """Every replica is there again."""
        if self.returning:
            self.returning.result(2 * SECONDS)
            self.fleet.wait_until_up()

    @contextmanager
    def _victim(self) -> Iterator[Replica]:
        self.wait_for_all()
        with self.fleet.only(self.kills % self.fleet.size) as victim:
            yield victim
        self.kills += 1
        self.returning = self.pool.submit(victim.start)


def attempt(step: Step, flow: Flow) -> httpx.Response | None:
    """None where no replica answered: HAProxy says so, or closes a connection that was used before."""
    try:
        answer = step(flow)
    except httpx.RemoteProtocolError:
        return None
    return None if answer.status_code in {502, 503, 504} else answer


def again(step: Step, flow: Flow) -> httpx.Response:
    """What a person or a program does who got no answer, for as long as the balancer takes to notice."""
    answer: httpx.Response = wait_for(lambda: attempt(step, flow), "the step is answered", 10)
    return answer


def is_over(answer: httpx.Response) -> bool:
    """Whether a client reads in this answer that its person has to sign in again."""
    if answer.status_code == 400:
        assert answer.json()["error"] == "invalid_grant"
        return True
    assert answer.status_code < 400
    return answer.headers.get("content-type") == "application/json" and answer.json().get("active") is False


def is_dead(client: Client, access: str) -> bool:
    return not client.active(access)


def test_replica_killed_in_the_middle_of_each_step(tmp_path: Path, figures: Figures) -> None:
    """Of a flow from registration to revocation, once before the replica answers and once before the answer arrives."""
    begun = time.monotonic()
    signed_in_again = []
    with Fleet(tmp_path) as fleet, ThreadPoolExecutor() as pool:
        killer = Killer(fleet, pool)
        for kill in (killer.before_it_answers, killer.before_the_answer_arrives) * FACTOR:
            flow = Flow(fleet.client())
            for step in STEPS:
                kill(step, flow)
                if is_over(again(step, flow)):
                    signed_in_again.append(step.__name__)
                    flow = Flow(fleet.client())
                    for earlier in STEPS[: STEPS.index(step) + 1]:
                        assert not is_over(again(earlier, flow))
            killer.wait_for_all()
            for number in range(fleet.size):
                wait_for(partial(is_dead, fleet.client(number), flow.access), "the token is dead everywhere", 1)
    asked = f"signed in again after {', '.join(signed_in_again)}" if signed_in_again else "never had to sign in again"
    figures(f"{killer.kills} kills in {time.monotonic() - begun:.1f} s, a user who {asked}")
