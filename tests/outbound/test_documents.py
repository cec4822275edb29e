"""Documents that are remembered: fresh, asked for anew, kept where their host fails, and bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tokensvc.outbound import Busy, Refused, Unfetchable
from tokensvc.outbound.documents import FAILED_FOR, Documents
from tokensvc.outbound.fetch import Fetched
from tokensvc.outbound.freshness import USUAL

NOW = 1_800_000_000_000
URL = "https://app.example/a"
KEPT_FOR = 7 * 86_400_000


class Host:
    """In the place of Outbound: answers what it is told, and counts."""

    def __init__(self) -> None:
        self.body: bytes | Unfetchable | None = b'{"n": 1}'
        self.headers: dict[str, str] = {}
        self.asked: list[Mapping[str, str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def get(self, _url: str, _largest: int, validators: Mapping[str, str] | None = None) -> Fetched:
        self.asked.append(dict(validators or {}))
        await self.gate.wait()
        if isinstance(self.body, Unfetchable):
            raise self.body
        return Fetched(self.body, self.headers)


def parse(_url: str, value: Any) -> int:
    if "no" in value:
        raise Refused("it says no")
    return int(value["n"])


def documents(host: Host, **bounds: int) -> Documents[int]:
    return Documents(host, parse, **{"largest": 100, "kept_for": KEPT_FOR} | bounds)  # type: ignore[arg-type]


@pytest.fixture
def host() -> Host:
    return Host()


def test_fresh_copy_asks_nobody_and_one_that_is_not_asks_once(host: Host) -> None:
    async def scene() -> None:
        known = documents(host)
        assert [await known.get(URL, NOW + n) for n in (0, 1, USUAL - 1)] == [1, 1, 1]
        assert len(host.asked) == 1
        host.body = b'{"n": 2}'
        assert await known.get(URL, NOW + USUAL) == 2
        assert len(host.asked) == 2

    asyncio.run(scene())


def test_unchanged_document_is_fresh_again_without_being_sent(host: Host) -> None:
    async def scene() -> None:
        known = documents(host)
        host.headers = {"etag": '"1"', "cache-control": "max-age=100"}
        await known.get(URL, NOW)
        host.body = None
        assert await known.get(URL, NOW + 100_000) == 1
        assert host.asked == [{}, {"If-None-Match": '"1"'}]
        assert await known.get(URL, NOW + 199_999) == 1
        assert len(host.asked) == 2

    asyncio.run(scene())


def test_good_copy_serves_while_its_host_fails_but_not_for_ever(host: Host) -> None:
    async def scene() -> None:
        known = documents(host)
        await known.get(URL, NOW)
        host.body = Unfetchable("down")
        assert await known.get(URL, NOW + KEPT_FOR - 1) == 1
        with pytest.raises(Unfetchable, match="down"):
            await known.get(URL, NOW + KEPT_FOR)

    asyncio.run(scene())


def test_failure_is_remembered_for_less_than_a_minute_whether_or_not_there_is_a_copy(host: Host) -> None:
    async def scene() -> None:
        known = documents(host)
        host.body = Unfetchable("down")
        for later in (0, 1, FAILED_FOR - 1):
            with pytest.raises(Unfetchable):
                await known.get(URL, NOW + later)
        assert len(host.asked) == 1
        host.body = b'{"n": 1}'
        assert await known.get(URL, NOW + FAILED_FOR) == 1
        host.body = Unfetchable("down")
        for _ in range(3):
            assert await known.get(URL, NOW + FAILED_FOR + USUAL) == 1
        assert len(host.asked) == 3

    assert FAILED_FOR <= 60_000
    asyncio.run(scene())


def test_room_that_lacks_here_is_no_failure_of_the_host(host: Host) -> None:
    async def scene() -> None:
        known = documents(host)
        host.body = Busy("too many fetches are under way")
        for _ in range(2):
            with pytest.raises(Busy):
                await known.get(URL, NOW)
        assert not known.failed(URL, NOW)
        host.body = b'{"n": 1}'
        assert await known.get(URL, NOW) == 1
        host.body = Busy("too many fetches are under way")
        assert await known.get(URL, NOW + USUAL) == 1
        host.body = b'{"n": 2}'
        assert await known.get(URL, NOW + USUAL) == 2

    asyncio.run(scene())


def test_copy_is_asked_for_anew_long_before_it_ends(host: Host) -> None:
    async def scene() -> None:
        day = 86_400_000
        known = documents(host, kept_for=day)
        host.headers = {"cache-control": "max-age=86400"}
        await known.get(URL, NOW)
        host.body = Unfetchable("down")
        assert await known.get(URL, NOW + day // 2) == 1
        assert len(host.asked) == 2
        assert known.has(URL, NOW + day - 1)
        assert await known.get(URL, NOW + day - 1) == 1
        assert not known.has(URL, NOW + day)
        with pytest.raises(Unfetchable):
            await known.get(URL, NOW + day)

    asyncio.run(scene())


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"[" * 5_000, b'{"n": NaN}', b"\xff"], ids=repr)
def test_what_is_no_json_is_a_failure_and_no_word_of_the_host(host: Host, body: bytes) -> None:
    async def scene() -> None:
        known = documents(host)
        await known.get(URL, NOW)
        host.body = body
        assert await known.get(URL, NOW + USUAL) == 1

    asyncio.run(scene())


def test_document_that_says_no_stands_against_every_copy(host: Host) -> None:
    async def scene() -> None:
        known = documents(host)
        await known.get(URL, NOW)
        host.body = b'{"no": true}'
        for later in (USUAL, USUAL + 1):
            with pytest.raises(Refused, match="it says no"):
                await known.get(URL, NOW + later)
        assert len(host.asked) == 2
        host.body = Unfetchable("down")
        with pytest.raises(Unfetchable):
            await known.get(URL, NOW + USUAL + FAILED_FOR)

    asyncio.run(scene())


def test_those_who_ask_at_once_share_one_fetch_even_where_the_first_goes_away(host: Host) -> None:
    async def scene() -> None:
        known = documents(host)
        host.gate.clear()
        asking = [asyncio.create_task(known.get(URL, NOW)) for _ in range(50)]
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(host.asked) == 1
        asking[0].cancel()
        host.gate.set()
        assert await asyncio.gather(*asking[1:]) == [1] * 49
        assert len(host.asked) == 1
        assert asking[0].cancelled()

    asyncio.run(scene())


def test_copy_that_its_host_stood_by_too_long_ago_is_asked_for_anew_and_never_given_instead(host: Host) -> None:
    async def scene() -> None:
        known = documents(host)
        await known.get(URL, NOW)
        assert await known.get(URL, NOW + 10, NOW) == 1
        host.body = b'{"n": 2}'
        assert await known.get(URL, NOW + 10, NOW + 1) == 2
        host.body = Unfetchable("down")
        with pytest.raises(Unfetchable):
            await known.get(URL, NOW + 20, NOW + 20)
        assert await known.get(URL, NOW + 20) == 2

    asyncio.run(scene())


def test_memory_is_bounded_and_what_is_used_stays(host: Host) -> None:
    async def scene(known: Documents[int], room: int) -> None:
        for n in range(room + 5):
            await known.get(f"https://h{n}.example/a", NOW)
            await known.get("https://h0.example/a", NOW)
        asked = len(host.asked)
        await known.get("https://h0.example/a", NOW)
        await known.get(f"https://h{room + 4}.example/a", NOW)
        assert len(host.asked) == asked
        await known.get("https://h1.example/a", NOW)
        assert len(host.asked) == asked + 1

    host.headers = {"etag": '"1234567"'}
    asyncio.run(scene(documents(host, most_bytes=(8 + 9) * 4), 4))
    host.headers = {}
    asyncio.run(scene(documents(host, most=4), 4))
    asyncio.run(scene(documents(host, most_bytes=8 * 4), 4))
