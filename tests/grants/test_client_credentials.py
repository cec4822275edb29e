"""The client credentials grant (RFC 6749 §4.4): who may use it, whom its tokens stand for, and what ends them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.endpoints.local import ISSUER, NOW, SECOND, Down, Service
from tests.proofs import Prover, bound
from tests.replica import INTROSPECTION_TOKEN, Client, Tokens, tokens
from tokensvc import assembly
from tokensvc.errors import SettingsError
from tokensvc.settings import Settings
from tokensvc.tokens.kinds import client_handle

SECRET = "a-secret-that-is-long-enough-for-robots"
OTHER = "https://other.example/mcp"


def hashed(secret: str) -> str:
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}"


def entry(**changes: Any) -> dict[str, Any]:
    """The entry of a client that acts by itself; None leaves a member out."""
    members = {
        "client_id": "robot",
        "client_secret_hash": hashed(SECRET),
        "grant_types": ["client_credentials"],
        "identity": "acme/robot/machine",
    } | changes
    return {name: value for name, value in members.items() if value is not None}


def written(*entries: dict[str, Any]) -> str:
    return json.dumps(entries or [entry()])


@pytest.fixture
def service() -> Iterator[Service]:
    with Service({"clients": written(), "scopes": "read write", "access_ttl": 600}) as started:
        yield started


@pytest.fixture
def robot(service: Service) -> Client:
    return acting(service)


def acting(service: Service) -> Client:
    client = service.client()
    client.client_id, client.client_secret = "robot", SECRET
    return client


def obtain(client: Client, **parameters: str) -> Tokens:
    return tokens(client.token(grant_type="client_credentials", **parameters))


def refused(client: Client, **parameters: str) -> tuple[int, str]:
    answer = client.token(**({"grant_type": "client_credentials"} | parameters))
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()["error"]


def test_client_gets_an_access_token_for_whom_it_stands_for_and_nothing_else(robot: Client) -> None:
    issued = obtain(robot)
    assert issued.response.keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert (issued.response["token_type"], issued.response["expires_in"]) == ("Bearer", 600)
    facts = robot.introspect(issued.access)
    assert facts == facts | {
        "active": True,
        "sub": "acme/robot",
        "account": "acme",
        "user": "robot",
        "role": "machine",
        "aud": ISSUER,
        "client_id": client_handle("robot"),
        "scope": "read",
        "iat": NOW // SECOND,
        "exp": NOW // SECOND + 600,
    }


def test_each_token_has_a_family_of_its_own(robot: Client) -> None:
    one, other = (robot.introspect(obtain(robot).access) for _ in range(2))
    assert one["family"] != other["family"]
    assert one["jti"] == f"{one['family']}.0"


def test_client_with_other_grants_gets_no_refresh_token_for_itself() -> None:
    every = ["authorization_code", "refresh_token", "client_credentials"]
    clients = written(entry(grant_types=every, redirect_uris=["http://127.0.0.1:33418/callback"]))
    with Service({"clients": clients}) as service:
        client = acting(service)
        assert "refresh_token" not in obtain(client).response
        assert client.sign_in().refresh


def test_scope_and_resource_are_as_at_any_other_grant() -> None:
    settings: dict[str, object] = {
        "clients": written(),
        "scopes": "read write",
        "resources": f"{ISSUER},{OTHER}",
        "introspection_tokens": f"{ISSUER}={INTROSPECTION_TOKEN},{OTHER}=secret-of-the-other",
    }
    with Service(settings) as service:
        client = acting(service)
        assert obtain(client, scope="write unknown").response["scope"] == "write"
        assert obtain(client, scope="unknown").response["scope"] == "read"
        token = obtain(client, resource="HTTPS://other.example/mcp").access
        assert client.introspect(token, "secret-of-the-other")["aud"] == OTHER
        assert not client.active(token)
        assert refused(client, resource="https://elsewhere.example") == (400, "invalid_target")


def test_client_has_to_prove_its_secret(robot: Client) -> None:
    for wrong in ("", "wrong", SECRET[:-1]):
        assert refused(robot, client_secret=wrong) == (401, "invalid_client")


def test_client_without_the_grant_is_unauthorized(service: Service) -> None:
    """Registered in either way, and whatever grants it asked for."""
    for method in ("none", "client_secret_post"):
        client = service.client()
        asked = ["authorization_code", "client_credentials"]
        answer = client.register(token_endpoint_auth_method=method, grant_types=asked)
        assert answer["grant_types"] == ["authorization_code"]
        assert refused(client) == (400, "unauthorized_client")


def test_grant_is_neither_advertised_nor_accepted_where_no_client_has_it(service: Service) -> None:
    metadata = "/.well-known/oauth-authorization-server"
    assert "client_credentials" in service.http().get(metadata).json()["grant_types_supported"]
    with Service(
        {"clients": written(entry(grant_types=["authorization_code"], identity=None, redirect_uris=["a:/b"]))}
    ) as other:
        assert "client_credentials" not in other.http().get(metadata).json()["grant_types_supported"]
        assert refused(acting(other)) == (400, "unsupported_grant_type")


def test_client_without_redirect_uris_signs_nobody_in(robot: Client) -> None:
    _, page = robot.page()
    assert page.status_code == 400
    assert refused(robot, grant_type="refresh_token", refresh_token="x") == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("everything", ""),
        ("account", "acme"),
        ("user", "acme/robot"),
        ("user-client", "acme/robot"),
        ("client", "robot"),
        ("credential", ""),
        ("family", ""),
        ("token", ""),
    ],
    ids=lambda value: value,
)
def test_every_kind_of_revocation_ends_it_and_the_next_one_lives(
    service: Service, robot: Client, kind: str, subject: str
) -> None:
    issued = obtain(robot)
    facts = robot.introspect(issued.access)
    server = service.app.state.service.server
    found = {
        "credential": server.access_tokens.unseal(issued.access, NOW).credential,
        "family": facts["family"],
        "token": facts["jti"],
        "client": client_handle("robot"),
    }
    members = {"client": client_handle("robot")} if kind == "user-client" else {}
    assert robot.admin_revoke(kind, found.get(kind, subject), **members).status_code == 200
    assert not robot.active(issued.access)
    assert robot.active(obtain(robot).access), "who proves the secret after that is let in again"


def test_client_revokes_its_own_token_and_no_other_client_can(service: Service, robot: Client) -> None:
    issued, spared = obtain(robot), obtain(robot)
    stranger = service.client()
    stranger.register()
    assert stranger.revoke(issued.access).status_code == 400
    assert robot.active(issued.access)
    assert robot.revoke(issued.access).status_code == 200
    assert not robot.active(issued.access)
    assert robot.active(spared.access)


@pytest.mark.parametrize(
    "after",
    [
        [],
        [entry(client_secret_hash=hashed("another"))],
        [entry(identity="acme/robot/reader")],
        [entry(identity="acme/other/machine")],
        [entry(client_id="robot-2")],
        [entry(grant_types=["authorization_code"], identity=None, redirect_uris=["https://a.example/cb"])],
    ],
    ids=["removed", "another secret", "another role", "another user", "another client_id", "grant taken away"],
)
def test_token_is_dead_once_its_client_is_no_longer_what_it_was(
    service: Service, robot: Client, after: list[dict[str, Any]]
) -> None:
    issued = obtain(robot)
    settings = Settings.model_validate(service.values | {"clients": json.dumps(after)})
    present = assembly.identities(settings, assembly.listed(settings))
    with service.changed(identities=present):
        assert robot.introspect(issued.access) == {"active": False}
    assert robot.active(issued.access)


def test_token_lives_on_where_something_else_changed(service: Service, robot: Client) -> None:
    issued, person = obtain(robot), service.client().sign_in()
    changed = written(entry(client_name="Robot", access_ttl=300), entry(client_id="another"))
    settings = Settings.model_validate(service.values | {"clients": changed})
    present = assembly.identities(settings, assembly.listed(settings))
    with service.changed(identities=present):
        assert robot.active(issued.access)
        assert robot.active(person.access)


def test_clients_with_one_secret_are_still_two() -> None:
    """Marks name credentials: what ends one must not end the other."""
    entries = [entry(), entry(client_id="robot-2")]
    with Service({"clients": json.dumps(entries)}) as service:
        one, other = acting(service), acting(service)
        other.client_id = "robot-2"
        mine, spared = obtain(one), obtain(other)
        server = service.app.state.service.server
        one.admin_revoke("credential", server.access_tokens.unseal(mine.access, NOW).credential)
        assert (one.active(mine.access), one.active(spared.access)) == (False, True)


def test_token_is_bound_to_the_key_that_is_proved(robot: Client) -> None:
    holder = bound(robot, Prover(now=NOW // SECOND))
    issued = obtain(holder)
    assert issued.response["token_type"] == "DPoP"
    assert robot.introspect(issued.access)["cnf"] == {"jkt": holder.prover.jkt}


def test_outage_of_the_ledger_is_no_refusal(service: Service, robot: Client) -> None:
    with service.changed(ledger=Down()):
        assert refused(robot) == (503, "temporarily_unavailable")


def test_token_dies_with_a_shorter_lifetime_of_its_client(service: Service, robot: Client) -> None:
    issued = obtain(robot)
    service.clock.now += 600 * SECOND - 1
    assert robot.active(issued.access)
    service.clock.now += 1
    assert not robot.active(issued.access)


def test_everything_from_before_a_restart_with_memory_is_dead() -> None:
    with Service({"clients": written()}) as service:
        old = obtain(acting(service)).access
        service.clock.now += 10 * SECOND
        service.app = service.build()
        client = acting(service)
        assert not client.active(old)
        assert client.active(obtain(client).access)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"identity": None}, "identity goes with"),
        ({"grant_types": ["authorization_code"], "redirect_uris": ["https://a.example/cb"]}, "identity goes with"),
        ({"identity": "acme/robot"}, "account/user/role"),
        ({"identity": "acme//machine"}, "1 to 128 bytes"),
        ({"identity": "acme/a%0Ab/machine"}, "control characters"),
        ({"client_secret_hash": None}, "a client that authenticates"),
        ({"grant_types": ["authorization_code", "client_credentials"]}, "needs redirect_uris"),
    ],
    ids=["no identity", "no grant", "no role", "no user", "control character", "no secret", "no redirect URI"],
)
def test_entry_that_cannot_be_used_is_refused_with_the_way_out(changes: dict[str, Any], problem: str) -> None:
    values = {"issuer": ISSUER, "keys": "x", "client_keys": "x", "clients": written(entry(**changes))}
    with pytest.raises(SettingsError, match=rf"^TOKENSVC_CLIENTS .*{problem}.*\. See the README"):
        assembly.listed(Settings.model_validate(values))


def test_identity_is_percent_encoded_as_elsewhere() -> None:
    with Service({"clients": written(entry(identity="a%2Fb/c%3Ad/e%25"))}) as service:
        client = acting(service)
        facts = client.introspect(obtain(client).access)
        assert (facts["account"], facts["user"], facts["role"]) == ("a/b", "c:d", "e%")
        assert facts["sub"] == "a%2Fb/c%3Ad"
