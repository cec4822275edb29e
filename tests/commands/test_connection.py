"""How slow a request may be, and what is left of a connection whose request is not one: over real sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from tests.flows.wire import Answer, read_answer
from tests.replica import SECONDS, wait_for
from tokensvc.commands.connection import HttpProtocol
from tokensvc.commands.server import Server

PATIENCE = 0.4
HEAD = b"POST /%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"


class Impatient(HttpProtocol):
    reading_seconds = PATIENCE


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Echo the body; at /slow only after longer than a request may take to arrive, at /long very often."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    if scope["path"] == "/slow":
        await asyncio.sleep(2 * PATIENCE)
    if scope["path"] == "/long":
        body *= 8_000_000
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Server, int]]:
    """With little patience, in a thread; and its port."""
    config = uvicorn.Config(
        application,
        http=Impatient,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        timeout_keep_alive=1,
    )
    server = Server(config, drain=0)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield server, listening.getsockname()[1]
        server.leave(0)
        thread.join(SECONDS)
    assert not thread.is_alive()


@pytest.fixture
def connection(server: tuple[Server, int]) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server[1]), SECONDS) as connected:
        yield connected


def answer_then_end(connection: socket.socket) -> Answer:
    """The one answer that comes, after which the server has closed the connection."""
    stream = connection.makefile("rb")
    answer = read_answer(stream)
    assert stream.read() == b""
    return answer


def test_connection_that_brings_no_request_is_closed_without_a_word(connection: socket.socket) -> None:
    assert connection.recv(1) == b""


@pytest.mark.parametrize("part", [b"P", HEAD % b"", HEAD % b"" + b"\r\n", HEAD % b"" + b"\r\nabc"])
def test_request_that_stalls_is_answered_408_and_closed(connection: socket.socket, part: bytes) -> None:
    """RFC 9110 §15.5.9."""
    connection.sendall(part)
    answer = answer_then_end(connection)
    assert (answer.status, answer.headers["connection"]) == (408, "close")


def test_request_that_trickles_has_no_more_time_than_one_that_stalls(connection: socket.socket) -> None:
    """Each byte would otherwise buy the next."""
    connection.setblocking(False)
    begun = time.monotonic()
    rest = iter(HEAD % b"" + b"X-Long: " + b"x" * 4096)

    def ended() -> bool:
        try:
            connection.send(bytes([next(rest)]))
            return not connection.recv(4096)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    wait_for(ended, "the connection is closed")
    assert time.monotonic() - begun >= PATIENCE


def test_second_request_on_a_connection_has_the_same_time_as_the_first(connection: socket.socket) -> None:
    stream = connection.makefile("rb")
    connection.sendall(HEAD % b"" + b"\r\nabcd")
    assert read_answer(stream).body == b"abcd"
    connection.sendall(HEAD % b"")
    assert read_answer(stream).status == 408
    assert stream.read() == b""


def test_time_to_answer_is_not_the_client_s(connection: socket.socket) -> None:
    connection.sendall(HEAD % b"slow" + b"\r\nabcd")
    assert read_answer(connection.makefile("rb")).body == b"abcd"


def test_answer_that_nobody_takes_is_given_up(server: tuple[Server, int], connection: socket.socket) -> None:
    """After the time that an idle connection has."""
    connection.sendall(HEAD % b"long" + b"\r\nabcd")
    assert connection.recv(4, socket.MSG_WAITALL) == b"HTTP"
    wait_for(lambda: not server[0].server_state.connections, "the server has no connection any more")
    assert len(connection.makefile("rb").read()) < 32_000_000


def test_request_in_pieces_is_answered_if_they_come_in_time(connection: socket.socket) -> None:
    stream = connection.makefile("rb")
    for _ in range(2):
        for piece in (HEAD[:3], HEAD[3:] % b"", b"\r\nab", b"cd"):
            connection.sendall(piece)
        assert read_answer(stream).body == b"abcd"


@pytest.mark.parametrize("text", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_what_is_no_http_is_answered_400_and_logged_as_a_line_of_json(
    connection: socket.socket, capfdbinary: pytest.CaptureFixture[bytes], text: bytes
) -> None:
    connection.sendall(text)
    assert answer_then_end(connection).status == 400
    assert b'"event":"malformed request"' in capfdbinary.readouterr().err
