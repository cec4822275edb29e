"""Ways to be a client × ways to authenticate × grants × ledgers × formats × keys: each gets tokens, and loses them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from tests.https_host import HttpsHost
from tests.matrix.actor import Actor
from tests.matrix.combinations import AXES, CANNOT_BE, Combination, pairwise, whole
from tests.matrix.sites import Known, Site, publish, sites
from tests.replica import Client
from tokensvc.tokens.kinds import client_handle

COMBINATIONS = whole() if os.environ.get("MATRIX") == "whole" else pairwise()
Sites = dict[tuple[str, str], Site]
Documents = dict[tuple[str, str], Known]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsHost]:
    """Replicas inherit the variable that makes them trust it."""
    with HttpsHost(tmp_path_factory.mktemp("host")) as started, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(started.authority))
        yield started


@pytest.fixture(scope="module")
def everywhere(host: HttpsHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    with sites(tmp_path_factory.mktemp("matrix"), host) as found:
        yield found


@pytest.fixture(scope="module")
def documents(host: HttpsHost) -> Documents:
    return publish(host)


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_a_client_gets_tokens_uses_them_and_loses_them(
    combination: Combination, everywhere: Sites, documents: Documents
) -> None:
    site = everywhere[combination.ledger, combination.token_format]
    actor = Actor(combination, site, documents)
    actor.become_known()
    issued = granted(actor.obtain(), actor)
    assert ("refresh_token" in issued) == combination.refreshes
    check_active(issued["access_token"], actor)
    last = issued
    if combination.refreshes:
        last = granted(actor.refresh(issued["refresh_token"]), actor)
        check_active(last["access_token"], actor)
        check_active(issued["access_token"], actor)
    ended = actor.post("/revoke", site.judges.url, token=last.get("refresh_token", last["access_token"]))
    assert ended.status_code == 200, ended.text
    for replica in (site.judges, site.mints):
        assert not Client(replica.url).active(last["access_token"])
        assert not Client(replica.url).active(issued["access_token"])
    if combination.refreshes:
        refused = actor.refresh(last["refresh_token"])
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


def granted(answer: Any, actor: Actor) -> dict[str, Any]:
    """A token response that is as the combination has it."""
    assert answer.status_code == 200, answer.text
    issued: dict[str, Any] = answer.json()
    assert issued["token_type"] == ("DPoP" if actor.prover else "Bearer")
    assert issued["access_token"].startswith("eyJ") == (actor.combination.token_format == "jwt")
    assert issued["scope"] == "mcp"
    return issued


def check_active(token: str, actor: Actor) -> None:
    """At every replica, and offline where it can be."""
    site = actor.site
    facts = Client(site.judges.url).introspect(token)
    assert facts == Client(site.mints.url).introspect(token)
    person = {"machine": "acme/machine", "id-jag": "acme/U019488227"}.get(actor.combination.grant, "acme/ada")
    assert (facts["active"], facts["sub"], facts["aud"]) == (True, person, site.issuer)
    assert facts["client_id"] == client_handle(actor.client.client_id)
    assert facts.get("cnf") == ({"jkt": actor.prover.jkt} if actor.prover else None)
    if actor.combination.token_format == "jwt":
        key = site.keys.get_signing_key_from_jwt(token)
        said = jwt.decode(token, key, algorithms=["ES256"], audience=site.issuer, issuer=site.issuer)
        assert {name: said.get(name) for name in facts.keys() - {"active", "token_type"}} == {
            name: value for name, value in facts.items() if name not in {"active", "token_type"}
        }


def test_every_two_values_that_can_meet_do() -> None:
    met = {pair for combination in pairwise() for pair in combination.pairs}
    assert met == {pair for combination in whole() for pair in combination.pairs}


def test_every_value_and_every_rule_is_of_use() -> None:
    found = whole()
    for name, values in AXES.items():
        assert {getattr(combination, name) for combination in found} == set(values)
    some = [Combination(*row) for row in itertools.product(*AXES.values())]
    for why, rule in CANNOT_BE.items():
        others = [other for reason, other in CANNOT_BE.items() if reason != why]
        assert any(rule(c) and not any(other(c) for other in others) for c in some), why
