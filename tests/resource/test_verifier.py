"""The verifier against a service that is scripted: what it asks, keeps, refuses, and survives."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.resource.support import ISSUER, RESOURCE, SECRET, TOKEN, Scripted, facts, run, until
from tokensvc.resource import AccessToken, IntrospectionVerifier, Unavailable

OTHER = "tsat_another..token"


def digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:16]).decode().rstrip("=")


def scripted(test: Callable[[Scripted], Awaitable[None]], **script: Any) -> None:
    async def go() -> None:
        await test(Scripted(**script))

    run(go())


def test_it_asks_with_its_secret_and_keeps_the_answer() -> None:
    async def test(service: Scripted) -> None:
        verifier = service.verifier()
        first, second = await verifier.verify(TOKEN), await verifier.verify(TOKEN)
        assert first is second
        assert first is not None
        assert first.sub == "acme/ada"
        (request,) = service.asked
        assert (request.method, str(request.url)) == ("POST", f"{ISSUER}/introspect")
        assert request.headers["authorization"] == f"Bearer {SECRET}"
        assert request.content == f"token={TOKEN}".encode()

    scripted(test)


def test_it_asks_where_the_service_is_reached_from_here() -> None:
    async def test(service: Scripted) -> None:
        await service.verifier(url="http://tokensvc:8000/base/").verify(TOKEN)
        assert str(service.asked[0].url) == "http://tokensvc:8000/base/introspect"

    scripted(test)


def test_a_token_that_is_not_active_is_none_and_asked_about_once() -> None:
    async def test(service: Scripted) -> None:
        verifier = service.verifier()
        assert [await verifier.verify(TOKEN) for _ in range(5)] == [None] * 5
        assert len(service.asked) == 1

    scripted(test, answers={"active": False})


def test_with_no_time_to_live_it_asks_every_time() -> None:
    async def test(service: Scripted) -> None:
        verifier = service.verifier(ttl=0)
        for _ in range(3):
            assert await verifier.verify(TOKEN)
        assert len(service.asked) == 3

    scripted(test)


def test_an_expired_token_is_kept_not_at_all() -> None:
    async def test(service: Scripted) -> None:
        verifier = service.verifier()
        for _ in range(3):
            assert await verifier.verify(TOKEN)
        assert len(service.asked) == 3

    scripted(test, answers=facts(exp=1))


@pytest.mark.parametrize(
    "token",
    ["", "x", "tsrt_abc", "ovat_abc", "tsat_", "tsat_a b", "tsat_é", "tsat_a\n", f"tsat_{'a' * 5000}"],
    ids=repr,
)
def test_what_cannot_be_a_token_is_asked_nobody(token: str) -> None:
    async def test(service: Scripted) -> None:
        assert await service.verifier().verify(token) is None
        assert not service.asked

    scripted(test)


def test_whoever_asks_at_the_same_time_waits_for_one_answer() -> None:
    async def test(service: Scripted) -> None:
        service.gate.clear()
        verifier = service.verifier()
        waiting = [asyncio.create_task(verifier.verify(TOKEN)) for _ in range(64)]
        other = asyncio.create_task(verifier.verify(OTHER))
        await until(lambda: len(service.asked) == 2, "both are asked about")
        service.gate.set()
        found = await asyncio.gather(*waiting, other)
        assert all(isinstance(token, AccessToken) for token in found)
        assert len(service.asked) == 2

    scripted(test)


def test_one_who_goes_away_takes_nobody_along() -> None:
    async def test(service: Scripted) -> None:
        service.gate.clear()
        verifier = service.verifier()
        first, *others = [asyncio.create_task(verifier.verify(TOKEN)) for _ in range(5)]
        await until(lambda: len(service.asked) == 1, "it is asked about")
        first.cancel()
        service.gate.set()
        assert all(await asyncio.gather(*others))
        assert first.cancelled()
        assert len(service.asked) == 1

    scripted(test)


def test_an_answer_that_nobody_waits_for_any_more_is_kept_for_the_next() -> None:
    async def test(service: Scripted) -> None:
        service.gate.clear()
        verifier = service.verifier()
        only = asyncio.create_task(verifier.verify(TOKEN))
        await until(lambda: len(service.asked) == 1, "it is asked about")
        only.cancel()
        service.gate.set()
        assert await verifier.verify(TOKEN)
        assert len(service.asked) == 1

    scripted(test)


UNREADABLE: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "503": {"status": 503},
    "429": {"status": 429},
    "wrong secret": {"status": 401},
    "redirect": {"status": 307, "headers": {b"Location": b"https://evil.example/introspect"}},
    "no object": {"answers": [True]},
    "nothing": {"answers": {}},
    "active is a text": {"answers": facts(active="true")},
    "active is a number": {"answers": facts(active=1)},
    "half an answer": {"answers": {"active": True}},
    "other issuer": {"answers": facts(iss="https://evil.example")},
    "other resource": {"answers": facts(aud="https://other.example")},
    "several resources": {"answers": facts(aud=[RESOURCE])},
    "too long": {"answers": facts(padding="x" * 70_000)},
}


@pytest.mark.parametrize("script", UNREADABLE.values(), ids=UNREADABLE)
def test_whatever_is_no_answer_lets_nobody_in_and_calls_no_token_invalid(script: dict[str, Any]) -> None:
    async def test(service: Scripted) -> None:
        verifier = service.verifier()
        for _ in range(2):
            with pytest.raises(Unavailable) as raised:
                await verifier.verify(TOKEN)
            assert TOKEN not in str(raised.value)
            assert SECRET not in str(raised.value)
        assert len(service.asked) == 2, "a failure is not kept"
        service.status, service.answers = 200, facts()
        assert await verifier.verify(TOKEN)

    scripted(test, **script)


@pytest.mark.parametrize(
    ("script", "hint"),
    [
        ({"status": 401}, "answered 401: the introspection secret"),
        ({"answers": facts(iss="https://evil.example")}, "'https://evil.example'"),
        ({"answers": facts(aud="https://other.example")}, "'https://other.example'"),
    ],
    ids=["secret", "issuer", "resource"],
)
def test_the_log_says_what_is_configured_wrongly(script: dict[str, Any], hint: str) -> None:
    async def test(service: Scripted) -> None:
        with pytest.raises(Unavailable, match=hint):
            await service.verifier().verify(TOKEN)

    scripted(test, **script)


@pytest.mark.parametrize(
    ("given", "seconds"), [("7", 7), ("0", 1), ("9999", 60), ("", 2), ("Wed, 21 Oct", 2), ("-1", 2), ("²", 2)]
)
def test_it_says_when_to_come_back(given: str, seconds: int) -> None:
    async def test(service: Scripted) -> None:
        with pytest.raises(Unavailable) as raised:
            await service.verifier().verify(TOKEN)
        assert raised.value.retry_after == seconds

    scripted(test, status=503, headers={b"Retry-After": given.encode()} if given else {})


def test_a_service_that_never_answers_is_waited_for_no_longer_than_allowed() -> None:
    async def test(service: Scripted) -> None:
        service.gate.clear()
        with pytest.raises(Unavailable, match="TimeoutError"):
            await service.verifier(timeout=0.05).verify(TOKEN)

    scripted(test)


def test_a_connection_that_was_closed_under_the_request_is_tried_once_more() -> None:
    asked = []

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if len(asked) == 1:
            raise httpx.RemoteProtocolError("Server disconnected", request=request)
        return httpx.Response(200, json=facts())

    async def test() -> None:
        http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        assert await IntrospectionVerifier(ISSUER, SECRET, resource=RESOURCE, http=http).verify(TOKEN)

    run(test())
    assert len(asked) == 2


def test_a_service_that_is_not_there_is_unavailable() -> None:
    async def test() -> None:
        verifier = IntrospectionVerifier("http://127.0.0.1:9", SECRET, resource=RESOURCE)
        with pytest.raises(Unavailable, match="ConnectError"):
            await verifier.verify(TOKEN)
        await verifier.aclose()

    run(test())


def test_news_of_a_revocation_end_what_was_kept() -> None:
    async def test(service: Scripted) -> None:
        verifier = service.verifier(denylist=True)
        assert await verifier.verify(TOKEN)
        service.tell(("user", digest("user:acme/eve")))
        await until(lambda: not service.pages, "it was told")
        assert await verifier.verify(TOKEN)
        assert len(service.asked) == 1
        service.answers = {"active": False}
        service.tell(("user", digest("user:acme/ada")))
        await until(lambda: not verifier._cache._active, "it was told")
        assert await verifier.verify(TOKEN) is None
        await verifier.aclose()

    scripted(test)


def test_nobody_who_comes_after_the_news_is_given_an_answer_from_before() -> None:
    async def test(service: Scripted) -> None:
        verifier = service.verifier(denylist=True)
        service.gate.clear()
        before = asyncio.create_task(verifier.verify(TOKEN))
        await until(lambda: len(service.asked) == 1, "it is asked about")
        service.answers = {"active": False}
        service.tell(("family", digest("family:family")))
        await until(lambda: not verifier._flights, "it was told")
        after = asyncio.create_task(verifier.verify(TOKEN))
        await until(lambda: len(service.asked) == 2, "it is asked about again")
        service.gate.set()
        assert await before
        assert await after is None
        assert await verifier.verify(TOKEN) is None
        await verifier.aclose()

    scripted(test)


def test_closing_it_waits_for_what_was_asked() -> None:
    async def test(service: Scripted) -> None:
        service.gate.clear()
        verifier = service.verifier(denylist=True)
        waiting = asyncio.create_task(verifier.verify(TOKEN))
        await until(lambda: len(service.asked) == 1, "it is asked about")
        closing = asyncio.create_task(verifier.aclose())
        service.gate.set()
        assert await waiting
        await closing

    scripted(test)


def test_it_goes_on_listening_when_the_denylist_could_not_be_asked(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "tokensvc.resource")
    statuses = [503, 200, 200]
    cursors: list[str | None] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/introspect":
            return httpx.Response(200, json=facts())
        cursors.append(request.url.params.get("since"))
        if len(cursors) > len(statuses):
            await asyncio.Event().wait()
        return httpx.Response(statuses[len(cursors) - 1], json={"marks": [], "cursor": "r.5", "more": False})

    async def test() -> None:
        http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        verifier = IntrospectionVerifier(ISSUER, SECRET, resource=RESOURCE, http=http, denylist=True)
        assert await verifier.verify(TOKEN)
        await until(lambda: len(cursors) == 4, "it asked on")
        await verifier.aclose()

    run(test())
    assert cursors == [None, None, "r.5", "r.5"]
    assert "/denylist answered 503" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": ""},
        {"issuer": "https://u:p@auth.example.com"},
        {"url": "file:///etc/passwd"},
        {"url": "https://x?y"},
        {"url": "http://["},
        {"url": "http://:80"},
        {"secret": ""},
        {"secret": "two words"},
        {"secret": "é"},
        {"prefix": "TS"},
        {"prefix": ""},
        {"ttl": 61},
        {"ttl": float("nan")},
        {"most": 0},
        {"timeout": 0},
    ],
    ids=repr,
)
def test_a_configuration_that_cannot_work_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        IntrospectionVerifier(**({"issuer": ISSUER, "secret": SECRET, "resource": RESOURCE} | wrong))
    assert SECRET not in str(raised.value)
