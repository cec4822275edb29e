"""The adapter for the Python MCP SDK (a whole server: tests/examples/test_mcp_servers.py)."""

from __future__ import annotations

import pytest

from tests.resource.support import ISSUER, RESOURCE, TOKEN, Scripted, facts, run
from tokensvc.resource import Unavailable
from tokensvc.resource.mcp import McpVerifier, auth_settings


def test_the_sdk_is_told_all_that_it_asks_for() -> None:
    answer = facts()
    token = run(McpVerifier(Scripted(answers=answer).verifier()).verify_token(TOKEN))
    assert (token.client_id, token.scopes, token.resource) == ("c" * 22, ["files", "mcp"], RESOURCE)
    assert (token.subject, token.expires_at, token.claims) == ("acme/ada", answer["exp"], answer)


def test_a_token_that_is_not_active_is_none() -> None:
    assert run(McpVerifier(Scripted(answers={"active": False}).verifier()).verify_token(TOKEN)) is None


def test_what_cannot_be_answered_is_no_answer() -> None:
    with pytest.raises(Unavailable):
        run(McpVerifier(Scripted(status=503).verifier()).verify_token(TOKEN))


@pytest.mark.parametrize("resource", [RESOURCE, "https://api.example.com"])
def test_the_settings_have_the_sdk_check_the_resource_and_add_no_slash(resource: str) -> None:
    found = auth_settings(Scripted().verifier(resource=resource), ["mcp"])
    assert found.validate_token_resource is True
    assert (str(found.issuer_url), str(found.resource_server_url)) == (ISSUER, resource)
    assert found.required_scopes == ["mcp"]


def test_the_sdk_needs_to_know_both() -> None:
    with pytest.raises(ValueError, match="needs the issuer"):
        auth_settings(Scripted().verifier(issuer="", url=ISSUER, resource=RESOURCE))
