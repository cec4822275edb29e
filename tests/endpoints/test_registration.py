"""`POST /register`: who may register, and what is answered (RFC 7591)."""

from __future__ import annotations

import httpx
import pytest

from tests.endpoints.local import Service
from tests.replica import REDIRECT_URI

METADATA = {"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none"}


def register(service: Service, metadata: object, authorization: str = "", address: str = "127.0.0.1") -> httpx.Response:
    headers = {"Authorization": authorization} if authorization else {}
    with service.http(address) as http:
        return http.post("/register", json=metadata, headers=headers)


def test_everything_granted_is_echoed_and_nothing_is_null(service: Service) -> None:
    answer = register(service, METADATA | {"client_name": "App", "scope": "mcp", "logo_uri": "https://app.example/x"})
    content = answer.json()
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    client_id = content.pop("client_id")
    assert client_id.startswith("tscl_")
    assert len(client_id) <= 300
    assert content == {
        "redirect_uris": [REDIRECT_URI],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "client_name": "App",
    }


@pytest.mark.parametrize("asked", [None, "client_secret_basic", "client_secret_post"])
def test_confidential_client_is_given_a_secret_that_does_not_expire(service: Service, asked: str | None) -> None:
    metadata = {"redirect_uris": [REDIRECT_URI]} | ({"token_endpoint_auth_method": asked} if asked else {})
    first, second = register(service, metadata).json(), register(service, metadata).json()
    assert first["token_endpoint_auth_method"] == asked or "client_secret_basic"
    assert first["client_secret_expires_at"] == 0
    assert len(first["client_secret"]) >= 43
    assert first["client_id"] != second["client_id"]
    assert first["client_secret"] != second["client_secret"]


def test_public_client_is_given_the_same_client_id_for_the_same_metadata(service: Service) -> None:
    first, second = register(service, METADATA), register(service, METADATA | {"contacts": ["a@b.example"]})
    assert first.json() == second.json()
    assert "client_secret" not in first.json()
    assert register(service, METADATA | {"client_name": "Other"}).json()["client_id"] != first.json()["client_id"]


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ({}, "invalid_redirect_uri"),
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://app.example/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [REDIRECT_URI, "javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [f"https://app.example/{n}" for n in range(9)]}, "invalid_redirect_uri"),
        ({"redirect_uris": REDIRECT_URI}, "invalid_client_metadata"),
        ({"redirect_uris": {}}, "invalid_client_metadata"),
        ({"redirect_uris": [1]}, "invalid_client_metadata"),
        ({"redirect_uris": [None]}, "invalid_client_metadata"),
        (METADATA | {"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        (METADATA | {"token_endpoint_auth_method": ["none"]}, "invalid_client_metadata"),
        (METADATA | {"grant_types": ["refresh_token"]}, "invalid_client_metadata"),
        (METADATA | {"grant_types": []}, "invalid_client_metadata"),
        (METADATA | {"grant_types": "authorization_code"}, "invalid_client_metadata"),
        (METADATA | {"response_types": ["token"]}, "invalid_client_metadata"),
        (METADATA | {"client_name": {"en": "App"}}, "invalid_client_metadata"),
        (METADATA | {"jwks": {"keys": []}}, "invalid_client_metadata"),
        ([], "invalid_client_metadata"),
        ("text", "invalid_client_metadata"),
    ],
    ids=str,
)
def test_what_cannot_be_registered_is_refused_by_its_own_code(service: Service, metadata: object, error: str) -> None:
    answer = register(service, metadata)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("member", ["client_name", "token_endpoint_auth_method", "grant_types", "jwks", "scope"])
def test_null_member_counts_as_absent(service: Service, member: str) -> None:
    answer = register(service, {"redirect_uris": [REDIRECT_URI]} | {member: None})
    assert answer.status_code == 201
    assert None not in answer.json().values()


def test_json_is_the_only_way_to_register(service: Service) -> None:
    with service.http() as http:
        answer = http.post("/register", data={"redirect_uris": REDIRECT_URI})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")


def test_guarded_registration_takes_the_operators_token() -> None:
    with Service({"registration": "token:let-me-in"}) as service:
        assert register(service, METADATA, "Bearer let-me-in").status_code == 201
        for wrong in ("", "Bearer", "Bearer let-me", "Basic bGV0LW1lLWlu", "let-me-in"):
            answer = register(service, METADATA, wrong)
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
            assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_closed_registration_is_neither_mounted_nor_advertised() -> None:
    with Service({"registration": "off"}) as service, service.http() as http:
        assert register(service, METADATA).status_code == 404
        assert "registration_endpoint" not in http.get("/.well-known/oauth-authorization-server").json()


def test_redirect_hosts_are_the_operators_to_allow() -> None:
    with Service({"redirect_hosts": "claude.ai, *.example.com, localhost, cursor:"}) as service:
        for allowed in ("https://claude.ai/cb", "https://a.b.example.com/cb", "http://localhost:1/cb", "cursor://x/y"):
            assert register(service, {"redirect_uris": [allowed]}).status_code == 201
        for other in ("https://evil.example/cb", "https://example.com/cb", "http://127.0.0.1:1/cb", "vscode://x/y"):
            answer = register(service, {"redirect_uris": ["https://claude.ai/cb", other]})
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_redirect_uri")


def test_burst_of_registrations_from_one_address_is_not_limited(service: Service) -> None:
    """Hosted clients share addresses."""
    assert {register(service, METADATA, address="203.0.113.9").status_code for _ in range(100)} == {201}


def test_web_page_of_any_origin_may_register(service: Service) -> None:
    with service.http() as http:
        answer = http.post("/register", json=METADATA, headers={"Origin": "https://app.example"})
        assert answer.headers["access-control-allow-origin"] == "*"
