"""Requests whose last byte is held back: to let many begin in the same instant, or to let one begin late."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, BinaryIO
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
    """A form, or with `document` JSON, for a URL."""

    url: str
    form: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    document: Any = None

    @property
    def raw(self) -> bytes:
        parts = urlsplit(self.url)
        body = (urlencode(self.form) if self.document is None else json.dumps(self.document)).encode()
        kind = "application/x-www-form-urlencoded" if self.document is None else "application/json"
        headers = {"Host": parts.netloc, "Content-Type": kind, "Content-Length": str(len(body))} | dict(self.headers)
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

    def send(self) -> None:
        """Send the last byte."""
        self._socket.sendall(self._raw[-1:])

    def answer(self) -> Answer:
        with self._socket:
            return read_answer(self._socket.makefile("rb"))

    def answer_or_none(self) -> Answer | None:
        """None where the server went away without an answer."""
        try:
            return self.answer()
        except ConnectionError:
            return None

    def finish(self) -> Answer:
        self.send()
        return self.answer()


def connect(host: str, port: int, context: ssl.SSLContext | None = None) -> socket.socket:
    plain = socket.create_connection((host, port), SECONDS)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname=host) if context else plain


def read_answer(stream: BinaryIO) -> Answer:
    """Raises ConnectionError where the connection ends before a whole answer has come."""
    status = stream.readline().split()
    if len(status) < 2:
        raise ConnectionError("the connection ended without an answer")
    headers = http.client.parse_headers(stream)
    length = int(headers.get("content-length", "0"))
    body = stream.read(length)
    if len(body) < length:
        raise ConnectionError("the connection ended within an answer")
    return Answer(int(status[1]), {name.lower(): value for name, value in headers.items()}, body)


def race(posts: Sequence[Post], context: ssl.SSLContext | None = None) -> list[Answer]:
    """Finish all requests at the same time: each on a connection and in a thread of its own."""
    held = [HeldRequest(post, context) for post in posts]
    barrier = threading.Barrier(len(held))

    def finish(request: HeldRequest) -> Answer:
        barrier.wait(SECONDS)
        return request.finish()

    with ThreadPoolExecutor(len(held)) as pool:
        return list(pool.map(finish, held))


def pipeline(posts: Sequence[Post]) -> list[Answer]:
    """Send all requests at once on one connection: a server takes each as soon as it has answered the one before."""
    parts = urlsplit(posts[0].url)
    with connect(parts.hostname or "", parts.port or 80) as connection:
        connection.sendall(b"".join(post.raw for post in posts))
        answers = connection.makefile("rb")
        return [read_answer(answers) for _ in posts]
