"""openid-client on Node, which web applications use; the script is in tests/node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.interop import node
from tests.ports import free_port
from tests.replica import API_KEY, INTROSPECTION_TOKEN, Replica, settings
from tokensvc.tokens.kinds import client_handle

pytestmark = pytest.mark.needs("node")


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    port = free_port()
    with Replica(settings("memory://", port), port, directory=tmp_path_factory.mktemp("replica")) as started:
        yield started


@pytest.fixture(scope="module", params=["none", "client_secret_basic", "client_secret_post"])
def method(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def seen(replica: Replica, method: str) -> dict[str, Any]:
    given = {"issuer": replica.url, "resource": replica.url, "apiKey": API_KEY}
    return node.run("openid_client.mjs", given | {"introspectionToken": INTROSPECTION_TOKEN, "method": method})


@pytest.mark.verifies("openid-client", "discovery, registration, code flow with PKCE, refreshing, introspection")
def test_openid_client_registers_and_gets_tokens_that_are_what_it_asked_for(
    replica: Replica, seen: dict[str, Any], method: str
) -> None:
    facts = seen["facts"]
    assert seen["registration"]["token_endpoint_auth_method"] == method
    assert seen["first"]["scope"] == seen["second"]["scope"] == "mcp"
    assert (facts["active"], facts["sub"], facts["aud"]) == (True, "acme/ada", replica.url)
    assert facts["client_id"] == client_handle(seen["registration"]["client_id"])
    assert facts["jti"] == f"{facts['family']}.2"


@pytest.mark.verifies("openid-client", "revocation")
def test_what_openid_client_revokes_is_dead(seen: dict[str, Any]) -> None:
    assert seen["after"] == {"active": False}
    assert seen["refused"]["error"] == "invalid_grant"


def test_openid_client_notices_a_mixed_up_answer_and_a_person_who_denies(seen: dict[str, Any]) -> None:
    assert seen["mixedUp"]["code"] == "OAUTH_INVALID_RESPONSE"
    assert (seen["denied"]["thrown"], seen["denied"]["error"]) == ("AuthorizationResponseError", "access_denied")
