"""Step-up: a client that lacks a scope is told what it needs, and asks the person for it (MCP, RFC 6750 §3.1)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from mcp import Client as McpClient
from mcp import MCPError
from mcp.types import TextContent

from tests.examples.program import EXAMPLES, Program, python
from tests.interop import node
from tests.interop.mcp_client import Person, SdkClient
from tests.ports import free_port
from tests.replica import API_KEY, INTROSPECTION_TOKEN, TLS, Client, Replica, api_key_entry, settings

VIEWER_KEY = "key_for-bob-who-only-looks-at-things"
Services = tuple[Program, Replica]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """The MCP server of the example and the replica that it asks."""
    directory = tmp_path_factory.mktemp("step-up")
    port, own = free_port(), free_port()
    url = f"http://127.0.0.1:{own}/mcp"
    keys = f"{api_key_entry(API_KEY)},{api_key_entry(VIEWER_KEY, user='bob', role='viewer')}"
    scopes = {"scopes": "mcp files", "role_scopes": "viewer=mcp"}
    environment = settings("memory://", port, resources=url, api_keys=keys, **scopes)
    with Replica(environment, port, directory=directory) as replica:
        variables = {"ISSUER": replica.url, "INTROSPECTION_TOKEN": INTROSPECTION_TOKEN, "RESOURCE": url}
        command = python(str(EXAMPLES / "mcp_server_step_up.py"))
        with Program(command, url, directory, variables) as served:
            yield served, replica


def scopes_asked(person: Person) -> list[set[str]]:
    """Of each authorization request, without what asks for a refresh token."""
    return [set(parse_qs(urlsplit(url).query)["scope"][0].split()) - {"offline_access"} for url in person.asked]


async def call(session: McpClient, tool: str, **arguments: str) -> str:
    (content,) = (await session.call_tool(tool, arguments)).content
    assert isinstance(content, TextContent)
    return content.text


@pytest.mark.verifies("MCP Python SDK", "step-up to another scope")
def test_the_sdk_asks_for_what_is_missing_when_it_is_needed_and_keeps_what_it_had(services: Services) -> None:
    served, replica = services

    async def story() -> tuple[SdkClient, str]:
        client = SdkClient(served.url)
        async with client.connect() as session:
            assert await call(session, "list_files") == "notes.txt"
            assert scopes_asked(client.person) == [{"mcp"}]
            assert client.tokens.scope == "mcp"
            before = client.tokens.access_token
            assert await call(session, "delete_file", name="notes.txt") == "notes.txt is gone"
            assert scopes_asked(client.person) == [{"mcp"}, {"mcp", "files"}]
            assert client.tokens.scope == "mcp files"
            assert await call(session, "list_files") == "notes.txt"
            assert len(client.person.asked) == 2
        return client, before

    client, before = asyncio.run(story())
    operator = Client(replica.url)
    old, new = operator.introspect(before), operator.introspect(client.tokens.access_token)
    assert (old["scope"], new["scope"]) == ("mcp", "mcp files")
    assert old["family"] != new["family"], "the first grant goes on by itself: other installations may live on it"


@pytest.mark.needs("node")
@pytest.mark.verifies("MCP TypeScript SDK", "step-up to another scope")
def test_the_typescript_sdk_asks_for_what_is_missing_and_keeps_what_it_had(services: Services) -> None:
    served, _ = services
    seen = node.run("mcp_step_up.mjs", {"server": served.url, "apiKey": API_KEY})
    assert seen["answers"] == ["notes.txt", "notes.txt is gone", "notes.txt"]
    assert (seen["interrupted"], seen["scopes"]) == (True, ["mcp", "mcp files"])
    asked = [set(parse_qs(urlsplit(url).query)["scope"][0].split()) for url in seen["asked"]]
    assert asked == [{"mcp", "offline_access"}, {"mcp", "files", "offline_access"}]


def test_the_page_of_a_step_up_names_all_that_is_asked_for(services: Services) -> None:
    served, _ = services

    async def story() -> str:
        client = SdkClient(served.url)
        async with client.connect() as session:
            await call(session, "delete_file", name="notes.txt")
        return client.person.asked[-1]

    url = asyncio.run(story())
    page = httpx.get(url, verify=TLS).text
    assert "mcp" in page
    assert "files" in page


CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "delete_file", "arguments": {}}}


@pytest.mark.parametrize("message", [CALL, [CALL], [{}, CALL]], ids=["a call", "a batch", "a batch of two"])
def test_the_challenge_names_all_that_the_call_needs(services: Services, message: object) -> None:
    served, replica = services
    answer = post(served, Client(replica.url).sign_in().access, json.dumps(message))
    assert answer.status_code == 403
    challenge = answer.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="mcp files"' in challenge
    assert "resource_metadata=" in challenge


@pytest.mark.parametrize(
    "body",
    ["", "x", "7", "null", "[]", '{"method": "tools/call"}', '{"method": "tools/call", "params": []}', "[" * 100_000],
    ids=lambda body: body[:40] or "nothing",
)
def test_what_is_no_call_is_left_to_the_server(services: Services, body: str) -> None:
    served, replica = services
    answer = post(served, Client(replica.url).sign_in().access, body)
    assert answer.status_code == 400


def post(served: Program, token: str, body: str) -> httpx.Response:
    headers = {
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "Authorization": f"Bearer {token}",
    }
    return httpx.post(served.url, content=body, headers=headers, verify=TLS)


def test_a_role_that_may_not_have_the_scope_is_asked_once_more_and_keeps_what_it_had(services: Services) -> None:
    served, replica = services

    async def story() -> SdkClient:
        client = SdkClient(served.url, person=Person(api_key=VIEWER_KEY))
        async with client.connect() as session:
            assert await call(session, "list_files") == "notes.txt"
            with pytest.raises(MCPError, match="Server returned an error response"):
                await session.call_tool("delete_file", {"name": "notes.txt"})
            assert await call(session, "list_files") == "notes.txt"
        return client

    client = asyncio.run(story())
    assert scopes_asked(client.person) == [{"mcp"}, {"mcp", "files"}]
    assert client.tokens.scope == "mcp"
    assert Client(replica.url).introspect(client.tokens.access_token)["scope"] == "mcp"
