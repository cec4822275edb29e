"""An MCP server out of the Python SDK that takes tokens of tokensvc."""

import os
from urllib.parse import urlsplit

import uvicorn
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import MCPServer

from tokensvc.resource import AnswerUnavailable, IntrospectionVerifier
from tokensvc.resource.mcp import McpVerifier, auth_settings

RESOURCE = os.environ.get("RESOURCE", "http://127.0.0.1:9000/mcp")

verifier = IntrospectionVerifier(
    os.environ["ISSUER"], os.environ["INTROSPECTION_TOKEN"], resource=RESOURCE, denylist=True
)
server = MCPServer("demo", token_verifier=McpVerifier(verifier), auth=auth_settings(verifier, ["mcp"]))


@server.tool()
def whoami() -> str:
    """Say whom the token stands for."""
    token = get_access_token()
    return token.subject or "" if token else ""


app = server.streamable_http_app()
app.add_middleware(AnswerUnavailable)

if __name__ == "__main__":
    uvicorn.run(app, port=urlsplit(RESOURCE).port or 9000)
