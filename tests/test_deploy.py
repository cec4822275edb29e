"""HAProxy's example in deploy/ works as it stands, but for addresses and the certificate (tests/fleet/haproxy.py)."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.fleet.fleet import Fleet
from tests.replica import SECONDS, Client, Replica, tokens, wait_for

pytestmark = pytest.mark.needs("haproxy")


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[Replica]]]:
    """The address of HAProxy, and the two replicas behind it, which are peers."""
    with Fleet(tmp_path_factory.mktemp("haproxy"), 2) as fleet:
        yield fleet.url, fleet.replicas


def test_every_step_of_a_flow_may_go_to_any_replica(balanced: tuple[str, list[Replica]]) -> None:
    url, replicas = balanced
    client = Client(url)
    first = client.sign_in()
    second = tokens(client.refresh(first.refresh))
    assert client.active(second.access)
    assert client.active(second.access)
    assert client.revoke(second.refresh).status_code == 200
    assert [client.active(first.access) for _ in replicas] == [False, False]
    for replica in replicas:
        assert "request_id" in {name for line in replica.log for name in line}, "each replica had a part"


@pytest.mark.parametrize(
    "path", ["/admin/revoke", "/%61dmin/revoke", "/admin/state", "/peers/exchange", "/peers%2Fexchange"]
)
def test_the_operators_endpoints_are_not_reached_through_it(balanced: tuple[str, list[Replica]], path: str) -> None:
    url, replicas = balanced
    assert httpx.post(f"{url}{path}", timeout=SECONDS).status_code == 404
    assert httpx.post(f"{replicas[0].url}/peers/exchange", timeout=SECONDS).status_code == 400


def test_an_address_that_a_client_makes_up_is_not_believed(balanced: tuple[str, list[Replica]]) -> None:
    url, replicas = balanced
    made_up = {"X-Forwarded-For": "203.0.113.9", "Authorization": "Bearer wrong"}
    answer = httpx.post(f"{url}/introspect", data={"token": "x"}, headers=made_up, timeout=SECONDS)
    assert answer.status_code == 401

    def logged() -> list[str]:
        lines = [line for replica in replicas for line in replica.log]
        return [line["address"] for line in lines if line.get("request_id") == answer.headers["x-request-id"]]

    assert wait_for(logged, "the refusal is logged under the balancer's request id") == ["127.0.0.1"]
