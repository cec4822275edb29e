"""Clients that go on all the while, and keep every answer that is not the one they have a right to."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median

from tests.replica import INTROSPECTION_TOKEN, SECONDS, Client, Tokens, tokens

FACTOR = int(os.environ.get("FLEET_FACTOR", "1"))
"""How much more than the short form of each test: `make soak` sets it."""
MOST_PEOPLE = 24


@dataclass(eq=False)
class Person:
    """Somebody who signed in, with an app that keeps the tokens."""

    client: Client
    tokens: Tokens


@dataclass
class Load:
    """Use as a context manager. People sign in, refresh, and are asked about.

    `pause` is the time between two requests of a kind, in seconds: the load is steady, and leaves the machine some
    time for the replicas.
    """

    url: str
    pause: float = 0.06
    make: Callable[[str], Client] = Client
    people: list[Person] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=dict)

    def __enter__(self) -> Load:
        self._over = threading.Event()
        self._times: list[float] = []
        self._begun = time.monotonic()
        self._sign_in()
        steps = (self._sign_in, self._refresh, self._validate, self._validate_new)
        self._threads = [threading.Thread(target=self._go_on, args=(step,), daemon=True) for step in steps]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(2 * SECONDS)
        self.seconds = time.monotonic() - self._begun
        assert not any(thread.is_alive() for thread in self._threads)

    def go_on(self, requests: int = 50) -> None:
        """Return when so many more requests were answered, or one was not as it should be."""
        target = self.requests + requests * FACTOR
        deadline = time.monotonic() + 2 * SECONDS * FACTOR
        while self.requests < target and not self.failures:
            assert time.monotonic() < deadline, "the load does not go on"
            time.sleep(self.pause)

    @property
    def requests(self) -> int:
        return self.done.total()

    def summary(self) -> str:
        """The figures in a line."""
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(self.done.items()))
        return (
            f"{self.requests} requests in {self.seconds:.1f} s ({kinds}), {len(self.failures)} failed; "
            f"median {median(self._times) * 1000:.0f} ms, slowest {max(self._times) * 1000:.0f} ms"
        )

    def _go_on(self, step: Callable[[], None]) -> None:
        while not self._over.wait(self.pause):
            try:
                step()
            except Exception as error:
                name = step.__name__.strip("_")
                self.failures.append(f"after {time.monotonic() - self._begun:.1f} s, {name}: {error!r}"[:400])

    def _timed(self, name: str, step: Callable[[], object]) -> None:
        before = time.monotonic()
        step()
        self._times.append(time.monotonic() - before)
        self.done[name] += 1

    def _sign_in(self) -> None:
        """Somebody new, until there are enough; then somebody again."""
        client = self.make(self.url)
        self._timed("registrations", client.register)
        self._timed("sign-ins", partial(self._arrive, client))
        if len(self.people) > MOST_PEOPLE:
            self.people.pop(0)

    def _arrive(self, client: Client) -> None:
        code = client.code()
        self.people.append(Person(client, tokens(client.redeem(code))))

    def _refresh(self) -> None:
        for person in list(self.people):
            if not self._over.wait(self.pause):
                self._timed("refreshes", partial(self._renew, person))

    def _renew(self, person: Person) -> None:
        person.tokens = tokens(person.client.refresh(person.tokens.refresh))

    def _validate(self) -> None:
        """Of everybody the token that they hold by now."""
        for person in list(self.people):
            if not self._over.wait(self.pause):
                self._timed("introspections", partial(check, person))

    def _validate_new(self) -> None:
        """The newest, over and over: every replica is asked about it within moments."""
        person = self.people[-1]
        self._timed("introspections", partial(check, person))


def check(person: Person) -> None:
    answer = person.client.introspect(person.tokens.access, INTROSPECTION_TOKEN)
    assert answer["active"] is True, "a valid token was called inactive"
