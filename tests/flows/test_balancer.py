"""Every step of a flow on a different replica: two with one ring and one ledger file, behind nginx and without.

nginx runs deploy/nginx.conf, the file that operators are given.
"""

from __future__ import annotations

from collections import Counter
from itertools import cycle

import httpx
import pytest

from tests.flows.balancer import Balancer
from tests.flows.conftest import Start
from tests.flows.wire import HeldRequest, Post
from tests.replica import (
    ADMIN_TOKEN,
    INTROSPECTION_TOKEN,
    SECONDS,
    Client,
    Replica,
    redirect_parameters,
    tokens,
    wait_for,
)

EVERYTHING = {"kind": "everything"}

behind_nginx = pytest.mark.needs("nginx")


def test_every_step_of_a_flow_may_meet_another_replica(pair: tuple[Replica, Replica]) -> None:
    """Each request goes to the replica that did not serve the one before."""
    client = Client(pair[0].url)
    turns = cycle(pair)

    def elsewhere() -> Client:
        client.url = next(turns).url
        return client

    elsewhere().register()
    for _ in range(2):  # so that each replica has every step once
        url, page = elsewhere().page()
        answer = elsewhere().decide(url.replace(pair[0].url, client.url), page)
        assert redirect_parameters(answer)["iss"] == pair[0].url
        code = redirect_parameters(answer)["code"]
        first = tokens(elsewhere().redeem(code))
        family = elsewhere().introspect(first.access)["family"]
        second = tokens(elsewhere().refresh(first.refresh))
        facts = elsewhere().introspect(second.access)
        assert (facts["family"], facts["iss"], facts["aud"]) == (family, pair[0].url, pair[0].url)
        repeated = tokens(elsewhere().refresh(first.refresh))
        assert elsewhere().introspect(repeated.access)["jti"] == facts["jti"]
        assert elsewhere().redeem(code).json()["error"] == "invalid_grant"
        assert not elsewhere().active(second.access)
        assert elsewhere().refresh(second.refresh).json()["error"] == "invalid_grant"
        third = elsewhere().sign_in()
        assert elsewhere().revoke(third.refresh).status_code == 200
        assert not elsewhere().active(third.access)
        fourth = elsewhere().sign_in()
        assert elsewhere().admin_revoke("user", "acme/ada").status_code == 200
        assert not elsewhere().active(fourth.access)
        elsewhere()


@behind_nginx
def test_the_whole_flow_through_nginx_is_spread_over_both_replicas(
    balanced: tuple[Balancer, Replica, Replica],
) -> None:
    """https outside, http inside; cookies as https needs them; and every answer names the balancer as its issuer."""
    balancer, *replicas = balanced
    client = balancer.client()
    before = [len(replica.settled()) for replica in replicas]
    # An odd number of requests: in the next round each step meets the other replica.
    for _ in range(4):
        metadata = client.http.get(f"{client.url}/.well-known/oauth-authorization-server").json()
        assert metadata["issuer"] == balancer.url
        assert metadata["token_endpoint"] == f"{balancer.url}/token"
        client.register()
        client.http.cookies.clear()
        url, page = client.page()
        [cookie] = page.headers.get_list("set-cookie")
        assert cookie.startswith("__Host-")
        assert "secure" in cookie.lower()
        answer = redirect_parameters(client.decide(url, page))
        assert answer["iss"] == balancer.url
        issued = tokens(client.redeem(answer["code"]))
        second = tokens(client.refresh(issued.refresh))
        assert client.introspect(second.access)["iss"] == balancer.url
        assert client.revoke(second.refresh).status_code == 200
        assert not client.active(issued.access)
    for replica, count in zip(replicas, before, strict=True):
        events = Counter(line["event"] for line in replica.settled()[count:])
        assert {"client registered", "authorization granted", "token issued", "token revoked"} <= events.keys()


@behind_nginx
def test_a_request_has_one_id_from_nginx_to_the_replica_s_log(balanced: tuple[Balancer, Replica, Replica]) -> None:
    """And it comes back to the client, who may quote it."""
    balancer, *replicas = balanced
    client = balancer.client()
    client.register()
    identifier = client.redeem("unknown").headers["x-request-id"]
    # nginx writes its line once it has answered.
    wait_for(lambda: identifier in balancer.access_log.read_text(encoding="utf-8"), "nginx logs the request")
    assert [line for replica in replicas for line in replica.settled() if line.get("request_id") == identifier]


@behind_nginx
@pytest.mark.parametrize("path", ["/admin/revoke", "/%61dmin/revoke", "/x/../admin/revoke", "//admin/revoke", "/admin"])
def test_operators_endpoints_are_not_on_the_outside(balanced: tuple[Balancer, Replica, Replica], path: str) -> None:
    """However the path is spelt; operators ask a replica itself."""
    balancer, first, _ = balanced
    everything = Post(f"{balancer.url}{path}", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}, document=EVERYTHING)
    assert HeldRequest(everything, balancer.context).finish().status == 404
    assert Client(first.url).admin_revoke("user", "acme/nobody").status_code == 200


@behind_nginx
def test_a_replica_that_is_gone_is_passed_over(balanced: tuple[Balancer, Replica, Replica]) -> None:
    """Whoever is in the middle of a flow notices nothing; and the replica that comes back has lost nothing."""
    balancer, _, second = balanced
    client = balancer.client()
    client.register()
    url, page = client.page()
    second.kill()
    try:
        issued = tokens(client.redeem(redirect_parameters(client.decide(url, page))["code"]))
        assert [client.active(issued.access) for _ in range(6)] == [True] * 6
        assert client.revoke(issued.refresh).status_code == 200
    finally:
        second.start()
    assert not Client(second.url).active(issued.access)


@behind_nginx
def test_the_exchange_of_peers_is_not_on_the_outside(balanced: tuple[Balancer, Replica, Replica]) -> None:
    client = balanced[0].client()
    answer = client.http.post(f"{client.url}/peers/exchange")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html"), "that is nginx's own"


def failed_sign_in(client: Client, **headers: str) -> str:
    """The id of a request with a wrong API key."""
    if not client.client_id:
        client.register()
    url, page = client.page()
    client.http.headers.update(headers)
    answer = client.decide(url, page, api_key="wrong")
    assert answer.status_code == 401
    identifier: str = answer.headers["x-request-id"]
    return identifier


@behind_nginx
def test_the_address_in_the_log_is_the_client_s_and_not_what_it_claims(
    balanced: tuple[Balancer, Replica, Replica],
) -> None:
    """nginx, which the replicas trust, says for whom it asks. A client's own X-Forwarded-For ends there."""
    balancer, *replicas = balanced
    transport = httpx.HTTPTransport(verify=balancer.context, local_address="127.0.0.2")
    client = Client(balancer.url, http=httpx.Client(transport=transport, timeout=SECONDS))
    claims = {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
    identifier = failed_sign_in(client, **claims)
    [line] = [line for replica in replicas for line in replica.settled() if line.get("request_id") == identifier]
    assert line["address"] == "127.0.0.2"


@pytest.mark.parametrize(
    ("trusted", "address"),
    [("", "203.0.113.9"), ("127.0.0.0/8", "203.0.113.9"), ("10.0.0.0/8", "127.0.0.1"), ("192.0.2.1", "127.0.0.1")],
)
def test_only_a_trusted_proxy_is_believed(start: Start, trusted: str, address: str) -> None:
    """TOKENSVC_TRUSTED_PROXIES, loopback by default."""
    replica = start("memory://", trusted_proxies=trusted)
    client = Client(replica.url)
    identifier = failed_sign_in(client, **{"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"})
    assert replica.logged("sign-in refused", request_id=identifier)["address"] == address


def test_of_several_addresses_the_nearest_untrusted_one_counts(start: Start) -> None:
    """What stands before it in X-Forwarded-For is what that one claimed."""
    replica = start("memory://", trusted_proxies="127.0.0.0/8,198.51.100.0/24")
    identifier = failed_sign_in(Client(replica.url), **{"X-Forwarded-For": "203.0.113.1, 203.0.113.9, 198.51.100.7"})
    assert replica.logged("sign-in refused", request_id=identifier)["address"] == "203.0.113.9"


def test_a_secret_is_limited_for_the_address_that_fails_and_for_no_other(start: Start) -> None:
    """Behind a trusted proxy each client has its own count; who has the secret and another address goes on."""
    replica = start("memory://")
    client = Client(replica.url)
    forwarded = [{"X-Forwarded-For": f"203.0.113.{number}"} for number in (1, 2)]

    def introspect(headers: dict[str, str], secret: str) -> int:
        headers = headers | {"Authorization": f"Bearer {secret}"}
        return client.http.post(f"{replica.url}/introspect", data={"token": "x"}, headers=headers).status_code

    assert introspect(forwarded[0], "wrong") == 401
    wait_for(lambda: introspect(forwarded[0], "wrong") == 429, "the address is limited")
    assert introspect(forwarded[1], INTROSPECTION_TOKEN) == 200
