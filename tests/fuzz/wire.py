"""HTTP requests as bytes, so that they may be wrong in every way, and answers as a strict client reads them."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlsplit

Pairs = tuple[tuple[str, str | bytes], ...]
Headers = tuple[tuple[str, str | bytes], ...]
SECONDS = 20.0


@dataclass(frozen=True)
class Answer:
    """`status` is 0 where the server closed the connection without a word."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def header(self, name: str) -> str:
        return ", ".join(self.headers.get_all(name, []))

    @property
    def media_type(self) -> str:
        return self.header("content-type").partition(";")[0]

    def json(self) -> Any:
        return json.loads(self.body)


def message(method: str | bytes, target: str | bytes, headers: Headers = (), body: bytes = b"") -> bytes:
    """A request without framing of its own: Content-Length or Transfer-Encoding stand in `headers`."""
    lines = [_bytes(method) + b" " + _bytes(target) + b" HTTP/1.1"]
    lines += [_bytes(name) + b": " + _bytes(value) for name, value in headers]
    return b"\r\n".join([*lines, b"", body])


def send(url: str, data: bytes, *, method: str = "GET", cut: bool = False) -> Answer:
    """Send the bytes and read one answer. `cut` hangs up where the server would wait for more."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=SECONDS) as connection:
        try:
            connection.sendall(data)
            if cut:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # It was refused before it was over; the answer may be there all the same.
        return _read(connection, method)


def encode(pairs: Iterable[tuple[str, str | bytes]]) -> bytes:
    """Form encoding; bytes stand as they are, so that they may be encoded wrongly."""
    return b"&".join(
        quote_plus(name, errors="surrogatepass").encode()
        + b"="
        + (value if isinstance(value, bytes) else quote_plus(value, errors="surrogatepass").encode())
        for name, value in pairs
    )


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])


def _read(connection: socket.socket, method: str) -> Answer:
    response = http.client.HTTPResponse(connection, method=method)
    try:
        response.begin()
        body = response.read()
    except (http.client.BadStatusLine, ConnectionResetError):
        return Answer(0, http.client.HTTPMessage(), b"")
    finally:
        response.close()
    return Answer(response.status, response.headers, body)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1", "replace")
