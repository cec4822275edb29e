"""`POST /introspect`: what a resource server is told, and who is told anything at all (RFC 7662)."""

from __future__ import annotations

import base64
import re

import httpx
import pytest

from tests.endpoints.local import ISSUER, NOW, SECOND, Down, Service
from tests.replica import API_KEY, INTROSPECTION_TOKEN, Client, api_key_entry, tokens
from tokensvc.identity.api_keys import ApiKeys
from tokensvc.tokens.kinds import client_handle


@pytest.fixture
def client(service: Service) -> Client:
    client = service.client()
    client.register()
    return client


def ask(client: Client, authorization: str | None, **form: str) -> httpx.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return client.http.post("/introspect", data=form, headers=headers)


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_active_token_is_described_in_whole(client: Client) -> None:
    issued = client.sign_in()
    answer = ask(client, f"Bearer {INTROSPECTION_TOKEN}", token=issued.access)
    content = answer.json()
    jti, family = content.pop("jti"), content.pop("family")
    assert jti == f"{family}.1"
    assert re.fullmatch(r"[A-Za-z0-9_-]{16}", family)
    assert content == {
        "active": True,
        "iss": ISSUER,
        "sub": "acme/ada",
        "aud": ISSUER,
        "client_id": client_handle(client.client_id),
        "scope": "mcp",
        "token_type": "Bearer",
        "iat": NOW // 1000,
        "exp": NOW // 1000 + 3600,
        "account": "acme",
        "user": "ada",
        "role": "admin",
    }
    assert answer.headers["cache-control"] == "no-store"


def test_anything_but_an_active_access_token_is_inactive_and_no_more(client: Client) -> None:
    issued, revoked = client.sign_in(), client.sign_in()
    client.revoke(revoked.access)
    others = ("x", ".", "é", "." * 60_000, issued.access[:-1], issued.refresh, client.code(), client.client_id)
    for token in (*others, revoked.access, f" {issued.access}", issued.access.upper()):
        for hint in ("access_token", "refresh_token", "nonsense"):
            answer = ask(client, f"Bearer {INTROSPECTION_TOKEN}", token=token, token_type_hint=hint)
            assert (answer.status_code, answer.text) == (200, '{"active":false}')


def test_hint_does_not_matter(client: Client) -> None:
    issued = client.sign_in()
    for hint in ("access_token", "refresh_token", "nonsense"):
        answer = ask(client, f"Bearer {INTROSPECTION_TOKEN}", token=issued.access, token_type_hint=hint)
        assert answer.json()["active"] is True


def test_missing_or_repeated_token_is_an_invalid_request(client: Client) -> None:
    for body in ("", "token=", "tokens=x", "token=x&token=x"):
        answer = client.http.post(
            "/introspect",
            content=body,
            headers={
                "Authorization": f"Bearer {INTROSPECTION_TOKEN}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
        )
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("name", ["", "mcp", "é", "https%3A%2F%2Fauth.example.com"])
def test_secret_is_a_bearer_or_the_password_of_any_user(client: Client, name: str) -> None:
    assert ask(client, basic(f"{name}:{INTROSPECTION_TOKEN}"), token="x").status_code == 200
    assert ask(client, f"bearer {INTROSPECTION_TOKEN}", token="x").status_code == 200


def test_password_may_be_percent_encoded(client: Client) -> None:
    """As RFC 6749 §2.3.1 has it, and oauth4webapi does to the letter."""
    encoded = re.sub(r"[^A-Za-z0-9]", lambda match: f"%{ord(match[0]):02X}", INTROSPECTION_TOKEN)
    assert ask(client, basic(f"mcp:{encoded}"), token="x").status_code == 200
    with Service({"introspection_tokens": "a+b/c%2Bd"}) as service:
        client = service.client()
        for password in ("a+b/c%2Bd", "a%2Bb%2Fc%252Bd"):
            assert ask(client, basic(f"mcp:{password}"), token="x").status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        *(None, "", "Bearer", "Bearer wrong", f"Bearer {INTROSPECTION_TOKEN}x", f"Bearer {INTROSPECTION_TOKEN} x"),
        *("Basic", "Basic !!!", basic(INTROSPECTION_TOKEN), basic(f"{INTROSPECTION_TOKEN}:x"), basic("x:")),
        *(f"Digest {INTROSPECTION_TOKEN}", INTROSPECTION_TOKEN),
    ],
)
def test_wrong_or_missing_secret_is_challenged_whatever_the_body(client: Client, authorization: str | None) -> None:
    for form in ({"token": "x"}, {}):
        answer = ask(client, authorization, **form)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
        assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_a_token_in_the_query_is_not_read(client: Client) -> None:
    issued = client.sign_in()
    headers = {"Authorization": f"Bearer {INTROSPECTION_TOKEN}"}
    answer = client.http.post("/introspect", params={"token": issued.access}, data={"x": "y"}, headers=headers)
    assert answer.status_code == 400


def test_without_a_secret_configured_nobody_is_told_anything() -> None:
    with Service({"introspection_tokens": ""}) as service:
        answer = ask(service.client(), "Bearer ", token="x")
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert "retry-after" in answer.headers


def test_resource_server_learns_only_of_tokens_for_its_own_resource() -> None:
    one, other = "https://one.example/mcp", "https://other.example/mcp"
    secrets = f"{one}=first,{one}=second,{other}=third"
    with Service({"resources": f"{one},{other}", "introspection_tokens": secrets}) as service:
        client = service.client()
        client.register()
        for asked, expected in ((None, one), (one, one), (other, other)):
            issued = tokens(client.redeem(client.code(**({"resource": asked} if asked else {}))))
            for secret, resource in (("first", one), ("second", one), ("third", other)):
                answer = client.introspect(issued.access, secret)
                assert answer["active"] is (resource == expected)
                assert answer.get("aud", resource) == resource


def test_token_is_active_to_the_last_millisecond_of_its_life() -> None:
    with Service() as service:
        client = service.client()
        issued = client.sign_in()
        service.clock.now += 3600 * SECOND - 1
        assert client.active(issued.access)
        service.clock.now += 1
        assert not client.active(issued.access)


def test_removed_or_changed_api_key_ends_what_it_authorized(service: Service) -> None:
    """At introspection and at refresh."""
    client = service.client()
    issued = client.sign_in()
    for entries in ("", api_key_entry(API_KEY, role="viewer"), api_key_entry(API_KEY, user="eve")):
        with service.changed(identities=ApiKeys.parse(entries)):
            assert not client.active(issued.access)
            assert client.refresh(issued.refresh).json()["error"] == "invalid_grant"
    assert client.active(issued.access)
    assert client.refresh(issued.refresh).status_code == 200


def test_outage_of_the_ledger_is_neither_active_nor_inactive(service: Service, client: Client) -> None:
    issued = client.sign_in()
    with service.changed(ledger=Down()):
        answer = ask(client, f"Bearer {INTROSPECTION_TOKEN}", token=issued.access)
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert "retry-after" in answer.headers
    assert client.active(issued.access)
