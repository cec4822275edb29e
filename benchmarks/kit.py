"""What the resource server kit costs: an endpoint that it protects against the same endpoint bare.

Warm, every token is remembered; cold, the service is asked about each request. All servers share one core, the
service that is asked too, as they would share a small machine.
"""

from __future__ import annotations

from contextlib import ExitStack

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.contestants import Scene, Service
from benchmarks.contests import Contest, Entry, Result, run
from benchmarks.load import JSON, Bounds, Repeats, post
from benchmarks.process import Server
from tests.ports import free_port
from tests.replica import INTROSPECTION_TOKEN
from tokensvc.resource import BearerAuth, IntrospectionVerifier
from tokensvc.resource.verifier import LONGEST_TTL

KINDS = {"bare": "bare", "warm": "with the kit, warm", "cold": "with the kit, cold"}
_WARM = 8
"""Tokens of each connection."""
_ANSWER = {"invoices": [{"number": number, "of": "acme", "total": "12.50"} for number in range(3)]}


def measure(scene: Scene, rounds: int, bounds: Bounds) -> Result:
    service = Service(scene, "tokensvc for the kit", "sqlite:///tokensvc.db")
    with ExitStack() as running:
        running.enter_context(service.server)
        servers = {kind: running.enter_context(_server(scene, kind, service)) for kind in KINDS}
        requests = [post("/invoices", "{}", JSON, f"Authorization: Bearer {token}") for token in service.tokens()]
        # Few enough to be all remembered when the warm-up is over.
        shares = [share[:_WARM] for share in scene.shares(requests)]
        entries = [Entry(name, servers[kind], [Repeats.of(share) for share in shares]) for kind, name in KINDS.items()]
        return run(Contest("introspect", entries, KINDS["bare"]), rounds, bounds)


def application(kind: str, issuer: str) -> Starlette:
    """The protected resource is the issuer's own origin, the service's default."""
    routes = [Route("/invoices", _invoices, methods=["POST"])]
    if kind == "bare":
        return Starlette(routes=routes)
    verifier = IntrospectionVerifier(issuer, INTROSPECTION_TOKEN, ttl=LONGEST_TTL if kind == "warm" else 0)
    return Starlette(routes=routes, middleware=[Middleware(BearerAuth, verifier=verifier, scopes=["mcp"])])


async def _invoices(request: Request) -> Response:
    await request.json()
    return JSONResponse(_ANSWER)


def _server(scene: Scene, kind: str, service: Service) -> Server:
    port = free_port()
    arguments = ["benchmarks.serving", "--port", str(port), "kit", kind, service.settings.issuer]
    return Server(arguments, port, scene.core, scene.directory / f"kit-{kind}")
