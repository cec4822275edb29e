"""A fresh replica joins amid traffic: it answers nothing before it knows what was revoked."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.fleet.conftest import Figures
from tests.fleet.fleet import FILE, MEMORY, Fleet
from tests.fleet.load import Load
from tests.promises import proves
from tests.replica import INTROSPECTION_TOKEN, SECONDS, Replica, changed

pytestmark = pytest.mark.needs("haproxy")

REVOKED = 8


@proves("restart", "peers", "nothing is lost: a replica is ready once it has asked its peers")
def test_fresh_replica_answers_nothing_before_it_knows_what_was_revoked(tmp_path: Path, figures: Figures) -> None:
    """One with a ledger in memory, and in its place one with a file that is new."""
    times = []
    answers: Counter[str] = Counter()
    with Fleet(tmp_path, late={2}) as fleet, Load(fleet.url) as load:
        client = fleet.client()
        living = client.sign_in().access
        dead = [client.sign_in() for _ in range(REVOKED)]
        assert {client.revoke(revoked.refresh).status_code for revoked in dead} == {200}
        joining = fleet.replicas[2]
        for ledger in (MEMORY, FILE):
            joining.environment = changed(joining.environment, ledger=ledger)
            times.append(join(joining.begin(), living, [revoked.access for revoked in dead], answers))
            fleet.wait_until_up()
            load.go_on()
            joining.stop()
    took = " and ".join(f"{seconds:.2f} s" for seconds in times)
    figures(f"ready after {took} amid load; {dict(sorted(answers.items()))}; {load.summary()}")
    assert not answers["revoked: active"]
    assert answers["revoked: inactive"], "it was asked when it was ready"
    assert answers["valid: active"]
    assert not answers["valid: inactive"], "what is valid is never called inactive"
    assert not load.failures


def join(joining: Replica, living: str, dead: list[str], answers: Counter[str]) -> float:
    """Count what a replica answers from its first moment until well after it is ready: after how many seconds it is."""
    begun = time.monotonic()
    joined = 0.0
    asked = 0
    while not joined or asked < 20:
        assert time.monotonic() < begun + SECONDS, answers
        ready = joining.ready()
        joined = joined or (time.monotonic() - begun if ready else 0.0)
        asked += ready
        answers["ready" if ready else "not ready"] += 1
        answers[f"revoked: {introspected(joining, dead[answers.total() % len(dead)])}"] += 1
        answers[f"valid: {introspected(joining, living)}"] += 1
    return joined


def introspected(replica: Replica, token: str) -> str:
    headers = {"Authorization": f"Bearer {INTROSPECTION_TOKEN}"}
    try:
        answer = httpx.post(f"{replica.url}/introspect", data={"token": token}, headers=headers, timeout=SECONDS)
    except httpx.TransportError:
        return "no answer"
    if answer.status_code == 503:
        return "503"
    return "active" if answer.json()["active"] else "inactive"
