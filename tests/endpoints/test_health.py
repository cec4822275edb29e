"""`/healthz` and `/readyz`: alive, and valid; an outage of the ledger unreadies nobody."""

from __future__ import annotations

import pytest

from tests.endpoints.local import Down, Service


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
