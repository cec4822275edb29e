"""The authorization code grant, with time in the test's hands (OAuth 2.1 §4.1)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.endpoints.local import NOW, SECOND, Clock, Service
from tests.replica import REDIRECT_URI, Client, tokens
from tokensvc.ledger.marks import Mark


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as started:
        yield started


@pytest.fixture
def client(service: Service) -> Client:
    client = service.client()
    client.register()
    return client


def is_refused(answer: httpx.Response) -> bool:
    assert answer.status_code in {200, 400}
    assert answer.status_code == 200 or answer.json()["error"] == "invalid_grant"
    return answer.status_code == 400


@pytest.mark.parametrize("ttl", [1, 60, 600])
def test_code_is_good_to_the_last_millisecond_of_its_life(ttl: int) -> None:
    for age, refused in ((0, False), (ttl * SECOND - 1, False), (ttl * SECOND, True), (ttl * SECOND + 1, True)):
        with Service({"code_ttl": ttl}) as service:
            client = service.client()
            client.register()
            code = client.code()
            service.clock.now += age
            assert is_refused(client.redeem(code)) is refused


def test_code_ends_with_the_lifetime_that_is_set_now_if_that_is_shorter(service: Service, client: Client) -> None:
    code = client.code()
    lowered = Service(service.values | {"code_ttl": 10}, Clock(NOW + 10 * SECOND - 1))
    with lowered:
        other = lowered.client()
        other.client_id, other.verifier = client.client_id, client.verifier
        lowered.share_ledger(service)
        for age, refused in ((10 * SECOND, True), (10 * SECOND - 1, False)):
            lowered.clock.now = NOW + age
            assert is_refused(other.redeem(code)) is refused


def test_lifetimes_count_from_redemption(service: Service, client: Client) -> None:
    code = client.code()
    service.clock.now += 59 * SECOND
    issued = tokens(client.redeem(code))
    facts = client.introspect(issued.access)
    assert facts["iat"] == (NOW + 59 * SECOND) // 1000
    assert facts["exp"] - facts["iat"] == issued.response["expires_in"] == 3600


def test_code_that_is_refused_for_its_age_is_not_a_replay(service: Service, client: Client) -> None:
    code = client.code()
    issued = tokens(client.redeem(code))
    service.clock.now += 60 * SECOND
    assert is_refused(client.redeem(code))
    assert client.active(issued.access)


def test_replay_within_the_life_of_a_code_ends_its_family(service: Service, client: Client) -> None:
    code = client.code()
    issued = tokens(client.redeem(code))
    service.clock.now += 60 * SECOND - 1
    assert is_refused(client.redeem(code))
    assert not client.active(issued.access)
    assert is_refused(client.refresh(issued.refresh))


def test_sign_in_lies_after_every_mark_on_the_person(client: Client) -> None:
    """Revoked and signed in again within one millisecond: the old is dead, the new alive."""
    old = client.sign_in()
    for kind, subject in (("everything", ""), ("account", "acme"), ("user", "acme/ada"), ("client", client.client_id)):
        client.admin_revoke(kind, subject)
        assert not client.active(old.access)
        issued = tokens(client.redeem(client.code()))
        assert client.active(issued.access)
        assert not is_refused(client.refresh(issued.refresh))
        old = issued


def test_sign_in_is_lifted_over_a_mark_a_little_ahead_of_the_clock(service: Service, client: Client) -> None:
    """As another replica writes it whose clock runs ahead within bounds."""
    ahead = NOW + 5 * SECOND
    ledger = service.app.state.service.server.ledger
    service.run(ledger.mark(("user", "acme", "ada"), Mark(ahead, ahead + 10**9), NOW))
    issued = tokens(client.redeem(client.code()))
    facts = client.introspect(issued.access)
    assert facts["active"] is True
    assert facts["iat"] == ahead // 1000
    assert issued.response["expires_in"] == 3600
    assert facts["exp"] == NOW // 1000 + 3600


def test_code_from_before_a_revocation_is_dead(service: Service, client: Client) -> None:
    code = client.code()
    client.admin_revoke("user", "acme/ada")
    service.clock.now += 1
    assert is_refused(client.redeem(code))


def test_tokens_are_never_older_than_their_code_when_the_clock_steps_back(service: Service, client: Client) -> None:
    code = client.code()
    service.clock.now -= 3 * SECOND
    issued = tokens(client.redeem(code))
    facts = client.introspect(issued.access)
    assert facts["iat"] == NOW // 1000
    assert facts["exp"] == (NOW - 3 * SECOND) // 1000 + 3600
    service.clock.now -= 2 * SECOND
    again = tokens(client.refresh(issued.refresh))
    assert client.introspect(again.access)["iat"] == NOW // 1000


def test_client_of_the_operator_has_lifetimes_of_its_own() -> None:
    entry = {"client_id": "app", "redirect_uris": [REDIRECT_URI], "code_ttl": 5, "access_ttl": 7, "refresh_ttl": 9}
    with Service({"clients": json.dumps([entry])}) as service:
        client = service.client()
        client.client_id = "app"
        code, late = client.code(), client.code()
        service.clock.now += 5 * SECOND - 1
        issued = tokens(client.redeem(code))
        assert issued.response["expires_in"] == 7
        service.clock.now += 1
        assert is_refused(client.redeem(late))
        redeemed = service.clock.now - 1
        for age, alive in ((7 * SECOND - 1, True), (7 * SECOND, False)):
            service.clock.now = redeemed + age
            assert client.active(issued.access) is alive
        service.clock.now = redeemed + 9 * SECOND
        assert is_refused(client.refresh(issued.refresh))
