"""`/.well-known/…`: what clients discover, and where (RFC 8414, RFC 9728)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.endpoints.local import ISSUER, Service

SERVER = "/.well-known/oauth-authorization-server"
RESOURCE = "/.well-known/oauth-protected-resource"
METHODS = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
ALGORITHMS = ["ES256", "ES384", "Ed25519", "EdDSA", "RS256", "PS256"]


def document(service: Service, path: str) -> dict[str, Any]:
    with service.http() as http:
        answer = http.get(urlsplit(service.issuer)._replace(path=path).geturl())
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    content: dict[str, Any] = answer.json()
    return content


def test_server_metadata_says_what_is_there(service: Service) -> None:
    assert document(service, SERVER) == {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize",
        "pushed_authorization_request_endpoint": f"{ISSUER}/par",
        "token_endpoint": f"{ISSUER}/token",
        "registration_endpoint": f"{ISSUER}/register",
        "revocation_endpoint": f"{ISSUER}/revoke",
        "introspection_endpoint": f"{ISSUER}/introspect",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "revocation_endpoint_auth_methods_supported": METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "client_id_metadata_document_supported": True,
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "Bearer"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["mcp", "offline_access"],
        "authorization_response_iss_parameter_supported": True,
        "dpop_signing_alg_values_supported": ALGORITHMS,
        "protected_resources": [ISSUER],
    }


def test_every_endpoint_that_is_advertised_is_mounted_and_no_other_is_advertised(service: Service) -> None:
    advertised = {value for name, value in document(service, SERVER).items() if name.endswith("_endpoint")}
    with service.http() as http:
        assert all(http.post(url).status_code != 404 for url in advertised)
    with Service({"registration": "off", "introspection_tokens": ""}) as bare:
        names = document(bare, SERVER).keys()
        assert not {"registration_endpoint", "introspection_endpoint"} & names
        assert "introspection_endpoint_auth_methods_supported" not in names


def test_signed_authentication_is_advertised_where_some_client_may_use_it() -> None:
    client = {"client_id": "app", "jwks_uri": "https://app.example/jwks", "redirect_uris": ["https://app.example/cb"]}
    for clients, expected in (("[]", METHODS[:-1]), (json.dumps([client]), METHODS)):
        with Service({"cimd": "off", "clients": clients}) as service:
            found = document(service, SERVER)
            assert found["token_endpoint_auth_methods_supported"] == expected
            assert ("token_endpoint_auth_signing_alg_values_supported" in found) == (expected == METHODS)
            assert "client_id_metadata_document_supported" not in found


def test_resource_metadata_leaves_offline_access_to_the_authorization_server(service: Service) -> None:
    assert document(service, RESOURCE) == {
        "resource": ISSUER,
        "authorization_servers": [ISSUER],
        "scopes_supported": ["mcp"],
        "bearer_methods_supported": ["header"],
    }


def test_issuer_path_is_inserted_and_appended() -> None:
    with Service({"issuer": "https://example.com/tokens/a"}) as service:
        inserted = document(service, f"{SERVER}/tokens/a")
        assert inserted == document(service, f"/tokens/a{SERVER}")
        assert inserted["issuer"] == "https://example.com/tokens/a"
        assert inserted["token_endpoint"] == "https://example.com/tokens/a/token"
        assert document(service, f"{RESOURCE}/tokens/a")["resource"] == "https://example.com/tokens/a"
        with service.http() as http:
            for path in (SERVER, f"{SERVER}/tokens", f"{SERVER}/tokens/a/", RESOURCE, "/token"):
                assert http.get(f"https://example.com{path}").status_code == 404


@pytest.mark.parametrize("issuer", ["https://example.com/tokens", "http://localhost:8000/a/b"])
def test_service_under_a_path_works_from_registration_to_revocation(issuer: str) -> None:
    with Service({"issuer": issuer}) as service:
        client = service.client()
        issued = client.sign_in()
        assert client.introspect(issued.access)["iss"] == issuer
        assert client.revoke(issued.refresh).status_code == 200
        assert not client.active(issued.access)


def test_only_resources_of_this_origin_have_their_metadata_here() -> None:
    resources = f"{ISSUER}/mcp,{ISSUER}/,HTTPS://Auth.Example.com/other,https://elsewhere.example/mcp"
    secrets = ",".join(f"{name}=secret{n}" for n, name in enumerate(resources.split(",")))
    with Service({"resources": resources, "introspection_tokens": secrets}) as service:
        assert document(service, f"{RESOURCE}/mcp")["resource"] == f"{ISSUER}/mcp"
        assert document(service, RESOURCE)["resource"] == f"{ISSUER}/"
        assert document(service, f"{RESOURCE}/other")["resource"] == "HTTPS://Auth.Example.com/other"
        assert document(service, SERVER)["protected_resources"] == resources.split(",")
        with service.http() as http:
            assert http.get(f"{RESOURCE}/mcp/").status_code == 404


def test_documents_hold_no_null_may_be_cached_and_read_by_any_page(service: Service) -> None:
    with service.http() as http:
        for path in (SERVER, RESOURCE):
            answer = http.get(path, headers={"Origin": "https://app.example"})
            assert None not in answer.json().values()
            assert answer.headers["cache-control"] == "public, max-age=300"
            assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", f"{SERVER}/x", f"{RESOURCE}/x", "/.well-known/"])
def test_probe_for_what_is_not_there_is_a_json_404_that_a_page_may_read(service: Service, path: str) -> None:
    with service.http() as http:
        answer = http.get(path, headers={"Origin": "https://app.example"})
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
        assert answer.headers["access-control-allow-origin"] == "*"
