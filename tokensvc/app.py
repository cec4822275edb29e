"""The application: settings assembled into a service, its routes mounted, and what goes on while it runs."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware

from tokensvc import __version__
from tokensvc import settings as environment
from tokensvc.assembly import Clock, assemble, ledger_path, new_replica, no_fleet, open_ledger
from tokensvc.endpoints.http import EXCEPTION_HANDLERS
from tokensvc.endpoints.middleware import Cors, RequestId
from tokensvc.endpoints.routes import cors_paths, routes
from tokensvc.endpoints.service import Replica, Service
from tokensvc.errors import SettingsError, TemporarilyUnavailable
from tokensvc.ledger import Ledger
from tokensvc.ledger.algebra import State
from tokensvc.ledger.marks import Mark, Subject, parse_denylist
from tokensvc.ledger.memory import MemoryLedger
from tokensvc.ledger.peers import PeeredLedger
from tokensvc.observability import log, warn
from tokensvc.protocol.peer import Directory
from tokensvc.reload import LOOK_EVERY, Files, Reload
from tokensvc.settings import Settings
from tokensvc.tokens import ring_report
from tokensvc.tokens.sealer import DAY

PATIENCE = 10.0
"""Seconds for which a successor waits to catch up before it listens all the same."""
_LOOK_AGAIN = 0.05


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
    """Raise SettingsError for a `TOKENSVC_` name that is no setting, where TOKENSVC_STRICT asks for it."""
    for name, nearest in environment.unknown_names(os.environ).items():
        if settings.strict:
            remedy = f"Did you mean {nearest}?" if nearest else "See the README for the settings"
            raise SettingsError(name, "is no setting of this version", remedy)


def build(settings: Settings, clock: Clock | None = None, files: Files | None = None) -> Starlette:
    """The application: every setting parsed, every adapter opened; `files` are read again. Raises SettingsError."""
    clock = clock or _milliseconds
    now = clock()
    marks = parse_denylist(settings.denylist.get_secret_value(), now)

    def opened() -> Ledger:
        # The sealer in force, whenever a peer is asked: the rings may be read again.
        return open_ledger(settings, clock, now, lambda: app.state.service.server.sealer)

    service = assemble(settings, new_replica(settings, clock, now), now, opened)
    app = Starlette(
        routes=routes(service),
        middleware=[Middleware(RequestId), Middleware(Cors, paths=cors_paths(service))],
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
        mounted = routes(service)
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
        app.state.service, app.router.routes = service, [*mounted]
        present.replica.reload = Reload(now, changed)
        log("settings reloaded", changed=changed)


def check(settings: Settings, now: int) -> None:
    """Parse every setting without opening anything. Raises SettingsError."""
    parse_denylist(settings.denylist.get_secret_value(), now)
    ledger_path(settings)
    Directory.parse(settings.peers, settings.issuer)
    assemble(settings, new_replica(settings, lambda: now, now), now, lambda: MemoryLedger(now))


def _reread(present: Service, now: int) -> tuple[Service, dict[Subject, Mark]]:
    """All settings as they are now, around what goes on; and the marks of the denylist. Raises SettingsError."""
    settings = environment.load()
    marks = parse_denylist(settings.denylist.get_secret_value(), now)
    return assemble(settings, present.replica, now, lambda: present.server.ledger), marks


def _refuse(replica: Replica, refused: Reload) -> None:
    """Say once that everything stays as it was, however often the same is tried."""
    before, replica.reload = replica.reload, refused
    if before is None or (before.changed, before.problem) != (refused.changed, refused.problem):
        warn("settings refused", changed=refused.changed, reason=refused.problem)


def _lifespan(service: Service, marks: dict[Subject, Mark], files: Files) -> Any:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        ledger = service.server.ledger
        problems: list[str] = []
        await ledger.merge(State(marks=marks), service.clock())
        if isinstance(ledger, PeeredLedger):
            ledger.begin(lambda: problems.append(no_fleet()))
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
    versions = ring_report.report(service.rings, service.replica.use, service.longest, now)
    for warning in ring_report.warnings(versions, now):
        warn("key ring", ring=warning.ring, kid=warning.kid, reason=warning.problem)


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
