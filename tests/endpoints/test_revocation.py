"""`POST /revoke`: whose token ends, and what else with it (RFC 7009)."""

from __future__ import annotations

import json

import pytest

from tests.endpoints.local import NOW, SECOND, Alone, Down, Service
from tests.replica import ADMIN_TOKEN, Client, tokens
from tokensvc.tokens.kinds import client_handle


@pytest.fixture
def client(service: Service) -> Client:
    client = service.client()
    client.register()
    return client


def test_refresh_token_ends_its_family_and_an_access_token_itself_alone(client: Client) -> None:
    first = client.sign_in()
    second = tokens(client.refresh(first.refresh))
    assert client.revoke(first.access).status_code == 200
    assert not client.active(first.access)
    assert client.active(second.access)
    assert client.revoke(first.refresh).status_code == 200
    assert not client.active(second.access)
    assert client.refresh(second.refresh).json()["error"] == "invalid_grant"


def test_answer_is_empty_and_not_kept(client: Client) -> None:
    answer = client.revoke(client.sign_in().refresh)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "nonsense", ""])
def test_hint_does_not_matter(client: Client, hint: str) -> None:
    issued = client.sign_in()
    assert client.revoke(issued.access, token_type_hint=hint).status_code == 200
    assert not client.active(issued.access)
    assert client.refresh(issued.refresh).status_code == 200
    assert client.revoke(issued.refresh, token_type_hint=hint).status_code == 200
    assert client.refresh(issued.refresh).status_code == 400


def test_unknown_and_repeated_revocations_are_answered_like_any(client: Client) -> None:
    issued = client.sign_in()
    for token in (issued.refresh, issued.refresh, issued.access, "unknown", "." * 60_000, "é", client.client_id):
        assert client.revoke(token).status_code == 200


def test_token_is_required_and_stands_once(client: Client) -> None:
    assert client.revoke("").json()["error"] == "invalid_request"
    form = {"client_id": client.client_id, "token": ["a", "b"]}
    assert client.http.post("/revoke", data=form).json()["error"] == "invalid_request"


def test_client_must_be_known_and_prove_its_secret(service: Service, client: Client) -> None:
    issued = client.sign_in()
    for client_id in ("", "unknown"):
        answer = client.revoke(issued.refresh, client_id=client_id)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    confidential = service.client()
    confidential.register(token_endpoint_auth_method="client_secret_post")
    secret = confidential.client_secret
    kept = confidential.sign_in()
    for wrong in ("", "x"):
        assert confidential.revoke(kept.refresh, client_secret=wrong).status_code == 401
    assert confidential.active(kept.access)
    assert confidential.revoke(kept.refresh, client_secret=secret).status_code == 200
    assert not confidential.active(kept.access)
    assert client.active(issued.access)


def test_token_of_another_client_is_refused_and_lives(service: Service, client: Client) -> None:
    other = service.client()
    other.register(client_name="Another")
    issued = client.sign_in()
    for token in (issued.access, issued.refresh):
        answer = other.revoke(token)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert client.active(issued.access)
    assert client.refresh(issued.refresh).status_code == 200


def test_outage_of_the_ledger_is_no_revocation(service: Service, client: Client) -> None:
    issued = client.sign_in()
    with service.changed(ledger=Down()):
        answer = client.revoke(issued.refresh)
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert "retry-after" in answer.headers
        assert client.revoke("unknown").status_code == 200


def test_revoked_family_stays_dead_as_long_as_anything_of_it_could_live() -> None:
    """Also what was refreshed just before, and outlives the token that was shown."""
    with Service({"refresh_ttl": 100, "refresh_max_ttl": 150, "access_ttl": 60}) as service:
        client = service.client()
        first = client.sign_in()
        service.clock.now += 99 * SECOND
        second = tokens(client.refresh(first.refresh))
        client.revoke(first.refresh)
        for moment in range(99, 220, 11):
            service.clock.now = NOW + moment * SECOND
            assert not client.active(second.access)
            assert client.refresh(second.refresh).status_code == 400
            client.admin_revoke("account", f"sweep{moment}")


def test_expired_token_is_as_good_as_unknown() -> None:
    """No mark is written for it."""
    with Service() as service:
        client = service.client()
        issued = client.sign_in()
        service.clock.now += 3600 * SECOND
        assert client.revoke(issued.access).status_code == 200
        answer = client.http.get("/admin/denylist", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
        assert answer.json() == {"marks": []}


def test_revocation_that_no_peer_took_stands_in_the_log(service: Service, capfd: pytest.CaptureFixture[str]) -> None:
    """It is answered 503 and holds here all the same, so whoever looks into the log later has to find it."""
    client = service.client()
    issued = client.sign_in()
    family = client.introspect(issued.access)["family"]
    with service.changed(ledger=Alone(service.app.state.service.server.ledger)):
        capfd.readouterr()
        assert client.revoke(issued.refresh).status_code == 503
    assert not client.active(issued.access)
    [line] = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "revocation unconfirmed" in line]
    assert (line["level"], line["subject"], line["family"]) == ("warning", f"family:{family}", family)
    assert (line["client"], line["reason"]) == (client_handle(client.client_id), Alone.reason)
