"""Requests that are wrong as HTTP, and requests that are too large: refused early, without a trace of failure."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import replica as running
from tests.fuzz.wire import SECONDS, Answer, chunked, message, send
from tests.ports import free_port
from tests.replica import Replica

FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")
HOST = ("Host", "127.0.0.1")
CHUNKED = ("Transfer-Encoding", "chunked")
CAP = 65_536


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    port = free_port()
    directory: Path = tmp_path_factory.mktemp("wire")
    with Replica(running.settings("memory://", port), port, directory=directory) as started:
        yield started


@pytest.fixture(autouse=True)
def unharmed(replica: Replica) -> Iterator[None]:
    """Whatever a test does, the service goes on, and has nothing to report but that it refused."""
    yield
    assert send(replica.url, message("GET", "/healthz", (HOST,))).status == 200
    log = "".join(replica.lines)
    assert "Traceback" not in log
    assert "ERROR" not in log
    assert "Fatal" not in log


def post(replica: Replica, path: str, body: bytes, *headers: tuple[str, str]) -> Answer:
    length = ("Content-Length", str(len(body)))
    return send(replica.url, message("POST", path, (HOST, *headers, length), body))


def test_header_of_a_megabyte_is_refused_before_it_has_come(replica: Replica) -> None:
    with socket.create_connection(("127.0.0.1", replica.port), timeout=SECONDS) as connection:
        connection.sendall(message("GET", "/healthz", (HOST, ("X-Large", "x" * 40_000)))[:-4])
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("headers", [200, 2000])
def test_crowd_of_headers_is_answered_or_refused(replica: Replica, headers: int) -> None:
    crowd = tuple((f"X-{number}", "x" * 20) for number in range(headers))
    answer = send(replica.url, message("GET", "/healthz", (HOST, *crowd)))
    assert answer.status == (200 if headers == 200 else 400)


@pytest.mark.parametrize("parameter", ["client_id", "refresh_token"])
def test_sixty_thousand_dots_are_refused(replica: Replica, parameter: str) -> None:
    form = {"grant_type": "refresh_token", "client_id": "x", "refresh_token": "x"} | {parameter: "." * 60_000}
    body = "&".join(f"{name}={value}" for name, value in form.items()).encode()
    answer = post(replica, "/token", body, FORM)
    assert (answer.status, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"redirect_uris":['], ids=["lists", "objects", "members"])
def test_deep_json_is_refused(replica: Replica, opening: bytes) -> None:
    answer = post(replica, "/register", (opening * CAP)[:CAP], JSON)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_client_metadata")


def test_declared_length_over_the_cap_is_refused_before_the_body_comes(replica: Replica) -> None:
    for length, status in ((CAP + 1, 413), (10**12, 413), (10**40, 400)):
        head = message("POST", "/token", (HOST, FORM, ("Content-Length", str(length))))
        assert send(replica.url, head).status == status


def test_body_without_a_declared_length_is_cut_at_the_cap(replica: Replica) -> None:
    for size in (CAP, 4096):
        body = chunked(b"a=" + b"x" * CAP, size)
        assert send(replica.url, message("POST", "/token", (HOST, FORM, CHUNKED), body)).status == 413


def test_body_of_exactly_the_cap_is_read(replica: Replica) -> None:
    body = b"grant_type=" + b"x" * (CAP - 11)
    assert post(replica, "/token", body, FORM).json()["error"] == "unsupported_grant_type"
    assert post(replica, "/token", body + b"x", FORM).status == 413


def test_body_may_come_a_byte_at_a_time(replica: Replica) -> None:
    body = chunked(b"grant_type=refresh_token&client_id=x&refresh_token=y", 1)
    answer = send(replica.url, message("POST", "/token", (HOST, FORM, CHUNKED), body))
    assert answer.json()["error"] == "invalid_client"


@pytest.mark.parametrize(
    "framing",
    [
        (("Content-Length", "3"), ("Content-Length", "4")),
        (("Content-Length", "-1"),),
        (("Content-Length", "+3"),),
        (("Content-Length", "0x3"),),
        (("Content-Length", ""),),
        (("Content-Length", "3, 4"),),
        (("Transfer-Encoding", "gzip"),),
        (("Transfer-Encoding", "chunked, gzip"),),
        (("Transfer-Encoding", "xchunked"),),
    ],
    ids=str,
)
def test_framing_that_could_be_read_in_two_ways_is_refused(replica: Replica, framing: tuple[tuple[str, str]]) -> None:
    answer = send(replica.url, message("POST", "/token", (HOST, FORM, *framing), b"a=b"))
    assert answer.status in {400, 501}


def test_request_that_ends_too_soon_does_nothing(replica: Replica) -> None:
    for headers, body in (
        ((("Content-Length", "90"),), b"grant_type=refresh_token"),
        ((CHUNKED,), b"18\r\ngrant_type=refresh_token\r\n"),
        ((CHUNKED,), b"5"),
    ):
        data = message("POST", "/token", (HOST, FORM, *headers), body)
        assert send(replica.url, data, cut=True).status == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("path", ["/healthz", "/token", "/introspect", "/register"])
def test_body_that_goes_wrong_on_the_way_is_no_failure_of_the_service(replica: Replica, method: str, path: str) -> None:
    """Before, while and after the service has made its own answer."""
    head = message(method, path, (HOST, FORM, CHUNKED))
    for pieces in ((head + b"5;x\r\nabcdefgh",), (head, b"5;x\r\nabcdefgh"), (head + b"5\r\n", b"abcdefgh", b"zz")):
        with socket.create_connection(("127.0.0.1", replica.port), timeout=SECONDS) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                connection.sendall(piece)
            assert connection.recv(12) in {b"HTTP/1.1 400", b"HTTP/1.1 401", b"HTTP/1.1 405", b"HTTP/1.1 200"}


def test_requests_on_one_connection_are_answered_in_turn(replica: Replica) -> None:
    """One that is refused early leaves its body to nobody."""
    refused = message("POST", "/register", (HOST, FORM, ("Content-Length", "20")), b"GET /healthz HTTP/1.")
    with socket.create_connection(("127.0.0.1", replica.port), timeout=SECONDS) as connection:
        connection.sendall(refused + message("GET", "/nowhere", (HOST, ("Connection", "close"))))
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert received.count(b"HTTP/1.1 ") == 2
    assert received.index(b"HTTP/1.1 400") < received.index(b"HTTP/1.1 404")


@pytest.mark.parametrize("path", ["/token", "/authorize", "/register", "/introspect", "/nowhere"])
def test_upgrade_and_expectations_change_nothing(replica: Replica, path: str) -> None:
    plain = send(replica.url, message("POST", path, (HOST,)))
    for headers in (
        (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")),
        (("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")),
        (("Expect", "202-accepted"),),
    ):
        answer = send(replica.url, message("POST", path, (HOST, *headers)))
        assert (answer.status, answer.body) == (plain.status, plain.body)


def test_client_that_asks_before_it_sends_is_told_to_go_on(replica: Replica) -> None:
    headers = (HOST, FORM, ("Content-Length", "12"), ("Expect", "100-continue"))
    with socket.create_connection(("127.0.0.1", replica.port), timeout=SECONDS) as connection:
        connection.sendall(message("POST", "/token", headers))
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(b"grant_type=x")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("line", [b"GARBAGE", b"GET /", b"\x16\x03\x01\x02\x00\x01", b"GET /healthz HTTP/1"])
def test_what_is_no_http_is_refused(replica: Replica, line: bytes) -> None:
    assert send(replica.url, line + b"\r\n\r\n").status == 400
