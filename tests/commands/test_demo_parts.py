"""The parts of the demo: its balancer, its MCP server before a real client, and how it says that something is wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from tests.interop.mcp_client import SdkClient
from tests.ports import free_port
from tests.replica import INTROSPECTION_TOKEN, SECONDS, TLS, Replica, settings
from tokensvc.commands import CommandFailed
from tokensvc.commands.demo.app import App, Refused
from tokensvc.commands.demo.background import serving
from tokensvc.commands.demo.balancer import Balancer
from tokensvc.commands.demo.fleet import listen, port_of, wait_for
from tokensvc.commands.demo.mcp_server import McpServer
from tokensvc.commands.demo.story import Narrator, Stage, kid_of, tell


@contextmanager
def answering(name: str) -> Iterator[int]:
    """A server that answers its name; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(name.encode())

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextmanager
def balanced(balancer: Balancer) -> Iterator[tuple[str, str]]:
    """The balancer's address, and that of an MCP server that asks it."""
    with listen() as before, listen() as at:
        issuer, resource = f"http://127.0.0.1:{port_of(before)}", f"http://127.0.0.1:{port_of(at)}/mcp"
        server = McpServer(resource, issuer, INTROSPECTION_TOKEN)
        with serving(balancer, before, server.application(), at):
            yield issuer, resource


def get(url: str) -> str:
    return httpx.get(url, verify=TLS, timeout=SECONDS, headers={"Connection": "close"}).text


def test_the_balancer_takes_turns_and_passes_over_what_is_gone() -> None:
    with ExitStack() as running:
        ports = {name: running.enter_context(answering(name)) for name in ("A", "B")}
        balancer = Balancer(ports | {"C": free_port()})
        with balanced(balancer) as (url, _):
            assert {get(url) for _ in range(3)} == {"A", "B"}
            before = len(balancer.served)
            assert [get(url) for _ in range(6)] == balancer.served[before:]
            assert set(balancer.served) == {"A", "B"}
            with balancer.only("B"):
                assert [get(url) for _ in range(3)] == ["B", "B", "B"]
            with balancer.only("C"), pytest.raises(httpx.TransportError):
                get(url)
            assert {get(url) for _ in range(3)} == {"A", "B"}


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[str, str]]:
    """The demo's MCP server and balancer before one replica: the issuer and the resource."""
    port = free_port()
    with (
        balanced(Balancer({"A": port})) as (issuer, resource),
        Replica(settings("memory://", port, issuer=issuer, resources=resource), port),
    ):
        yield issuer, resource


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_client_of_the_mcp_sdk_calls_the_tool(site: tuple[str, str], mode: Any) -> None:
    """It finds the authorization server by itself, registers, has a person sign in, and speaks the whole protocol."""

    async def call() -> tuple[list[str], Any]:
        async with SdkClient(site[1]).connect(mode) as client:
            tools = await client.list_tools()
            return [tool.name for tool in tools.tools], await client.call_tool("hello", {})

    names, result = asyncio.run(call())
    assert names == ["hello"]
    assert result.content[0].text == "hello, acme/ada"


def test_the_mcp_server_says_503_where_it_gets_no_answer_about_a_token(site: tuple[str, str]) -> None:
    """Which is no refusal: the client would throw its token away."""
    with balanced(Balancer({"A": free_port()})) as (_, resource):
        headers = {"Authorization": "Bearer x"}
        message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        assert httpx.post(resource, json=message, headers=headers, verify=TLS).status_code == 503
    app = App(site[1])
    app.access_token = "tsat_x"
    with pytest.raises(Refused, match=r"^401$"):
        app.call_tool()
    app.close()


def test_what_does_not_hold_ends_the_story_with_its_step_and_the_fact(capsys: pytest.CaptureFixture[str]) -> None:
    narrator = Narrator()
    app = SimpleNamespace(discover=lambda: "https://evil.example")
    with pytest.raises(CommandFailed) as failed:
        tell(cast(Stage, SimpleNamespace(app=app, say=narrator, issuer="https://auth.example.com")))
    assert str(failed.value).startswith("step 1 of the demo failed: this is not so: 401, with a pointer that leads to")
    assert "✓" not in capsys.readouterr().out


def test_what_never_comes_true_is_given_up() -> None:
    with pytest.raises(CommandFailed, match=r"^it happens: not within 0 seconds$"):
        wait_for(lambda: False, "it happens", 0.05)


def test_the_key_of_a_token_stands_in_its_header() -> None:
    # {"alg":"dir","enc":"A256GCM","kid":"k1.20778"}
    assert kid_of("tsat_eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwia2lkIjoiazEuMjA3NzgifQ..a.b.c") == "k1"
