"""An MCP server with a tool that needs a scope of its own, which clients ask for once it is called."""

import json
import os
from urllib.parse import urlsplit

import uvicorn
from mcp.server.mcpserver import MCPServer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokensvc.resource import BearerAuth, IntrospectionVerifier, require

RESOURCE = os.environ.get("RESOURCE", "http://127.0.0.1:9000/mcp")
NEEDED = {"delete_file": "files"}
"""Beside `mcp`, which every request needs."""

server = MCPServer("demo")


@server.tool()
def list_files() -> list[str]:
    """List the files."""
    return ["notes.txt"]


@server.tool()
def delete_file(name: str) -> str:
    """Delete a file."""
    return f"{name} is gone"


class ToolScopes:
    """Answers 403 where the tool that is called needs a scope that the token lacks."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        body = await request.body()
        try:
            require(request, *scopes_of(body))
        except HTTPException as refused:
            await JSONResponse({"error": refused.detail}, refused.status_code, refused.headers)(scope, receive, send)
            return
        unread = [body]

        async def again() -> Message:
            return {"type": "http.request", "body": unread.pop()} if unread else await receive()

        await self.app(scope, again, send)


def scopes_of(body: bytes) -> list[str]:
    """What the calls in a message need; the server itself refuses what is no message."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return []
    needed = []
    for call in message if isinstance(message, list) else [message]:
        match call:
            case {"method": "tools/call", "params": {"name": str(name)}} if name in NEEDED:
                needed.append(NEEDED[name])
    return needed


verifier = IntrospectionVerifier(os.environ["ISSUER"], os.environ["INTROSPECTION_TOKEN"], resource=RESOURCE)
app = server.streamable_http_app()
# The last one that is added stands outside.
app.add_middleware(ToolScopes)
app.add_middleware(BearerAuth, verifier=verifier, scopes=["mcp"])

if __name__ == "__main__":
    uvicorn.run(app, port=urlsplit(RESOURCE).port or 9000)
