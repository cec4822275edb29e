"""Device authorization by oauth4webapi on Node (RFC 8628), which checks every answer by the letter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop import node
from tests.ports import free_port
from tests.replica import API_KEY, KNOWN_SECRETS, Replica, settings

pytestmark = pytest.mark.needs("node")


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    port = free_port()
    environment = settings("memory://", port, issuer=f"http://127.0.0.1:{port}/auth", device_authorization="on")
    with Replica(environment, port, directory=tmp_path_factory.mktemp("replica")) as started:
        yield started


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
@pytest.mark.verifies("oauth4webapi", "device authorization")
def test_a_strict_device_goes_the_whole_way(replica: Replica, method: str) -> None:
    seen = node.run("device.mjs", {"issuer": replica.url, "resource": replica.url, "apiKey": API_KEY, "method": method})
    KNOWN_SECRETS.update({seen["begun"]["device_code"], seen["begun"]["user_code"]})
    assert seen["as"]["device_authorization_endpoint"] == f"{replica.url}/device_authorization"
    assert (seen["begun"]["expires_in"], seen["begun"]["interval"]) == (600, 5)
    assert [poll["error"] for poll in seen["pending"]] == ["authorization_pending", "slow_down"]
    assert seen["allowed"] == 200
    assert (seen["first"]["scope"], seen["first"]["token_type"]) == ("mcp", "bearer")
    assert seen["second"]["refresh_token"] != seen["first"]["refresh_token"]
    assert seen["again"]["error"] == "invalid_grant"
