"""A small MCP server with its own authorization server, right in everything, and one for each way to be wrong.

They are no services: nobody can sign in. Each is as much as a client sees before that.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlencode

import uvicorn
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.ports import free_port
from tests.replica import SECONDS, wait_for

SECRET = "client-secret-which-nobody-may-read"
NO_STORE = {"Cache-Control": "no-store"}


@dataclass
class Good:
    """What is right. `seen` are the requests that came, as method, path and headers."""

    origin: str
    path: str = "/mcp"
    methods: ClassVar[tuple[str, ...]] = ("POST",)
    clients: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    @property
    def url(self) -> str:
        return f"{self.origin}{self.path}"

    @property
    def issuer(self) -> str:
        return self.origin

    def resource_metadata(self) -> dict[str, Any]:
        return {"resource": self.url, "authorization_servers": [self.issuer], "scopes_supported": ["mcp"]}

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "registration_endpoint": f"{self.origin}/register",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_post", "client_secret_basic"],
            "authorization_response_iss_parameter_supported": True,
            "scopes_supported": ["mcp", "offline_access"],
        }

    async def mcp(self, _request: Request) -> Response:
        where = f"{self.origin}/.well-known/oauth-protected-resource{self.path}"
        challenge = f'Bearer error="invalid_token", resource_metadata="{where}", scope="mcp"'
        return Response(status_code=401, headers={"WWW-Authenticate": challenge})

    async def resource_document(self, _request: Request) -> Response:
        return JSONResponse(self.resource_metadata())

    async def document(self, _request: Request) -> Response:
        return JSONResponse(self.metadata())

    async def register(self, request: Request) -> Response:
        asked = await request.json()
        granted = {name: value for name, value in asked.items() if value is not None}
        granted["client_id"] = f"client-{len(self.clients)}"
        if granted["token_endpoint_auth_method"] != "none":
            granted |= {"client_secret": SECRET, "client_secret_expires_at": 0}
        self.clients[granted["client_id"]] = granted
        return self.registered(asked, granted)

    def registered(self, _asked: dict[str, Any], granted: dict[str, Any]) -> Response:
        return JSONResponse(granted, 201, headers=NO_STORE)

    async def authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        client = self.clients.get(asked["client_id"])
        if client is None or not self.is_registered(asked["redirect_uri"], client["redirect_uris"]):
            return HTMLResponse("unknown", 400)
        if asked["response_type"] != "code":
            return self.back(asked, "unsupported_response_type")
        return self.page(asked)

    def page(self, _asked: dict[str, str]) -> Response:
        return HTMLResponse("<form>sign in</form>", headers=NO_STORE)

    def is_registered(self, redirect_uri: str, registered: list[str]) -> bool:
        return without_port(redirect_uri) in map(without_port, registered)

    def back(self, asked: dict[str, str], error: str) -> Response:
        parameters = {"error": error, "state": asked["state"], "iss": self.metadata()["issuer"]}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(parameters)}", 303)

    async def token(self, request: Request) -> Response:
        form = await request.form()
        basic = request.headers.get("authorization", "")
        known = basic or form.get("client_id") in self.clients
        return self.refusal("invalid_grant", 400) if known else self.refusal("invalid_client", 401)

    def refusal(self, error: str, status: int) -> Response:
        return JSONResponse({"error": error}, status, headers=NO_STORE)

    def allowed(self, _request: Request) -> dict[str, str]:
        """The headers that let a web page in."""
        return {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "content-type"}

    def application(self) -> Starlette:
        routes = [
            Route(self.path, self.mcp, methods=self.methods),
            Route(f"/.well-known/oauth-protected-resource{self.path}", self.resource_document),
            Route("/.well-known/oauth-authorization-server", self.document),
            Route("/.well-known/openid-configuration", self.document),
            Route("/auth/.well-known/oauth-authorization-server", self.document),
            Route("/register", self.register, methods=["POST"]),
            Route("/authorize", self.authorize),
            Route("/token", self.token, methods=["POST"]),
        ]
        application = Starlette(routes=routes)
        application.add_middleware(BaseHTTPMiddleware, dispatch=self._watched)
        return application

    async def _watched(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        self.seen.append((request.method, request.url.path, dict(request.headers)))
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        answer = Response() if request.method == "OPTIONS" else await call_next(request)
        self.at_once -= 1
        answer.headers.update(self.allowed(request))
        return answer


def without_port(uri: str) -> str:
    return re.sub(r"^(http://(?:localhost|127\.0\.0\.1)):\d+", r"\1", uri)


class LongClientId(Good):
    def registered(self, _asked: dict[str, Any], granted: dict[str, Any]) -> Response:
        long = granted | {"client_id": granted["client_id"].ljust(2000, "x")}
        self.clients[long["client_id"]] = granted
        return JSONResponse(long, 201, headers=NO_STORE)


class SecretThatEnds(Good):
    def registered(self, _asked: dict[str, Any], granted: dict[str, Any]) -> Response:
        ending = {"client_secret_expires_at": 1_800_000_000} if "client_secret" in granted else {}
        return JSONResponse(granted | ending, 201, headers=NO_STORE)


class PageForStrangers(Good):
    async def authorize(self, request: Request) -> Response:
        if request.query_params["client_id"] not in self.clients:
            return RedirectResponse(f"{self.origin}/login", 302)
        return await super().authorize(request)


class StrangersInvalidGrant(Good):
    async def token(self, _request: Request) -> Response:
        return self.refusal("invalid_grant", 400)


class IssuerWithSlash(Good):
    def metadata(self) -> dict[str, Any]:
        return super().metadata() | {"issuer": f"{self.issuer}/"}


class NoAuthorizationServers(Good):
    def resource_metadata(self) -> dict[str, Any]:
        return {"resource": self.url}


class NoIss(Good):
    def back(self, asked: dict[str, str], error: str) -> Response:
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode({'error': error, 'state': asked['state']})}", 303)


class AnotherIss(Good):
    def back(self, asked: dict[str, str], error: str) -> Response:
        parameters = {"error": error, "state": asked["state"], "iss": f"{self.issuer}/"}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(parameters)}", 303)


class NullInMetadata(Good):
    def metadata(self) -> dict[str, Any]:
        return super().metadata() | {"jwks_uri": None}


class NullInRegistration(Good):
    def registered(self, _asked: dict[str, Any], granted: dict[str, Any]) -> Response:
        return JSONResponse(granted | {"logo_uri": None}, 201, headers=NO_STORE)


class NoRedirectUrisBack(Good):
    def registered(self, _asked: dict[str, Any], granted: dict[str, Any]) -> Response:
        kept = {name: value for name, value in granted.items() if name != "redirect_uris"}
        return JSONResponse(kept, 201, headers=NO_STORE)


class NoPrivateSchemes(Good):
    description = "https\x1b[31m\u202e only"

    def registered(self, asked: dict[str, Any], granted: dict[str, Any]) -> Response:
        if all(uri.startswith("http") for uri in asked["redirect_uris"]):
            return super().registered(asked, granted)
        body = {"error": "invalid_redirect_uri", "error_description": self.description}
        return JSONResponse(body, 400)


class ExactPorts(Good):
    def is_registered(self, redirect_uri: str, registered: list[str]) -> bool:
        return redirect_uri in registered


class UnknownScopesRefused(Good):
    def page(self, asked: dict[str, str]) -> Response:
        known = set(asked.get("scope", "").split()) <= {"mcp", "offline_access"}
        return super().page(asked) if known else self.back(asked, "invalid_scope")


class OfflineAccessOfTheResource(Good):
    def resource_metadata(self) -> dict[str, Any]:
        return super().resource_metadata() | {"scopes_supported": ["mcp", "offline_access"]}


class MethodWithoutSecret(Good):
    def registered(self, _asked: dict[str, Any], granted: dict[str, Any]) -> Response:
        granted = granted | {"token_endpoint_auth_method": "client_secret_basic"}
        granted.pop("client_secret", None)
        return JSONResponse(granted, 201, headers=NO_STORE)


class AnotherMethod(Good):
    def registered(self, _asked: dict[str, Any], granted: dict[str, Any]) -> Response:
        return JSONResponse(granted | {"token_endpoint_auth_method": "none"}, 201, headers=NO_STORE)


class ClientsNotLetIn(Good):
    async def token(self, _request: Request) -> Response:
        return self.refusal("invalid_client", 401)


class HtmlForMetadata(Good):
    """At the first address, and what is right at the next."""

    async def document(self, request: Request) -> Response:
        if request.url.path.endswith("openid-configuration"):
            return await super().document(request)
        return HTMLResponse("<title>Our app</title>")


class ErrorForMetadata(Good):
    async def document(self, _request: Request) -> Response:
        return Response(status_code=502)


class NoMetadata(Good):
    async def document(self, _request: Request) -> Response:
        return JSONResponse({"error": "not_found"}, 404)


class OnlyOpenId(Good):
    async def document(self, request: Request) -> Response:
        if request.url.path.endswith("openid-configuration"):
            return await super().document(request)
        return Response(status_code=404)


class OnlyAppended(Good):
    """An issuer with a path, its metadata below that alone."""

    @property
    def issuer(self) -> str:
        return f"{self.origin}/auth"

    async def document(self, request: Request) -> Response:
        if request.url.path.startswith("/auth"):
            return await super().document(request)
        return Response(status_code=404)


class OldTransport(Good):
    """HTTP with SSE, as of 2024-11-05."""

    methods = ("GET",)


class NoTokenEndpoint(Good):
    def metadata(self) -> dict[str, Any]:
        return {name: value for name, value in super().metadata().items() if name != "token_endpoint"}


class HtmlForResourceMetadata(Good):
    async def resource_document(self, _request: Request) -> Response:
        return HTMLResponse("<title>Our app</title>")


class ResourceWithSlash(Good):
    def resource_metadata(self) -> dict[str, Any]:
        return super().resource_metadata() | {"resource": f"{self.url}/"}


class ResourceAbove(Good):
    def resource_metadata(self) -> dict[str, Any]:
        return super().resource_metadata() | {"resource": self.origin}


class ResourceRefused(Good):
    def page(self, asked: dict[str, str]) -> Response:
        return self.back(asked, "invalid_target") if "resource" in asked else super().page(asked)


class ResourceRefusedAtToken(Good):
    async def token(self, _request: Request) -> Response:
        return self.refusal("invalid_target", 400)


class DocumentsAdvertised(Good):
    def metadata(self) -> dict[str, Any]:
        return super().metadata() | {"client_id_metadata_document_supported": True}


class DocumentsAlone(DocumentsAdvertised):
    """Without registration, and without what Claude asks for besides."""

    def metadata(self) -> dict[str, Any]:
        methods = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
        return {name: value for name, value in super().metadata().items() if name != "registration_endpoint"} | methods

    async def authorize(self, request: Request) -> Response:
        asked = request.query_params
        if asked["client_id"].startswith("https://"):
            self.clients[asked["client_id"]] = {"redirect_uris": [asked["redirect_uri"]]}
        return await super().authorize(request)


class ShortState(Good):
    def page(self, asked: dict[str, str]) -> Response:
        return HTMLResponse("too long", 400) if len(asked["state"]) > 512 else super().page(asked)


class StateDecodedTwice(Good):
    def back(self, asked: dict[str, str], error: str) -> Response:
        return super().back(asked | {"state": asked["state"].replace("+", " ")}, error)


class NoPages(Good):
    def allowed(self, _request: Request) -> dict[str, str]:
        return {}


class NoPreflight(Good):
    def allowed(self, request: Request) -> dict[str, str]:
        return {} if request.method == "OPTIONS" else super().allowed(request)


class NoBursts(Good):
    def registered(self, asked: dict[str, Any], granted: dict[str, Any]) -> Response:
        return super().registered(asked, granted) if len(self.clients) <= 8 else Response(status_code=429)


class Cached(Good):
    def refusal(self, error: str, status: int) -> Response:
        return JSONResponse({"error": error}, status)


class CrashesOnCodes(Good):
    async def token(self, request: Request) -> Response:
        answer = await super().token(request)
        return Response(status_code=500) if answer.status_code == 400 else answer


class CrashesOnRegistrations(Good):
    async def register(self, _request: Request) -> Response:
        return Response(status_code=500)


class CrashesOnAuthorization(Good):
    def page(self, _asked: dict[str, str]) -> Response:
        return Response(status_code=500)


class FewPages(Good):
    def page(self, _asked: dict[str, str]) -> Response:
        return Response(status_code=429)


class NullInErrors(Good):
    def refusal(self, error: str, status: int) -> Response:
        return JSONResponse({"error": error, "error_description": None}, status, headers=NO_STORE)


class TokenInHtml(Good):
    async def token(self, _request: Request) -> Response:
        return HTMLResponse("bad request", 400, headers=NO_STORE)


class NoPkce(Good):
    def metadata(self) -> dict[str, Any]:
        return super().metadata() | {"code_challenge_methods_supported": ["plain"]}


class NoRegistration(Good):
    def metadata(self) -> dict[str, Any]:
        return {name: value for name, value in super().metadata().items() if name != "registration_endpoint"}


class BareChallenge(Good):
    async def mcp(self, _request: Request) -> Response:
        return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})


class Open(Good):
    """Without a word of authorization."""

    async def mcp(self, _request: Request) -> Response:
        return JSONResponse({"jsonrpc": "2.0", "id": 1, "result": {}})

    async def resource_document(self, _request: Request) -> Response:
        return Response(status_code=404)

    async def document(self, _request: Request) -> Response:
        return Response(status_code=404)


class AllowsAtOnce(Good):
    """A session of somebody else, so to speak: it answers with a code."""

    def page(self, asked: dict[str, str]) -> Response:
        parameters = {"code": SECRET, "state": asked["state"], "iss": self.issuer}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(parameters)}", 303)


class Sample(NoPrivateSchemes, ResourceAbove, Cached):
    """What docs/probe.md shows."""

    description = "private schemes are not allowed"


@contextmanager
def serving(kind: type[Good]) -> Iterator[Good]:
    """One of them, in a thread of its own."""
    port = free_port()
    good = kind(f"http://127.0.0.1:{port}")
    with running(good.application(), port):
        yield good


@contextmanager
def running(application: Any, port: int) -> Iterator[None]:
    config = uvicorn.Config(application, port=port, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started, "the server listens")
        yield
    finally:
        server.should_exit = True
        thread.join(SECONDS)
