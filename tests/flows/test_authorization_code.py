"""An authorization code is good for one use, by its own client, and a second use ends what the first one gave.

Faults 1 (concurrent redemptions), 2 (a later replay), 3 (a replay that proves nothing) and 4 (somebody else's code).
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass

import pytest

from tests.flows.balancer import Balancer
from tests.flows.conftest import Start
from tests.flows.wire import HeldRequest, Post, race
from tests.promises import proves
from tests.replica import Client, Replica, redirect_parameters, tokens, wait_until

RACERS = 64
OTHER_RESOURCE = "https://api.example.com/mcp"


@dataclass
class Site:
    """Where a client goes through its flow, and the addresses that its redemptions are spread over."""

    client: Client
    urls: list[str]
    context: ssl.SSLContext | None = None


@pytest.fixture(scope="module")
def workers(start: Start) -> Site:
    replica = start(workers=3)
    return Site(Client(replica.url), [replica.url])


@pytest.fixture(scope="module")
def replicas(pair: tuple[Replica, Replica]) -> Site:
    first, second = pair
    return Site(Client(first.url), [first.url, second.url])


@pytest.fixture(scope="module")
def behind_nginx(balanced: tuple[Balancer, Replica, Replica]) -> Site:
    balancer, _, _ = balanced
    return Site(balancer.client(), [balancer.url], balancer.context)


@pytest.fixture(scope="module")
def memory(start: Start) -> Site:
    replica = start("memory://")
    return Site(Client(replica.url), [replica.url])


@pytest.fixture(
    params=["memory", "workers", "replicas", pytest.param("behind_nginx", marks=pytest.mark.needs("nginx"))]
)
def site(request: pytest.FixtureRequest) -> Site:
    found: Site = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module", params=["memory://", "sqlite:///ledger.db"])
def replica(request: pytest.FixtureRequest, start: Start) -> Replica:
    return start(request.param)


@pytest.fixture(scope="module")
def two_resources(start: Start) -> Replica:
    introspection = f"https://mcp.example.com=first-{'s' * 20},{OTHER_RESOURCE}=second-{'s' * 20}"
    return start("memory://", resources=f"https://mcp.example.com,{OTHER_RESOURCE}", introspection_tokens=introspection)


def redemption(client: Client, code: str, url: str = "") -> Post:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": client.verifier,
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uri,
    }
    return Post(f"{url or client.url}/token", form)


@proves("redeem a code", "sqlite", "the same, across processes and replicas")
def test_of_64_concurrent_valid_redemptions_one_wins_and_then_loses_its_tokens(site: Site) -> None:
    """Fault 1. In one process, and across workers, replicas, and replicas behind nginx, on one ledger file."""
    client = site.client
    client.register()
    code = client.code()
    posts = [redemption(client, code, site.urls[racer % len(site.urls)]) for racer in range(RACERS)]
    answers = race(posts, site.context)
    assert sorted(answer.status for answer in answers) == [200] + [400] * (RACERS - 1)
    assert {answer.json["error"] for answer in answers if answer.status == 400} == {"invalid_grant"}
    [won] = [answer.json for answer in answers if answer.status == 200]
    assert not client.active(won["access_token"])
    assert client.refresh(won["refresh_token"]).json()["error"] == "invalid_grant"


@proves("redeem a code", "memory", "a second use ends the grant")
def test_a_replay_later_ends_all_tokens_of_its_family(replica: Replica) -> None:
    """Fault 2. However far the family has come, and although the refresh tokens are inside their grace window."""
    client = Client(replica.url)
    client.register()
    code = client.code()
    issued = [tokens(client.redeem(code))]
    for _ in range(2):
        issued.append(tokens(client.refresh(issued[-1].refresh)))
    assert all(client.active(each.access) for each in issued)
    assert client.redeem(code).json()["error"] == "invalid_grant"
    assert not any(client.active(each.access) for each in issued)
    assert {client.refresh(each.refresh).json()["error"] for each in issued} == {"invalid_grant"}


def test_a_replay_on_another_replica_ends_the_family_on_both(replicas: Site) -> None:
    """Fault 2, across replicas that share a ledger."""
    here, there = (Client(url) for url in replicas.urls)
    here.register()
    there.client_id, there.verifier = here.client_id, here.verifier
    code = here.code()
    issued = tokens(here.redeem(code))
    assert there.redeem(code).status_code == 400
    assert not there.active(issued.access)
    assert not here.active(issued.access)


def test_a_replay_ends_only_its_own_family(replica: Replica) -> None:
    """Fault 2. The same person's other grant to the same client lives."""
    client = Client(replica.url)
    other = client.sign_in()
    code = client.code()
    client.redeem(code)
    client.redeem(code)
    assert client.active(other.access)
    assert client.refresh(other.refresh).status_code == 200


MISUSES = {
    "wrong verifier": ({"code_verifier": "w" * 43}, 400, "invalid_grant"),
    "malformed verifier": ({"code_verifier": "short"}, 400, "invalid_grant"),
    "no verifier": ({"code_verifier": ""}, 400, "invalid_request"),
    "unknown client": ({"client_id": "stranger"}, 401, "invalid_client"),
    "no client": ({"client_id": ""}, 401, "invalid_client"),
    "redirect_uri with another path": ({"redirect_uri": "http://127.0.0.1:33418/elsewhere"}, 400, "invalid_grant"),
    "redirect_uri with another host": ({"redirect_uri": "http://localhost:33418/callback"}, 400, "invalid_grant"),
    "redirect_uri with another port": ({"redirect_uri": "http://127.0.0.1:33419/callback"}, 400, "invalid_grant"),
    "unknown resource": ({"resource": "https://elsewhere.example.com"}, 400, "invalid_target"),
    "another grant type": ({"grant_type": "refresh_token"}, 400, "invalid_request"),
}


@pytest.mark.parametrize(("change", "status", "error"), MISUSES.values(), ids=MISUSES)
def test_who_proves_nothing_neither_burns_a_code_nor_ends_its_family(
    replica: Replica, change: dict[str, str], status: int, error: str
) -> None:
    """Faults 3 and 4. Refused before and after the redemption, and neither time is there any harm."""
    client = Client(replica.url)
    client.register()
    code = client.code()

    def attempt() -> tuple[int, str]:
        answer = client.redeem(code, **change)
        return answer.status_code, answer.json()["error"]

    assert attempt() == (status, error)
    issued = tokens(client.redeem(code))
    assert attempt() == (status, error)
    assert client.active(issued.access)
    assert client.refresh(issued.refresh).status_code == 200


def test_a_code_at_another_registered_client_is_refused_and_stays_good(replica: Replica) -> None:
    """Faults 3 and 4. The other client is a real one, and knows even the verifier."""
    client, thief = Client(replica.url), Client(replica.url)
    client.register()
    thief.register(client_name="Another client")
    code = client.code()
    assert client.redeem(code, client_id=thief.client_id).json()["error"] == "invalid_grant"
    issued = tokens(client.redeem(code))
    assert client.redeem(code, client_id=thief.client_id).json()["error"] == "invalid_grant"
    assert client.active(issued.access)


def test_a_code_for_another_resource_is_an_invalid_target_and_stays_good(two_resources: Replica) -> None:
    """Fault 4. The other resource is one of this server's, too."""
    client = Client(two_resources.url)
    client.register()
    code = client.code(resource="https://mcp.example.com")
    assert client.redeem(code, resource=OTHER_RESOURCE).json()["error"] == "invalid_target"
    issued = tokens(client.redeem(code, resource="HTTPS://MCP.example.com/"))
    assert client.introspect(issued.access, f"first-{'s' * 20}")["aud"] == "https://mcp.example.com"
    assert client.introspect(issued.access, f"second-{'s' * 20}") == {"active": False}
    assert client.refresh(issued.refresh, resource=OTHER_RESOURCE).json()["error"] == "invalid_target"
    assert client.refresh(issued.refresh).status_code == 200


def test_a_code_may_be_redeemed_without_naming_its_redirect_uri_again(replica: Replica) -> None:
    """OAuth 2.1: PKCE has taken over what redirect_uri at the token endpoint was for."""
    client = Client(replica.url)
    client.register()
    assert client.redeem(client.code(), redirect_uri="").status_code == 200


def test_the_clock_of_a_code_runs_on_while_a_request_is_held_back(start: Start) -> None:
    """A redemption counts from when it has arrived as a whole: nobody can open a connection in advance."""
    client = Client(start("memory://", code_ttl="1").url)
    client.register()
    held = HeldRequest(redemption(client, client.code()))
    wait_until(time.time() + 1.01)
    answer = held.finish()
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")


def test_an_answer_to_the_redirect_uri_carries_state_and_issuer_exactly(replica: Replica) -> None:
    """RFC 9207, and the state as it came."""
    client = Client(replica.url)
    client.register()
    url, page = client.page(state="a b+c/=&%20?#é")
    answer = redirect_parameters(client.decide(url, page))
    assert (answer["state"], answer["iss"]) == ("a b+c/=&%20?#é", replica.url)
    assert set(answer) == {"code", "state", "iss"}
