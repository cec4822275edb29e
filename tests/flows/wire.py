"""Requests whose last byte is held back: to let many begin in the same instant, or to let one begin late."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.replica import SECONDS


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Post:
    """A form, or with `content` anything else, for a URL."""

    url: str
    form: Mapping[str, str]
    headers: Mapping[str, str] | None = None

    @property
    def raw(self) -> bytes:
        parts = urlsplit(self.url)
        body = urlencode(self.form).encode()
        headers = {
            "Host": parts.netloc,
            "Content-Type": "application/x-www-form-urlencoded",
            "Content-Length": str(len(body)),
        } | dict(self.headers or {})
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return f"POST {target} HTTP/1.1\r\n{head}\r\n".encode() + body


class HeldRequest:
    """Sent but for its last byte. A server has begun to read it, and cannot answer yet."""

    def __init__(self, post: Post, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(post.url)
        self._socket = connect(parts.hostname or "", parts.port or 443, context if parts.scheme == "https" else None)
        self._raw = post.raw
        self._socket.sendall(self._raw[:-1])

    def finish(self) -> Answer:
        """Send the last byte and read the answer."""
        with self._socket:
            self._socket.sendall(self._raw[-1:])
            return read_answer(self._socket)


def connect(host: str, port: int, context: ssl.SSLContext | None = None) -> socket.socket:
    plain = socket.create_connection((host, port), SECONDS)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname=host) if context else plain


def read_answer(connection: socket.socket) -> Answer:
    """Raises http.client.HTTPException or OSError where the connection ends without a whole one."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return Answer(response.status, dict(response.getheaders()), response.read())


def race(posts: Sequence[Post], context: ssl.SSLContext | None = None) -> list[Answer]:
    """Finish all requests at the same time: each on a connection and in a thread of its own."""
    held = [HeldRequest(post, context) for post in posts]
    barrier = threading.Barrier(len(held))

    def finish(request: HeldRequest) -> Answer:
        barrier.wait(SECONDS)
        return request.finish()

    with ThreadPoolExecutor(len(held)) as pool:
        return list(pool.map(finish, held))
