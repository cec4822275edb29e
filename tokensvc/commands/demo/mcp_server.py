"""A protected MCP server with one tool, as small as its Streamable HTTP transport allows.

The base install has no MCP SDK, so this speaks the protocol itself: JSON-RPC in POST requests, each answered by JSON.
docs/resource-server.md shows a server with the SDK.
"""

from typing import Any
from urllib.parse import urlsplit

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tokensvc import __version__

_VERSIONS = ("2025-06-18", "2025-03-26")
_TOOL = {
    "name": "hello",
    "description": "Greet whom the token stands for",
    "inputSchema": {"type": "object", "properties": {}},
}


class _NoToken(Exception):
    """The request came without a token that is active for this server."""


class McpServer:
    """Open to whoever has an access token for `resource`, its own URL; the issuer is asked about each token."""

    def __init__(self, resource: str, issuer: str, secret: str) -> None:
        self._resource = resource
        self._issuer = issuer
        self._metadata_path = f"/.well-known/oauth-protected-resource{urlsplit(resource).path}"
        # A connection for each question, so that each goes to the next replica; none is left to be closed.
        headers = {"Authorization": f"Bearer {secret}", "Connection": "close"}
        self._http = httpx.AsyncClient(trust_env=False, timeout=10, headers=headers)

    def application(self) -> Starlette:
        return Starlette(
            routes=[
                Route(urlsplit(self._resource).path, self._mcp, methods=["POST"]),
                Route(self._metadata_path, self._metadata),
            ],
            exception_handlers={_NoToken: self._challenge},
        )

    async def _metadata(self, _request: Request) -> Response:
        """RFC 9728 §3."""
        return JSONResponse({"resource": self._resource, "authorization_servers": [self._issuer]})

    async def _challenge(self, _request: Request, _error: Exception) -> Response:
        """RFC 9728 §5.1: where a client finds out how to get a token."""
        where = urlsplit(self._resource)._replace(path=self._metadata_path).geturl()
        return Response(status_code=401, headers={"WWW-Authenticate": f'Bearer resource_metadata="{where}"'})

    async def _mcp(self, request: Request) -> Response:
        try:
            facts = await self._introspect(request)
        except httpx.HTTPError:
            # No answer says nothing about the token.
            return Response(status_code=503, headers={"Retry-After": "1"})
        message = await request.json()
        if "id" not in message:
            return Response(status_code=202)
        answer = {"jsonrpc": "2.0", "id": message["id"]} | _answer(message, facts)
        return JSONResponse(answer)

    async def _introspect(self, request: Request) -> dict[str, Any]:
        """What the issuer says of the token (RFC 7662). Raises _NoToken; httpx.HTTPError where there is no answer."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _NoToken
        response = await self._http.post(f"{self._issuer}/introspect", data={"token": token})
        facts: dict[str, Any] = response.raise_for_status().json()
        if not facts["active"]:
            raise _NoToken
        return facts


def _answer(message: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """The result of a request, or the error, as a member of the response (JSON-RPC 2.0 §5)."""
    method, parameters = message.get("method"), message.get("params") or {}
    if method == "initialize":
        return {"result": _initialized(parameters.get("protocolVersion"))}
    if method == "ping":
        return {"result": {}}
    if method == "tools/list":
        return {"result": {"tools": [_TOOL]}}
    if method == "tools/call" and parameters.get("name") == _TOOL["name"]:
        return {"result": {"content": [{"type": "text", "text": f"hello, {facts['sub']}"}], "isError": False}}
    return {"error": {"code": -32601, "message": "no such method or tool"}}


def _initialized(version: str | None) -> dict[str, Any]:
    """The client's version of the protocol where it is known here, ours otherwise."""
    return {
        "protocolVersion": version if version in _VERSIONS else _VERSIONS[0],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "tokensvc demo", "version": __version__},
    }
