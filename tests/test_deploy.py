"""The examples of deploy/ work: HAProxy's as it stands, but for addresses and the certificate."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import parts
from tests.replica import SECONDS, Client, Replica, free_port, settings, tokens, wait_for

CONFIGURATION = Path(__file__).parent.parent / "deploy" / "haproxy.cfg"

pytestmark = pytest.mark.needs("haproxy")


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[Replica]]]:
    """The address of HAProxy, and the two replicas behind it, on one ledger file."""
    directory = tmp_path_factory.mktemp("haproxy")
    port, *ports = (free_port() for _ in range(3))
    environment = settings("sqlite:///ledger.db", port)
    replicas = [Replica(environment, own, directory=directory) for own in ports]
    configuration = directory / "haproxy.cfg"
    configuration.write_text(_elsewhere(port, ports), encoding="utf-8")
    haproxy = parts.path("haproxy")
    subprocess.run([haproxy, "-c", "-q", "-f", configuration], check=True, timeout=SECONDS)
    with replicas[0], replicas[1], (directory / "access.log").open("w") as log:
        process = subprocess.Popen([haproxy, "-db", "-f", configuration], stdout=log, stderr=log)
        try:
            wait_for(lambda: _answers(f"http://127.0.0.1:{port}/readyz"), "HAProxy passes on")
            yield f"http://127.0.0.1:{port}", replicas
        finally:
            process.terminate()
            process.wait(SECONDS)


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
        assert {line["event"] for line in replica.log} - {"replica started"}, "each replica had a part"


@pytest.mark.parametrize("path", ["/admin/revoke", "/%61dmin/revoke", "/admin/denylist"])
def test_the_operators_endpoints_are_not_reached_through_it(balanced: tuple[str, list[Replica]], path: str) -> None:
    url, _ = balanced
    assert httpx.post(f"{url}{path}", timeout=SECONDS).status_code == 404


def test_an_address_that_a_client_makes_up_is_not_believed(balanced: tuple[str, list[Replica]]) -> None:
    url, replicas = balanced
    made_up = {"X-Forwarded-For": "203.0.113.9", "Authorization": "Bearer wrong"}
    answer = httpx.post(f"{url}/introspect", data={"token": "x"}, headers=made_up, timeout=SECONDS)
    assert answer.status_code == 401

    def logged() -> list[str]:
        lines = [line for replica in replicas for line in replica.log]
        return [line["address"] for line in lines if line.get("request_id") == answer.headers["x-request-id"]]

    assert wait_for(logged, "the refusal is logged under the balancer's request id") == ["127.0.0.1"]


def _elsewhere(port: int, replicas: list[int]) -> str:
    """The file with other addresses, and without TLS, which the tests have no certificate for."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    text, found = re.subn(r"bind :443 .*", f"bind 127.0.0.1:{port}", text)
    assert found == 1
    text, found = re.subn(r"^.*(bind :80|redirect scheme).*\n", "", text, flags=re.MULTILINE)
    assert found == 2
    for written, replica in zip(("8001", "8002"), replicas, strict=True):
        assert f"127.0.0.1:{written}\n" in text
        text = text.replace(f"127.0.0.1:{written}\n", f"127.0.0.1:{replica}\n")
    return text


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
