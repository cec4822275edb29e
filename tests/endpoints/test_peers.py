"""`/peers/exchange`: what opens is answered, sealed, whoever sends it; and what does not open says nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from tests.endpoints.local import NOW, SECOND, Service
from tokensvc.ledger import marks
from tokensvc.ledger.algebra import State
from tokensvc.ledger.exchange import BOOTSTRAP_AFTER, Answer, Question
from tokensvc.ledger.marks import Mark
from tokensvc.protocol.peer import MEDIA_TYPE, PATH, read_answer, write_question
from tokensvc.tokens.kinds import PeerAnswer, PeerQuestion
from tokensvc.tokens.sealer import Sealer

NEWS = State(marks={marks.account("acme"): Mark(NOW, NOW + 1000 * SECOND)})


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


def sealed(service: Service, **members: object) -> str:
    question = Question("nonce", "another", NOW, **members)  # type: ignore[arg-type]  # as each test says
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
