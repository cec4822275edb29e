"""The only place where settings become adapters, and adapters become routes."""

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from tokensvc import __version__
from tokensvc import settings as environment
from tokensvc.endpoints import (
    admin,
    authorization,
    health,
    introspection,
    metadata,
    registration,
    revocation,
    token,
)
from tokensvc.endpoints.attempts import Attempts
from tokensvc.endpoints.http import EXCEPTION_HANDLERS
from tokensvc.endpoints.middleware import Cors, RequestId
from tokensvc.endpoints.secrets import Secrets, parse_introspection_secrets, parse_secrets
from tokensvc.endpoints.service import Service
from tokensvc.errors import SettingsError
from tokensvc.identity.api_keys import ApiKeys
from tokensvc.keyring import KeyRing
from tokensvc.ledger import Ledger
from tokensvc.ledger.algebra import State
from tokensvc.ledger.marks import Mark, Subject, parse_denylist
from tokensvc.ledger.memory import MemoryLedger
from tokensvc.ledger.sqlite import SqliteLedger
from tokensvc.observability import log, warn
from tokensvc.protocol.client import Clients, Lifetimes
from tokensvc.protocol.preregistered import parse_clients
from tokensvc.protocol.redirect_uri import RedirectPolicy
from tokensvc.protocol.registration_policy import RegistrationPolicy
from tokensvc.protocol.resource_indicator import Resources
from tokensvc.protocol.scope import Scopes
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.settings import Settings
from tokensvc.tokens.sealer import Sealer

Clock = Callable[[], int]

_NOT_IGNORED = {
    "TOKENSVC_PEERS": "replicas share a sqlite ledger, and would not tell one another of revocations",
    "TOKENSVC_ROLE_SCOPES": "every role may have every scope",
}
"""Settings to come whose absence would fail open, each with what is true without it."""


def create() -> Starlette:
    """The application of this process's environment, for an ASGI server. Raises SettingsError."""
    settings = environment.load()
    check_names(settings)
    for name, nearest in environment.unknown_names(os.environ).items():
        warn("unknown setting", variable=ascii(name)[1:-1], nearest=nearest)
    return build(settings)


def check_names(settings: Settings) -> None:
    """Raise SettingsError for a `TOKENSVC_` name that is no setting, where TOKENSVC_STRICT or safety asks for it."""
    for name, nearest in environment.unknown_names(os.environ).items():
        if name in _NOT_IGNORED:
            raise SettingsError(name, "is not supported by this version", f"Unset it: {_NOT_IGNORED[name]}")
        if settings.strict:
            remedy = f"Did you mean {nearest}?" if nearest else "See the README for the settings"
            raise SettingsError(name, "is no setting of this version", remedy)


def build(settings: Settings, clock: Clock | None = None) -> Starlette:
    """The application: every setting parsed, every adapter opened. Raises SettingsError."""
    clock = clock or _milliseconds
    now = clock()
    marks = parse_denylist(settings.denylist.get_secret_value(), now)
    service = _service(settings, clock, now)
    app = Starlette(
        routes=_routes(service),
        middleware=[Middleware(RequestId), Middleware(Cors, paths=_cors_paths(service))],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=_lifespan(service, marks),
    )
    app.router.redirect_slashes = False
    app.state.service = service
    return app


def check(settings: Settings, now: int) -> None:
    """Parse every setting without opening anything. Raises SettingsError."""
    parse_denylist(settings.denylist.get_secret_value(), now)
    ledger_path(settings)
    _service(settings, lambda: now, now, MemoryLedger(now))


def rings(settings: Settings, now: int) -> dict[str, KeyRing]:
    """Both rings by their variable. Raises SettingsError."""
    texts = {"TOKENSVC_KEYS": settings.keys, "TOKENSVC_CLIENT_KEYS": settings.client_keys}
    return {name: KeyRing.parse(text.get_secret_value(), name, now) for name, text in texts.items()}


def sealer(settings: Settings, now: int) -> Sealer:
    """The sealer of the rings in the settings. Raises SettingsError."""
    keys, client_keys = rings(settings, now).values()
    return Sealer(keys, client_keys, settings.issuer, settings.token_prefix)


def lifetimes(settings: Settings) -> Lifetimes:
    """Of what clients are given that have none of their own."""
    return Lifetimes(
        code=settings.code_ttl * 1000,
        access=settings.access_ttl * 1000,
        refresh=settings.refresh_ttl * 1000,
        refresh_max=settings.refresh_max_ttl * 1000,
    )


def longest_lifetime(settings: Settings) -> int:
    """That a code or token of any client can have, in milliseconds. Raises SettingsError."""
    general = lifetimes(settings)
    clients = parse_clients(settings.clients.get_secret_value(), general).values()
    return max(max(own.code, own.access, own.refresh) for own in (general, *(client.lifetimes for client in clients)))


def ledger_path(settings: Settings) -> Path | None:
    """The file of a sqlite ledger, None for the memory ledger. Raises SettingsError."""
    if settings.ledger == "memory://":
        return None
    scheme, _, path = settings.ledger.partition(":///")
    if scheme != "sqlite" or not path:
        remedy = "Use sqlite:///PATH (three slashes relative, four absolute) or memory://"
        raise SettingsError("TOKENSVC_LEDGER", "is no ledger of this version", remedy)
    return Path(path)


def _service(settings: Settings, clock: Clock, now: int, ledger: Ledger | None = None) -> Service:
    resources = Resources.parse(settings.resources, settings.issuer)
    admin_tokens = parse_secrets(settings.admin_tokens.get_secret_value(), "TOKENSVC_ADMIN_TOKENS")
    introspection_tokens = settings.introspection_tokens.get_secret_value()
    return Service(
        introspection=parse_introspection_secrets(introspection_tokens, resources),
        registration=RegistrationPolicy.parse(settings.registration.get_secret_value()),
        admin=Secrets(dict.fromkeys(admin_tokens)),
        attempts=Attempts(limited=settings.limits == "on"),
        clock=clock,
        server=_server(settings, resources, now, ledger),
    )


def _server(settings: Settings, resources: Resources, now: int, ledger: Ledger | None) -> AuthorizationServer:
    policy = RedirectPolicy.parse(settings.redirect_hosts)
    general = lifetimes(settings)
    sealing = sealer(settings, now)
    clients = parse_clients(settings.clients.get_secret_value(), general)
    return AuthorizationServer(
        issuer=settings.issuer,
        sealer=sealing,
        identities=ApiKeys.parse(settings.api_keys.get_secret_value()),
        clients=Clients(sealing, clients, general, policy),
        redirect_policy=policy,
        resources=resources,
        scopes=Scopes.parse(settings.scopes),
        grace=settings.refresh_grace * 1000,
        ledger=ledger or _open_ledger(settings, now),
    )


def _open_ledger(settings: Settings, now: int) -> Ledger:
    path = ledger_path(settings)
    if path is None:
        return MemoryLedger(now)
    ledger = SqliteLedger(path, now)
    if ledger.restored:
        warn(
            "ledger restored",
            reason="the file is older than its witness: all that was minted before is refused",
        )
    return ledger


def _routes(service: Service) -> list[Route]:
    """Every route, the busiest first since they are tried in turn. Advertised is what is mounted."""
    base = urlsplit(service.server.issuer).path
    endpoints = {"authorization": "/authorize", "token": "/token", "revocation": "/revoke"}
    if service.registration.enabled:
        endpoints["registration"] = "/register"
    if service.introspection:
        endpoints["introspection"] = "/introspect"
    found = metadata.documents(service.server, tuple(token.GRANT_TYPES), endpoints)
    routes = [
        Route(f"{base}/introspect", introspection.introspect, methods=["POST"]),
        Route(f"{base}/token", token.token, methods=["POST"]),
        Route(f"{base}/authorize", authorization.authorize, methods=["GET", "POST"]),
        Route(f"{base}/revoke", revocation.revoke, methods=["POST"]),
        Route(f"{base}/healthz", health.healthz),
        Route(f"{base}/readyz", health.readyz),
    ]
    if service.registration.enabled:
        routes.append(Route(f"{base}/register", registration.register, methods=["POST"]))
    if service.admin:
        routes.append(Route(f"{base}/admin/revoke", admin.revoke, methods=["POST"]))
        routes.append(Route(f"{base}/admin/denylist", admin.denylist))
    return [*routes, *metadata.routes(found)]


def _cors_paths(service: Service) -> frozenset[str]:
    base = urlsplit(service.server.issuer).path
    return frozenset({f"{base}/token", f"{base}/register", f"{base}/revoke"})


def _lifespan(service: Service, marks: dict[Subject, Mark]) -> Any:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await service.server.ledger.merge(State(marks=marks), service.clock())
        log("replica started", version=__version__, issuer=service.server.issuer)
        yield
        await service.server.ledger.close()
        log("replica stopped")

    return lifespan


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
