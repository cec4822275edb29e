"""What is revoked is dead at once and for good, whatever happens at the same time; who signs in afterwards is let in.

Faults 9 (revoke racing refresh), 19 (revoke, then sign in within the same instant) and 31 (mint racing revoke, marks
from the future).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.flows.conftest import Start
from tests.flows.wire import HeldRequest, Post, pipeline, race
from tests.ports import free_port
from tests.promises import proves
from tests.replica import (
    ADMIN_TOKEN,
    API_KEY,
    SECONDS,
    Client,
    Replica,
    api_key_entry,
    hidden_inputs,
    refusal,
    settings,
    tokens,
    wait_for,
    wait_until,
)
from tokensvc import assembly
from tokensvc.settings import Settings
from tokensvc.tokens.kinds import AccessToken

ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
SUBJECTS: dict[str, dict[str, str]] = {
    "everything": {},
    "account": {"subject": "acme"},
    "user": {"subject": "acme/ada"},
    "user-client": {"subject": "acme/ada", "client": "CLIENT"},
    "credential": {"subject": "CREDENTIAL"},
    "client": {"subject": "CLIENT"},
}


@pytest.fixture(scope="module", params=["memory://", "sqlite:///ledger.db"])
def replica(request: pytest.FixtureRequest, start: Start) -> Replica:
    return start(request.param)


def mark(replica: Replica, client: Client, kind: str) -> dict[str, str]:
    """The body that revokes this client's tokens, by a subject of this kind."""
    if kind == "credential":
        credential = replica.logged("authorization granted")["credential"]
        return {"kind": kind, "subject": credential}
    names = {name: value.replace("CLIENT", client.client_id) for name, value in SUBJECTS[kind].items()}
    return {"kind": kind, **names}


@proves("revoke", "memory", "in force when answered")
@proves("revoke", "memory", "who signs in again lives")
@pytest.mark.parametrize("kind", SUBJECTS)
def test_who_signs_in_in_the_instant_after_a_revocation_lives_and_all_before_it_is_dead(
    replica: Replica, kind: str
) -> None:
    """Fault 19. The two requests follow one another on one connection, so that they fall into the same second.

    The memory ledger, which waits for no disk, is asked until they fell into the same few milliseconds. A sign-in that
    is not later than the mark at all is what test_a_sign_in_is_lifted_over_a_mark_that_lies_ahead_of_the_clock has.
    """
    client = Client(replica.url)
    before = client.sign_in()
    revocation = Post(f"{replica.url}/admin/revoke", headers=ADMIN, document=mark(replica, client, kind))
    close = replica.environment["TOKENSVC_LEDGER"] != "memory://"

    def round_trip() -> bool:
        nonlocal before, close
        client.http.cookies.clear()
        url, page = client.page()
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in client.http.cookies.jar)
        form = hidden_inputs(page.text) | {"api_key": API_KEY, "decision": "allow"}
        revoked, signed_in = pipeline([revocation, Post(url, form, {"Cookie": cookies})])
        assert (revoked.status, signed_in.status) == (200, 303), signed_in.body
        code = dict(parse_qsl(urlsplit(signed_in.headers["location"]).query))["code"]
        after = tokens(client.redeem(code))
        assert not client.active(before.access)
        assert client.refresh(before.refresh).json()["error"] == "invalid_grant"
        assert client.active(after.access)
        before = tokens(client.refresh(after.refresh))
        assert client.active(before.access)
        close = close or authorized_at(replica, after.access) <= revoked.json["not_before"] + 3
        return close

    for _ in range(3):
        round_trip()
    wait_for(round_trip, "a sign-in follows a revocation within milliseconds")


def authorized_at(replica: Replica, access: str) -> int:
    """When a token says that a person authorized it, in milliseconds: what a mark is compared with."""
    variables = replica.environment.items()
    fields = {name.removeprefix("TOKENSVC_").lower(): value for name, value in variables}
    now = time.time_ns() // 1_000_000
    return assembly.sealer(Settings.model_validate(fields), now).unseal(AccessToken, access, now).authorized_at


def test_a_sign_in_is_lifted_over_a_mark_that_lies_ahead_of_the_clock(start: Start) -> None:
    """Faults 19 and 31. A mark of another replica, whose clock is ahead within bounds, shuts nobody out."""
    ahead = time.time_ns() // 1_000_000 + 4_900
    replica = start(denylist=f"user:acme/ada@{ahead}")
    client = Client(replica.url)
    issued = client.sign_in()
    assert client.active(issued.access)
    assert authorized_at(replica, issued.access) >= ahead


def test_a_revocation_holds_for_a_sign_in_that_was_lifted_over_a_mark_ahead_of_the_clock(start: Start) -> None:
    """Fault 31. Revoked is revoked, although the token's time lies ahead of the revocation's."""
    replica = start(denylist=f"user:acme/ada@{time.time_ns() // 1_000_000 + 4_900}")
    client = Client(replica.url)
    issued = client.sign_in()
    assert client.active(issued.access)
    assert client.admin_revoke("user", "acme/ada").status_code == 200
    assert not client.active(issued.access)
    assert client.refresh(issued.refresh).json()["error"] == "invalid_grant"
    assert client.active(client.sign_in().access)


@proves("revoke", "sqlite", "against refreshes under way")
@pytest.mark.parametrize("how", ["by its client", "by an operator", "of the family", "of everything"])
def test_no_token_survives_a_revocation_that_races_refreshes(pair: tuple[Replica, Replica], how: str) -> None:
    """Fault 9. 15 refreshes and a revocation at the same time, across two replicas on one ledger file."""
    here, there = pair
    client = Client(here.url)
    for _ in range(5):
        first = client.sign_in()
        family = client.introspect(first.access)["family"]
        form = {"grant_type": "refresh_token", "refresh_token": first.refresh, "client_id": client.client_id}
        documents: dict[str, Mapping[str, str]] = {
            "by an operator": {"kind": "user", "subject": "acme/ada"},
            "of the family": {"kind": "family", "subject": family},
            "of everything": {"kind": "everything"},
        }
        revocation = (
            Post(f"{there.url}/admin/revoke", headers=ADMIN, document=documents[how])
            if how in documents
            else Post(f"{there.url}/revoke", {"token": first.refresh, "client_id": client.client_id})
        )
        refreshes = [Post(f"{pair[racer % 2].url}/token", form) for racer in range(15)]
        *answers, revoked = race([*refreshes, revocation])
        assert revoked.status == 200
        assert {answer.status for answer in answers} <= {200, 400}
        issued = [tokens_of(answer.json) for answer in answers if answer.status == 200]
        for replica in pair:
            client.url = replica.url
            assert not any(client.active(access) for access, _ in issued)
            assert not client.active(first.access)
            refused = [client.refresh(refresh) for refresh in (first.refresh, *(refresh for _, refresh in issued))]
            assert {answer.json().get("error") for answer in refused} == {"invalid_grant"}


def tokens_of(answer: Mapping[str, str]) -> tuple[str, str]:
    return answer["access_token"], answer["refresh_token"]


@dataclass
class Grant:
    """What one sign-in gave, and when that was asked for and answered, on this machine's clock."""

    asked: float
    answered: float
    issued: list[str] = field(default_factory=list)


@dataclass
class Traffic:
    """People who sign in and refresh on both replicas, over and over, until told to stop."""

    urls: list[str]
    stopping: threading.Event = field(default_factory=threading.Event)
    grants: list[Grant] = field(default_factory=list)

    def wait_for_sign_ins(self) -> None:
        """Wait until two people have signed in from now on."""
        now = time.monotonic()
        wait_for(lambda: sum(grant.asked > now for grant in self.grants) >= 2, "people sign in")

    def run(self, number: int) -> None:
        """One person. Every answer is one of two: tokens, or that the grant is not valid any more."""
        client = Client(self.urls[number % len(self.urls)])
        client.register(client_name=f"Client {number}")
        while not self.stopping.is_set():
            url, page = client.page()
            asked = time.monotonic()
            answer = client.decide(url, page)
            grant = Grant(asked, time.monotonic())
            code = dict(parse_qsl(urlsplit(answer.headers["location"]).query))["code"]
            answer = client.redeem(code)
            self.grants.append(grant)
            for turn in range(4):
                if answer.status_code == 400:
                    assert answer.json()["error"] == "invalid_grant"
                    break
                issued = tokens(answer)
                grant.issued.append(issued.access)
                client.url = self.urls[(number + turn) % len(self.urls)]
                answer = client.refresh(issued.refresh)


@proves("revoke", "sqlite", "the same, on every replica")
@pytest.mark.parametrize("kind", ["user", "everything"])
def test_no_token_survives_a_revocation_that_was_answered_before_it_was_minted(
    pair: tuple[Replica, Replica], kind: str
) -> None:
    """Fault 31. Four people sign in and refresh on both replicas while an operator revokes again and again."""
    traffic = Traffic([replica.url for replica in pair])
    operators = [Client(replica.url) for replica in pair]
    revocations: list[tuple[float, float]] = []
    with ThreadPoolExecutor(3) as pool:
        people = [pool.submit(traffic.run, number) for number in range(3)]
        try:
            for turn in range(6):
                traffic.wait_for_sign_ins()
                asked = time.monotonic()
                subject = "acme/ada" if kind == "user" else ""
                assert operators[turn % 2].admin_revoke(kind, subject).status_code == 200
                revocations.append((asked, time.monotonic()))
                # Everything that was authorized before is dead by now, although its refreshes go on.
                older = [access for grant in traffic.grants if grant.answered < asked for access in grant.issued]
                for operator in operators:
                    assert not any(operator.active(access) for access in older[-8:])
            traffic.wait_for_sign_ins()
        finally:
            traffic.stopping.set()
        for person in people:
            person.result(SECONDS)
    dead = [grant for grant in traffic.grants if grant.answered < revocations[-1][0]]
    alive = [grant for grant in traffic.grants if grant.asked > revocations[-1][1]]
    assert not any(operators[0].active(access) for grant in dead for access in grant.issued)
    assert all(operators[1].active(access) for grant in alive for access in grant.issued)
    assert len(dead) >= 6
    assert alive


def test_a_revocation_held_back_counts_from_when_it_has_arrived(replica: Replica) -> None:
    """Fault 31. Whatever was minted while the operator's request was under way is dead when it is answered."""
    client = Client(replica.url)
    held = HeldRequest(
        Post(f"{replica.url}/admin/revoke", headers=ADMIN, document={"kind": "user", "subject": "acme/ada"})
    )
    wait_until(time.time() + 0.01)
    issued = client.sign_in()
    assert held.finish().status == 200
    assert not client.active(issued.access)


def test_revoking_an_access_token_ends_it_alone(replica: Replica) -> None:
    """RFC 7009: the family goes on, and the same generation minted again is the same token, and dead."""
    client = Client(replica.url)
    first = client.sign_in()
    second = tokens(client.refresh(first.refresh))
    assert client.revoke(second.access).status_code == 200
    assert not client.active(second.access)
    assert client.active(first.access)
    repeated = tokens(client.refresh(first.refresh))
    assert not client.active(repeated.access)
    assert client.active(tokens(client.refresh(repeated.refresh)).access)


def test_revocation_of_an_unknown_token_is_answered_200(replica: Replica) -> None:
    """RFC 7009 §2.2."""
    client = Client(replica.url)
    client.register()
    assert client.revoke("unknown").status_code == 200
    assert client.revoke("tsat_" + "x" * 400, token_type_hint="refresh_token").status_code == 200


def test_an_operator_cannot_date_a_revocation(replica: Replica) -> None:
    """Fault 31. What the request says of a time is not heard."""
    client = Client(replica.url)
    now = time.time_ns() // 1_000_000
    answer = client.admin_revoke("user", "acme/nobody", not_before=str(now + 3_600_000))
    assert now <= answer.json()["not_before"] <= time.time_ns() // 1_000_000


@pytest.mark.parametrize(
    ("source", "entry"),
    [("variable", "user:acme/ada@{}"), ("variable", "everything:@{}"), ("file", "account:acme@1\ntoken:abc.1@{}")],
)
def test_a_replica_refuses_to_start_with_a_mark_from_the_future(tmp_path: Path, source: str, entry: str) -> None:
    """Fault 31. More than five seconds ahead; the message names the variable."""
    marks = entry.format(time.time_ns() // 1_000_000 + 60_000)
    variables = settings("memory://", free_port(), denylist=marks if source == "variable" else "")
    if source == "file":
        path = tmp_path / "denylist"
        path.write_text(marks, encoding="utf-8")
        path.chmod(0o600)
        variables["TOKENSVC_DENYLIST_FILE"] = str(path)
    said = refusal(variables)
    assert "TOKENSVC_DENYLIST" in said
    assert "5 seconds" in said


def test_marks_by_configuration_end_what_they_name_and_nothing_else(start: Start) -> None:
    """TOKENSVC_DENYLIST, with tokens of three people from before a restart."""
    keys = [api_key_entry(f"key-of-{user}-long-enough", user=user) for user in ("ada", "bob", "eve")]
    replica = start(api_keys=",".join(keys))
    people = [Client(replica.url, api_key=f"key-of-{user}-long-enough") for user in ("ada", "bob", "eve")]
    ada, bob, eve = (person.sign_in() for person in people)
    jti = people[1].introspect(bob.access)["jti"]
    now = time.time_ns() // 1_000_000
    replica.restart(denylist=f"user:acme/ada@{now},token:{jti}@{now}")
    client = people[2]
    assert [client.active(issued.access) for issued in (ada, bob, eve)] == [False, False, True]
    assert people[0].refresh(ada.refresh).status_code == 400
    assert people[1].refresh(bob.refresh).status_code == 200
    assert client.active(people[0].sign_in().access)
