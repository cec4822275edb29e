"""The only place where settings become adapters, and adapters become routes."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from secrets import token_urlsafe
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
    denylist,
    events,
    health,
    introspection,
    metadata,
    overview,
    peers,
    registration,
    revocation,
    token,
)
from tokensvc.endpoints.attempts import Attempts
from tokensvc.endpoints.http import EXCEPTION_HANDLERS, Endpoint
from tokensvc.endpoints.middleware import Cors, RequestId
from tokensvc.endpoints.secrets import Secrets, parse_introspection_secrets, parse_secrets
from tokensvc.endpoints.service import Replica, Service
from tokensvc.errors import SettingsError, TemporarilyUnavailable
from tokensvc.identity.api_keys import ApiKeys
from tokensvc.keyring import CLIENT_KEYS, KEYS, KeyRing, derive
from tokensvc.ledger import Ledger
from tokensvc.ledger.algebra import State
from tokensvc.ledger.exchange import Exchange
from tokensvc.ledger.marks import Mark, Subject, parse_denylist
from tokensvc.ledger.memory import MemoryLedger
from tokensvc.ledger.peers import PeeredLedger
from tokensvc.ledger.sqlite import SqliteLedger
from tokensvc.observability import log, warn
from tokensvc.protocol.client import Clients, Lifetimes
from tokensvc.protocol.peer import PATH as PEERS_PATH
from tokensvc.protocol.peer import PEERS, Directory, Post
from tokensvc.protocol.preregistered import parse_clients
from tokensvc.protocol.redirect_uri import RedirectPolicy
from tokensvc.protocol.registration_policy import RegistrationPolicy
from tokensvc.protocol.resource_indicator import Resources
from tokensvc.protocol.scope import Scopes
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.reload import LOOK_EVERY, Files, Reload
from tokensvc.settings import Settings
from tokensvc.tokens import ring_report
from tokensvc.tokens.sealer import DAY, Sealer
from tokensvc.tokens.use import KeyUse

Clock = Callable[[], int]

PATIENCE = 10.0
"""Seconds for which a successor waits to catch up before it listens all the same."""
_LOOK_AGAIN = 0.05

_NOT_IGNORED = {
    "TOKENSVC_ROLE_SCOPES": "every role may have every scope",
}
"""Settings to come whose absence would fail open, each with what is true without it."""


def create() -> Starlette:
    """The application of this process's environment, for an ASGI server. Raises SettingsError."""
    # Before the settings are read, so that a file that changes meanwhile is noticed.
    files = Files(environment.files(os.environ))
    settings = environment.load()
    check_names(settings)
    for name, nearest in environment.unknown_names(os.environ).items():
        warn("unknown setting", variable=ascii(name)[1:-1], nearest=nearest)
    return build(settings, files=files)


def succeed() -> Starlette:
    """The same, for a process whose siblings go on meanwhile: it listens once it knows what its peers know, if soon.

    Nobody who starts first may wait like this: its peers wait for its own answers.
    """
    app = create()
    app.state.patient = True
    return app


def check_names(settings: Settings) -> None:
    """Raise SettingsError for a `TOKENSVC_` name that is no setting, where TOKENSVC_STRICT or safety asks for it."""
    for name, nearest in environment.unknown_names(os.environ).items():
        if name in _NOT_IGNORED:
            raise SettingsError(name, "is not supported by this version", f"Unset it: {_NOT_IGNORED[name]}")
        if settings.strict:
            remedy = f"Did you mean {nearest}?" if nearest else "See the README for the settings"
            raise SettingsError(name, "is no setting of this version", remedy)


def build(settings: Settings, clock: Clock | None = None, files: Files | None = None) -> Starlette:
    """The application: every setting parsed, every adapter opened; `files` are read again. Raises SettingsError."""
    clock = clock or _milliseconds
    now = clock()
    marks = parse_denylist(settings.denylist.get_secret_value(), now)

    def open_ledger() -> Ledger:
        # The sealer in force, whenever a peer is asked: the rings may be read again.
        return _open_ledger(settings, clock, now, lambda: app.state.service.server.sealer)

    service = _service(settings, _replica(settings, clock, now), now, open_ledger)
    app = Starlette(
        routes=_routes(service),
        middleware=[Middleware(RequestId), Middleware(Cors, paths=_cors_paths(service))],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=_lifespan(service, marks, files or Files({})),
    )
    app.router.redirect_slashes = False
    app.state.service, app.state.patient = service, False
    return app


async def reload(app: Starlette, files: Files) -> None:
    """Where a file has changed, put a service of all settings in the place of the present one, or change nothing.

    The ledger, the clock and the counts go on, and requests under way finish with the service that they began with.
    """
    present: Service = app.state.service
    changed = await asyncio.to_thread(files.look)
    if changed is None:
        return
    now = present.clock()
    try:
        service, marks = await asyncio.to_thread(_reread, present, now)
        routes = _routes(service)
        await present.server.ledger.merge(State(marks=marks), now)
    except TemporarilyUnavailable as error:
        files.try_again()
        _refuse(present.replica, Reload(now, changed, error.reason))
    except Exception as error:
        # What nobody foresaw is no reason to stop looking, and its text might quote a file.
        problem = str(error) if isinstance(error, SettingsError) else f"unforeseen {type(error).__name__}"
        _refuse(present.replica, Reload(now, changed, problem))
    else:
        files.taken()
        app.state.service, app.router.routes = service, [*routes]
        present.replica.reload = Reload(now, changed)
        log("settings reloaded", changed=changed)


def check(settings: Settings, now: int) -> None:
    """Parse every setting without opening anything. Raises SettingsError."""
    parse_denylist(settings.denylist.get_secret_value(), now)
    ledger_path(settings)
    Directory.parse(settings.peers, settings.issuer)
    _service(settings, _replica(settings, lambda: now, now), now, lambda: MemoryLedger(now))


def rings(settings: Settings, now: int) -> dict[str, KeyRing]:
    """Both rings by their variable. Raises SettingsError."""
    texts = {KEYS: settings.keys, CLIENT_KEYS: settings.client_keys}
    return {name: KeyRing.parse(text.get_secret_value(), name, now) for name, text in texts.items()}


def sealer(settings: Settings, now: int, use: KeyUse | None = None) -> Sealer:
    """The sealer of the rings in the settings. Raises SettingsError."""
    keys, client_keys = rings(settings, now).values()
    return Sealer(keys, client_keys, settings.issuer, settings.token_prefix, use)


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


def _replica(settings: Settings, clock: Clock, now: int) -> Replica:
    return Replica(
        id=token_urlsafe(9),
        pid=os.getpid(),
        started=now,
        clock=clock,
        attempts=Attempts(limited=settings.limits == "on"),
        use=KeyUse(),
    )


def _service(settings: Settings, replica: Replica, now: int, ledger: Callable[[], Ledger]) -> Service:
    resources = Resources.parse(settings.resources, settings.issuer)
    admin_tokens = parse_secrets(settings.admin_tokens.get_secret_value(), "TOKENSVC_ADMIN_TOKENS")
    introspection_tokens = settings.introspection_tokens.get_secret_value()
    sealing = sealer(settings, now, replica.use)
    return Service(
        introspection=parse_introspection_secrets(introspection_tokens, resources),
        registration=RegistrationPolicy.parse(settings.registration.get_secret_value()),
        admin=Secrets(dict.fromkeys(admin_tokens)),
        attempts=replica.attempts,
        clock=replica.clock,
        replica=replica,
        longest=longest_lifetime(settings),
        digests=environment.digests(settings, _digest_key(sealing)),
        # Last, since it opens the ledger: until then nothing has to be closed again.
        server=_server(settings, sealing, resources, ledger),
    )


def _digest_key(sealing: Sealer) -> bytes:
    """Of the oldest version of the ring that changes least, so that a replica with one more has the same."""
    oldest = min(sealing.rings[CLIENT_KEYS].versions, key=lambda version: version.activates)
    return derive(oldest, "digest")


def _server(
    settings: Settings, sealing: Sealer, resources: Resources, ledger: Callable[[], Ledger]
) -> AuthorizationServer:
    policy = RedirectPolicy.parse(settings.redirect_hosts)
    general = lifetimes(settings)
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
        ledger=ledger(),
    )


def _reread(present: Service, now: int) -> tuple[Service, dict[Subject, Mark]]:
    """All settings as they are now, around what goes on; and the marks of the denylist. Raises SettingsError."""
    settings = environment.load()
    marks = parse_denylist(settings.denylist.get_secret_value(), now)
    return _service(settings, present.replica, now, lambda: present.server.ledger), marks


def _refuse(replica: Replica, refused: Reload) -> None:
    """Say once that everything stays as it was, however often the same is tried."""
    before, replica.reload = replica.reload, refused
    if before is None or (before.changed, before.problem) != (refused.changed, refused.problem):
        warn("settings refused", changed=refused.changed, reason=refused.problem)


def _open_ledger(settings: Settings, clock: Clock, now: int, sealer: Callable[[], Sealer]) -> Ledger:
    directory = Directory.parse(settings.peers, settings.issuer)
    local = _open_local(settings, now, alone=not directory.urls)
    if not directory.urls:
        return local
    exchange = Exchange(local, __version__, settings.staleness * 1000, now, bootstrap=settings.peers_bootstrap)
    return PeeredLedger(local, exchange, Post(sealer, clock), directory, clock)


def _no_fleet() -> str:
    """Why the process ends where neither a file nor another replica knows what was revoked."""
    problem = "names no replica that is caught up, and this one has no ledger file to begin with"
    remedy = (
        "Start the others first, or set TOKENSVC_PEERS_BOOTSTRAP=true on one replica alone to begin a new fleet, "
        "which ends all that was minted before"
    )
    return str(SettingsError(PEERS, problem, remedy))


def _open_local(settings: Settings, now: int, *, alone: bool) -> Ledger:
    path = ledger_path(settings)
    if path is None:
        return MemoryLedger(now)
    ledger = SqliteLedger(path, now, alone=alone)
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
        Route(f"{base}/introspect", Endpoint(introspection.introspect), methods=["POST"]),
        Route(f"{base}/token", Endpoint(token.token), methods=["POST"]),
        Route(f"{base}/authorize", Endpoint(authorization.authorize), methods=["GET", "POST"]),
        Route(f"{base}/revoke", Endpoint(revocation.revoke), methods=["POST"]),
        Route(f"{base}/denylist", Endpoint(denylist.denylist), methods=["GET"]),
        Route(f"{base}/healthz", Endpoint(health.healthz), methods=["GET"]),
        Route(f"{base}/readyz", Endpoint(health.readyz), methods=["GET"]),
    ]
    if service.registration.enabled:
        routes.insert(2, Route(f"{base}/register", Endpoint(registration.register), methods=["POST"]))
    if isinstance(service.server.ledger, PeeredLedger):
        routes.append(Route(f"{base}{PEERS_PATH}", Endpoint(peers.exchange), methods=["POST"]))
    if service.admin:
        routes.append(Route(f"{base}/admin/revoke", Endpoint(admin.revoke), methods=["POST"]))
        routes.append(Route(f"{base}/admin/denylist", Endpoint(admin.denylist), methods=["GET"]))
        routes.append(Route(f"{base}/admin/events", Endpoint(events.event), methods=["POST"]))
        routes.append(Route(f"{base}/admin/keys", Endpoint(overview.keys), methods=["GET"]))
        routes.append(Route(f"{base}/admin/state", Endpoint(overview.state), methods=["GET"]))
    return [*routes, *metadata.routes(found)]


def _cors_paths(service: Service) -> frozenset[str]:
    base = urlsplit(service.server.issuer).path
    return frozenset({f"{base}/token", f"{base}/register", f"{base}/revoke"})


def _lifespan(service: Service, marks: dict[Subject, Mark], files: Files) -> Any:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        ledger = service.server.ledger
        problems: list[str] = []
        await ledger.merge(State(marks=marks), service.clock())
        if isinstance(ledger, PeeredLedger):
            ledger.begin(lambda: problems.append(_no_fleet()))
            if app.state.patient:
                await _catch_up(ledger, service.clock)
        log("replica started", version=__version__, issuer=service.server.issuer)
        tending = asyncio.create_task(_tend(app, files))
        # The server looks into its state, and ends the process where there are any.
        yield {"problems": problems}
        tending.cancel()
        with suppress(asyncio.CancelledError):
            await tending
        await ledger.close()
        log("replica stopped")

    return lifespan


async def _catch_up(ledger: Ledger, clock: Clock) -> None:
    """Wait until the ledger can be asked, but not for ever: what cannot be answered is then answered 503."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(TemporarilyUnavailable):
                    await ledger.ready(clock())
                    await ledger.fresh(clock())
                    return
                await asyncio.sleep(_LOOK_AGAIN)


async def _tend(app: Starlette, files: Files) -> None:
    """Look at the files every second, and at the rings every day."""
    day = -1
    while True:
        service: Service = app.state.service
        now = service.clock()
        if now // DAY != day:
            day = now // DAY
            _warn_of_rings(service, now)
        await reload(app, files)
        await asyncio.sleep(LOOK_EVERY)


def _warn_of_rings(service: Service, now: int) -> None:
    versions = ring_report.report(service.server.sealer.rings, service.replica.use, service.longest, now)
    for warning in ring_report.warnings(versions, now):
        warn("key ring", ring=warning.ring, kid=warning.kid, reason=warning.problem)


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
