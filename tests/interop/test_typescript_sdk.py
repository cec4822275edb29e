"""The TypeScript SDK's MCP client against a protected MCP server; the scripts are in tests/node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.interop import node
from tests.interop.deployment import Deployment, deployed
from tests.replica import API_KEY
from tokensvc.tokens.kinds import client_handle

pytestmark = pytest.mark.needs("node")
every_method = pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Access tokens expire while a script waits for it."""
    with deployed(tmp_path_factory.mktemp("mcp"), "sqlite:///ledger.db", "/auth", access_ttl="1") as started:
        yield started


@pytest.fixture(scope="module")
def renewal(deployment: Deployment) -> dict[str, Any]:
    return run(deployment, "mcp_renewal.mjs", "client_secret_post")


@every_method
@pytest.mark.verifies("MCP TypeScript SDK", "discovery, registration, PKCE, a tool call")
def test_the_sdk_registers_signs_a_person_in_and_calls_tools(deployment: Deployment, method: str) -> None:
    seen = run(deployment, "mcp_flow.mjs", method)
    assert (set(seen["tools"]), seen["sum"]) == ({"whoami", "add"}, {"result": 42})
    assert seen["me"]["subject"] == "acme/ada"
    assert seen["me"]["client"] == client_handle(seen["client"]["client_id"])
    assert seen["client"]["token_endpoint_auth_method"] == method
    assert ("client_secret" in seen["client"]) == (method != "none")
    assert seen["tokens"]["scope"] == "mcp"


@pytest.mark.verifies("MCP TypeScript SDK", "a start from what it stored")
def test_an_installation_that_starts_again_asks_nobody(deployment: Deployment) -> None:
    seen = run(deployment, "mcp_flow.mjs", "none")
    assert seen["meAgain"] == seen["me"]
    assert seen["askedAgain"] == []


def test_the_sdk_sends_the_person_to_a_short_url_and_checks_the_issuer(deployment: Deployment) -> None:
    seen = run(deployment, "mcp_flow.mjs", "none")
    (url,) = seen["asked"]
    assert len(url) < 2000
    parameters = parse_qs(urlsplit(url).query)
    assert parameters["resource"] == [deployment.server.url]
    assert parameters["code_challenge_method"] == ["S256"]
    # The SDK asks for it, and for consent, since the authorization server's metadata lists it.
    assert (parameters["scope"], parameters["prompt"]) == (["mcp offline_access"], ["consent"])
    # It ends the flow over another issuer, and remembers whose client and tokens these are.
    issuer = deployment.replica.url
    assert {seen["answer"]["iss"], seen["client"]["issuer"], seen["tokens"]["issuer"]} == {issuer}


@pytest.mark.verifies("MCP TypeScript SDK", "refreshing upon a 401")
def test_an_expired_access_token_is_refreshed_without_asking_the_person(renewal: dict[str, Any]) -> None:
    assert renewal["afterExpiry"] == renewal["before"]
    assert renewal["askedForExpiry"] == 0
    for name in ("access_token", "refresh_token"):
        assert renewal["first"][name] != renewal["second"][name]


@pytest.mark.verifies("MCP TypeScript SDK", "signing in anew after a revocation")
def test_a_client_that_was_signed_out_drops_its_tokens_and_asks_again(renewal: dict[str, Any]) -> None:
    assert renewal["revoked"] == 200
    assert renewal["invalidated"] == ["tokens"]
    assert renewal["askedForSigningOut"] == 1
    assert renewal["afterSigningOut"]["client"] == renewal["before"]["client"]
    assert renewal["afterSigningOut"]["family"] != renewal["before"]["family"]


@pytest.mark.verifies("MCP TypeScript SDK", "registering anew where it is not known")
def test_a_registration_that_is_not_known_any_more_is_made_anew(renewal: dict[str, Any]) -> None:
    assert renewal["invalidatedForRegistering"] == ["client", "tokens"]
    assert renewal["afterRegistering"]["subject"] == "acme/ada"
    assert renewal["client"]["client_id"].startswith(node.CLIENT_ID)


def test_a_person_who_denies_is_an_oauth_error_to_the_app(renewal: dict[str, Any]) -> None:
    assert (renewal["denied"]["name"], renewal["keptOfDenied"]) == ("OAuthError", None)


def run(deployment: Deployment, script: str, method: str) -> dict[str, Any]:
    return node.run(script, {"server": deployment.server.url, "apiKey": API_KEY, "method": method})
