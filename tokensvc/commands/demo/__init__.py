"""`tokensvc demo`: three replicas, a balancer, a protected MCP server, and a story that proves itself."""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from io import TextIOWrapper
from pathlib import Path

from tokensvc.commands.demo.app import App
from tokensvc.commands.demo.background import serving
from tokensvc.commands.demo.balancer import Balancer
from tokensvc.commands.demo.fleet import NAMES, Fleet, Secrets, listen, port_of
from tokensvc.commands.demo.mcp_server import McpServer
from tokensvc.commands.demo.signals import ends_cleanly
from tokensvc.commands.demo.story import Narrator, Stage, tell

_CAST = """\
Three replicas: A, B and C. They share no database and no file. Each has a memory of its own, a copy of the
keys, and the addresses of the other two. Clients see one address, a balancer that sends each request to the
next replica. Beside it there is an MCP server with one tool. All of it runs on this machine, for this demo."""


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Three replicas that share nothing but keys, behind a balancer, protect an MCP server. The demo goes "
        "through the life of a token on them, and says what each step has just proved. It takes half a minute, "
        "needs no settings, and leaves nothing behind. Exit code 1 where something is not as it should be."
    )
    parser.set_defaults(run=run)


def run(_options: argparse.Namespace) -> None:
    begun = time.monotonic()
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal that cannot show a tick gets a question mark in its place.
        sys.stdout.reconfigure(errors="replace")
    print(_CAST, flush=True)
    with ends_cleanly(), _stage() as stage:
        tell(stage)
    took = time.monotonic() - begun
    print(f"\n{stage.say.facts} facts proved in {took:.0f} seconds. Everything was ended and removed.")


@contextmanager
def _stage() -> Iterator[Stage]:
    with ExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="tokensvc-demo-")))
        before, at = listen(), listen()
        issuer, resource = f"http://127.0.0.1:{port_of(before)}", f"http://127.0.0.1:{port_of(at)}/mcp"
        made = Secrets()
        fleet = opened.enter_context(Fleet(directory, issuer, resource, made))
        for name in NAMES:
            fleet.start(name, first=name == NAMES[0])
        balancer = Balancer(fleet.ports)
        server = McpServer(resource, issuer, made.introspection)
        opened.enter_context(serving(balancer, before, server.application(), at))
        app = opened.enter_context(closing(App(resource)))
        fleet.wait_until_ready()
        yield Stage(issuer, balancer, fleet, app, made, Narrator())
