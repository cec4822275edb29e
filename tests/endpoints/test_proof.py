"""DPoP at the token endpoint (RFC 9449 §5 and §8): tokens that are bound to a key, and what becomes of other proofs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.endpoints.local import ISSUER, SECOND, Service
from tests.promises import proves
from tests.proofs import BoundClient, Prover, bound
from tests.replica import Client, redirect_parameters, ring_entry, tokens
from tokensvc.tokens.nonces import LIFETIME, WINDOW

SECRET = "a-secret-of-a-client"
REQUIRING = {
    "client_id": "requiring",
    "redirect_uris": ["http://127.0.0.1:33418/callback"],
    "dpop_bound_access_tokens": True,
}
CONFIDENTIAL = {
    "client_id": "confidential",
    "redirect_uris": ["http://127.0.0.1:33418/callback"],
    "client_secret_hash": f"sha256:{hashlib.sha256(SECRET.encode()).hexdigest()}",
    "token_endpoint_auth_method": "client_secret_post",
}

MACHINE = {
    "client_id": "machine",
    "client_secret_hash": CONFIDENTIAL["client_secret_hash"],
    "token_endpoint_auth_method": "client_secret_post",
    "grant_types": ["client_credentials"],
    "identity": "acme/machine/robot",
}


@pytest.fixture
def service() -> Iterator[Service]:
    with Service({"clients": json.dumps([REQUIRING, CONFIDENTIAL, MACHINE])}) as started:
        yield started


@pytest.fixture
def client(service: Service) -> BoundClient:
    client = bound(service.client())
    client.register()
    return client


def refused(answer: Any) -> str:
    assert answer.status_code == 400, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["error"])


def test_tokens_are_bound_to_the_key_that_was_proved(client: BoundClient) -> None:
    first = client.sign_in()
    assert first.response["token_type"] == "DPoP"
    facts = client.introspect(first.access)
    assert facts["cnf"] == {"jkt": client.prover.jkt}
    assert facts["token_type"] == "DPoP"
    second = tokens(client.refresh(first.refresh))
    assert second.response["token_type"] == "DPoP"
    assert client.introspect(second.access)["cnf"] == {"jkt": client.prover.jkt}


def test_without_a_proof_tokens_are_bearers(service: Service) -> None:
    client = service.client()
    first = client.sign_in()
    assert first.response["token_type"] == "Bearer"
    assert "cnf" not in client.introspect(first.access)


def test_first_proof_is_answered_with_a_nonce_and_uses_nothing_up(service: Service, client: BoundClient) -> None:
    code = client.code()
    grant = {"grant_type": "authorization_code", "code": code, "code_verifier": client.verifier}
    answer = client.prove("/token", grant)
    assert refused(answer) == "use_dpop_nonce"
    nonce = answer.headers["dpop-nonce"]
    answer = client.prove("/token", grant)
    assert answer.status_code == 200
    assert answer.headers["dpop-nonce"] == nonce
    service.clock.now += WINDOW
    assert client.refresh(answer.json()["refresh_token"]).headers["dpop-nonce"] != nonce


def test_old_nonce_is_answered_with_a_new_one(service: Service, client: BoundClient) -> None:
    first = client.sign_in()
    service.clock.now += LIFETIME
    refresh = {"grant_type": "refresh_token", "refresh_token": first.refresh}
    assert refused(client.prove("/token", refresh)) == "use_dpop_nonce"
    assert client.prove("/token", refresh).status_code == 200


@pytest.mark.parametrize("hours", [-24, 24])
def test_clock_of_the_client_may_be_wrong(client: BoundClient, hours: int) -> None:
    client.prover.now = 1_800_000_000 + hours * 3600
    assert client.sign_in().response["token_type"] == "DPoP"


@pytest.mark.parametrize(
    "claims",
    [
        {"htm": "GET"},
        {"htu": f"{ISSUER}/par"},
        {"htu": "https://elsewhere.example/token"},
        {"jti": None},
        {"iat": None},
        {"header": {"alg": "none"}},
        {"header": {"typ": "jwt"}},
        {"header": {"jwk": Prover().jwk}},
        {"header": {"jwk": Prover().key.as_dict(private=True)}},
    ],
    ids=["htm", "endpoint", "host", "no jti", "no iat", "unsigned", "typ", "key", "private key"],
)
def test_bad_proof_is_refused_and_uses_nothing_up(client: BoundClient, claims: dict[str, Any]) -> None:
    refresh = client.sign_in().refresh
    client.claims = claims
    if "alg" in claims.get("header", {}):
        client.claims = {}
        url = f"{client.url}/token"
        header, payload, _ = client.prover.proof("POST", url, nonce=client.nonce).split(".")
        form = {"grant_type": "refresh_token", "refresh_token": refresh, "client_id": client.client_id}
        for proof in (f"{header}.{payload}.", f"{header}.{payload}.AAAA"):
            assert refused(client.http.post(url, data=form, headers={"DPoP": proof})) == "invalid_dpop_proof"
    else:
        assert refused(client.refresh(refresh)) == "invalid_dpop_proof"
    client.claims = {}
    assert client.refresh(refresh).status_code == 200


def test_host_header_says_nothing_of_where_a_proof_is_for(client: BoundClient) -> None:
    refresh = client.sign_in().refresh
    url = "https://elsewhere.example/token"
    headers = {"DPoP": client.prover.proof("POST", url, nonce=client.nonce), "Host": "elsewhere.example"}
    form = {"grant_type": "refresh_token", "refresh_token": refresh, "client_id": client.client_id}
    assert refused(client.http.post("/token", data=form, headers=headers)) == "invalid_dpop_proof"


def test_two_proofs_are_none(client: BoundClient) -> None:
    refresh = client.sign_in().refresh
    url = f"{client.url}/token"
    proofs = [("DPoP", client.prover.proof("POST", url, nonce=client.nonce)) for _ in range(2)]
    form = {"grant_type": "refresh_token", "refresh_token": refresh, "client_id": client.client_id}
    for headers in (proofs, [("DPoP", ", ".join(proof for _, proof in proofs))], [("DPoP", "")]):
        assert refused(client.http.post(url, data=form, headers=headers)) == "invalid_dpop_proof"
    assert client.refresh(refresh).status_code == 200


@proves("other one-use ids", "memory", "at most once")
def test_proof_counts_once(client: BoundClient) -> None:
    first = client.sign_in()
    client.claims = {"jti": "the-same"}
    second = tokens(client.refresh(first.refresh))
    assert refused(client.refresh(second.refresh)) == "invalid_dpop_proof"
    assert refused(client.refresh(first.refresh)) == "invalid_dpop_proof"
    client.claims = {}
    assert client.refresh(second.refresh).status_code == 200


def test_proof_that_came_with_a_refused_request_was_not_used(client: BoundClient) -> None:
    refresh = client.sign_in().refresh
    client.claims = {"jti": "the-same"}
    for _ in range(3):
        assert refused(client.refresh("nothing that is known")) == "invalid_grant"
    assert client.refresh(refresh).status_code == 200


def test_refused_requests_with_proofs_leave_nothing_in_the_ledger(service: Service, client: BoundClient) -> None:
    first = client.sign_in()

    def remembered() -> int:
        return len(service.run(service.app.state.service.server.ledger.state(service.clock.now)).spent)

    before = remembered()
    for _ in range(20):
        client.refresh("nothing that is known")
        client.redeem("nothing that is known")
        client.push(response_type="code")
    assert remembered() == before
    client.refresh(first.refresh)
    assert remembered() == before + 1
    service.clock.now += LIFETIME
    assert remembered() == 0


def test_stolen_code_and_refresh_token_are_of_no_use_with_another_key(client: BoundClient) -> None:
    thief = bound(client)
    code = client.code(dpop_jkt=client.prover.jkt)
    assert refused(thief.redeem(code)) == "invalid_grant"
    first = tokens(client.redeem(code))
    assert refused(thief.refresh(first.refresh)) == "invalid_grant"
    # Neither did any harm, and the key is needed inside the grace window too.
    second = tokens(client.refresh(first.refresh))
    assert refused(thief.refresh(first.refresh)) == "invalid_grant"
    assert client.active(second.access)
    assert client.refresh(second.refresh).status_code == 200


def test_bound_code_and_refresh_token_are_of_no_use_without_a_proof(service: Service, client: BoundClient) -> None:
    bearer = Client(client.url, verifier=client.verifier, client_id=client.client_id, http=service.http())
    code = client.code(dpop_jkt=client.prover.jkt)
    assert refused(bearer.redeem(code)) == "invalid_dpop_proof"
    first = tokens(client.redeem(code))
    assert refused(bearer.refresh(first.refresh)) == "invalid_dpop_proof"
    assert client.refresh(first.refresh).status_code == 200


def test_replay_of_a_bound_refresh_token_ends_the_family_only_with_its_key(
    service: Service, client: BoundClient
) -> None:
    first = client.sign_in()
    second = tokens(client.refresh(first.refresh))
    service.clock.now += 61 * SECOND
    assert refused(bound(client).refresh(first.refresh)) == "invalid_grant"
    assert client.active(second.access)
    assert refused(client.refresh(first.refresh)) == "invalid_grant"
    assert not client.active(second.access)


def test_family_of_bearers_is_bound_from_the_first_proof_on(service: Service) -> None:
    bearer = service.client()
    client = bound(bearer)
    first = bearer.sign_in()
    client.client_id = bearer.client_id
    second = tokens(client.refresh(first.refresh))
    assert second.response["token_type"] == "DPoP"
    assert refused(bearer.refresh(second.refresh)) == "invalid_dpop_proof"
    assert refused(bound(client).refresh(second.refresh)) == "invalid_grant"


def test_grant_that_began_without_a_key_can_go_on_without_inside_the_grace_window(service: Service) -> None:
    """Its first refresh token is a bearer's, and a repeat of that says nothing of who repeats it."""
    bearer = service.client()
    client = bound(bearer)
    first = bearer.sign_in()
    client.client_id = bearer.client_id
    assert tokens(client.refresh(first.refresh)).response["token_type"] == "DPoP"
    repeated = tokens(bearer.refresh(first.refresh))
    assert repeated.response["token_type"] == "Bearer"
    assert tokens(bearer.refresh(repeated.refresh)).response["token_type"] == "Bearer"


def test_grant_that_began_with_a_key_never_goes_on_without(service: Service, client: BoundClient) -> None:
    bearer = Client(client.url, verifier=client.verifier, client_id=client.client_id, http=service.http())
    first = client.sign_in()
    second = tokens(client.refresh(first.refresh))
    for token in (first.refresh, second.refresh):
        assert refused(bearer.refresh(token)) == "invalid_dpop_proof"


def test_client_with_a_secret_may_change_its_key(service: Service) -> None:
    """Its refresh tokens are held by the secret (RFC 9449 §5)."""
    client = bound(service.client())
    client.client_id, client.client_secret = "confidential", SECRET
    first = client.sign_in()
    assert client.introspect(first.access)["cnf"] == {"jkt": client.prover.jkt}
    client.prover = Prover("Ed25519")
    second = tokens(client.refresh(first.refresh))
    assert client.introspect(second.access)["cnf"] == {"jkt": client.prover.jkt}


def test_machine_has_bound_tokens_and_its_proof_counts_once(service: Service) -> None:
    client = bound(service.client())
    client.client_id, client.client_secret = "machine", SECRET
    client.claims = {"jti": "the-same"}
    issued = tokens(client.token(grant_type="client_credentials"))
    assert issued.response["token_type"] == "DPoP"
    assert client.introspect(issued.access)["cnf"] == {"jkt": client.prover.jkt}
    assert refused(client.token(grant_type="client_credentials")) == "invalid_dpop_proof"


def test_client_that_registered_for_bound_tokens_gets_no_others(service: Service) -> None:
    bearer = service.client()
    bearer.client_id = "requiring"
    code = bearer.code()
    assert refused(bearer.redeem(code)) == "invalid_dpop_proof"
    assert bound(bearer).redeem(code).status_code == 200


@pytest.mark.parametrize("thumbprint", ["x", "é" * 43, "A" * 44], ids=["short", "not base64url", "long"])
def test_dpop_jkt_is_a_thumbprint(client: BoundClient, thumbprint: str) -> None:
    _, page = client.page(dpop_jkt=thumbprint)
    assert page.status_code == 303
    assert redirect_parameters(page)["error"] == "invalid_request"


def test_nonces_outlive_a_rotation_of_the_ring(service: Service, client: BoundClient) -> None:
    first = client.sign_in()
    service.values["keys"] = f"{service.values['keys']},{ring_entry('k2')}"
    with Service(service.values, service.clock) as rotated:
        rotated.share_ledger(service)
        other = bound(rotated.client(), client.prover)
        other.client_id, other.nonce = client.client_id, client.nonce
        answer = other.prove("/token", {"grant_type": "refresh_token", "refresh_token": first.refresh})
        assert answer.status_code == 200
        assert answer.headers["dpop-nonce"] != client.nonce


@proves("other one-use ids", "sqlite", "the same, on every replica")
def test_proof_counts_once_on_replicas_that_share_a_file(tmp_path: Path) -> None:
    with Service({"ledger": f"sqlite:///{tmp_path}/ledger.db"}) as service, Service(service.values) as neighbour:
        client = bound(service.client())
        first = client.sign_in()
        other = bound(neighbour.client(), client.prover)
        other.client_id, other.nonce = client.client_id, client.nonce
        client.claims = other.claims = {"jti": "the-same"}
        assert client.refresh(first.refresh).status_code == 200
        assert refused(other.refresh(first.refresh)) == "invalid_dpop_proof"


def test_metadata_names_what_is_taken_and_web_pages_may_prove(service: Service) -> None:
    http = service.http()
    metadata = http.get("/.well-known/oauth-authorization-server").json()
    assert metadata["dpop_signing_alg_values_supported"] == ["ES256", "ES384", "Ed25519", "EdDSA", "RS256", "PS256"]
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    for path in ("/token", "/par"):
        preflight = http.options(path, headers=asked | {"Access-Control-Request-Headers": "dpop"})
        assert "dpop" in preflight.headers["access-control-allow-headers"].lower()
        answer = http.post(path, headers={"Origin": "https://app.example"})
        assert "DPoP-Nonce" in answer.headers["access-control-expose-headers"]
