"""`/peers/exchange`: what opens is answered, sealed, whoever sends it; and what does not open says nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx
import pytest

from tests.endpoints.local import NOW, SECOND, Service
from tokensvc.endpoints import peers
from tokensvc.endpoints.http import LONGEST_BODY
from tokensvc.endpoints.peers import FEW, MAX_AGE, MOST_LONG_BODIES
from tokensvc.ledger import marks
from tokensvc.ledger.algebra import State
from tokensvc.ledger.exchange import BOOTSTRAP_AFTER
from tokensvc.ledger.marks import Mark
from tokensvc.ledger.messages import Answer, Question
from tokensvc.protocol.peer import MEDIA_TYPE, PATH, read_answer, write_question
from tokensvc.tokens.kinds import PeerAnswer, PeerQuestion
from tokensvc.tokens.sealer import Sealer

NEWS = State(marks={marks.account("acme"): Mark(NOW, NOW + 1000 * SECOND)})
PAGE_OF_NEWS = State(spent={f"{number:040}": NOW + 1000 * SECOND for number in range(1_500)})


@pytest.fixture
def service() -> Iterator[Service]:
    """A replica whose one peer nobody answers for."""
    with Service({"peers": "http://127.0.0.1:9", "peers_bootstrap": True}) as service:
        yield service


def sealer(service: Service) -> Sealer:
    found: Sealer = service.app.state.service.server.sealer
    return found


def post(service: Service, body: str | bytes, address: str = "127.0.0.1") -> httpx.Response:
    return service.http(address).post(PATH, content=body, headers={"Content-Type": MEDIA_TYPE})


def stream(
    service: Service, parts: Callable[[], AsyncIterator[bytes]], address: str = "127.0.0.1"
) -> Awaitable[httpx.Response]:
    """A question that comes in parts, of undeclared length."""
    transport = httpx.ASGITransport(service.app, client=(address, 50_000))
    return httpx.AsyncClient(transport=transport, base_url=service.issuer).post(PATH, content=parts())


def sealed(service: Service, clock: int = NOW, **members: object) -> str:
    question = Question("nonce", "another", clock, **members)  # type: ignore[arg-type]  # as each test says
    return sealer(service).seal(write_question(question), NOW)


def opened(service: Service, response: httpx.Response) -> Answer:
    assert response.status_code == 200, response.text
    assert (response.headers["content-type"], response.headers["cache-control"]) == (MEDIA_TYPE, "no-store")
    return read_answer(sealer(service).unseal(PeerAnswer, response.text, NOW))


def test_question_is_answered_under_its_nonce_with_what_is_new(service: Service) -> None:
    service.run(service.app.state.service.server.ledger.merge(NEWS, NOW))
    answer = opened(service, post(service, sealed(service, cursor="")))
    assert answer.nonce == "nonce"
    assert (answer.news.marks, answer.accepted, answer.more) == (NEWS.marks, False, False)
    again = opened(service, post(service, sealed(service, cursor=answer.cursor)))
    assert not again.news.marks


def test_news_are_in_force_once_they_are_accepted(service: Service) -> None:
    ledger = service.app.state.service.server.ledger
    body = sealed(service, news=NEWS)
    for _ in range(3):
        answer = opened(service, post(service, body))
        assert answer.accepted
        assert not answer.news.marks
        assert service.run(ledger.marks(NOW)) == NEWS.marks


def test_news_from_the_future_are_not_accepted(service: Service) -> None:
    late = State(marks={marks.account("acme"): Mark(NOW + 6 * SECOND, NOW + 1000 * SECOND)})
    assert not opened(service, post(service, sealed(service, news=late))).accepted
    assert not service.run(service.app.state.service.server.ledger.marks(NOW))


def test_whatever_does_not_open_is_one_answer(service: Service) -> None:
    good = sealed(service, news=NEWS)
    answer = post(service, good).text
    with Service({"peers": "http://127.0.0.1:9"}) as other:
        foreign = sealed(other, news=NEWS)
    for body in ("", "x", b"\xff\xfe", good[:-1], good + "A", good.replace("tspq_", "tspa_"), answer, foreign):
        refused = post(service, body)
        assert refused.status_code == 400
        assert refused.json() == {"error": "invalid_request", "error_description": "the question does not open"}


def test_body_that_is_longer_than_any_question_is_refused(service: Service) -> None:
    assert post(service, b"x" * (PeerQuestion.longest + 1)).status_code == 413


def test_guesses_from_one_address_are_limited_and_peers_are_not(service: Service) -> None:
    for _ in range(20):
        assert post(service, "guess", "192.0.2.1").status_code == 400
    assert post(service, "guess", "192.0.2.1").status_code == 429
    for _ in range(50):
        opened(service, post(service, sealed(service, cursor=""), "192.0.2.1"))


@pytest.mark.parametrize("off", [MAX_AGE + 1, -MAX_AGE - 1], ids=["ahead", "behind"])
def test_question_of_another_time_brings_nothing_and_gets_little(
    service: Service, monkeypatch: pytest.MonkeyPatch, off: int
) -> None:
    """It may be played back; and a replica whose clock is off has to find out, and not take it for all there is."""
    ledger = service.app.state.service.server.ledger
    service.run(ledger.merge(PAGE_OF_NEWS, NOW))
    woken: list[str] = []
    (line,) = ledger._lines.values()
    monkeypatch.setattr(line.wake, "set", lambda: woken.append(line.peer.url))
    answer = opened(service, post(service, sealed(service, NOW + off, news=NEWS, cursor="")))
    assert (answer.nonce, answer.clock, answer.accepted) == ("nonce", NOW, False)
    assert (0 < len(answer.news.spent) <= FEW, answer.more, woken) == (True, True, [])
    assert not service.run(ledger.marks(NOW))
    near = opened(service, post(service, sealed(service, NOW + off + (-1 if off > 0 else 1), news=NEWS, cursor="")))
    assert (near.accepted, near.more, service.run(ledger.marks(NOW))) == (True, False, NEWS.marks)
    assert woken


def test_page_of_news_is_read_to_its_end(service: Service) -> None:
    body = sealed(service, news=PAGE_OF_NEWS).encode()
    assert len(body) > LONGEST_BODY

    async def parts() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 10_000):
            yield body[at : at + 10_000]

    assert opened(service, service.run(stream(service, parts))).accepted


@pytest.mark.parametrize("start", ["", "x", "tspq_", "tspq_e30..", "tsat_"], ids=["none", "x", "kind", "kid", "other"])
def test_long_body_that_does_not_begin_as_a_question_is_not_read_further(service: Service, start: str) -> None:
    read = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal read
        yield start.encode()
        while True:
            read += 4096
            yield b"x" * 4096

    assert service.run(stream(service, parts)).status_code == 400
    assert read <= LONGEST_BODY + 4096


def test_who_has_failed_too_often_is_not_read_further_and_its_short_questions_are(service: Service) -> None:
    for _ in range(20):
        assert post(service, "guess", "192.0.2.1").status_code == 400
    page = sealed(service, news=PAGE_OF_NEWS)

    async def parts() -> AsyncIterator[bytes]:
        yield page[:LONGEST_BODY].encode()
        yield page[LONGEST_BODY:].encode()

    assert service.run(stream(service, parts, "192.0.2.1")).status_code == 429
    assert service.run(stream(service, parts, "192.0.2.2")).status_code == 200
    opened(service, post(service, sealed(service, news=NEWS), "192.0.2.1"))


def test_only_so_many_long_bodies_are_read_at_once_and_short_questions_pass_by(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who does not come to an end in time is refused, and counts as one that has failed."""
    monkeypatch.setattr(peers, "SECONDS", 0.5)
    page = sealed(service, news=PAGE_OF_NEWS).encode()

    async def parts() -> AsyncIterator[bytes]:
        yield page[:LONGEST_BODY]
        await asyncio.Event().wait()

    async def crowd() -> tuple[list[int], list[int], bool]:
        slow = [asyncio.ensure_future(stream(service, parts, "192.0.2.9")) for _ in range(MOST_LONG_BODIES)]
        while not peers._long_bodies.locked():  # noqa: ASYNC110  # nothing tells when it is
            await asyncio.sleep(0)
        refused = await stream(service, parts, "192.0.2.8")
        assert int(refused.headers["retry-after"]) > 0

        async def short() -> AsyncIterator[bytes]:
            yield sealed(service, news=NEWS).encode()

        passed = await stream(service, short)
        late = [answer.status_code for answer in await asyncio.gather(*slow)]
        return [refused.status_code, passed.status_code], late, peers._long_bodies.locked()

    assert service.run(crowd()) == ([503, 200], [400] * MOST_LONG_BODIES, False)
    assert service.run(stream(service, parts, "192.0.2.9")).status_code == 429


def test_replica_without_peers_has_no_such_endpoint() -> None:
    with Service() as alone:
        assert post(alone, "x").status_code == 404


def test_path_of_the_issuer_stands_before_it() -> None:
    with Service({"issuer": "https://example.com/auth", "peers": "http://127.0.0.1:9"}) as service:
        assert service.http().post(f"https://example.com/auth{PATH}", content=b"x").status_code == 400


def test_replica_that_has_not_caught_up_answers_503_and_is_alive(service: Service) -> None:
    client = service.client()
    for path, status in (("/healthz", 200), ("/readyz", 503)):
        assert client.http.get(path).status_code == status
    assert client.token(grant_type="refresh_token", refresh_token="x", client_id="x").status_code == 503
    headers = {"Authorization": "Bearer introspection-secret-of-the-tests"}
    assert client.http.post("/introspect", data={"token": "x"}, headers=headers).status_code == 503


def test_fleet_that_is_begun_is_ready_and_takes_no_revocation_alone(service: Service) -> None:
    service.clock.now += BOOTSTRAP_AFTER
    client = service.client()
    for _ in range(100):
        service.run(asyncio.sleep(0.05))
        if client.http.get("/readyz").status_code == 200:
            break
    assert client.http.get("/readyz").status_code == 200
    answer = client.admin_revoke("account", "acme")
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert marks.account("acme") in service.run(service.app.state.service.server.ledger.marks(service.clock.now))
