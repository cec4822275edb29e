"""Clients with a metadata document, against replicas in processes of their own; assertions replayed among several."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.flows.conftest import Start
from tests.flows.partition import Fleet
from tests.https_host import HttpsHost, document
from tests.promises import proves
from tests.replica import Client, Replica, tokens, wait_for
from tests.signer import Signer

NETWORKS = "127.0.0.0/8,::1"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsHost]:
    """Replicas inherit the variable that makes them trust it."""
    with HttpsHost(tmp_path_factory.mktemp("host")) as started, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(started.authority))
        yield started


@pytest.fixture(scope="module")
def two(host: HttpsHost, start: Start) -> Iterator[tuple[Replica, Replica]]:
    """On one ledger file; they trust the host, which has to be there first."""
    assert host.authority.exists()
    first = start(fetch_networks=NETWORKS)
    with first.twin() as second:
        yield first, second


def test_app_with_a_document_signs_a_person_in_without_registering(
    two: tuple[Replica, Replica], host: HttpsHost
) -> None:
    metadata = httpx.get(f"{two[0].url}/.well-known/oauth-authorization-server").json()
    assert metadata["client_id_metadata_document_supported"] is True
    assert "none" in metadata["token_endpoint_auth_methods_supported"]
    client = Client(two[0].url, client_id=host.publish("/app.json"))
    issued = client.sign_in()
    other = Client(two[1].url, client_id=client.client_id)
    refreshed = tokens(other.refresh(issued.refresh))
    assert client.active(refreshed.access)
    assert host.asked["/app.json"] == 2


def test_app_with_published_keys_signs_a_person_in(two: tuple[Replica, Replica], host: HttpsHost) -> None:
    signer = Signer(host.url("/signing.json"), "RS256")
    keys = host.serve("/keys.json", document(signer.jwks))
    host.publish("/signing.json", token_endpoint_auth_method="private_key_jwt", jwks_uri=keys)
    client = Client(two[0].url, client_id=signer.client_id)
    audience = f"{two[0].url}/token"
    issued = tokens(client.redeem(client.code(), **signer.parameters(audience)))
    assert tokens(client.refresh(issued.refresh, **signer.parameters(audience))).access
    assert client.refresh(issued.refresh).json()["error"] == "invalid_client"


@proves("other one-use ids", "sqlite", "the same, on every replica")
def test_assertion_counts_once_on_two_replicas_with_one_ledger(two: tuple[Replica, Replica], host: HttpsHost) -> None:
    signer = Signer(host.url("/once.json"))
    host.publish("/once.json", token_endpoint_auth_method="private_key_jwt", jwks=signer.jwks)
    one, other = (Client(replica.url, client_id=signer.client_id) for replica in two)
    # Both have the first one's issuer.
    once = signer.parameters(two[0].url)
    issued = tokens(one.redeem(one.code(), **once))
    for client in (one, other):
        replayed = client.refresh(issued.refresh, **once)
        assert (replayed.status_code, replayed.json()["error"]) == (401, "invalid_client")
    assert tokens(other.refresh(issued.refresh, **signer.parameters(two[0].url))).access


@proves("other one-use ids", "memory", "at most once")
def test_pre_registered_client_with_keys_in_its_entry(start: Start) -> None:
    signer = Signer("batch", "EdDSA")
    entry = {"client_id": "batch", "redirect_uris": ["http://127.0.0.1/callback"], "jwks": signer.jwks}
    replica = start("memory://", clients=json.dumps([entry]), cimd="off")
    client = Client(replica.url, client_id="batch")
    once = signer.parameters(replica.url)
    issued = tokens(client.redeem(client.code(), **once))
    assert client.refresh(issued.refresh, **once).json()["error"] == "invalid_client"
    assert tokens(client.refresh(issued.refresh, **signer.parameters(replica.url))).access


@proves("other one-use ids", "peers", "at most once where the news have come")
def test_assertion_counts_once_among_peers_that_have_heard_of_it(tmp_path: Path) -> None:
    signer = Signer("batch")
    entry = {
        "client_id": "batch",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "client_credentials"],
        "identity": "acme/batch/machine",
        "jwks": signer.jwks,
    }
    with Fleet(tmp_path, ("memory://", "memory://"), {"clients": json.dumps([entry])}) as fleet:
        one, other = fleet.clients()
        one.client_id = other.client_id = "batch"
        issuer = fleet.replicas[0].environment["TOKENSVC_ISSUER"]
        heard, unheard = (signer.parameters(issuer) for _ in range(2))
        assert tokens(one.redeem(one.code(), **heard)).access
        wait_for(lambda: fleet.families(1), "the other replica has heard of it", 5)
        assert not counts(other, heard)
        fleet.part(0)
        assert counts(one, unheard)
        assert counts(other, unheard)
        assert not counts(other, unheard)
        fleet.join()
        assert not any(counts(client, unheard) for client in (one, other))


def counts(client: Client, parameters: dict[str, str]) -> bool:
    """Whether the client gets a token for itself."""
    answer = client.token(grant_type="client_credentials", **parameters)
    assert answer.status_code == 200 or answer.json()["error"] == "invalid_client"
    return answer.status_code == 200
