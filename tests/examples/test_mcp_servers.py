"""The MCP servers of docs/examples against a real replica, by the SDK's own client."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from mcp.types import TextContent

from tests import parts
from tests.examples.program import EXAMPLES, Program, python
from tests.interop.mcp_client import SdkClient
from tests.ports import free_port
from tests.proofs import bound
from tests.replica import INTROSPECTION_TOKEN, Client, Replica, settings, tokens

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


@pytest.fixture(scope="module", params=["python", pytest.param("typescript", marks=pytest.mark.needs("node"))])
def services(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Program, Replica]]:
    """The MCP server and the replica that it asks."""
    directory = tmp_path_factory.mktemp("mcp")
    port, own = free_port(), free_port()
    url = f"http://127.0.0.1:{own}/mcp"
    environment = settings("sqlite:///ledger.db", port, resources=url)
    with Replica(environment, port, directory=directory) as replica:
        variables = {"ISSUER": replica.url, "INTROSPECTION_TOKEN": INTROSPECTION_TOKEN, "RESOURCE": url}
        with Program(_command(request.param, directory), url, directory, variables) as served:
            yield served, replica


def _command(language: str, directory: Path) -> list[str]:
    if language == "python":
        return python(str(EXAMPLES / "mcp_server.py"))
    # Node looks for packages beside the program.
    (directory / "node_modules").symlink_to(parts.NODE_FOLDER / "node_modules")
    (directory / "package.json").write_text('{"type": "module"}')
    (directory / "mcp_server.ts").write_text((EXAMPLES / "mcp_server.ts").read_text(encoding="utf-8"))
    return [parts.path("node"), "--disable-warning=ExperimentalWarning", str(directory / "mcp_server.ts")]


def initialize(served: Program, token: str) -> httpx.Response:
    headers = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {token}"}
    return httpx.post(served.url, json=INITIALIZE, headers=headers, timeout=30)


def test_a_client_finds_its_way_signs_in_and_calls_a_tool(services: tuple[Program, Replica]) -> None:
    served, _ = services

    async def call() -> str:
        async with SdkClient(served.url).connect() as client:
            answer = await client.call_tool("whoami", {})
        (content,) = answer.content
        assert isinstance(content, TextContent)
        return content.text

    assert asyncio.run(call()) == "acme/ada"


def test_the_way_to_a_token_is_said_as_clients_read_it(services: tuple[Program, Replica]) -> None:
    served, replica = services
    origin = served.url.removesuffix("/mcp")
    url = f"{origin}/.well-known/oauth-protected-resource/mcp"
    assert f'resource_metadata="{url}"' in served.get().headers["www-authenticate"]
    document = httpx.get(url, timeout=30).json()
    assert (document["resource"], document["authorization_servers"]) == (served.url, [replica.url])


def test_a_token_that_is_not_active_is_401(services: tuple[Program, Replica]) -> None:
    served, replica = services
    client = Client(replica.url)
    issued = client.sign_in()
    client.revoke(issued.access)
    for token in (issued.access, issued.refresh, "tsat_abc"):
        answer = initialize(served, token)
        assert answer.status_code == 401, json.dumps(answer.text)
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_a_token_that_is_bound_to_a_key_is_no_bearer(services: tuple[Program, Replica]) -> None:
    served, replica = services
    client = bound(Client(replica.url))
    client.register()
    issued = tokens(client.redeem(client.code(resource=served.url)))
    assert client.active(issued.access)
    assert initialize(served, issued.access).status_code == 401


def test_without_its_service_nobody_is_let_in_and_nobody_told_that_a_token_is_invalid(
    services: tuple[Program, Replica],
) -> None:
    served, replica = services
    issued = Client(replica.url).sign_in()
    replica.stop()
    try:
        answer = initialize(served, issued.access)
        # The TypeScript SDK has no way to say more.
        assert answer.status_code == (503 if served.command[0] == sys.executable else 500)
        assert "www-authenticate" not in answer.headers
    finally:
        replica.start()
    assert initialize(served, issued.access).status_code == 200
