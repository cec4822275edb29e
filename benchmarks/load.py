"""The load: connections that are kept alive, each sending its next request when the last one is answered.

The requests are bytes made beforehand and of an answer just the status, the length and the body are read, so that one
core of load keeps one core of server busy.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol
from urllib.parse import urlencode

HOST = "127.0.0.1"
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
_GRACE = 60.0
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)


class Chain(Protocol):
    """The requests of one connection: each may hang on the answer to the one before."""

    def request(self) -> bytes: ...
    def answered(self, body: bytes) -> None: ...


@dataclass
class Repeats:
    """The same few requests again and again, whatever the answers."""

    requests: Iterator[bytes]

    @classmethod
    def of(cls, requests: Sequence[bytes]) -> Repeats:
        return cls(itertools.cycle(requests))

    def request(self) -> bytes:
        return next(self.requests)

    def answered(self, body: bytes) -> None:
        """Nothing hangs on it."""


@dataclass
class Refreshes:
    """Grants that are refreshed in turn, each with the refresh token that it was given the last time."""

    client_id: str
    tokens: deque[str]

    def request(self) -> bytes:
        form = {"grant_type": "refresh_token", "refresh_token": self.tokens.popleft(), "client_id": self.client_id}
        return post("/token", urlencode(form), FORM)

    def answered(self, body: bytes) -> None:
        self.tokens.append(json.loads(body)["refresh_token"])


@dataclass
class Registrations:
    """Clients that all have another name, or the service would give them one client_id."""

    numbers: Iterator[int]

    def request(self) -> bytes:
        metadata = {
            "client_name": f"Claude Code ({next(self.numbers)})",
            "redirect_uris": ["http://localhost:61023/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        }
        return post("/register", json.dumps(metadata), JSON)

    def answered(self, body: bytes) -> None:
        """Nothing hangs on it."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """A run ends after so many seconds or requests, whichever comes first."""

    seconds: float
    requests: int


@dataclass(frozen=True, slots=True)
class Run:
    requests: int
    seconds: float


def post(path: str, body: str, media_type: str, *headers: str) -> bytes:
    """A request with the headers that a client library sends."""
    head = (
        f"POST {path} HTTP/1.1",
        f"Host: {HOST}",
        "Accept: */*",
        "Accept-Encoding: gzip, deflate",
        "Connection: keep-alive",
        "User-Agent: python-httpx/0.28.1",
        *headers,
        f"Content-Type: {media_type}",
        f"Content-Length: {len(body.encode())}",
    )
    return "\r\n".join((*head, "", body)).encode()


def drive(port: int, chains: Sequence[Chain], bounds: Bounds) -> Run:
    """Run every chain on a connection of its own. RuntimeError for an answer that is not a success."""
    return asyncio.run(_drive(port, chains, bounds))


def ask(port: int, request: bytes) -> bytes:
    """The body of one answer."""
    bodies: list[bytes] = []
    drive(port, [_Once(request, bodies.append)], Bounds(_GRACE, 1))
    return bodies[0]


async def _drive(port: int, chains: Sequence[Chain], bounds: Bounds) -> Run:
    loop = asyncio.get_running_loop()
    tally = _Tally(bounds.requests)
    connections = [
        (await loop.create_connection(partial(_Connection, chain, tally), HOST, port))[1] for chain in chains
    ]
    began = time.perf_counter()
    loop.call_later(bounds.seconds, tally.stop)
    async with asyncio.timeout(bounds.seconds + _GRACE):
        for connection in connections:
            connection.send()
        await asyncio.gather(*(connection.done for connection in connections))
    return Run(tally.answered, time.perf_counter() - began)


@dataclass
class _Once:
    sent: bytes
    answered: Callable[[bytes], None]

    def request(self) -> bytes:
        return self.sent


@dataclass
class _Tally:
    """What all connections of a run may still send, and how much was answered."""

    left: int
    answered: int = 0

    def stop(self) -> None:
        self.left = 0


@dataclass
class _Connection(asyncio.Protocol):
    chain: Chain
    tally: _Tally
    received: bytes = b""
    done: asyncio.Future[None] = field(init=False)
    transport: asyncio.Transport = field(init=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.done = asyncio.get_running_loop().create_future()

    def send(self) -> None:
        if self.tally.left <= 0:
            self._end(None)
            return
        self.tally.left -= 1
        self.transport.write(self.chain.request())

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = _LENGTH.search(head + b"\r\n")
        if length is None or not head.startswith(b"HTTP/1.1 20"):
            self._end(RuntimeError(f"no success: {self.received.decode(errors='replace')}"))
        elif len(body) >= int(length[1]):
            self.received = b""
            self.tally.answered += 1
            self.chain.answered(body)
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or ConnectionError("the server closed a connection"))

    def _end(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error:
            self.done.set_exception(error)
        else:
            self.done.set_result(None)
        self.transport.close()
