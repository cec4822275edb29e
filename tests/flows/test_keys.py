"""A key that is gone ends what it sealed and nothing else; what is foreign never opens.

Faults 21 (a key dropped while in use) and 24 (another issuer, an unknown kid, a day out of range).
"""

from __future__ import annotations

import base64
import json
import time

import pytest

from tests.flows.conftest import Start
from tests.ports import free_port
from tests.replica import Client, Replica, Tokens, hidden_inputs, refusal, ring_entry, settings, tokens, wait_for

DAY = 86_400


@pytest.fixture(scope="module")
def before(start: Start) -> Replica:
    """How it was before a ring changed. It goes on running; the changed one is another replica on its ledger."""
    return start()


def test_a_dropped_key_ends_its_tokens_cleanly_and_leaves_clients_registered(start: Start) -> None:
    """Fault 21. Inactive, invalid_grant and an error page; and with the same client_id everybody signs in again."""
    replica = start()
    client = Client(replica.url)
    issued, code = client.sign_in(), client.code()
    url, page = client.page()
    replica.restart(keys=ring_entry("k2"))
    assert client.introspect(issued.access) == {"active": False}
    assert client.refresh(issued.refresh).json()["error"] == "invalid_grant"
    assert client.redeem(code).json()["error"] == "invalid_grant"
    assert client.revoke(issued.refresh).status_code == 200
    answer = client.decide(url, page)
    assert (answer.status_code, "location" in answer.headers) == (400, False)
    assert replica.logged("token inactive", reason="the version is not in the ring")
    assert client.active(client.sign_in().access)


def test_a_key_replaced_under_its_own_kid_ends_its_tokens_too(before: Replica) -> None:
    """Fault 21. A kid is only a name: it is the secret that counts."""
    client = Client(before.url)
    issued = client.sign_in()
    with before.twin(keys=ring_entry("k1")) as after:
        client.url = after.url
        assert client.introspect(issued.access) == {"active": False}
        assert client.refresh(issued.refresh).json()["error"] == "invalid_grant"
        assert client.active(client.sign_in().access)


def test_a_retired_key_still_opens_what_it_sealed_and_a_staged_one_opens_in_advance(before: Replica) -> None:
    """Fault 21. Rotation, one step after the other: nobody notices anything until the old key is dropped."""
    old = before.environment["TOKENSVC_KEYS"]
    staged = ring_entry("k2", str(int(time.time()) + DAY))
    active = staged.replace(staged.partition("@")[2].partition("=")[0], "1")
    client = Client(before.url)
    first = client.sign_in()
    with before.twin(keys=f"{old},{staged}") as early, before.twin(keys=f"{old},{active}") as late:
        client.url = early.url
        second = tokens(client.refresh(first.refresh))
        assert kid(second.access) == "k1"
        client.url = late.url
        third = tokens(client.refresh(second.refresh))
        assert kid(third.access) == "k2"
        # Where the key is staged still, what was sealed under it elsewhere opens.
        client.url = early.url
        assert all(client.active(each.access) for each in (first, second, third))
        assert kid(tokens(client.refresh(third.refresh)).access) == "k1"
    with before.twin(keys=active) as dropped:
        client.url = dropped.url
        assert [client.active(each.access) for each in (first, second, third)] == [False, False, True]


def test_a_dropped_client_key_ends_registrations_and_no_tokens(before: Replica) -> None:
    """Fault 21, the other way: the client registers anew, and until then nothing else is lost."""
    client = Client(before.url)
    issued = client.sign_in()
    with before.twin(client_keys=ring_entry("c2")) as after:
        client.url = after.url
        refused = client.refresh(issued.refresh)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
        _, page = client.page()
        assert (page.status_code, "location" in page.headers) == (400, False)
        assert client.active(issued.access)
        client.client_id = ""
        assert client.active(client.sign_in().access)


def test_a_client_key_added_keeps_old_registrations(before: Replica) -> None:
    """Fault 21. An entry may also be carried over from the other ring."""
    client = Client(before.url)
    issued = client.sign_in()
    rings = [before.environment[f"TOKENSVC_{name}"] for name in ("CLIENT_KEYS", "KEYS")]
    with before.twin(client_keys=",".join(rings)) as after:
        client.url = after.url
        assert client.refresh(issued.refresh).status_code == 200
        registered = Client(after.url)
        registered.register()
        assert registered.client_id != client.client_id


@pytest.fixture(scope="module")
def production(start: Start) -> Replica:
    return start("memory://")


@pytest.fixture(scope="module")
def staging(start: Start, production: Replica) -> Replica:
    """Another issuer with the same rings and settings: a mistake that must not matter."""
    rings = production.environment
    return start("memory://", keys=rings["TOKENSVC_KEYS"], client_keys=rings["TOKENSVC_CLIENT_KEYS"])


def test_artefacts_of_another_issuer_are_worthless_though_the_keys_are_the_same(
    production: Replica, staging: Replica
) -> None:
    """Fault 24. Tokens, code, client_id and the page in flight."""
    client, foreign = Client(production.url), Client(staging.url)
    own = client.sign_in()
    issued, code = foreign.sign_in(), foreign.code()
    url, page = client.page()
    _, foreign_page = foreign.page()
    assert client.introspect(issued.access) == {"active": False}
    assert client.refresh(issued.refresh).json()["error"] == "invalid_grant"
    assert client.redeem(code).json()["error"] == "invalid_grant"
    assert client.refresh(own.refresh, client_id=foreign.client_id).status_code == 401
    assert client.page(client_id=foreign.client_id)[1].status_code == 400
    assert client.decide(url, page, request=hidden_inputs(foreign_page.text)["request"]).status_code == 400
    assert production.logged("token inactive", reason="sealed under another key, or changed")


def test_a_token_with_an_unknown_kid_or_a_day_out_of_range_is_inactive(production: Replica) -> None:
    """Fault 24. Refused by its header, with nothing derived from it."""
    client = Client(production.url)
    issued = client.sign_in()
    today = int(time.time()) // DAY
    reasons = {
        "the version is not in the ring": [f"k9.{today}", f"K1.{today}", "."],
        "the day is out of range": [
            f"k1.{today + 2}",
            f"k1.{today - 368}",
            f"k1.0{today}",
            "k1.999999",
            "k1.",
            "k1",
            f"k1.{today}.1",
        ],
    }
    for reason, kids in reasons.items():
        for forged in kids:
            changed = with_kid(issued, forged)
            assert client.introspect(changed.access) == {"active": False}, forged
            assert client.refresh(changed.refresh).json()["error"] == "invalid_grant", forged
        lines = {"event": "token inactive", "reason": reason}.items()
        wait_for(lambda: sum(lines <= line.items() for line in production.log) == len(kids), reason)  # noqa: B023
    assert client.active(issued.access)


def test_a_token_under_another_days_key_does_not_open(production: Replica) -> None:
    """Fault 24. A day in range but not its own is another key."""
    client = Client(production.url)
    issued = client.sign_in()
    today = int(time.time()) // DAY
    for day in (today - 1, today - 2, today - 366):
        assert client.introspect(with_kid(issued, f"k1.{day}").access) == {"active": False}


@pytest.mark.parametrize("change", ["prefix", "issuer"])
def test_changing_prefix_or_issuer_ends_every_artefact(before: Replica, change: str) -> None:
    """Fault 24, by the operator's own hand."""
    client = Client(before.url)
    issued = client.sign_in()
    changes = {"token_prefix": "ov"} if change == "prefix" else {"issuer": f"http://localhost:{before.port}"}
    with before.twin(**changes) as after:
        client.url = after.url
        assert client.introspect(issued.access) == {"active": False}
        assert client.introspect(issued.access.replace("tsat_", "ovat_")) == {"active": False}
        assert client.refresh(issued.refresh).status_code == 401


@pytest.mark.parametrize("ring", ["keys", "client_keys"])
def test_a_ring_without_an_active_key_is_refused_at_start(ring: str) -> None:
    """Fault 21. A replica that could seal nothing does not start, and says which variable."""
    staged = ring_entry("k2", str(int(time.time()) + DAY))
    assert f"TOKENSVC_{ring.upper()} " in refusal(settings("memory://", free_port(), **{ring: staged}))


def kid(token: str) -> str:
    header = token.partition("_")[2].partition(".")[0]
    announced: str = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]
    return announced.partition(".")[0]


def with_kid(issued: Tokens, kid: str) -> Tokens:
    """The same tokens with another kid in their headers."""

    def forge(token: str) -> str:
        prefix, _, jwe = token.partition("_")
        header = json.dumps({"alg": "dir", "enc": "A256GCM", "kid": kid}, separators=(",", ":"))
        return f"{prefix}_{base64.urlsafe_b64encode(header.encode()).decode().rstrip('=')}.{jwe.partition('.')[2]}"

    return Tokens(forge(issued.access), forge(issued.refresh), issued.response)
