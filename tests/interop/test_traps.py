"""The traps that real MCP clients fall into, by their numbers in the project's notes, and what broke eight of them.

Trap 1, sizes, is in test_registrations.py, as is most of trap 5, redirects.
"""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from tests.https_host import HttpsHost
from tests.ports import free_port
from tests.replica import (
    INTROSPECTION_TOKEN,
    SECONDS,
    TLS,
    Client,
    Replica,
    redirect_parameters,
    ring_entry,
    settings,
    tokens,
    wait_for,
)

ORIGIN = "https://api.example.com"
VERSION_2 = f"{ORIGIN}/v2"
ORIGIN_SECRET, VERSION_2_SECRET = "secret-of-the-origin", "secret-of-version-2"
WEB_PAGE = "http://localhost:6274"


def deployment(ledger: str, path: str = "", **changes: str) -> tuple[dict[str, str], int]:
    """The variables of a replica with three resources: one beside it, a bare origin, and a path of that."""
    port = free_port()
    issuer = f"http://127.0.0.1:{port}{path}"
    values = {
        "issuer": issuer,
        "resources": f"{issuer}/mcp,{ORIGIN},{VERSION_2}",
        "introspection_tokens": f"{issuer}/mcp={INTROSPECTION_TOKEN},{ORIGIN}={ORIGIN_SECRET},"
        f"{VERSION_2}={VERSION_2_SECRET}",
        "scopes": "mcp files:read files:write",
    }
    return settings(ledger, port, **(values | changes)), port


@pytest.fixture(scope="module", params=["", "/auth"], ids=["origin", "path"])
def replica(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """At an origin of its own, and below a path of one."""
    environment, port = deployment("memory://", request.param)
    with Replica(environment, port, directory=tmp_path_factory.mktemp("replica")) as started:
        yield started


@pytest.fixture
def client(replica: Replica) -> Client:
    registered = Client(replica.url)
    registered.register()
    return registered


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=SECONDS, verify=TLS) as opened:
        yield opened


def get(http: httpx.Client, replica: Replica, path: str, **headers: str) -> httpx.Response:
    """A path of the host, not of the issuer."""
    return http.get(httpx.URL(replica.url).join(path), headers=headers)


def metadata_paths(replica: Replica) -> list[str]:
    """Where clients find the authorization server's metadata: RFC 8414's form, and the appended one."""
    name, path = "/.well-known/oauth-authorization-server", urlsplit(replica.url).path
    return [f"{name}{path}", f"{path}{name}"]


def resource_metadata_path(replica: Replica) -> str:
    return f"/.well-known/oauth-protected-resource{urlsplit(replica.url).path}/mcp"


def no_nulls(value: Any) -> bool:
    if isinstance(value, dict | list):
        return all(no_nulls(item) for item in (value.values() if isinstance(value, dict) else value))
    return value is not None


# 2. client_ids do not expire, and outlive token keys by years.


def test_trap_2_a_client_id_outlives_the_keys_of_tokens(tmp_path: Path) -> None:
    environment, port = deployment("sqlite:///ledger.db")
    with Replica(environment, port, directory=tmp_path) as replica:
        client = Client(replica.url)
        before = client.sign_in()
        replica.restart(keys=ring_entry("k2"))
        assert not client.active(before.access)
        assert client.refresh(before.refresh).json()["error"] == "invalid_grant"
        assert tokens(client.redeem(client.code())).access


def test_trap_2_registration_says_nothing_of_an_end(client: Client) -> None:
    assert "client_id_expires_at" not in client.register()
    assert client.register(token_endpoint_auth_method="client_secret_post")["client_secret_expires_at"] == 0


# 3. One canonical issuer, without a trailing slash, everywhere.


def test_trap_3_the_issuer_is_the_same_to_the_letter_everywhere(
    replica: Replica, client: Client, http: httpx.Client
) -> None:
    issuer = replica.environment["TOKENSVC_ISSUER"]
    for path in metadata_paths(replica):
        metadata = get(http, replica, path).json()
        assert metadata["issuer"] == issuer
        for name, url in metadata.items():
            assert not name.endswith("_endpoint") or url.startswith(f"{issuer}/")
    assert get(http, replica, resource_metadata_path(replica)).json()["authorization_servers"] == [issuer]
    url, page = client.page()
    allowed = redirect_parameters(client.decide(url, page))
    assert allowed["iss"] == issuer
    assert client.introspect(tokens(client.redeem(allowed["code"])).access)["iss"] == issuer
    assert not issuer.endswith("/")


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": ""},
        {"code_challenge_method": "plain"},
        {"response_type": "token"},
        {"resource": "https://elsewhere.example/"},
        {"response_mode": "fragment"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_iss_comes_with_every_error_too_once_it_is_advertised(
    replica: Replica, client: Client, http: httpx.Client, changes: dict[str, str]
) -> None:
    metadata = get(http, replica, metadata_paths(replica)[0]).json()
    assert metadata["authorization_response_iss_parameter_supported"] is True
    _, answer = client.page(**changes)
    assert answer.status_code == 303
    parameters = redirect_parameters(answer)
    assert parameters["error"]
    assert parameters["iss"] == replica.environment["TOKENSVC_ISSUER"]
    assert parameters["state"] == "af0ifjsldkj/+="


# 4. No nulls, and registration returns what was granted.


def test_trap_4_no_answer_holds_a_null(replica: Replica, client: Client, http: httpx.Client) -> None:
    issued = client.sign_in()
    answers = [
        *(get(http, replica, path).json() for path in metadata_paths(replica)),
        get(http, replica, resource_metadata_path(replica)).json(),
        client.register(scope=None, client_uri=None, jwks=None),
        client.register(token_endpoint_auth_method=None, grant_types=None, client_name=None),
        issued.response,
        client.refresh(issued.refresh).json(),
        client.introspect(issued.access),
        client.introspect("unknown"),
        client.refresh("unknown").json(),
        get(http, replica, "/nowhere").json(),
    ]
    assert [answer for answer in answers if not no_nulls(answer)] == []


def test_trap_4_registration_returns_the_redirect_uris_as_they_were_written(client: Client) -> None:
    written = ["http://LOCALHOST:8080/cb", "http://127.0.0.1/", "http://127.0.0.1:33418/", "com.example.app:/cb?a=1"]
    assert client.register(redirect_uris=written)["redirect_uris"] == written


# 5. Loopback and private schemes (the rest is in test_registrations.py).


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "javascript:alert(1)",
        "data:text/html,hello",
        "file:///etc/passwd",
        "vbscript:msgbox",
        "blob:https://app.example/1",
        "about:blank",
        "mailto:ada@example.com",
        "http://app.example/callback",
        "http://127.0.0.1.nip.io/callback",
        "https://app.example/callback#fragment",
        "//app.example/callback",
        "",
    ],
)
def test_trap_5_dangerous_redirect_uris_are_refused_beside_good_ones(client: Client, redirect_uri: str) -> None:
    registration = {"redirect_uris": ["https://claude.ai/api/mcp/auth_callback", redirect_uri]}
    refused = client.http.post(f"{client.url}/register", json=registration)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_redirect_uri")


# 6. Refresh races.


def test_trap_6_processes_that_refresh_at_once_are_given_the_same_successor(client: Client) -> None:
    issued = client.sign_in()
    with ThreadPoolExecutor(8) as processes:
        answers = list(processes.map(lambda _: tokens(client.refresh(issued.refresh)), range(16)))
    assert len({client.introspect(each.access)["jti"] for each in answers}) == 1
    assert tokens(client.refresh(answers[-1].refresh)).access


def test_trap_6_a_client_that_lost_a_response_is_not_signed_out(client: Client) -> None:
    issued = client.sign_in()
    client.refresh(issued.refresh)
    again = tokens(client.refresh(issued.refresh))
    assert client.active(again.access)
    assert tokens(client.refresh(again.refresh)).access


def test_a_refresh_right_after_the_code_is_answered(client: Client) -> None:
    issued = client.sign_in()
    refreshed = tokens(client.refresh(issued.refresh))
    assert client.active(refreshed.access)
    facts = client.introspect(refreshed.access)
    assert "nbf" not in facts


# 7. Refresh tokens and scopes.


@pytest.mark.parametrize("scope", ["", "mcp", "offline_access", "mcp offline_access"])
def test_trap_7_a_refresh_token_is_issued_whether_or_not_offline_access_was_asked_for(
    client: Client, scope: str
) -> None:
    issued = tokens(client.redeem(client.code(scope=scope)))
    assert issued.refresh
    assert issued.response["scope"] == "mcp"


def test_trap_7_offline_access_is_listed_by_the_authorization_server_alone(
    replica: Replica, http: httpx.Client
) -> None:
    scopes = ["mcp", "files:read", "files:write"]
    metadata = get(http, replica, metadata_paths(replica)[0]).json()
    assert metadata["scopes_supported"] == [*scopes, "offline_access"]
    assert get(http, replica, resource_metadata_path(replica)).json()["scopes_supported"] == scopes


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("", "mcp"),
        ("openid email profile", "mcp"),
        ("claudeai", "mcp"),
        ("files:read", "files:read"),
        ("files:write openid mcp", "mcp files:write"),
    ],
)
def test_trap_7_missing_scope_means_the_default_and_unknown_ones_are_dropped(
    client: Client, asked: str, granted: str
) -> None:
    issued = tokens(client.redeem(client.code(scope=asked)))
    assert issued.response["scope"] == client.introspect(issued.access)["scope"] == granted


def test_trap_7_a_client_may_ask_for_more_than_it_registered_for(client: Client) -> None:
    client.register(scope="mcp")
    assert tokens(client.redeem(client.code(scope="mcp files:write"))).response["scope"] == "mcp files:write"


# 8. Client authentication.


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
def test_trap_8_the_method_that_was_asked_for_is_granted(client: Client, method: str) -> None:
    assert client.register(token_endpoint_auth_method=method)["token_endpoint_auth_method"] == method


@pytest.mark.parametrize("unsaid", [{}, {"token_endpoint_auth_method": None}])
def test_trap_8_a_client_that_says_nothing_of_a_secret_is_one_of_client_secret_basic(
    client: Client, unsaid: dict[str, None]
) -> None:
    registration = {"redirect_uris": [client.redirect_uri], **unsaid}
    granted = client.http.post(f"{client.url}/register", json=registration).json()
    assert granted["token_endpoint_auth_method"] == "client_secret_basic"
    assert granted["client_secret_expires_at"] == 0
    client.client_id, client.client_secret = granted["client_id"], granted["client_secret"]
    # The Python SDK has clients that post the secret all the same.
    assert tokens(client.redeem(client.code())).access


def as_is(text: str) -> str:
    return text


def every_character_encoded(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


@pytest.mark.parametrize("encode", [as_is, quote, every_character_encoded])
@pytest.mark.parametrize("in_body", [False, True])
def test_trap_8_basic_credentials_may_be_percent_encoded_and_the_client_id_stand_in_the_body_too(
    client: Client, encode: Callable[[str], str], in_body: bool
) -> None:
    client.register(token_endpoint_auth_method="client_secret_basic")
    form = {
        "grant_type": "authorization_code",
        "code": client.code(),
        "code_verifier": client.verifier,
        "redirect_uri": client.redirect_uri,
    } | ({"client_id": client.client_id} if in_body else {})
    headers = basic(encode(client.client_id), encode(client.client_secret))
    assert tokens(client.http.post(f"{client.url}/token", data=form, headers=headers)).access


def test_trap_8_another_client_id_in_the_body_than_in_the_header_is_refused(client: Client) -> None:
    other = client.client_id
    client.register(token_endpoint_auth_method="client_secret_basic")
    form = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": other}
    headers = basic(client.client_id, client.client_secret)
    refused = client.http.post(f"{client.url}/token", data=form, headers=headers)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")


def test_trap_8_failed_basic_is_challenged(client: Client) -> None:
    client.register(token_endpoint_auth_method="client_secret_basic")
    form = {"grant_type": "refresh_token", "refresh_token": "x"}
    refused = client.http.post(f"{client.url}/token", data=form, headers=basic(client.client_id, "wrong"))
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert refused.headers["www-authenticate"].startswith("Basic ")


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"}


# 9. Well-known hygiene.


def test_trap_9_the_metadata_stands_at_both_forms_of_its_url(replica: Replica, http: httpx.Client) -> None:
    inserted, appended = (get(http, replica, path) for path in metadata_paths(replica))
    assert inserted.status_code == appended.status_code == 200
    assert inserted.headers["content-type"] == "application/json"
    assert inserted.content == appended.content
    # Zod's schema in the TypeScript SDK asks for these.
    assert {"issuer", "authorization_endpoint", "token_endpoint", "response_types_supported"} <= inserted.json().keys()
    assert inserted.json()["code_challenge_methods_supported"] == ["S256"]
    assert "none" in inserted.json()["token_endpoint_auth_methods_supported"]


PROBES = [
    "/.well-known/openid-configuration",
    "/.well-known/openid-configuration/auth",
    "/.well-known/openid-configuration/mcp",
    "/auth/.well-known/openid-configuration",
    "/mcp/.well-known/openid-configuration",
    "/mcp/.well-known/oauth-authorization-server",
    "/.well-known/oauth-authorization-server/mcp",
    "/.well-known/oauth-authorization-server/",
    "/.well-known/oauth-authorization-server/auth/",
    "/.well-known/oauth-protected-resource/elsewhere",
    "/.well-known/oauth-protected-resource/mcp/",
    "/.well-known/oauth-protected-resource/auth/mcp/",
    "/.well-known/jwks.json",
    "/.well-known/",
    "/.well-known",
    "/.well-known/%2e%2e/token",
    "/.well-known/<script>",
    "/",
    "/auth",
    "/auth/",
    "/mcp",
    "/favicon.ico",
    "/robots.txt",
    "/index.html",
    "/sse",
]


@pytest.mark.parametrize("path", PROBES)
def test_trap_9_unknown_paths_are_404_in_json_for_browsers_too(replica: Replica, http: httpx.Client, path: str) -> None:
    answer = get(http, replica, path, Accept="text/html")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"] == "not_found"


@pytest.mark.parametrize("name", ["register", "authorize", "token", "introspect", "revoke", "readyz", "healthz"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_trailing_slash_is_404_in_json_and_never_a_redirect(
    replica: Replica, http: httpx.Client, name: str, method: str
) -> None:
    answer = http.request(method, f"{replica.url}/{name}/")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("GET", "register"),
        ("PUT", "register"),
        ("GET", "token"),
        ("DELETE", "token"),
        ("GET", "introspect"),
        ("GET", "revoke"),
        ("PUT", "authorize"),
        ("DELETE", "authorize"),
        ("GET", "admin/revoke"),
        ("POST", "admin/denylist"),
        ("POST", "readyz"),
        ("POST", ".well-known/oauth-authorization-server"),
    ],
)
def test_a_wrong_method_is_405_in_json(replica: Replica, http: httpx.Client, method: str, name: str) -> None:
    answer = http.request(method, f"{replica.url}/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/json")
    assert answer.json()["error"] == "method_not_allowed"
    assert method not in answer.headers["allow"]


# 10. Resources.


def test_the_resource_metadata_names_the_resource_as_it_is_configured(replica: Replica, http: httpx.Client) -> None:
    document = get(http, replica, resource_metadata_path(replica)).json()
    assert document["resource"] == f"{replica.environment['TOKENSVC_ISSUER']}/mcp"


@pytest.mark.parametrize(
    ("spelling", "resource", "secret"),
    [
        (ORIGIN, ORIGIN, ORIGIN_SECRET),
        (f"{ORIGIN}/", ORIGIN, ORIGIN_SECRET),
        ("HTTPS://API.Example.COM", ORIGIN, ORIGIN_SECRET),
        ("HTTPS://API.Example.COM/", ORIGIN, ORIGIN_SECRET),
        (VERSION_2, VERSION_2, VERSION_2_SECRET),
        ("https://API.example.com/v2", VERSION_2, VERSION_2_SECRET),
    ],
)
def test_trap_10_spellings_of_one_resource_are_equal_at_every_step(
    client: Client, spelling: str, resource: str, secret: str
) -> None:
    issued = tokens(client.redeem(client.code(resource=spelling), resource=spelling))
    assert client.introspect(issued.access, secret)["aud"] == resource
    refreshed = tokens(client.refresh(issued.refresh, resource=spelling))
    assert client.introspect(refreshed.access, secret)["aud"] == resource


@pytest.mark.parametrize(
    "other",
    [
        "https://elsewhere.example",
        f"{ORIGIN}/V2",
        f"{VERSION_2}/",
        f"{ORIGIN}:8443",
        f"{ORIGIN}#v2",
        "http://api.example.com",
        "api.example.com",
        "urn:example:api",
        "not a url",
    ],
)
def test_trap_10_another_resource_is_an_invalid_target_at_every_step(client: Client, other: str) -> None:
    _, refused = client.page(resource=other)
    assert redirect_parameters(refused)["error"] == "invalid_target"
    code = client.code(resource=ORIGIN)
    refused = client.redeem(code, resource=other)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_target")
    issued = tokens(client.redeem(code))
    assert client.refresh(issued.refresh, resource=other).json()["error"] == "invalid_target"
    assert client.active(issued.access) is False  # not for the default resource
    assert client.introspect(tokens(client.refresh(issued.refresh)).access, ORIGIN_SECRET)["active"] is True


def test_trap_10_a_resource_of_this_server_that_is_not_the_grants_is_an_invalid_target(client: Client) -> None:
    code = client.code(resource=ORIGIN)
    assert client.redeem(code, resource=VERSION_2).json()["error"] == "invalid_target"
    issued = tokens(client.redeem(code))
    assert client.refresh(issued.refresh, resource=VERSION_2).json()["error"] == "invalid_target"


def test_trap_10_a_resource_left_out_is_inherited(client: Client) -> None:
    issued = tokens(client.redeem(client.code(resource=VERSION_2)))
    refreshed = tokens(client.refresh(issued.refresh))
    for access in (issued.access, refreshed.access):
        assert client.introspect(access, VERSION_2_SECRET)["aud"] == VERSION_2


def test_trap_10_a_resource_that_was_taken_away_ends_the_grant_and_not_the_client(tmp_path: Path) -> None:
    environment, port = deployment("sqlite:///ledger.db")
    with Replica(environment, port, directory=tmp_path) as replica:
        client = Client(replica.url)
        client.register()
        issued = tokens(client.redeem(client.code(resource=VERSION_2)))
        replica.restart(resources=ORIGIN, introspection_tokens=ORIGIN_SECRET)
        for named in (VERSION_2, ""):
            refused = client.refresh(issued.refresh, resource=named)
            assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
        _, answer = client.page(resource=VERSION_2)
        assert redirect_parameters(answer)["error"] == "invalid_target"
        assert tokens(client.redeem(client.code(resource=ORIGIN))).access


# 11. Client ID metadata documents are not built yet: neither advertised nor accepted.


def test_trap_11_metadata_documents_are_advertised_where_they_work(
    replica: Replica, http: httpx.Client, tmp_path: Path
) -> None:
    """Claude looks for the flag and for `none`, ChatGPT for `iss` beside it."""
    metadata = get(http, replica, metadata_paths(replica)[0]).json()
    assert metadata["client_id_metadata_document_supported"] is True
    assert "none" in metadata["token_endpoint_auth_methods_supported"]
    assert metadata["authorization_response_iss_parameter_supported"] is True
    environment, port = deployment("memory://", "", fetch_networks="127.0.0.0/8,::1")
    with HttpsHost(tmp_path) as host:
        trusting = dict(environment) | {"SSL_CERT_FILE": str(host.authority)}
        with Replica(trusting, port, directory=tmp_path) as other:
            assert Client(other.url, client_id=host.publish("/client.json")).sign_in().access


def test_trap_11_nothing_is_advertised_where_documents_are_off(tmp_path: Path) -> None:
    environment, port = deployment("memory://", "", cimd="off")
    with Replica(environment, port, directory=tmp_path) as replica, httpx.Client(verify=TLS) as http:
        assert "client_id_metadata_document_supported" not in get(http, replica, metadata_paths(replica)[0]).json()
        unknown = Client(replica.url, client_id="https://claude.ai/oauth/mcp-oauth-client-metadata")
        assert unknown.page()[1].status_code == 400


# 12. Transport.


def test_trap_12_nobody_keeps_a_copy_of_tokens_registrations_pages_or_refusals(client: Client) -> None:
    url, page = client.page()
    allowed = client.decide(url, page)
    redeemed = client.redeem(redirect_parameters(allowed)["code"])
    registration = client.http.post(f"{client.url}/register", json={"redirect_uris": [client.redirect_uri]})
    introspected = introspection(client, redeemed.json()["access_token"])
    refused = client.refresh("unknown")
    for answer in (page, allowed, redeemed, registration, introspected, refused):
        assert "no-store" in answer.headers["cache-control"], answer.request.url


SHARED = ["token", "register", ".well-known/oauth-authorization-server", ".well-known/unknown"]
PRIVATE = ["authorize", "introspect", "denylist", "admin/revoke", "admin/denylist", "admin/state", "readyz"]


@pytest.mark.parametrize("name", SHARED)
def test_trap_12_a_web_page_may_ask_before_it_sends(replica: Replica, http: httpx.Client, name: str) -> None:
    asked = {
        "Origin": WEB_PAGE,
        "Access-Control-Request-Method": "GET" if "well-known" in name else "POST",
        "Access-Control-Request-Headers": "authorization,content-type,mcp-protocol-version",
    }
    answer = http.options(f"{replica.url}/{name}", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert asked["Access-Control-Request-Method"] in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower().replace(" ", "").split(",")
    assert {"authorization", "content-type", "mcp-protocol-version"} <= set(allowed)
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("name", SHARED)
def test_trap_12_a_web_page_may_read_answers_refusals_and_challenges(
    replica: Replica, http: httpx.Client, name: str
) -> None:
    method = "GET" if "well-known" in name else "POST"
    headers = {"Origin": WEB_PAGE, **basic("unknown", "unknown")}
    answer = http.request(method, f"{replica.url}/{name}", headers=headers, data={"grant_type": "refresh_token"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "www-authenticate" in answer.headers["access-control-expose-headers"].lower()
    assert ("www-authenticate" in answer.headers) == (name == "token")


@pytest.mark.parametrize("name", PRIVATE)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_trap_12_no_web_page_reads_what_is_for_people_operators_and_resource_servers(
    replica: Replica, http: httpx.Client, name: str, method: str
) -> None:
    headers = {"Origin": WEB_PAGE, "Access-Control-Request-Method": "POST"}
    answer = http.request(method, f"{replica.url}/{name}", headers=headers)
    assert not [header for header in answer.headers if header.startswith("access-control-")]


def test_trap_12_opening_the_page_does_nothing(tmp_path: Path) -> None:
    environment, port = deployment("sqlite:///ledger.db")
    with Replica(environment, port, directory=tmp_path) as replica:
        client = Client(replica.url)
        issued = client.sign_in()
        before = ledger_rows(tmp_path)
        url = client.authorize_url()
        # A chat that shows a preview of the link, a scanner of mails, an impatient person.
        assert [client.http.get(url).status_code for _ in range(3)] == [200] * 3
        assert client.http.head(url).status_code == 200
        assert ledger_rows(tmp_path) == before
        assert client.active(issued.access)
        assert len([line for line in replica.log if line["event"] == "authorization granted"]) == 1


def test_trap_12_a_hosted_client_registers_in_bursts_from_one_address(replica: Replica, http: httpx.Client) -> None:
    registration = {"redirect_uris": ["https://claude.ai/api/mcp/auth_callback"]}
    headers = {"X-Forwarded-For": "160.79.104.10"}
    statuses = [
        http.post(f"{replica.url}/register", json=registration, headers=headers).status_code for _ in range(100)
    ]
    assert set(statuses) == {201}


# 13. Introspection.


def test_trap_13_introspection_says_until_when_for_whom_and_by_which_client(replica: Replica, client: Client) -> None:
    issued = client.sign_in()
    facts = client.introspect(issued.access)
    assert isinstance(facts["exp"], int)
    assert facts["exp"] - facts["iat"] == issued.response["expires_in"]
    assert facts["aud"] == f"{replica.environment['TOKENSVC_ISSUER']}/mcp"
    assert facts["client_id"]
    assert facts["token_type"] == "Bearer"


# 14. Response headers.


def test_trap_14_the_answer_of_the_page_fits_the_header_buffer_of_nginx(client: Client) -> None:
    url, page = client.page(state="s" * 2048)
    answer = client.decide(url, page)
    assert answer.status_code == 303
    assert sum(len(name) + len(value) + 4 for name, value in answer.headers.raw) < 4096


# 15. An outage must not look like a refusal.


def test_trap_15_what_the_ledger_cannot_answer_is_503_and_costs_nobody_a_token(tmp_path: Path) -> None:
    environment, port = deployment("sqlite:///ledger.db")
    ledger, away = tmp_path / "ledger.db", tmp_path / "away.db"
    with Replica(environment, port, directory=tmp_path) as replica:
        client = Client(replica.url)
        issued = client.sign_in()
        code = client.code()
        ledger.rename(away)
        for answer in (client.refresh(issued.refresh), client.redeem(code), introspection(client, issued.access)):
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json()["error"] not in {"invalid_grant", "invalid_client", "invalid_token"}
        away.rename(ledger)
        wait_for(lambda: introspection(client, issued.access).status_code == 200, "the ledger is back")
        assert client.active(issued.access)
        assert tokens(client.refresh(issued.refresh)).access
        assert tokens(client.redeem(code)).access


def introspection(client: Client, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {INTROSPECTION_TOKEN}"}
    return client.http.post(f"{client.url}/introspect", data={"token": token}, headers=headers)


# What broke real clients: a client_id of another life.


def test_an_unknown_client_is_a_400_page_at_authorize_and_never_a_redirect(replica: Replica) -> None:
    for client_id in ("unknown", f"tscl_{'A' * 200}", "http://app.example/client.json", "https://app.example"):
        _, page = Client(replica.url, client_id=client_id).page()
        assert page.status_code == 400
        assert page.headers["content-type"].startswith("text/html")
        assert "location" not in page.headers


def test_a_program_that_tries_a_stale_client_id_reads_where_to_register_anew(replica: Replica) -> None:
    """mcp-remote asks before it opens a browser, and heals on an answer that says so in JSON."""
    url = Client(replica.url, client_id="tscl_of-another-time").authorize_url()
    answer = httpx.get(url, headers={"Accept": "application/json"}, verify=TLS)
    assert answer.status_code == 400
    assert answer.json() == {
        "error": "invalid_client",
        "error_description": "client is not registered",
        "registration_endpoint": f"{replica.url}/register",
    }


def test_a_redirect_uri_that_was_not_registered_is_a_400_page_and_never_a_redirect(client: Client) -> None:
    _, page = client.page(redirect_uri="https://attacker.example/callback")
    assert page.status_code == 400
    assert page.headers["content-type"].startswith("text/html")
    assert "location" not in page.headers


@pytest.mark.parametrize("grant_type", ["authorization_code", "refresh_token"])
def test_a_stale_client_is_told_so_at_the_token_endpoint_and_heals_by_registering(
    replica: Replica, client: Client, grant_type: str
) -> None:
    stale = Client(replica.url, client_id=client.client_id[:-8] + "AAAAAAAA")
    refused = stale.token(grant_type=grant_type, code="x", refresh_token="x", code_verifier=stale.verifier)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert "www-authenticate" not in refused.headers
    stale.register()
    assert tokens(stale.redeem(stale.code())).access


def test_the_answer_holds_its_parameters_once(client: Client) -> None:
    url, page = client.page()
    query = parse_qs(urlsplit(client.decide(url, page).headers["location"]).query, strict_parsing=True)
    assert {name: len(values) for name, values in query.items()} == {"code": 1, "state": 1, "iss": 1}


def ledger_rows(directory: Path) -> dict[str, list[Any]]:
    """All that the ledger holds, but for its own clock."""
    with closing(sqlite3.connect(directory / "ledger.db")) as ledger:
        tables = ("marks", "families", "spent", "offers")
        return {table: ledger.execute(f"SELECT * FROM {table}").fetchall() for table in tables}  # noqa: S608
