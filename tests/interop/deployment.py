"""A replica, and beside it a protected MCP server that trusts it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.interop.mcp_client import SdkClient
from tests.interop.mcp_server import McpServer
from tests.ports import free_port
from tests.replica import Client, Replica, settings

SECRET = "introspection-secret-of-the-mcp-server"
OTHER_RESOURCE = "https://elsewhere.example/mcp"


@dataclass
class Deployment:
    replica: Replica
    server: McpServer

    def client(self, **changes: Any) -> SdkClient:
        return SdkClient(self.server.url, **changes)

    def revoke(self, client: SdkClient) -> None:
        """End the client's grant as a signing-out app does, by RFC 7009."""
        app = Client(self.replica.url, client_id=client.registration.client_id)
        assert app.revoke(client.tokens.refresh_token or "").status_code == 200


@contextmanager
def deployed(directory: Path, ledger: str, path: str = "", **changes: str) -> Iterator[Deployment]:
    """Both of them, ready; `path` is the issuer's, `changes` are settings of the replica."""
    port, mcp_port = free_port(), free_port()
    issuer = f"http://127.0.0.1:{port}{path}"
    server = McpServer(mcp_port, issuer, SECRET, directory / "mcp-server.log")
    resources = {
        "resources": f"{server.url},{OTHER_RESOURCE}",
        "introspection_tokens": f"{server.url}={SECRET},{OTHER_RESOURCE}=another-secret",
    }
    environment = settings(ledger, port, issuer=issuer, **(resources | changes))
    with server, Replica(environment, port, directory=directory) as replica:
        server.wait_until_ready()
        yield Deployment(replica, server)
