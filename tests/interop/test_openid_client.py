"""openid-client on Node, which web applications use; the script is in tests/node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from joserfc.jwk import ECKey

from tests.interop import node
from tests.ports import free_port
from tests.replica import API_KEY, INTROSPECTION_TOKEN, KNOWN_SECRETS, REDIRECT_URI, Replica, settings
from tokensvc.tokens.kinds import client_handle

pytestmark = pytest.mark.needs("node")
KEY = ECKey.generate_key("P-256", {"kid": "first"})
SIGNING = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [KEY.as_dict(private=False)]}}
CLIENTS = [
    SIGNING | {"client_id": "web", "redirect_uris": [REDIRECT_URI], "require_pushed_authorization_requests": True},
    SIGNING | {"client_id": "signing-robot", "grant_types": ["client_credentials"], "identity": "acme/robot/machine"},
]


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    port = free_port()
    environment = settings("memory://", port, clients=json.dumps(CLIENTS), device_authorization="on")
    with Replica(environment, port, directory=tmp_path_factory.mktemp("replica")) as started:
        yield started


@pytest.fixture(scope="module", params=["none", "client_secret_basic", "client_secret_post"])
def method(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def seen(replica: Replica, method: str) -> dict[str, Any]:
    given = {"issuer": replica.url, "resource": replica.url, "apiKey": API_KEY}
    return node.run("openid_client.mjs", given | {"introspectionToken": INTROSPECTION_TOKEN, "method": method})


@pytest.mark.verifies("openid-client", "discovery, registration, code flow with PKCE, refreshing, introspection")
def test_openid_client_registers_and_gets_tokens_that_are_what_it_asked_for(
    replica: Replica, seen: dict[str, Any], method: str
) -> None:
    facts = seen["facts"]
    assert seen["registration"]["token_endpoint_auth_method"] == method
    assert seen["first"]["scope"] == seen["second"]["scope"] == "mcp"
    assert (facts["active"], facts["sub"], facts["aud"]) == (True, "acme/ada", replica.url)
    assert facts["client_id"] == client_handle(seen["registration"]["client_id"])
    assert facts["jti"] == f"{facts['family']}.2"


@pytest.mark.verifies("openid-client", "revocation")
def test_what_openid_client_revokes_is_dead(seen: dict[str, Any]) -> None:
    assert seen["after"] == {"active": False}
    assert seen["refused"]["error"] == "invalid_grant"


def test_openid_client_notices_a_mixed_up_answer_and_a_person_who_denies(seen: dict[str, Any]) -> None:
    assert seen["mixedUp"]["code"] == "OAUTH_INVALID_RESPONSE"
    assert (seen["denied"]["thrown"], seen["denied"]["error"]) == ("AuthorizationResponseError", "access_denied")


@pytest.fixture(scope="module")
def signed(replica: Replica) -> dict[str, Any]:
    given = {"issuer": replica.url, "resource": replica.url, "apiKey": API_KEY, "key": KEY.as_dict(private=True)}
    return node.run("openid_client_grants.mjs", given | {"introspectionToken": INTROSPECTION_TOKEN})


@pytest.mark.verifies("openid-client", "private_key_jwt, a pushed authorization request, DPoP")
def test_openid_client_pushes_its_request_by_its_key_and_gets_bound_tokens(signed: dict[str, Any]) -> None:
    assert set(signed["parameters"]) == {"client_id", "request_uri"}
    # The library writes it in small letters.
    assert {signed[name]["token_type"] for name in ("first", "second")} == {"dpop"}
    facts = signed["facts"]
    assert (facts["active"], facts["sub"], facts["cnf"]) == (True, "acme/ada", {"jkt": signed["thumbprint"]})
    assert facts["jti"] == f"{facts['family']}.2"
    assert signed["after"] == {"active": False}


@pytest.mark.verifies("openid-client", "client credentials by a key")
def test_openid_client_gets_a_token_without_a_person(signed: dict[str, Any]) -> None:
    assert "refresh_token" not in signed["machine"]
    assert (signed["machineFacts"]["active"], signed["machineFacts"]["sub"]) == (True, "acme/robot")


@pytest.mark.verifies("openid-client", "device authorization")
def test_openid_client_polls_until_the_person_has_allowed_the_device(replica: Replica) -> None:
    seen = node.run("openid_client_device.mjs", {"issuer": replica.url, "resource": replica.url, "apiKey": API_KEY})
    KNOWN_SECRETS.update({seen["begun"]["device_code"], seen["begun"]["user_code"]})
    assert (seen["first"]["scope"], seen["first"]["token_type"]) == ("mcp", "bearer")
    assert seen["second"]["refresh_token"] != seen["first"]["refresh_token"]
