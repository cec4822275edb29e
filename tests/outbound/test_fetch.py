"""One fetch from a host that may be hostile: what counts as an answer, and whom it can make this machine talk to."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from tests.https_host import Handler, HttpsHost, answer, document, hang_up
from tokensvc.outbound import Busy, Refused, Unfetchable, slots
from tokensvc.outbound.address import Networks
from tokensvc.outbound.fetch import MOST_AT_ONCE, MOST_AT_ONE_HOST, Fetched, Outbound, Resolve, Target

LOOPBACK = Networks.parse("127.0.0.0/8")
LARGEST = 5_120


def resolver(*addresses: str) -> Resolve:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return resolve


HERE = resolver("127.0.0.1")


def fetch(
    url: str, resolve: Resolve = HERE, networks: Networks = LOOPBACK, seconds: float = 3, largest: int = LARGEST
) -> Fetched:
    return asyncio.run(Outbound(networks, resolve, seconds).get(url, largest))


def test_document_comes_with_its_headers(host: HttpsHost) -> None:
    url = host.serve("/a?b=c", document({"a": 1}, {"ETag": '"1"'}), "app.example")
    found = fetch(url)
    assert (found.body, found.headers["etag"]) == (b'{"a": 1}', '"1"')
    sent = host.headers_of["/a?b=c"]
    assert (sent["Host"], sent["Accept-Encoding"]) == (f"app.example:{host.port}", "identity")
    assert not {"Cookie", "Authorization"} & sent.keys()


def test_system_resolver_is_asked_by_default(host: HttpsHost) -> None:
    url = host.serve("/system", document({}))
    networks = Networks.parse("127.0.0.0/8,::1")
    assert asyncio.run(Outbound(networks).get(url, LARGEST)).body == b"{}"
    with pytest.raises(Unfetchable, match="not public"):
        asyncio.run(Outbound(Networks()).get(url, LARGEST))


@pytest.mark.parametrize(
    "url",
    [
        "http://app.example/a",
        "HTTPS://app.example/a",
        "ftp://app.example/a",
        "//app.example/a",
        "https:app.example/a",
        "https:///a",
        "https://user@app.example/a",
        "https://user:pw@app.example/a",
        "https://app.example/a#b",
        "https://app.example/a#",
        "https://app.example/a b",
        "https://app.example/é",
        "https://app.example\\@127.0.0.1/a",
        "https://app.example:0/a",
        "https://app.example:99999/a",
        "https://app.example:x/a",
        "https://app..example/a",
        "https://.app.example/a",
        "https://app.example./a",
        "https://-/a",
        "https://app.example/%zz",
        "https://[::1/a",
        "https://[app.example]/a",
        "https://app.example/" + "a" * 512,
        "https://" + "a" * 254 + "/a",
        "https://app.example/\r\nHost: x",
        "",
    ],
)
def test_url_that_is_not_plain_https_is_never_asked(url: str) -> None:
    async def fail(_host: str, _port: int) -> Sequence[str]:
        raise AssertionError("it was resolved")

    with pytest.raises(Unfetchable):
        fetch(url, fail)


@pytest.mark.parametrize(
    "literal", ["127.0.0.1", "[::1]", "8.8.8.8", "127.1", "2130706433", "0x7f000001", "[::ffff:7f00:1]"]
)
def test_host_that_is_an_address_is_never_asked(literal: str) -> None:
    with pytest.raises(Unfetchable, match="an address"):
        fetch(f"https://{literal}/a", networks=Networks())


def test_address_that_the_operator_allows_is_asked_by_its_own_certificate(host: HttpsHost) -> None:
    """Which this host lacks."""
    with pytest.raises(Unfetchable, match="certificate"):
        fetch(f"https://127.0.0.1:{host.port}/a")


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["2002:7f00:1::"],
        ["8.8.8.8", "127.0.0.1"],
        ["127.0.0.1", "8.8.8.8"],
        ["0.0.0.0"],  # noqa: S104  # nothing is bound
        ["nonsense"],
    ],
    ids=str,
)
def test_name_with_an_address_inside_is_not_asked_at_any_of_its_addresses(
    host: HttpsHost, addresses: list[str]
) -> None:
    url = host.serve("/inside", document({}), "app.example")
    with pytest.raises(Unfetchable, match="not public"):
        fetch(url, resolver(*addresses), Networks())
    assert not host.asked["/inside"]


def test_name_that_changes_its_address_after_it_was_checked_gains_nothing(
    host: HttpsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection goes to the address that was checked, and the name is not looked up again."""
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])

    async def rebinding(_host: str, _port: int) -> Sequence[str]:
        return next(answers)

    looked_up: list[object] = []
    real = socket.getaddrinfo

    def watched(name: object, *rest: object, **options: object) -> object:
        looked_up.append(name)
        return real(name, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", watched)
    assert fetch(host.serve("/rebinding", document({}), "app.example"), rebinding).body == b"{}"
    assert next(answers) == ["127.0.0.2"]
    assert set(looked_up) <= {"127.0.0.1"}


def test_name_without_an_address_is_no_answer() -> None:
    with pytest.raises(Unfetchable, match="cannot be resolved"):
        fetch("https://app.example/a", resolver())


def test_next_address_is_tried_where_one_cannot_be_reached(host: HttpsHost) -> None:
    """A host may list IPv6 first on a machine that has none."""
    url = host.serve("/second", document({}), "app.example")
    networks = Networks.parse("127.0.0.0/8")
    assert fetch(url, resolver("127.0.0.9", "127.0.0.1"), networks).body == b"{}"


def test_certificate_has_to_be_for_the_name(host: HttpsHost, tmp_path: Path) -> None:
    host.serve("/name", document({}))
    with pytest.raises(Unfetchable, match="certificate"):
        fetch(host.url("/name", "stranger.example"))
    with HttpsHost(tmp_path) as stranger:
        url = stranger.serve("/name", document({}))
        with pytest.raises(Unfetchable, match="certificate"):
            fetch(url)
    assert not stranger.asked


def test_names_at_one_address_are_checked_one_by_one(host: HttpsHost) -> None:
    """A connection that one name has opened is not used for another, whose certificate nobody saw."""
    host.serve("/shared", document({}))

    async def both() -> None:
        out = Outbound(LOOPBACK, HERE)
        await out.get(host.url("/shared", "app.example"), LARGEST)
        with pytest.raises(Unfetchable, match="certificate"):
            await out.get(host.url("/shared", "stranger.example"), LARGEST)

    asyncio.run(both())
    assert host.asked["/shared"] == 1


@pytest.mark.parametrize("status", [201, 204, 301, 302, 303, 304, 307, 308, 401, 404, 500, 503])
def test_nothing_but_200_is_an_answer_and_redirects_lead_nowhere(host: HttpsHost, status: int) -> None:
    target = host.serve("/target", document({}))
    body = b"" if status in {204, 304} else b"{}"
    url = host.serve(f"/{status}", answer(status, body, {"Location": target}), "app.example")
    with pytest.raises(Unfetchable, match=f"it answered {status}"):
        fetch(url)
    assert not host.asked["/target"]


def test_host_that_says_gone_has_answered(host: HttpsHost) -> None:
    with pytest.raises(Refused, match="gone"):
        fetch(host.serve("/410", answer(410, b"{}")))


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/x.y+json"])
def test_json_by_any_of_its_types_is_an_answer(host: HttpsHost, kind: str) -> None:
    assert fetch(host.serve("/type", answer(200, b"{}", {"Content-Type": kind}))).body == b"{}"


@pytest.mark.parametrize("kind", ["text/html", "text/plain", "", "application/jsonp", "application/json-seq", "x/json"])
def test_any_other_type_is_none(host: HttpsHost, kind: str) -> None:
    with pytest.raises(Unfetchable, match="content type"):
        fetch(host.serve("/type", answer(200, b"{}", {"Content-Type": kind})))


def test_size_is_capped_whatever_the_host_declares(host: HttpsHost) -> None:
    def undeclared(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(b" " * (LARGEST + 1))
        handler.close_connection = True

    assert fetch(host.serve("/fits", answer(200, b" " * LARGEST))).body == b" " * LARGEST
    for path, large in {"/declared": answer(200, b" " * (LARGEST + 1)), "/undeclared": undeclared}.items():
        with pytest.raises(Unfetchable, match="larger than 5120 bytes"):
            fetch(host.serve(path, large))


def test_packed_answer_is_not_unpacked(host: HttpsHost) -> None:
    bomb = gzip.compress(b" " * 5_000_000)
    assert len(bomb) < LARGEST
    with pytest.raises(Unfetchable, match="packed"):
        fetch(host.serve("/bomb", answer(200, bomb, {"Content-Encoding": "gzip"})))


def test_slow_host_is_left_when_the_time_is_up(host: HttpsHost) -> None:
    def drip(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.02)

    url = host.serve("/drip", drip)
    began = time.monotonic()
    with pytest.raises(Unfetchable, match=r"more than 0\.2 s"):
        fetch(url, seconds=0.2)
    assert time.monotonic() - began < 1


def test_silent_resolver_is_left_when_the_time_is_up() -> None:
    async def silent(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    with pytest.raises(Unfetchable, match=r"more than 0\.05 s"):
        fetch("https://app.example/a", silent, seconds=0.05)


def test_host_that_hangs_up_or_talks_nonsense_is_no_answer(host: HttpsHost) -> None:
    def nonsense(handler: Handler) -> None:
        handler.wfile.write(b"\x00\x01 nonsense\r\n\r\n")
        handler.close_connection = True

    def endless(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000)
        handler.close_connection = True

    for path, odd in {"/hang-up": hang_up, "/nonsense": nonsense, "/endless": endless}.items():
        with pytest.raises(Unfetchable):
            fetch(host.serve(path, odd))


def test_environment_names_no_proxy_for_it(host: HttpsHost, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetch(host.serve("/proxy", document({}))).body == b"{}"


def test_fetches_under_way_are_limited() -> None:
    waiting = asyncio.Event()
    asked: list[str] = []

    async def slow(name: str, _port: int) -> Sequence[str]:
        asked.append(name)
        await waiting.wait()
        return ()

    async def many() -> None:
        out = Outbound(LOOPBACK, slow)
        fetches = [asyncio.create_task(out.get(f"https://h{n}.example/a", LARGEST)) for n in range(MOST_AT_ONCE + 10)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(asked) == MOST_AT_ONCE
        waiting.set()
        results = await asyncio.gather(*fetches, return_exceptions=True)
        assert all(isinstance(result, Unfetchable) for result in results)
        assert len(asked) == MOST_AT_ONCE + 10

    asyncio.run(many())


def test_one_host_leaves_room_for_others_and_is_not_to_blame_for_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for room is no failure of the host that is waited for."""
    monkeypatch.setattr(slots, "PATIENCE", 0.05)
    asked: list[str] = []

    async def silent(name: str, _port: int) -> Sequence[str]:
        asked.append(name)
        await asyncio.Event().wait()
        return ()

    async def scene() -> None:
        out = Outbound(LOOPBACK, silent, seconds=0.2)
        most = range(MOST_AT_ONE_HOST)
        greedy = [asyncio.create_task(out.get(f"https://greedy.example/{n}", LARGEST)) for n in most]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await out.get("https://greedy.example:8443/more", LARGEST)
        other = asyncio.create_task(out.get("https://other.example/a", LARGEST))
        failures = await asyncio.gather(*greedy, other, return_exceptions=True)
        assert [type(failure) for failure in failures] == [Unfetchable] * (MOST_AT_ONE_HOST + 1)
        assert asked == ["greedy.example"] * MOST_AT_ONE_HOST + ["other.example"]

    asyncio.run(scene())


def test_path_goes_out_as_it_was_written() -> None:
    target = Target.parse("https://App.Example:8443/a%2Fb/;c=1?d=%20&e")
    assert (target.host, target.port, target.authority) == ("app.example", 8443, "app.example:8443")
    assert target.path == "/a%2Fb/;c=1?d=%20&e"
    assert httpx.URL(f"https://127.0.0.1{target.path}").raw_path.decode() == target.path
