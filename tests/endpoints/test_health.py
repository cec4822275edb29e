"""`/healthz` and `/readyz`: alive, and valid; an outage of the ledger unreadies nobody."""

from __future__ import annotations

import json

import pytest

from tests.endpoints.local import SECOND, Down, Service
from tests.replica import INTROSPECTION_TOKEN

INTROSPECTION = {"Authorization": f"Bearer {INTROSPECTION_TOKEN}"}


@pytest.mark.parametrize(("path", "status"), [("/healthz", "alive"), ("/readyz", "ready")])
def test_answer_is_short_and_not_kept(service: Service, path: str, status: str) -> None:
    with service.http() as http:
        answer = http.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": status})
        assert answer.headers["cache-control"] == "no-store"
        assert http.head(path).status_code == 200


def test_replica_whose_ledger_is_down_stays_ready(service: Service) -> None:
    """Every other one that shares the ledger would be taken out with it."""
    with service.changed(ledger=Down()), service.http() as http:
        assert http.get("/readyz").status_code == 200


@pytest.mark.parametrize(("behind", "ready"), [(5 * SECOND, True), (5 * SECOND + 1, False)])
def test_replica_whose_clock_is_behind_its_ledger_is_not_ready(behind: int, ready: bool) -> None:
    with Service() as service:
        client = service.client()
        issued = client.sign_in()
        service.clock.now -= behind
        assert client.http.get("/healthz").status_code == 200
        answers = [
            client.http.get("/readyz"),
            client.refresh(issued.refresh),
            client.http.post("/introspect", data={"token": "x"}, headers=INTROSPECTION),
        ]
        for answer in answers:
            assert answer.status_code == (200 if ready else 503)
            assert ready or answer.json()["error"] == "temporarily_unavailable"
            assert ready or int(answer.headers["retry-after"]) > 0


def test_balancer_that_asks_again_and_again_adds_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Service() as service, service.http() as http:
        issued = service.client().sign_in()
        service.clock.now -= 6 * SECOND
        assert service.client().refresh(issued.refresh).status_code == 503
        capsys.readouterr()
        assert {http.get("/readyz").status_code for _ in range(3)} == {503}
        service.clock.now += 6 * SECOND
        assert {http.get("/readyz").status_code for _ in range(3)} == {200}
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines if "read" in line["event"]] == ["unready", "ready again"]
