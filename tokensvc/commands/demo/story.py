"""The story that the demo tells: what is done, step by step, and what was just proved by looking at it."""

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from tokensvc.commands import CommandFailed, rfc3339
from tokensvc.commands.demo.app import NAME, App, Refused
from tokensvc.commands.demo.balancer import Balancer
from tokensvc.commands.demo.fleet import NAMES, Fleet, Secrets, wait_for
from tokensvc.commands.keys import new_entry

_STAGED_SECONDS = 8
"""From writing a key into the files until it seals: replicas look at their files about once a second."""
_CALLS = 10
_WHO = "demo/ada"

Done = TypeVar("Done")


class Narrator:
    """Prints each step, and below it what was proved."""

    def __init__(self) -> None:
        self.steps = 0
        self.facts = 0

    def step(self, text: str) -> None:
        self.steps += 1
        print(f"\n{self.steps:2}. {text}", flush=True)

    def proved(self, text: str, holds: bool) -> None:
        """A fact that was looked at just now. Raises CommandFailed where it does not hold."""
        if not holds:
            raise CommandFailed(f"this is not so: {text}")
        self.facts += 1
        print(f"    ✓ {text}", flush=True)


@dataclass(frozen=True, slots=True)
class Stage:
    """All who play a part. `issuer` is the balancer's address."""

    issuer: str
    balancer: Balancer
    fleet: Fleet
    app: App
    made: Secrets
    say: Narrator

    def on(self, name: str, act: Callable[..., Done], *arguments: Any) -> Done:
        """Do something whose requests the balancer sends to this replica. Raises CommandFailed where it did not."""
        before = len(self.balancer.served)
        try:
            with self.balancer.only(name):
                return act(*arguments)
        finally:
            if set(self.balancer.served[before:]) != {name}:
                raise CommandFailed(f"{name} was not asked")


def tell(stage: Stage) -> None:
    """Raises CommandFailed at the first thing that is not as it should be."""
    try:
        _tell(stage)
    except (CommandFailed, httpx.HTTPError, LookupError, ValueError) as error:
        raise CommandFailed(f"step {stage.say.steps} of the demo failed: {error}") from None


def _tell(stage: Stage) -> None:
    _discover(stage)
    _register(stage)
    _redeem(stage, _sign_in(stage))
    first_access, first_refresh = stage.app.access_token, stage.app.refresh_token
    _call(stage)
    _refresh(stage)
    second_access = stage.app.access_token
    _rotate(stage)
    _lose_one(stage, first_access)
    _bring_it_back(stage, first_access, second_access)
    _replay(stage, first_refresh)
    _revoke(stage)


def _discover(stage: Stage) -> None:
    stage.say.step("An app knows the address of an MCP server, and calls it.")
    issuer = stage.app.discover()
    stage.say.proved(f"401, with a pointer that leads to the authorization server: {issuer}", issuer == stage.issuer)


def _register(stage: Stage) -> None:
    stage.say.step("It registers, on A.")
    stage.on("A", stage.app.register)
    length = len(stage.app.client_id)
    stage.say.proved(f"its client_id is the whole registration, sealed, in {length} characters", 0 < length <= 300)


def _sign_in(stage: Stage) -> str:
    """The code that the app gets."""
    stage.say.step("Ada signs in with her API key and allows the app, on C. Here the demo posts the form for her.")
    url, page = stage.on("C", stage.app.sign_in_page)
    stage.say.proved(f"C’s page names “{NAME}”, which registered on A", page.status_code == 200 and NAME in page.text)
    return stage.on("C", stage.app.allow, url, page, stage.made.api_key[0])


def _redeem(stage: Stage, code: str) -> None:
    stage.say.step("The app exchanges C’s code for tokens, on B.")
    stage.on("B", stage.app.redeem, code)
    who = stage.fleet.introspect("A", stage.app.access_token).get("sub")
    stage.say.proved(f"A, asked about the access token, says that it is {_WHO}’s", who == _WHO)


def _call(stage: Stage) -> None:
    stage.say.step("It calls the MCP server’s tool, which asks C about the token.")
    said = stage.on("C", stage.app.call_tool)
    stage.say.proved(f"the tool says “{said}”", said == f"hello, {_WHO}")


def _refresh(stage: Stage) -> None:
    stage.say.step("It refreshes its tokens, on A. Say that the answer is lost, so that it tries again, on B.")
    before = stage.app.refresh_token
    stage.on("A", stage.app.refresh)
    first = stage.fleet.introspect("C", stage.app.access_token)
    stage.app.refresh_token = before
    stage.on("B", stage.app.refresh)
    second = stage.fleet.introspect("C", stage.app.access_token)
    same = bool(first["active"] and second["active"] and first["jti"] == second["jti"])
    stage.say.proved("B gives the same successor as A: nobody is signed out by a bad line", same)


def _rotate(stage: Stage) -> None:
    stage.say.step("A new key is written into the key files of all three. Nothing is restarted.")
    before, activates = stage.app.access_token, int(time.time()) + _STAGED_SECONDS
    new = new_entry("k2", activates * 1000)
    stage.fleet.give_keys(f"{stage.made.keys},{new}")
    wait_for(lambda: stage.fleet.key_states("k2") == {"staged"}, "the new key is staged on all replicas")
    clock = rfc3339(activates * 1000)[11:19]
    stage.say.proved(f"A, B and C have it staged, to begin at {clock}", int(time.time()) < activates)
    wait_for(lambda: stage.fleet.key_states("k2") == {"active"}, "the new key is active on all replicas")
    stage.on("B", stage.app.refresh)
    kids = kid_of(before), kid_of(stage.app.access_token)
    stage.say.proved(f"tokens were sealed under {kids[0]}, and now are under {kids[1]}", kids == ("k1", "k2"))
    stage.say.proved("a token under the old key is still good on A, B and C", stage.fleet.active(before) == list(NAMES))


def _lose_one(stage: Stage, revoked: str) -> None:
    stage.say.step("A is killed, as by a power failure.")
    stage.fleet.kill("A")
    before = len(stage.balancer.served)
    said = {stage.app.call_tool() for _ in range(_CALLS)}
    served = stage.balancer.served[before:]
    fine = said == {f"hello, {_WHO}"} and set(served) == {"B", "C"}
    stage.say.proved(f"{_CALLS} calls of the tool, {len(served)} questions about the token: none fails", fine)
    stage.on("B", stage.app.give_back, revoked)
    stage.say.proved("the app gives its first access token back, on B: dead on C too", not stage.fleet.active(revoked))


def _bring_it_back(stage: Stage, revoked: str, older: str) -> None:
    stage.say.step("A comes back. Its memory is empty, so that it asks the others before it answers anybody.")
    begun = time.monotonic()
    stage.fleet.start("A")
    stage.fleet.wait_until_ready()
    took = time.monotonic() - begun
    dead = not stage.fleet.introspect("A", revoked)["active"]
    stage.say.proved(f"after {took:.1f} s it is ready, and refuses the token that it never heard was revoked", dead)
    alive = stage.fleet.introspect("A", older)["active"] is True
    stage.say.proved("a token from before its death is good on it as before", alive)


def _replay(stage: Stage, stolen: str) -> None:
    stage.say.step("A thief has the app’s first refresh token, and tries it on A, which has lost its memory.")
    current, stage.app.refresh_token = stage.app.refresh_token, stolen
    stage.say.proved("refused: A knows that it was used", _refusal(stage, "A", stage.app.refresh) == "invalid_grant")
    wait_for(lambda: not stage.fleet.active(stage.app.access_token), "the grant ends on all replicas")
    stage.app.refresh_token = current
    ended = _refusal(stage, "C", stage.app.refresh) == "invalid_grant"
    stage.say.proved("and the whole grant has ended, on A, B and C: two had the same token, and one was a thief", ended)


def _revoke(stage: Stage) -> None:
    stage.say.step("Ada signs in anew. Then an operator ends all that is hers, on B.")
    url, page = stage.app.sign_in_page()
    stage.app.redeem(stage.app.allow(url, page, stage.made.api_key[0]))
    good = stage.fleet.active(stage.app.access_token) == list(NAMES)
    stage.say.proved("the new token is good on A, B and C", good)
    answer = stage.fleet.revoke("B", "user", _WHO)
    begun = time.monotonic()
    stage.say.proved("B answers once another replica holds the revocation too", any(answer["peers"].values()))
    wait_for(lambda: not stage.fleet.active(stage.app.access_token), "the token is dead on all replicas")
    took = (time.monotonic() - begun) * 1000
    stage.say.proved(f"the token is dead on A, B and C {took:.0f} ms later", took < 1000)
    stage.say.proved("the MCP server turns the app away", _refusal(stage, "A", stage.app.call_tool) == "401")


def _refusal(stage: Stage, name: str, act: Callable[[], object]) -> str:
    """The error that is answered while a replica is asked; empty where it does what it is asked."""
    try:
        stage.on(name, act)
    except Refused as refused:
        return str(refused)
    return ""


def kid_of(token: str) -> str:
    """The version of the ring under which a token is sealed: its header says so to all (docs/wire-format.md)."""
    header = token.partition("_")[2].partition(".")[0]
    kid = str(json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"])
    # Behind the version stands the day, for which it has a key of its own.
    return kid.partition(".")[0]
