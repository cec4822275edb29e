"""The registrations of the known MCP clients, and the way from each of their redirect URIs to tokens."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.ports import free_port
from tests.replica import (
    SECONDS,
    TLS,
    Client,
    Replica,
    api_key_entry,
    redirect_parameters,
    ring_entry,
    settings,
    tokens,
)
from tokensvc.commands.probe.clients import ALL, CHATGPT, CLAUDE, CODEX, CURSOR, VS_CODE, KnownClient

# What interface.md's table of sizes calls ordinary, at its bound: a kid of 8, and 80 bytes of account, user and role.
KID = "k2026-11"
ACCOUNT, USER, ROLE = "northwind-traders-europe", "ada.lovelace@analytical-engines.example", "platform-operator"
API_KEY = "key_for-ada-of-the-longest-ordinary-names"
RESOURCE = "https://mcp.northwind-traders.example/mcp"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

every_client = pytest.mark.parametrize("known", ALL, ids=lambda known: known.name)
every_redirect_uri = pytest.mark.parametrize(
    ("known", "redirect_uri"), [pytest.param(known, uri, id=uri) for known in ALL for uri in known.redirect_uris]
)


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    assert len(f"{ACCOUNT}{USER}{ROLE}".encode()) == 80
    port = free_port()
    environment = settings(
        "memory://",
        port,
        keys=ring_entry(KID),
        client_keys=ring_entry(KID),
        api_keys=api_key_entry(API_KEY, ACCOUNT, USER, ROLE),
        resources=RESOURCE,
    )
    with Replica(environment, port, directory=tmp_path_factory.mktemp("replica")) as started:
        yield started


@every_client
def test_a_known_client_is_granted_what_it_asks_for(replica: Replica, known: KnownClient) -> None:
    asked = known.registration
    response = post(replica, asked)
    assert response.status_code == 201, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    granted = response.json()
    assert granted["redirect_uris"] == asked["redirect_uris"]
    assert granted["token_endpoint_auth_method"] == asked["token_endpoint_auth_method"]
    assert granted["grant_types"] == ["authorization_code", "refresh_token"]
    assert granted["response_types"] == ["code"]
    assert granted["client_name"] == asked["client_name"]
    assert len(granted["client_id"]) <= 300


@every_client
def test_a_secret_comes_with_the_methods_that_have_one_and_never_expires(replica: Replica, known: KnownClient) -> None:
    granted = post(replica, known.registration).json()
    secret = {"client_secret", "client_secret_expires_at"}
    if known.registration["token_endpoint_auth_method"] == "none":
        assert not secret & granted.keys()
    else:
        assert granted["client_secret_expires_at"] == 0
        assert len(granted["client_secret"]) >= 32


@every_client
def test_what_is_null_in_a_registration_counts_as_left_out_and_never_comes_back(
    replica: Replica, known: KnownClient
) -> None:
    unset = dict.fromkeys(
        ("client_uri", "logo_uri", "scope", "contacts", "tos_uri", "policy_uri", "jwks_uri", "jwks", "software_id")
    )
    granted = post(replica, known.registration | unset)
    assert granted.status_code == 201, granted.text
    assert no_nulls(granted.json())


@every_client
def test_members_that_are_not_known_are_no_reason_to_refuse(replica: Replica, known: KnownClient) -> None:
    unknown = {
        "x_vendor_extension": {"nested": [1, None, "two"]},
        "require_auth_time": False,
        "client_name#ja-Jpan-JP": "クライアント名",
        "default_max_age": 3600,
        "id_token_signed_response_alg": "RS256",
    }
    granted = post(replica, known.registration | unknown)
    assert granted.status_code == 201, granted.text
    assert not granted.json().keys() & unknown.keys()


@every_client
def test_registering_again_gives_an_open_client_its_id_and_a_confidential_one_another(
    replica: Replica, known: KnownClient
) -> None:
    first, second = (post(replica, known.registration).json() for _ in range(2))
    assert (first["client_id"] == second["client_id"]) == (known.registration["token_endpoint_auth_method"] == "none")
    assert (first == second) == (known.registration["token_endpoint_auth_method"] == "none")


@every_redirect_uri
@pytest.mark.verifies("known habits", "each redirect URI led to tokens that fit small credential stores")
def test_every_redirect_uri_leads_to_tokens_within_the_sizes_that_are_promised(
    replica: Replica, known: KnownClient, redirect_uri: str
) -> None:
    client = registered(replica, known)
    client.redirect_uri = redirect_uri
    asked = {"state": known.state, "scope": known.scope or "mcp offline_access", "resource": RESOURCE}
    assert len(client.authorize_url(**asked)) < 2000

    location = answer(client, **asked)
    assert location.startswith(f"{redirect_uri}?")
    parameters = redirect_parameters(httpx.Response(303, headers={"location": location}))
    assert parameters.keys() == {"code", "state", "iss"}
    assert (parameters["state"], parameters["iss"]) == (known.state, replica.url)
    assert len(parameters["code"]) <= 540

    issued = tokens(client.redeem(parameters["code"]))
    refreshed = tokens(client.refresh(issued.refresh))
    for got in (issued, refreshed):
        assert no_nulls(got.response)
        assert len(got.access) <= 450
        assert len(got.refresh) <= 470
        assert len(client.client_id) + len(got.access) + len(got.refresh) <= 1150
    facts = client.introspect(refreshed.access)
    assert (facts["sub"], facts["aud"], facts["scope"]) == (
        f"{ACCOUNT}/ada.lovelace%40analytical-engines.example",
        RESOURCE,
        "mcp",
    )


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("registered_port", ["", ":49152"])
def test_a_loopback_redirect_may_have_another_port_than_was_registered(
    replica: Replica, host: str, registered_port: str
) -> None:
    client = Client(replica.url, redirect_uri=f"http://{host}{registered_port}/callback", api_key=API_KEY)
    client.register()
    for port in (":1", ":33418", ":65535", ""):
        client.redirect_uri = f"http://{host}{port}/callback"
        assert tokens(client.redeem(redirected(client)["code"])).refresh


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("other", LOOPBACK)
def test_one_name_of_the_loopback_address_is_not_taken_for_another(replica: Replica, host: str, other: str) -> None:
    client = Client(replica.url, redirect_uri=f"http://{host}:49152/callback", api_key=API_KEY)
    client.register()
    _, page = client.page(redirect_uri=f"http://{other}:49152/callback")
    assert page.status_code == (200 if host == other else 400)


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "http://localhost:54212/callback/",
        "http://localhost:54212/Callback",
        "http://localhost:54212/callback?next=1",
        "http://localhost:54212/",
        "https://localhost:54212/callback",
        "http://localhost.attacker.example:54212/callback",
        "http://user@localhost:54212/callback",
        "https://claude.ai/api/mcp/auth_callback",
        "cursor://anysphere.cursor-mcp/oauth/callback",
    ],
)
def test_nothing_but_the_port_of_a_loopback_redirect_may_differ(replica: Replica, redirect_uri: str) -> None:
    client = Client(replica.url, redirect_uri="http://localhost:54212/callback", api_key=API_KEY)
    client.register()
    _, page = client.page(redirect_uri=redirect_uri)
    assert page.status_code == 400
    assert "location" not in page.headers


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "https://claude.ai:8443/api/mcp/auth_callback",
        "https://claude.ai/api/mcp/auth_callback/",
        "https://claude.ai/api/mcp/auth_callback?x=1",
        "https://www.claude.ai/api/mcp/auth_callback",
        "http://claude.ai/api/mcp/auth_callback",
    ],
)
def test_an_https_redirect_has_to_be_the_registered_one(replica: Replica, redirect_uri: str) -> None:
    _, page = registered(replica, CLAUDE).page(redirect_uri=redirect_uri)
    assert page.status_code == 400
    assert "location" not in page.headers


def test_the_redirect_uri_at_the_token_endpoint_is_the_one_of_the_request_with_its_port(replica: Replica) -> None:
    client = registered(replica, CODEX)
    client.redirect_uri = CODEX.redirect_uris[1]
    code = redirected(client)["code"]
    assert client.redeem(code, redirect_uri=CODEX.redirect_uris[0]).json()["error"] == "invalid_grant"
    assert tokens(client.redeem(code)).access


def test_a_private_scheme_gets_its_answer_as_it_was_registered(replica: Replica) -> None:
    client = registered(replica, CURSOR)
    _, page = client.page(redirect_uri="cursor://anysphere.cursor-mcp/oauth/callback")
    assert "cursor:" in page.text
    location = answer(client, redirect_uri="cursor://anysphere.cursor-mcp/oauth/callback")
    assert location.startswith("cursor://anysphere.cursor-mcp/oauth/callback?code=")


@pytest.mark.parametrize(
    "state",
    [
        CHATGPT.state,
        VS_CODE.state,
        "a/b+c=d",
        "100% & more? #1",
        '{"n":"é😀","next":"https://app.example/?a=1&b=2"}',
        "s" * 2048,
        "/+=" * 682,
        "0",
    ],
    ids=["chatgpt", "vs-code", "base64", "reserved", "unicode", "longest", "longest-escaped", "zero"],
)
def test_state_comes_back_as_it_was_sent(replica: Replica, state: str) -> None:
    client = registered(replica, CHATGPT)
    client.redirect_uri = CHATGPT.redirect_uris[0]
    assert redirected(client, state=state)["state"] == state
    url, page = client.page(state=state)
    denied = redirect_parameters(client.decide(url, page, "deny", api_key=""))
    assert (denied["error"], denied["state"]) == ("access_denied", state)


@pytest.mark.parametrize("redirect_uri", CHATGPT.redirect_uris)
def test_the_answer_to_the_longest_ordinary_state_fits_what_nginx_takes_for_a_header(
    replica: Replica, redirect_uri: str
) -> None:
    state = base64.b64encode(random.Random(1).randbytes(2048 // 4 * 3)).decode()
    assert len(state) == 2048
    location = answer(registered(replica, CHATGPT), state=state, redirect_uri=redirect_uri)
    assert len(location) < 3900


def test_a_state_that_is_too_long_to_echo_is_refused_before_the_person_is_asked(replica: Replica) -> None:
    _, page = registered(replica, CHATGPT).page(state="s" * 2049, redirect_uri=CHATGPT.redirect_uris[0])
    assert page.status_code == 400


def test_state_of_chatgpt_and_vs_code_are_what_this_file_takes_them_for() -> None:
    assert len(CHATGPT.state) == 521
    assert set("/+=") <= set(VS_CODE.state)


@pytest.mark.parametrize("known", [each for each in ALL if "client_secret" in str(each.registration)])
def test_a_client_with_a_secret_gets_nothing_without_it(replica: Replica, known: KnownClient) -> None:
    client = registered(replica, known)
    client.redirect_uri = known.redirect_uris[0]
    code = redirected(client)["code"]
    refused = client.redeem(code, client_secret="")
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert tokens(client.redeem(code)).access


def test_the_registration_of_one_client_is_of_no_use_to_another(replica: Replica) -> None:
    one, other = registered(replica, CLAUDE), registered(replica, CODEX)
    one.redirect_uri = CLAUDE.redirect_uris[0]
    code = redirected(one)["code"]
    refused = other.redeem(code, code_verifier=one.verifier, redirect_uri=one.redirect_uri)
    assert refused.json()["error"] == "invalid_grant"
    assert tokens(one.redeem(code)).access


def post(replica: Replica, registration: dict[str, Any]) -> httpx.Response:
    """As the client sends it: nothing added."""
    return httpx.post(f"{replica.url}/register", json=registration, timeout=SECONDS, verify=TLS)


def registered(replica: Replica, known: KnownClient) -> Client:
    granted = post(replica, known.registration).json()
    secret = granted.get("client_secret", "")
    return Client(
        replica.url,
        redirect_uri=known.redirect_uris[0],
        client_id=granted["client_id"],
        client_secret=secret,
        api_key=API_KEY,
    )


def answer(client: Client, **changes: str) -> str:
    """Where the browser is sent once the person allowed it."""
    url, page = client.page(**changes)
    assert page.status_code == 200, page.text
    decided = client.decide(url, page)
    assert decided.status_code == 303, decided.text
    return str(decided.headers["location"])


def redirected(client: Client, **changes: str) -> dict[str, str]:
    return redirect_parameters(httpx.Response(303, headers={"location": answer(client, **changes)}))


def no_nulls(value: Any) -> bool:
    if isinstance(value, dict | list):
        return all(no_nulls(item) for item in (value.values() if isinstance(value, dict) else value))
    return value is not None
