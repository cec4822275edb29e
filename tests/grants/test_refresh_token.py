"""The refresh token grant, with time in the test's hands: rotation, the grace window and lifetimes (OAuth 2.1 §4.3)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.endpoints.local import DAY, NOW, SECOND, Clock, Service
from tests.replica import INTROSPECTION_TOKEN, REDIRECT_URI, Client, Tokens, tokens
from tokensvc.protocol.scope import Scopes


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


def generation(client: Client, issued: Tokens) -> int:
    return int(client.introspect(issued.access)["jti"].rpartition(".")[2])


@pytest.mark.parametrize("grace", [1, 60, 600])
def test_repeat_gets_the_head_to_the_last_millisecond_of_the_window(grace: int) -> None:
    for age, ended in ((0, False), (grace * SECOND - 1, False), (grace * SECOND, True), (grace * SECOND + 1, True)):
        with Service({"refresh_grace": grace}) as service:
            client = service.client()
            first = client.sign_in()
            second = tokens(client.refresh(first.refresh))
            service.clock.now += age
            answer = client.refresh(first.refresh)
            assert is_refused(answer) is ended
            assert client.active(second.access) is not ended
            if not ended:
                repeated = tokens(answer)
                assert generation(client, repeated) == generation(client, second) == 2
                assert not is_refused(client.refresh(repeated.refresh))


def test_without_a_window_any_second_use_ends_the_family() -> None:
    with Service({"refresh_grace": 0}) as service:
        client = service.client()
        first = client.sign_in()
        second = tokens(client.refresh(first.refresh))
        assert is_refused(client.refresh(first.refresh))
        assert not client.active(second.access)
        assert is_refused(client.refresh(second.refresh))


def test_window_of_a_generation_counts_from_its_first_use_alone(service: Service, client: Client) -> None:
    """Repeats do not prolong it, and every generation inside it gets the head."""
    first = client.sign_in()
    second = tokens(client.refresh(first.refresh))
    service.clock.now += 20 * SECOND
    third = tokens(client.refresh(second.refresh))
    service.clock.now += 39 * SECOND
    for older in (first, second):
        assert generation(client, tokens(client.refresh(older.refresh))) == generation(client, third) == 3
    service.clock.now += 1 * SECOND
    assert generation(client, tokens(client.refresh(second.refresh))) == 3
    assert is_refused(client.refresh(first.refresh))
    assert not client.active(third.access)


def test_head_waits_as_long_as_it_lives(service: Service, client: Client) -> None:
    issued = client.sign_in()
    for days in (29, 29, 29):
        service.clock.now += days * DAY
        issued = tokens(client.refresh(issued.refresh))
    assert client.active(issued.access)


@pytest.mark.parametrize(("age", "refused"), [(30 * DAY - 1, False), (30 * DAY, True)])
def test_unused_token_ends_with_the_idle_lifetime(service: Service, client: Client, age: int, refused: bool) -> None:
    issued = client.sign_in()
    service.clock.now += age
    assert is_refused(client.refresh(issued.refresh)) is refused


def test_use_renews_the_idle_lifetime_up_to_the_absolute_one() -> None:
    with Service({"refresh_ttl": 100, "refresh_max_ttl": 250, "refresh_grace": 0}) as service:
        client = service.client()
        issued = client.sign_in()
        for moment in (99, 198, 249):
            service.clock.now = NOW + moment * SECOND
            issued = tokens(client.refresh(issued.refresh))
        service.clock.now = NOW + 250 * SECOND - 1
        last = tokens(client.refresh(issued.refresh))
        assert last.response["expires_in"] == 3600
        service.clock.now = NOW + 250 * SECOND
        assert is_refused(client.refresh(last.refresh))
        assert client.active(last.access)


@pytest.mark.parametrize(
    ("changes", "age"),
    [
        ({"refresh_ttl": 1000}, 1000),
        ({"refresh_max_ttl": 2000}, 2000),
        ({"refresh_ttl": 50, "refresh_max_ttl": 40}, 40),
    ],
    ids=str,
)
def test_lowered_lifetime_ends_what_was_issued_under_a_longer_one(
    service: Service, client: Client, changes: dict[str, object], age: int
) -> None:
    issued = client.sign_in()
    lowered = Service(service.values | changes, Clock(NOW))
    with lowered:
        lowered.share_ledger(service)
        other = lowered.client()
        other.client_id = client.client_id
        lowered.clock.now = NOW + age * SECOND
        assert is_refused(other.refresh(issued.refresh))
        lowered.clock.now -= 1
        assert not is_refused(other.refresh(issued.refresh))


def test_lowered_lifetime_ends_access_tokens_too(service: Service, client: Client) -> None:
    issued = client.sign_in()
    lowered = Service(service.values | {"access_ttl": 10}, Clock(NOW))
    with lowered:
        lowered.share_ledger(service)
        other = lowered.client()
        lowered.clock.now = NOW + 10 * SECOND - 1
        facts = other.introspect(issued.access)
        assert (facts["active"], facts["exp"]) == (True, NOW // 1000 + 10)
        lowered.clock.now += 1
        assert not other.active(issued.access)


def test_raised_lifetime_does_not_prolong_what_was_issued(service: Service, client: Client) -> None:
    issued = client.sign_in()
    raised = Service(service.values | {"access_ttl": 7200, "refresh_ttl": 60 * 86_400}, Clock(NOW))
    with raised:
        raised.share_ledger(service)
        other = raised.client()
        other.client_id = client.client_id
        raised.clock.now = NOW + 3600 * SECOND
        assert not other.active(issued.access)
        raised.clock.now = NOW + 30 * DAY
        assert is_refused(other.refresh(issued.refresh))


def test_replay_after_expiry_is_a_refusal_and_no_replay(service: Service, client: Client) -> None:
    first = client.sign_in()
    service.clock.now += 29 * DAY
    second = tokens(client.refresh(first.refresh))
    service.clock.now += 1 * DAY
    assert is_refused(client.refresh(first.refresh))
    assert not is_refused(client.refresh(second.refresh))


def test_clock_that_steps_back_inside_the_window_ends_no_family(service: Service, client: Client) -> None:
    first = client.sign_in()
    second = tokens(client.refresh(first.refresh))
    service.clock.now -= 4 * SECOND
    assert generation(client, tokens(client.refresh(first.refresh))) == generation(client, second)
    assert not is_refused(client.refresh(second.refresh))


def test_tokens_are_never_older_than_their_parents(service: Service, client: Client) -> None:
    issued = client.sign_in()
    seen = client.introspect(issued.access)["iat"]
    for step in (10, -5, 3, -2, 60, -5):
        service.clock.now += step * SECOND
        issued = tokens(client.refresh(issued.refresh))
        facts = client.introspect(issued.access)
        assert facts["iat"] >= seen
        assert facts["exp"] == service.clock.now // 1000 + 3600
        seen = facts["iat"]


def test_tokens_from_before_a_revocation_stay_dead_however_the_clock_steps(service: Service, client: Client) -> None:
    issued = client.sign_in()
    client.admin_revoke("user", "acme/ada")
    for step in (1, 3600, -5, 86_400):
        service.clock.now += step * SECOND
        assert not client.active(issued.access)
        assert is_refused(client.refresh(issued.refresh))


def test_client_of_the_operator_keeps_its_own_lifetimes_through_every_refresh() -> None:
    entry = {"client_id": "app", "redirect_uris": [REDIRECT_URI], "refresh_ttl": 20, "refresh_max_ttl": 50}
    with Service({"clients": json.dumps([entry])}) as service:
        client = service.client()
        client.client_id = "app"
        issued = client.sign_in()
        for moment in (19, 38, 49):
            service.clock.now = NOW + moment * SECOND
            issued = tokens(client.refresh(issued.refresh))
        service.clock.now = NOW + 50 * SECOND
        assert is_refused(client.refresh(issued.refresh))


def test_grant_type_that_the_operator_took_from_a_client_ends_its_refresh_tokens(service: Service) -> None:
    entry = {"client_id": "app", "redirect_uris": [REDIRECT_URI]}
    before = Service(service.values | {"clients": json.dumps([entry])})
    after = Service(service.values | {"clients": json.dumps([entry | {"grant_types": ["authorization_code"]}])})
    with before, after:
        after.share_ledger(before)
        client, other = before.client(), after.client()
        client.client_id = other.client_id = "app"
        issued = client.sign_in()
        assert is_refused(other.refresh(issued.refresh))
        assert not is_refused(client.refresh(issued.refresh))


def test_resource_that_was_taken_away_ends_the_grant_and_another_is_an_invalid_target(service: Service) -> None:
    one, two = "https://one.example", "https://two.example"
    secrets = f"{one}=a,{two}=b"
    both = Service(service.values | {"resources": f"{one},{two}", "introspection_tokens": secrets})
    less = Service(service.values | {"resources": two, "introspection_tokens": f"{two}=b"})
    with both, less:
        less.share_ledger(both)
        client, other = both.client(), less.client()
        issued = client.sign_in()
        other.client_id = client.client_id
        for resource in ("", one, two):
            assert is_refused(other.refresh(issued.refresh, resource=resource))
        assert other.introspect(issued.access, "b") == {"active": False}
        answer = client.refresh(issued.refresh, resource=two)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")
        assert not is_refused(client.refresh(issued.refresh, resource=one))


def test_access_token_carries_what_was_asked_and_the_refresh_token_the_whole_grant() -> None:
    with Service({"scopes": "a b c"}) as service:
        client = service.client()
        client.register()
        issued = tokens(client.redeem(client.code(scope="a b")))
        for asked, granted in (("b", "b"), ("", "a b"), ("c", "a b"), ("b a c", "a b")):
            issued = tokens(client.refresh(issued.refresh, scope=asked))
            assert issued.response["scope"] == client.introspect(issued.access)["scope"] == granted


def test_scope_that_nobody_granted_never_takes_the_place_of_a_gone_one(service: Service, client: Client) -> None:
    issued = client.sign_in()
    with service.changed(scopes=Scopes.parse("admin")):
        assert is_refused(client.refresh(issued.refresh))
    assert client.refresh(issued.refresh).json()["scope"] == "mcp"


def test_replica_whose_clock_fell_behind_its_ledgers_answers_nothing(service: Service, client: Client) -> None:
    """What the later time has forgotten cannot be judged by the earlier one."""
    issued = client.sign_in()
    service.clock.now -= 6 * SECOND
    introspection = {"Authorization": f"Bearer {INTROSPECTION_TOKEN}"}
    for answer in (
        client.refresh(issued.refresh),
        client.http.post("/introspect", data={"token": issued.access}, headers=introspection),
        client.http.get("/readyz"),
    ):
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    service.clock.now += 6 * SECOND
    assert client.active(issued.access)
