"""X-Forwarded-For and -Proto: believed from TOKENSVC_TRUSTED_PROXIES, read from the right, over real HTTP."""

from __future__ import annotations

import httpx
import pytest

from tests.flows.conftest import Start
from tests.replica import INTROSPECTION_TOKEN, SECONDS, TLS, Client, Replica, wait_for
from tokensvc.endpoints.attempts import PER_MINUTE

TRUSTED = "127.0.0.0/8,198.51.100.0/24,2001:db8:ffff::/48"


@pytest.fixture(scope="module")
def behind(start: Start) -> Replica:
    """A replica that trusts this machine and two networks of proxies."""
    return start("memory://", trusted_proxies=TRUSTED)


@pytest.fixture(scope="module")
def alone(start: Start) -> Replica:
    """A replica that trusts a proxy which is elsewhere: whoever asks it here has to be believed nothing."""
    return start("memory://", trusted_proxies="198.51.100.7")


def introspect(replica: Replica, forwarded: str, secret: str = "wrong") -> httpx.Response:
    headers = {"X-Forwarded-For": forwarded, "Authorization": f"Bearer {secret}"}
    return httpx.post(
        f"{replica.url}/introspect", data={"token": "x"}, headers=headers, timeout=SECONDS, verify=TLS, trust_env=False
    )


def logged_address(replica: Replica, answer: httpx.Response) -> str:
    identifier = answer.headers["x-request-id"]
    return str(replica.logged("introspection refused", request_id=identifier)["address"])


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("203.0.113.1, 203.0.113.9, 198.51.100.7", "203.0.113.9"),
        ("203.0.113.9, 198.51.100.7, 198.51.100.8", "203.0.113.9"),
        ("2001:db8::1, 2001:db8:1::9, 2001:db8:ffff::7", "2001:db8:1::9"),
        ("127.0.0.1, 2001:db8:1::9, 198.51.100.7", "2001:db8:1::9"),
        ("[2001:db8:1::9]:4711", "2001:db8:1::9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("", "127.0.0.1"),
        ("203.0.113.9,", "127.0.0.1"),
    ],
)
def test_nearest_address_that_is_no_trusted_proxy_counts(behind: Replica, forwarded: str, address: str) -> None:
    """What stands to its left is what that one claimed."""
    assert logged_address(behind, introspect(behind, forwarded)) == address


def test_several_headers_are_one_list(behind: Replica) -> None:
    """RFC 9110 §5.3. A client's own stands first, a proxy's last."""
    headers = [("X-Forwarded-For", "203.0.113.1"), ("X-Forwarded-For", "203.0.113.9")]
    answer = httpx.post(f"{behind.url}/introspect", headers=headers, timeout=SECONDS, verify=TLS, trust_env=False)
    assert logged_address(behind, answer) == "203.0.113.9"


def test_made_up_neighbours_do_not_lift_a_limit(behind: Replica) -> None:
    """Behind a trusted proxy, whoever puts another address in front each time stays the one that the proxy saw."""
    statuses = [introspect(behind, f"192.0.2.{n}, 203.0.113.77").status_code for n in range(PER_MINUTE)]
    assert set(statuses) == {401}
    assert introspect(behind, "192.0.2.99, 203.0.113.77", INTROSPECTION_TOKEN).status_code == 429
    assert introspect(behind, "203.0.113.77, 203.0.113.78", INTROSPECTION_TOKEN).status_code == 200


def test_network_of_an_ipv6_address_is_limited_as_one(behind: Replica) -> None:
    wait_for(lambda: introspect(behind, "2001:db8:2::1").status_code == 429, "the address is limited")
    assert introspect(behind, "2001:db8:2::ffff", INTROSPECTION_TOKEN).status_code == 429
    assert introspect(behind, "2001:db8:2:1::1", INTROSPECTION_TOKEN).status_code == 200


def test_untrusted_peer_is_nobody_but_itself(alone: Replica) -> None:
    """In the log, and for limits: it can neither shed its own count nor use up that of another."""
    claims = ["203.0.113.9" if number % 2 else f"203.0.113.{number}" for number in range(2 * PER_MINUTE)]
    answers = [introspect(alone, claim) for claim in claims]
    assert {answer.status_code for answer in answers} == {401}, "203.0.113.9 would be limited by now"
    assert {logged_address(alone, answer) for answer in answers} == {"127.0.0.1"}
    assert introspect(alone, "203.0.113.9", INTROSPECTION_TOKEN).status_code == 200


@pytest.mark.parametrize("name", ["X-Real-IP", "Forwarded", "X-Client-IP", "CF-Connecting-IP", "True-Client-IP"])
def test_no_other_header_names_an_address(behind: Replica, name: str) -> None:
    claim = "for=203.0.113.9" if name == "Forwarded" else "203.0.113.9"
    answer = httpx.post(f"{behind.url}/introspect", headers={name: claim}, timeout=SECONDS, verify=TLS, trust_env=False)
    assert logged_address(behind, answer) == "127.0.0.1"


@pytest.mark.parametrize("scheme", ["http", "https", "gopher"])
def test_forwarded_scheme_changes_no_address_that_clients_are_given(behind: Replica, scheme: str) -> None:
    """The issuer is a setting; and cookies are as it wants them."""
    client = Client(behind.url)
    client.http.headers.update({"X-Forwarded-Proto": scheme, "X-Forwarded-Host": "evil.example"})
    metadata = client.http.get(f"{client.url}/.well-known/oauth-authorization-server").json()
    assert metadata["issuer"] == behind.url
    client.register()
    _, page = client.page()
    assert "secure" not in page.headers["set-cookie"].lower()
