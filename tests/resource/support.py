"""What the tests of the kit share: a service that is scripted, an application to protect, and how to ask it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from tokensvc.resource import AccessToken, BearerAuth, IntrospectionVerifier, require

ISSUER = "https://auth.example.com"
RESOURCE = "https://api.example.com/mcp"
SECRET = "introspection-secret"
TOKEN = "tsat_eyJraWQiOiJrMSJ9..abc"
METADATA_URL = "https://api.example.com/.well-known/oauth-protected-resource/mcp"


def facts(**changes: Any) -> dict[str, Any]:
    return {
        "active": True,
        "iss": ISSUER,
        "sub": "acme/ada",
        "aud": RESOURCE,
        "client_id": "c" * 22,
        "scope": "mcp files",
        "token_type": "Bearer",
        "iat": int(time.time()),
        "exp": int(time.time()) + 3600,
        "jti": "family.1",
        "family": "family",
        "account": "acme",
        "user": "ada",
        "role": "admin",
    } | changes


@dataclass
class Scripted:
    """A service that answers as a test says, once the test lets it, and counts what it is asked."""

    answers: dict[str, Any] = field(default_factory=facts)
    status: int = 200
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    asked: list[httpx.Request] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    pages: list[dict[str, Any]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/denylist"):
            while not self.pages:
                self.news.clear()
                await self.news.wait()
            return httpx.Response(200, json=self.pages.pop(0))
        self.asked.append(request)
        found = self.answers
        await self.gate.wait()
        return httpx.Response(self.status, json=found, headers=self.headers)

    def tell(self, *entries: tuple[str, str]) -> None:
        """A page of the denylist."""
        marks = [{"kind": kind, "subject_digest": digest, "not_before": 1} for kind, digest in entries]
        self.pages.append({"marks": marks, "cursor": "r.1", "more": False})
        self.news.set()

    def verifier(self, **options: Any) -> IntrospectionVerifier:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        given: dict[str, Any] = {"issuer": ISSUER, "secret": SECRET, "resource": RESOURCE, "http": http} | options
        return IntrospectionVerifier(**given)


async def until(condition: Callable[[], bool], what: str) -> None:
    """Let the loop go on until the condition holds."""
    deadline = asyncio.get_running_loop().time() + 20
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.005)


async def who(request: Request) -> JSONResponse:
    """The protected endpoint: who the middleware says that the caller is."""
    token = request.scope.get("user")
    named = token.sub if isinstance(token, AccessToken) else None
    scopes = request.auth.scopes if named else []
    return JSONResponse({"sub": named, "scopes": scopes, "key": request.headers.get("x-api-key")})


async def files(request: Request) -> JSONResponse:
    return JSONResponse({"sub": require(request, "files").sub})


async def by_key(request: Request) -> JSONResponse:
    """An API's own check: a key, as a bearer or in a header of its own, or a challenge of its own."""
    given = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
    if given == "the-key":
        return JSONResponse({"key": given, "headers": sorted(request.headers)})
    status, challenges = (401, ("Bearer", 'ApiKey realm="x"')) if given != "banned" else (403, ())
    response = JSONResponse({"own": "refusal"}, status)
    for value in challenges:
        response.headers.append("WWW-Authenticate", value)
    return response


def protected(verifier: IntrospectionVerifier | None, **options: Any) -> Starlette:
    routes = [Route("/mcp", who, methods=["GET", "POST"]), Route("/files", files), Route("/by-key", by_key)]
    return Starlette(routes=routes, middleware=[Middleware(BearerAuth, verifier=verifier, **options)])


async def get(app: ASGIApp, path: str = "/mcp", token: str = "", **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return await request(app, "GET", path, headers=headers | dict(options.pop("headers", {})), **options)


async def request(
    app: ASGIApp, method: str, path: str, *, client: tuple[str, int] = ("127.0.0.1", 1), **options: Any
) -> httpx.Response:
    transport = httpx.ASGITransport(app, client=client)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.internal:8080") as http:
        return await http.request(method, path, **options)


def run(awaitable: Awaitable[Any]) -> Any:
    async def wait() -> Any:
        return await awaitable

    return asyncio.run(wait())
