"""A protected MCP server out of the Python SDK, in a process of its own; it asks the authorization server about tokens.

`python -m tests.interop.mcp_server PORT ISSUER SECRET` serves; `McpServer` starts one from a test.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx
from mcp.server import MCPServer
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings

from tests.replica import SECONDS, TLS, wait_for

REPOSITORY = Path(__file__).parents[2]


class Introspection(TokenVerifier):
    """The SDK's hook for resource servers: what /introspect says of a token, in the SDK's words."""

    def __init__(self, issuer: str, secret: str) -> None:
        self._endpoint = f"{issuer}/introspect"
        self._headers = {"Authorization": f"Bearer {secret}"}
        self._http = httpx.AsyncClient(timeout=SECONDS, verify=TLS)

    async def verify_token(self, token: str) -> AccessToken | None:
        response = await self._http.post(self._endpoint, data={"token": token}, headers=self._headers)
        response.raise_for_status()
        facts = response.json()
        if not facts["active"]:
            return None
        return AccessToken(
            token=token,
            client_id=facts["client_id"],
            scopes=facts["scope"].split(),
            expires_at=facts["exp"],
            resource=facts["aud"],
            subject=facts["sub"],
            claims=facts,
        )


def build(resource: str, issuer: str, secret: str) -> MCPServer:
    """The server with two tools, open to tokens for `resource` alone."""
    # Validated from strings: AnyHttpUrl of an origin would add a slash, and issuers are compared by the letter.
    auth = AuthSettings.model_validate(
        {
            "issuer_url": issuer,
            "resource_server_url": resource,
            "required_scopes": ["mcp"],
            "validate_token_resource": True,
        }
    )
    server = MCPServer("tokensvc tests", auth=auth, token_verifier=Introspection(issuer, secret), log_level="WARNING")

    @server.tool()
    def whoami() -> dict[str, str]:
        """Say whom the token stands for."""
        token = get_access_token()
        if token is None or token.subject is None or token.claims is None:
            raise LookupError("the request came without a token")
        return {"subject": token.subject, "client": token.client_id, "family": token.claims["family"]}

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    return server


@dataclass
class McpServer:
    """The server above in its process. Use as a context manager; `url` is its endpoint and resource identifier."""

    port: int
    issuer: str
    secret: str
    log: Path
    path: str = "/mcp"
    process: subprocess.Popen[bytes] = field(init=False)
    output: IO[bytes] = field(init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"

    @property
    def metadata_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/.well-known/oauth-protected-resource{self.path}"

    def __enter__(self) -> McpServer:
        command = [sys.executable, "-m", "tests.interop.mcp_server", self.url, self.issuer, self.secret]
        self.output = self.log.open("wb")
        self.process = subprocess.Popen(command, cwd=REPOSITORY, stdout=self.output, stderr=self.output)
        return self

    def __exit__(self, *_exception: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(SECONDS)
        self.output.close()

    def wait_until_ready(self) -> None:
        """Beside whatever else starts; entering the context does not wait."""
        wait_for(self._ready, "the MCP server is ready")

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the MCP server ended: {self.log.read_text()}")
        try:
            return httpx.get(self.metadata_url, timeout=5, verify=TLS).status_code == 200
        except httpx.TransportError:
            return False


if __name__ == "__main__":
    address, *_ = sys.argv[1:]
    listening = httpx.URL(address)
    if listening.port is None:
        raise SystemExit("the resource identifier names no port")
    build(*sys.argv[1:]).run("streamable-http", port=listening.port, streamable_http_path=listening.path)
