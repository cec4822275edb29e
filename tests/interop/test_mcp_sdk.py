"""The Python SDK's MCP client and a protected MCP server out of the same SDK, with this service between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
import pytest
from mcp import Client as McpClient
from mcp import MCPError
from mcp.client.auth import OAuthFlowError

from tests.interop.deployment import OTHER_RESOURCE, Deployment, deployed
from tests.interop.mcp_client import AuthMethod, Person
from tests.interop.mcp_server import McpServer
from tests.replica import SECONDS, TLS, Client, wait_for
from tokensvc.tokens.kinds import client_handle


@pytest.fixture(
    scope="module",
    params=[("memory://", ""), ("sqlite:///ledger.db", "/auth")],
    ids=["memory", "sqlite-and-an-issuer-with-a-path"],
)
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    ledger, path = request.param
    with deployed(tmp_path_factory.mktemp("mcp"), ledger, path) as started:
        yield started


@pytest.fixture(scope="module")
def short_lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment whose access tokens expire while a test waits for it."""
    with deployed(tmp_path_factory.mktemp("mcp"), "sqlite:///ledger.db", access_ttl="1") as started:
        yield started


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post", None])
@pytest.mark.verifies("MCP Python SDK", "discovery, registration, PKCE, tool calls")
def test_the_sdk_registers_signs_a_person_in_and_calls_tools(deployment: Deployment, method: AuthMethod | None) -> None:
    async def story() -> None:
        client = deployment.client(method=method)
        async with client.connect() as session:
            assert {tool.name for tool in (await session.list_tools()).tools} == {"whoami", "add"}
            assert (await session.call_tool("add", {"a": 40, "b": 2})).structured_content == {"result": 42}
            me = await whoami(session)
        assert me["subject"] == "acme/ada"
        assert me["client"] == client_handle(client.registration.client_id)
        # RFC 7591 §2: who says nothing of a method is a client of client_secret_basic.
        assert client.registration.token_endpoint_auth_method == (method or "client_secret_basic")
        assert (client.registration.client_secret is None) == (method == "none")
        assert client.tokens.scope == "mcp"

    anyio.run(story)


def test_the_sdk_sends_the_person_to_a_short_url_that_names_the_resource(deployment: Deployment) -> None:
    async def story() -> None:
        client = deployment.client()
        async with client.connect():
            pass
        (url,) = client.person.asked
        assert len(url) < 2000
        parameters = parse_qs(urlsplit(url).query)
        assert parameters["resource"] == [deployment.server.url]
        # The SDK adds offline_access since the authorization server's metadata lists it.
        assert parameters["scope"] == ["mcp offline_access"]
        assert client.person.answer["iss"] == deployment.replica.url

    anyio.run(story)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.verifies("MCP Python SDK", "a start from what it stored")
def test_a_client_that_starts_again_uses_what_it_stored(
    deployment: Deployment, mode: Literal["auto", "legacy"]
) -> None:
    async def story() -> None:
        first = deployment.client()
        async with first.connect(mode) as session:
            family = (await whoami(session))["family"]
        again = deployment.client(storage=first.storage)
        async with again.connect(mode) as session:
            assert (await whoami(session))["family"] == family
        assert again.person.asked == []

    anyio.run(story)


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
@pytest.mark.verifies("MCP Python SDK", "refreshing")
def test_an_expired_access_token_is_refreshed_without_asking_the_person(
    short_lived: Deployment, method: AuthMethod
) -> None:
    async def story() -> None:
        client = short_lived.client(method=method)
        async with client.connect() as session:
            before = await whoami(session)
            tokens, asked = client.tokens, len(client.person.asked)
            await until(lambda: not client.provider.context.is_token_valid())
            assert await whoami(session) == before
        assert client.tokens.access_token != tokens.access_token
        assert client.tokens.refresh_token != tokens.refresh_token
        assert len(client.person.asked) == asked

    anyio.run(story)


@pytest.mark.verifies("MCP Python SDK", "two processes that refresh at once")
def test_two_processes_that_share_what_is_stored_refresh_at_once_and_both_stay_signed_in(
    short_lived: Deployment,
) -> None:
    async def story() -> None:
        one = short_lived.client()
        async with one.connect() as first:
            family = (await whoami(first))["family"]
            two = short_lived.client()
            async with two.connect() as second:
                # The same app has the same client_id; from here on this process has read the other one's storage.
                assert two.registration.client_id == one.registration.client_id
                two.storage.tokens = two.provider.context.current_tokens = one.tokens
                two.provider.context.update_token_expiry(two.tokens)
                refresh_token = one.tokens.refresh_token
                await until(lambda: not any(each.provider.context.is_token_valid() for each in (one, two)))
                assert {one.tokens.refresh_token, two.tokens.refresh_token} == {refresh_token}
                asked = len(one.person.asked) + len(two.person.asked)
                seen: list[str] = []

                async def call(session: McpClient) -> None:
                    seen.append((await whoami(session))["family"])

                async with anyio.create_task_group() as both:
                    both.start_soon(call, first)
                    both.start_soon(call, second)
        assert seen == [family, family]
        assert refresh_token not in {one.tokens.refresh_token, two.tokens.refresh_token}
        assert len(one.person.asked) + len(two.person.asked) == asked

    anyio.run(story)


@pytest.mark.verifies("MCP Python SDK", "signing in anew after a revocation")
def test_a_client_that_was_signed_out_asks_the_person_again(deployment: Deployment) -> None:
    async def story() -> None:
        client = deployment.client()
        async with client.connect() as session:
            before = await whoami(session)
            deployment.revoke(client)
            after = await whoami(session)
        assert len(client.person.asked) == 2
        assert after["family"] != before["family"]
        assert after["client"] == before["client"]

    anyio.run(story)


def test_a_tool_call_fails_once_the_operator_has_revoked_the_person_who_then_denies(deployment: Deployment) -> None:
    async def story() -> None:
        client = deployment.client()
        async with client.connect() as session:
            await whoami(session)
            answer = Client(deployment.replica.url).admin_revoke("user", "acme/ada")
            assert answer.status_code == 200, answer.text
            client.person.decision = "deny"
            await whoami(session)

    with pytest.RaisesGroup(OAuthFlowError, flatten_subgroups=True):
        anyio.run(story)


def test_a_person_who_denies_leaves_the_client_without_tokens(deployment: Deployment) -> None:
    client = deployment.client(person=Person("deny"))

    async def story() -> None:
        async with client.connect():
            pass

    with pytest.RaisesGroup(OAuthFlowError, flatten_subgroups=True):
        anyio.run(story)
    assert client.storage.tokens is None
    assert client.person.answer["error"] == "access_denied"


def test_the_mcp_server_refuses_a_token_for_another_resource(deployment: Deployment) -> None:
    elsewhere = Client(deployment.replica.url)
    elsewhere.register()
    answer = elsewhere.redeem(elsewhere.code(resource=OTHER_RESOURCE)).json()
    assert elsewhere.introspect(answer["access_token"], "another-secret")["aud"] == OTHER_RESOURCE
    refused = ask(deployment.server, answer["access_token"])
    assert refused.status_code == 401
    assert f'resource_metadata="{deployment.server.metadata_url}"' in refused.headers["www-authenticate"]


def test_a_refresh_token_is_no_key_to_the_mcp_server(deployment: Deployment) -> None:
    client = Client(deployment.replica.url)
    assert ask(deployment.server, client.sign_in().refresh).status_code == 401


@pytest.mark.verifies("MCP Python SDK", "an outage that costs nothing")
def test_an_outage_fails_the_call_and_costs_the_client_nothing_that_it_stored(tmp_path: Path) -> None:
    async def story(deployment: Deployment) -> None:
        client = deployment.client()
        async with client.connect() as session:
            before = await whoami(session)
            deployment.replica.stop()
            with pytest.raises(MCPError):
                await session.call_tool("whoami", {})
            deployment.replica.start()
            assert await whoami(session) == before
        assert len(client.person.asked) == 1

    with deployed(tmp_path, "sqlite:///ledger.db") as started:
        anyio.run(story, started)


def test_after_a_restart_of_the_memory_ledger_the_person_is_asked_again_and_the_client_is_still_registered(
    tmp_path: Path,
) -> None:
    async def story(deployment: Deployment) -> None:
        client = deployment.client()
        async with client.connect() as session:
            before = await whoami(session)
            deployment.replica.stop()
            deployment.replica.start()
            after = await whoami(session)
        assert len(client.person.asked) == 2
        assert after["client"] == before["client"]

    with deployed(tmp_path, "memory://") as started:
        anyio.run(story, started)


async def whoami(session: McpClient) -> dict[str, str]:
    result = await session.call_tool("whoami", {})
    assert not result.is_error, result
    facts: dict[str, str] = result.structured_content or {}
    return facts


async def until(condition: Callable[[], bool]) -> None:
    """Wait beside the event loop, which has the client's streams to serve."""
    await anyio.to_thread.run_sync(wait_for, condition, "it came to pass")


def ask(server: McpServer, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    return httpx.post(server.url, json=request, headers=headers, timeout=SECONDS, verify=TLS)
