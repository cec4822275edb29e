"""What serves while the story is told: the balancer and the MCP server, in a thread of their own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socket import socket

import uvicorn
from starlette.applications import Starlette

from tokensvc.commands.demo.balancer import Balancer

_SECONDS = 10.0


@contextmanager
def serving(balancer: Balancer, before: socket, application: Starlette, at: socket) -> Iterator[None]:
    """Both sockets listen already, so that who connects before the thread runs only waits."""
    config = uvicorn.Config(application, lifespan="off", log_config=None, log_level="critical", access_log=False)
    server = uvicorn.Server(config)

    async def serve() -> None:
        async with await balancer.serve(before):
            await server.serve(sockets=[at])

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="demo", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_SECONDS)
