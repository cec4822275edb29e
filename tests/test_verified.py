"""The table of verified clients says what the tests of this checkout show, with the versions that they run."""

from __future__ import annotations

import datetime
import json
import re

import pytest

from tests import readme, verified
from tests.node import hostless
from tests.verified import CLIENTS


def test_every_mark_is_of_a_client_of_the_table_and_every_client_has_one() -> None:
    assert {claim.client for claim in verified.claims()} == {*CLIENTS, verified.HABITS}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.needs("node")] if client.registry == "npm" else [])
        for name, client in CLIENTS.items()
    ],
)
def test_what_runs_is_what_is_locked(name: str) -> None:
    assert CLIENTS[name].installed == CLIENTS[name].locked


def test_the_page_has_the_table_that_the_tests_make_of_the_locked_versions() -> None:
    """Where this fails, `make readme` runs the tests of clients and writes it anew."""
    written = readme.generated("verified", readme.CLIENTS)
    (day,) = set(re.findall(r"\b\d{4}-\d\d-\d\d\b", written))
    assert written == verified.render(
        {name: client.locked for name, client in CLIENTS.items()}, datetime.date.fromisoformat(day)
    )


def test_the_lock_of_node_packages_names_no_host() -> None:
    lock = hostless.LOCK.read_text(encoding="utf-8")
    assert "://" not in lock
    assert lock == hostless.without_hosts(lock)


def test_addresses_that_npm_writes_are_taken_out_of_the_lock() -> None:
    package = {"version": "1.0.0", "integrity": "sha512-abc"}
    address = "https://host.example/a-1.0.0.tgz"
    written = {"packages": {"": {}, "node_modules/a": package | {"resolved": address, "funding": {"url": address}}}}
    assert json.loads(hostless.without_hosts(json.dumps(written))) == {"packages": {"": {}, "node_modules/a": package}}
