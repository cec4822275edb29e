"""Apps as they are published, against a protected MCP server: each prints a URL, and a person follows it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.deployment import Deployment, deployed
from tests.interop.machine import ADDRESS, GUIDE, Machine
from tests.replica import wait_until
from tests.test_readme import blocks
from tokensvc.tokens.kinds import client_handle

pytestmark = pytest.mark.needs("node")
CODEX = "@openai/codex/bin/codex.js"
INSPECTOR = "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
MCP_REMOTE = "mcp-remote/dist/proxy.js"
LIFETIME = 1
"""Seconds that an access token lives here: whoever starts again has to refresh."""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Without client metadata documents: those of the apps lie on the internet."""
    settings = {"access_ttl": str(LIFETIME), "cimd": "off"}
    with deployed(tmp_path_factory.mktemp("mcp"), "sqlite:///ledger.db", "/auth", **settings) as started:
        yield started


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Where nobody may register: the clients are those of the guide."""
    *_, clients = blocks(GUIDE, "json")
    settings = {"clients": clients, "registration": "off", "cimd": "off"}
    with deployed(tmp_path_factory.mktemp("mcp"), "memory://", **settings) as started:
        yield started


@pytest.fixture
def machine(deployment: Deployment, tmp_path: Path) -> Machine:
    return Machine(deployment, tmp_path)


@pytest.mark.verifies("mcp-remote", "discovery, registration, PKCE, a tool call, refreshing")
def test_mcp_remote_signs_in_once_and_refreshes_when_it_is_started_again(machine: Machine) -> None:
    first = whoami_by_mcp_remote(machine)
    assert (first["subject"], machine.signed_in) == ("acme/ada", 1)
    wait_for_expiry()
    assert whoami_by_mcp_remote(machine) == first
    assert machine.signed_in == 1


@pytest.mark.verifies("MCP Inspector", "its command line: discovery, registration, PKCE, a tool call, refreshing")
def test_mcp_inspector_signs_in_once_and_refreshes_when_it_is_started_again(machine: Machine) -> None:
    first = whoami_by_inspector(machine)
    assert (first["subject"], machine.signed_in) == ("acme/ada", 1)
    wait_for_expiry()
    assert whoami_by_inspector(machine, "--stored-auth-only") == first
    assert machine.signed_in == 1


@pytest.mark.verifies("Codex", "`codex mcp add`: discovery, registration, PKCE, tokens")
def test_codex_signs_in_when_a_server_is_added(machine: Machine) -> None:
    home = machine.home / "codex"
    home.mkdir()
    added = machine.run(CODEX, *machine.guided("codex"), CODEX_HOME=str(home))
    assert (machine.signed_in, "Successfully logged in" in added) == (1, True)
    (listed,) = json.loads(machine.run(CODEX, "mcp", "list", "--json", CODEX_HOME=str(home)))
    assert (listed["transport"]["url"], listed["auth_status"]) == (machine.deployment.server.url, "o_auth")


@pytest.mark.verifies("MCP Inspector", "a client_id of the operator's")
def test_mcp_inspector_comes_with_the_client_id_that_it_is_given(closed: Deployment, tmp_path: Path) -> None:
    facts = whoami_by_inspector(Machine(closed, tmp_path), "--client-id", "inspector")
    assert facts["client"] == client_handle("inspector")


@pytest.mark.verifies("Codex", "a client_id of the operator's")
def test_codex_comes_with_the_client_id_of_its_configuration(closed: Deployment, tmp_path: Path) -> None:
    machine = Machine(closed, tmp_path)
    (server,) = blocks(GUIDE, "toml")
    own = '[mcp_servers.example.oauth]\nclient_id = "codex"\ncallback_url = "http://127.0.0.1/callback"\n'
    for line in own.splitlines():
        assert line in GUIDE
    (tmp_path / "config.toml").write_text(server.replace(ADDRESS, closed.server.url) + own, encoding="utf-8")
    said = machine.run(CODEX, "mcp", "login", "example", CODEX_HOME=str(tmp_path))
    assert (machine.signed_in, "Successfully logged in" in said) == (1, True)
    closed.replica.logged("token issued", client=client_handle("codex"))


def whoami_by_mcp_remote(machine: Machine) -> dict[str, str]:
    """Start it as a local MCP server, the way an app without remote ones does, and call the tool through it."""
    asked = {
        "initialize": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "tests", "version": "1"},
        },
        "tools/call": {"name": "whoami", "arguments": {}},
    }
    answer: dict[str, Any] = {}
    with machine.started(MCP_REMOTE, machine.deployment.server.url) as app:
        for number, (method, params) in enumerate(asked.items()):
            message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            app.stdin.write(json.dumps(message) + "\n")
            app.stdin.flush()
            answer = json.loads(app.stdout.readline())
    facts: dict[str, str] = answer["result"]["structuredContent"]
    return facts


def whoami_by_inspector(machine: Machine, *options: str) -> dict[str, str]:
    # Of an option that comes twice, the later one counts.
    command = [*machine.guided("npx @modelcontextprotocol/inspector --cli"), "--method", "tools/call"]
    variables = {"MCP_AUTO_OPEN_ENABLED": "true", "MCP_INSPECTOR_SECRET_STORE": "file"}
    output = machine.run(INSPECTOR, "--cli", *command, "--tool-name", "whoami", *options, **variables)
    facts: dict[str, str] = json.loads(output[output.index("{") :])["structuredContent"]
    return facts


def wait_for_expiry() -> None:
    """A resource server may call a token active until the second ends in which it expires."""
    wait_until(time.time() + LIFETIME + 1)
