"""The whole way, on one replica: register, sign in, tokens, introspection, refresh, revocation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.promises import proves
from tests.replica import Client, Replica, redirect_parameters, settings, tokens


@pytest.fixture(scope="module", params=["memory://", "sqlite:///ledger.db"])
def replica(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    port = free_port()
    directory: Path = tmp_path_factory.mktemp("replica")
    with Replica(settings(request.param, port), port, directory=directory) as started:
        yield started


def test_a_client_gets_tokens_that_introspection_knows_and_refreshes_them(replica: Replica) -> None:
    client = Client(replica.url)
    first = client.sign_in()
    facts = client.introspect(first.access)
    assert facts["active"] is True
    assert (facts["sub"], facts["account"], facts["user"], facts["role"]) == ("acme/ada", "acme", "ada", "admin")
    assert (facts["aud"], facts["iss"], facts["scope"]) == (replica.url, replica.url, "mcp")
    second = tokens(client.refresh(first.refresh))
    assert client.introspect(second.access)["family"] == facts["family"]
    assert client.active(first.access)
    assert not client.active(second.refresh)


def test_a_code_that_comes_twice_ends_its_family(replica: Replica) -> None:
    client = Client(replica.url)
    client.register()
    code = client.code()
    first = tokens(client.redeem(code))
    assert client.redeem(code).json()["error"] == "invalid_grant"
    assert not client.active(first.access)
    assert client.refresh(first.refresh).json()["error"] == "invalid_grant"


@proves("introspect", "memory", "exact")
def test_revoking_a_refresh_token_ends_all_of_its_family(replica: Replica) -> None:
    client = Client(replica.url)
    issued = client.sign_in()
    assert client.revoke(issued.refresh).status_code == 200
    assert not client.active(issued.access)


def test_deny_answers_the_client_and_allows_nothing(replica: Replica) -> None:
    client = Client(replica.url)
    client.register()
    url, page = client.page()
    answer = redirect_parameters(client.decide(url, page, "deny", api_key=""))
    assert answer["error"] == "access_denied"
    assert answer["iss"] == replica.url
    assert answer["state"] == "af0ifjsldkj/+="


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_headers(replica: Replica) -> None:
    """Over one connection that is kept: with Nagle's algorithm on, each answer would take 40 ms longer."""
    client = Client(replica.url)
    taken = []
    for _ in range(20):
        began = time.perf_counter()
        assert client.http.get(f"{client.url}/healthz").status_code == 200
        taken.append(time.perf_counter() - began)
    assert min(taken[2:]) < 0.03
