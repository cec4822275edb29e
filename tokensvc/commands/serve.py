"""`tokensvc serve`: run a replica."""

import argparse
import os
import socket
import sqlite3
from contextlib import closing
from copy import copy
from pathlib import Path

import uvicorn

from tokensvc import app, assembly, settings
from tokensvc.commands import CommandFailed, development, now
from tokensvc.commands.connection import HttpProtocol
from tokensvc.commands.server import Server
from tokensvc.commands.workers import Workers
from tokensvc.errors import SettingsError, TemporarilyUnavailable
from tokensvc.ledger.sqlite.connection import BUSY_SECONDS
from tokensvc.observability import take_over_logging
from tokensvc.settings import Settings

LONGEST_HEADERS = 32_768
"""Bytes of a request line and headers; a state of 2,048 characters and a crowd of cookies fit several times."""
DRAIN_SECONDS = 5
"""Longer than a balancer takes to notice that /readyz dropped (4 s), or to let go of an idle connection (3 s)."""
FINISHING_SECONDS = 10
"""For requests that have begun, after nothing more is accepted."""


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.description = "Run a replica until SIGTERM. It logs to stderr, one JSON object a line."
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8000, help="port to listen on (default: %(default)s)")
    parser.add_argument("--workers", type=_workers, default=1, help="processes on one sqlite ledger (default: 1)")
    parser.add_argument(
        "--drain",
        metavar="SECONDS",
        type=_seconds,
        help=f"go on answering after SIGTERM, while /readyz is 503 (default: {DRAIN_SECONDS}; 0 with --development)",
    )
    parser.add_argument(
        "--development",
        metavar="DIR",
        type=Path,
        help="try it out on loopback: rings, an API key and secrets are made under DIR on the first run, and kept",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    listening, introduction = None, ""
    if options.development:
        # First, since the issuer names the port, which may be any that is free.
        listening = _listen(options.host, options.port)
        introduction = development.prepare(options.development, listening.getsockname()[1], os.environ)
    loaded = _settings()
    app.check_names(loaded)
    _check(loaded, options.workers)
    listening = listening or _listen(options.host, options.port)
    if introduction:
        print(introduction, flush=True)
    take_over_logging()
    _serve(_config(loaded, options), listening, _drain(options))


def _serve(config: uvicorn.Config, listening: socket.socket, drain: int) -> None:
    """Until it is told to end. Ctrl-C ends it in order too, and says so by the exit code that shells expect."""
    if config.workers > 1:
        successors = copy(config)
        successors.app = "tokensvc.app:succeed"
        workers = Workers(config, listening, drain, successors)
        workers.run()
        interrupted = workers.interrupted
    else:
        server = Server(config, drain)
        try:
            server.run([listening])
        except TemporarilyUnavailable as error:
            raise CommandFailed(f"{error}: {error.reason}") from None
        except SystemExit:
            raise CommandFailed("the service did not start; the log says why") from None
        if server.problem:
            raise CommandFailed(server.problem)
        interrupted = server.interrupted
    if interrupted:
        raise KeyboardInterrupt


def _drain(options: argparse.Namespace) -> int:
    """Nobody balances over a development run, and Ctrl-C should end it at once."""
    given: int | None = options.drain
    return (0 if options.development else DRAIN_SECONDS) if given is None else given


def _settings() -> Settings:
    try:
        return settings.load()
    except SettingsError as error:
        if any(name.startswith(settings.PREFIX) for name in os.environ):
            raise
        raise CommandFailed(f"{error}. To try it out first: tokensvc serve --development DIR") from None


def _listen(host: str, port: int) -> socket.socket:
    """Bound before anything is announced: who reads the announcement can connect."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        what = str(error.strerror).partition(" (while")[0]
        raise CommandFailed(f"cannot listen on {host} port {port}: {what}. Give another --port or --host") from None
    # Accepted connections inherit it. asyncio sets it only on sockets that name TCP, which create_server's do not, and
    # without it an answer's body waits 40 ms for the acknowledgement of its headers.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _check(loaded: Settings, workers: int) -> None:
    """Refuse before the first worker starts what every worker would refuse."""
    path = assembly.ledger_path(loaded)
    if path is None and workers > 1:
        remedy = "Use sqlite:///PATH for several workers, or --workers 1"
        raise SettingsError("TOKENSVC_LEDGER", "is memory://, which one process alone can hold", remedy)
    app.check(loaded, now())
    if path is not None:
        _check_file(path)


def _check_file(path: Path) -> None:
    """A file that cannot be written would end every worker, one after the other."""
    try:
        if not path.absolute().parent.is_dir():
            raise NotADirectoryError("its directory is not there")
        path.touch(mode=0o600)
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except (OSError, sqlite3.Error) as error:
        remedy = "Check the path and the rights of its directory, or name another file"
        raise SettingsError("TOKENSVC_LEDGER", f"names {path}, which cannot be used: {error}", remedy) from None


def _config(loaded: Settings, options: argparse.Namespace) -> uvicorn.Config:
    return uvicorn.Config(
        "tokensvc.app:create",
        factory=True,
        host=options.host,
        port=options.port,
        workers=options.workers,
        # h11 rather than a faster parser: it holds the cap on headers while they arrive.
        http=HttpProtocol,
        ws="none",
        lifespan="on",
        h11_max_incomplete_event_size=LONGEST_HEADERS,
        proxy_headers=True,
        forwarded_allow_ips=[part.strip() for part in loaded.trusted_proxies.split(",") if part.strip()],
        access_log=False,
        log_config=None,
        # Its warnings are of what clients send; what deserves a line is logged by HttpProtocol, with an address.
        log_level="error",
        server_header=False,
        timeout_graceful_shutdown=FINISHING_SECONDS,
    )


def _port(text: str) -> int:
    return _number(text, 0, 65_535, "a port is")


def _workers(text: str) -> int:
    return _number(text, 1, 256, "workers are")


def _seconds(text: str) -> int:
    return _number(text, 0, 3600, "seconds are")


def _number(text: str, least: int, most: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"{what} {least} to {most}")
    return int(text)
