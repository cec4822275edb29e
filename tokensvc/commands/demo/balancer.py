"""The demo's balancer: passes connections on to one replica after another. It looks into none of them."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from socket import socket

_PIECE = 65_536


class Balancer:
    """Before replicas by name, each with its port on loopback. `served` says who took each connection so far.

    Who connects once a request, as everything in the demo does, has every request balanced. A replica that takes no
    connection is passed over.
    """

    def __init__(self, replicas: Mapping[str, int]) -> None:
        self._replicas = dict(replicas)
        self._turns = list(replicas)
        self._only: str | None = None
        self.served: list[str] = []

    async def serve(self, listening: socket) -> asyncio.Server:
        return await asyncio.start_server(self._pass_on, sock=listening)

    @contextmanager
    def only(self, name: str) -> Iterator[None]:
        """Meanwhile every connection goes to this replica."""
        self._only = name
        try:
            yield
        finally:
            self._only = None

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream, replica = await self._connect()
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, replica), _pump(upstream, writer))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the next replica that takes the connection. Raises OSError where none does."""
        for name in [self._only] if self._only else self._next():
            with suppress(OSError):
                connected = await asyncio.open_connection("127.0.0.1", self._replicas[name])
                self.served.append(name)
                return connected
        raise OSError("no replica takes the connection")

    def _next(self) -> list[str]:
        """All of them, the next in turn first."""
        turns = list(self._turns)
        self._turns.append(self._turns.pop(0))
        return turns


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What one side says, to the other, until it ends."""
    with suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
    writer.close()
