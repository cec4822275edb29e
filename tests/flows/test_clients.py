"""Clients of every kind: registered by themselves, by the operator, with secrets and without, and those kept out."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.flows.conftest import Start
from tests.flows.wire import Post, race
from tests.ports import free_port
from tests.replica import Client, Replica, redirect_parameters, refusal, settings, tokens

SECRET = "s3cret: with/all%the+signs=and-a-colon"
PUBLIC = "http://127.0.0.1:5000/callback"
CLIENTS: list[dict[str, Any]] = [
    {
        "client_id": "dashboard",
        "client_name": "The Dashboard",
        "redirect_uris": ["https://dashboard.example.com/callback"],
        "client_secret_hash": f"sha256:{hashlib.sha256(SECRET.encode()).hexdigest()}",
        "token_endpoint_auth_method": "client_secret_basic",
    },
    {
        "client_id": "legacy:app/1%202",
        "redirect_uris": ["https://legacy.example.com/callback"],
        "client_secret_hash": f"sha256:{hashlib.sha256(SECRET.encode()).hexdigest()}",
        "token_endpoint_auth_method": "client_secret_post",
        "require_pkce": False,
    },
    {"client_id": "command-line", "redirect_uris": [PUBLIC], "grant_types": ["authorization_code"]},
    {
        "client_id": "previews",
        "redirect_uri_patterns": ["https://*.preview.example.com/cb/*"],
        "redirect_uris": ["https://preview.example.com/cb"],
    },
    {
        "client_id": "short-lived",
        "redirect_uris": [PUBLIC],
        "access_ttl": 120,
        "refresh_ttl": 240,
        "code_ttl": 30,
        "refresh_max_ttl": 300,
    },
]


@pytest.fixture(scope="module")
def replica(start: Start) -> Replica:
    return start(clients=json.dumps(CLIENTS))


def known(replica: Replica, client_id: str, redirect_uri: str = PUBLIC, secret: str = "") -> Client:
    return Client(replica.url, redirect_uri=redirect_uri, client_id=client_id, client_secret=secret)


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"}


def token_request(client: Client, headers: dict[str, str], **form: str) -> httpx.Response:
    return client.http.post(f"{client.url}/token", data=form, headers=headers)


@pytest.mark.parametrize("encoded", [False, True], ids=["as it is", "percent-encoded"])
@pytest.mark.parametrize("client_id_too", [False, True], ids=["alone", "with client_id in the body"])
def test_a_confidential_client_proves_itself_by_basic(replica: Replica, encoded: bool, client_id_too: bool) -> None:
    """RFC 6749 §2.3.1 asks for encoding; half of the clients do without."""
    client = known(replica, "dashboard", "https://dashboard.example.com/callback")
    secret = quote(SECRET, safe="") if encoded else SECRET
    body = {"client_id": "dashboard"} if client_id_too else {}
    headers = basic("dashboard", secret)
    grant = {"grant_type": "authorization_code", "code": client.code(), "code_verifier": client.verifier} | body
    issued = tokens(token_request(client, headers, **grant))
    refresh = {"grant_type": "refresh_token", "refresh_token": issued.refresh} | body
    following = tokens(token_request(client, headers, **refresh))
    revoked = client.http.post(f"{client.url}/revoke", data={"token": following.refresh} | body, headers=headers)
    assert revoked.status_code == 200
    assert not client.active(issued.access)


def test_a_confidential_client_proves_itself_by_post(replica: Replica) -> None:
    """Its client_id holds signs that need encoding, and the form does that."""
    client_id = CLIENTS[1]["client_id"]
    client = known(replica, client_id, "https://legacy.example.com/callback", secret=SECRET)
    issued = tokens(client.redeem(client.code()))
    assert client.refresh(issued.refresh).status_code == 200
    assert client.revoke(issued.refresh).status_code == 200
    assert not client.active(issued.access)


@pytest.mark.parametrize("encoded", [False, True])
def test_a_client_id_with_a_colon_can_use_basic_only_encoded(replica: Replica, encoded: bool) -> None:
    """RFC 7617 splits at the first colon."""
    client_id = CLIENTS[1]["client_id"]
    client = known(replica, client_id, "https://legacy.example.com/callback")
    headers = basic(quote(client_id, safe=""), quote(SECRET, safe="")) if encoded else basic(client_id, SECRET)
    answer = token_request(client, headers, grant_type="refresh_token", refresh_token="x")
    assert answer.json()["error"] == ("invalid_grant" if encoded else "invalid_client")


@pytest.mark.parametrize("method", ["basic", "post"])
@pytest.mark.parametrize("secret", ["", "wrong", SECRET + "x", SECRET.upper(), f"sha256:{'0' * 64}"])
def test_a_wrong_secret_is_invalid_client_and_uses_nothing_up(replica: Replica, method: str, secret: str) -> None:
    """401, with a challenge where Basic was tried; and the code is good for its owner afterwards."""
    client = known(replica, "dashboard", "https://dashboard.example.com/callback", secret=SECRET)
    code = client.code()
    if method == "post":
        answer = client.redeem(code, client_secret=secret)
    else:
        grant = {"grant_type": "authorization_code", "code": code, "code_verifier": client.verifier}
        answer = token_request(client, basic("dashboard", secret), **grant)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers.get("www-authenticate", "").startswith("Basic") is (method == "basic")
    assert client.redeem(code).status_code == 200


def test_two_ways_of_proving_or_two_names_at_once_are_refused(replica: Replica) -> None:
    """RFC 6749 §2.3: one way a request."""
    client = known(replica, "dashboard")
    form = {"grant_type": "refresh_token", "refresh_token": "x"}
    headers = basic("dashboard", SECRET)
    both = token_request(client, headers, **form, client_id="dashboard", client_secret=SECRET)
    assert both.json()["error"] == "invalid_request"
    other = token_request(client, headers, **form, client_id="command-line")
    assert other.json()["error"] == "invalid_request"


def test_pkce_may_be_waived_for_a_confidential_client_alone(replica: Replica) -> None:
    """Where it was waived and used all the same, it is checked; and nobody else may leave it out."""
    client_id, redirect_uri = CLIENTS[1]["client_id"], "https://legacy.example.com/callback"
    client = known(replica, client_id, redirect_uri, secret=SECRET)
    without = client.code(code_challenge="", code_challenge_method="")
    assert client.redeem(without).json()["error"] == "invalid_grant"  # a verifier that nobody asked for
    assert client.redeem(without, code_verifier="").status_code == 200
    with_challenge = client.code()
    assert client.redeem(with_challenge, code_verifier="").json()["error"] == "invalid_request"
    assert client.redeem(with_challenge).status_code == 200
    for other in (
        known(replica, "command-line"),
        known(replica, "dashboard", "https://dashboard.example.com/callback"),
    ):
        _, page = other.page(code_challenge="", code_challenge_method="")
        assert redirect_parameters(page)["error"] == "invalid_request"


def test_a_client_without_the_refresh_grant_gets_no_refresh_token(replica: Replica) -> None:
    """And whatever it calls one is none."""
    client = known(replica, "command-line")
    answer = client.redeem(client.code()).json()
    assert "refresh_token" not in answer
    assert client.active(answer["access_token"])


def test_a_public_client_of_the_operator_is_shown_by_its_name(replica: Replica) -> None:
    """It is the operator who vouches for it: not with the words for a name that anybody could have given itself."""
    vouched = known(replica, "dashboard", "https://dashboard.example.com/callback").page()[1]
    stranger = Client(replica.url)
    stranger.register(client_name="The Dashboard")
    assert "The Dashboard" in vouched.text
    assert "not verified" not in vouched.text
    assert "not verified" in stranger.page()[1].text


PATTERNED = {
    "https://pr-17.preview.example.com/cb/42": True,
    "https://preview.example.com/cb": True,
    "https://preview.example.com/cb/42": False,
    "https://pr.17.preview.example.com/cb/42": False,
    "https://evil.example.com/.preview.example.com/cb/42": False,
    "https://evil.example.com#.preview.example.com/cb/42": False,
    "https://pr-17.preview.example.com/cb/42/43": False,
    "https://pr-17.preview.example.com/cb/": False,
    "https://pr-17.preview.example.com/cb/..": False,
    "https://pr-17.preview.example.com/cb/42?x=1": False,
    "https://pr-17.preview.example.com:444/cb/42": False,
    "https://pr-17.preview.example.com.evil.example.com/cb/42": False,
    "https://pr-17@preview.example.com/cb/42": False,
    "http://pr-17.preview.example.com/cb/42": False,
}


@pytest.mark.parametrize(("redirect_uri", "allowed"), PATTERNED.items(), ids=PATTERNED)
def test_a_redirect_pattern_stands_for_one_label_or_segment(replica: Replica, redirect_uri: str, allowed: bool) -> None:
    """What fits goes through the whole flow, and what does not is an error page."""
    client = known(replica, "previews", redirect_uri)
    url, page = client.page()
    assert page.status_code == (200 if allowed else 400)
    if allowed:
        answer = client.decide(url, page)
        assert answer.headers["location"].startswith(f"{redirect_uri}?code=")
        assert client.redeem(redirect_parameters(answer)["code"]).status_code == 200


def test_a_client_s_own_lifetimes_hold_for_it_alone(replica: Replica) -> None:
    """Access, refresh and code, as the operator said."""
    client, other = known(replica, "short-lived"), known(replica, "command-line")
    issued = tokens(client.redeem(client.code()))
    assert issued.response["expires_in"] == 120
    facts = client.introspect(issued.access)
    assert facts["exp"] - facts["iat"] == 120
    assert tokens(client.refresh(issued.refresh)).response["expires_in"] == 120
    assert other.redeem(other.code()).json()["expires_in"] == 3600


def test_a_client_taken_out_of_the_setting_is_unknown_and_its_tokens_can_be_revoked(replica: Replica) -> None:
    """401 at /token, a page at /authorize. Its tokens go by its handle, since its name means nothing any more."""
    client = known(replica, "short-lived")
    issued = tokens(client.redeem(client.code()))
    handle = client.introspect(issued.access)["client_id"]
    with replica.twin(clients="[]") as without:
        client.url = without.url
        assert client.refresh(issued.refresh).status_code == 401
        assert client.page()[1].status_code == 400
        assert client.admin_revoke("client", "short-lived").status_code == 400
        assert client.active(issued.access)
        assert client.admin_revoke("client", handle).status_code == 200
        assert not client.active(issued.access)


def test_a_service_with_an_unsafe_client_does_not_start() -> None:
    """And says which setting."""
    unsafe = json.dumps([{"client_id": "x", "redirect_uris": [PUBLIC], "require_pkce": False}])
    assert "TOKENSVC_CLIENTS" in refusal(settings("memory://", free_port(), clients=unsafe))


def test_without_registration_there_is_no_endpoint_and_none_is_advertised(replica: Replica) -> None:
    """TOKENSVC_REGISTRATION=off: the operator's clients alone. Those that had registered before are known still."""
    registered = Client(replica.url)
    issued = registered.sign_in()
    with replica.twin(registration="off") as closed:
        client = known(closed, "command-line")
        metadata = client.http.get(f"{closed.url}/.well-known/oauth-authorization-server").json()
        assert "registration_endpoint" not in metadata
        answer = client.http.post(f"{closed.url}/register", json={"redirect_uris": [PUBLIC]})
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
        assert client.redeem(client.code()).status_code == 200
        registered.url = closed.url
        assert registered.refresh(issued.refresh).status_code == 200


def test_registration_may_take_an_initial_access_token(start: Start) -> None:
    """RFC 7591 §3: 401 with a challenge without it, limited as any secret, and all else as usual with it."""
    replica = start("memory://", registration="token:the-initial-access-token")
    client = Client(replica.url)
    metadata = client.http.get(f"{replica.url}/.well-known/oauth-authorization-server").json()
    assert metadata["registration_endpoint"] == f"{replica.url}/register"
    for authorization in ("", "Bearer wrong", "Bearer ", "Basic dGhlLWluaXRpYWwtYWNjZXNzLXRva2Vu", "Bearer token:x"):
        headers = {"Authorization": authorization.strip()} if authorization else {}
        answer = client.http.post(f"{replica.url}/register", json={"redirect_uris": [PUBLIC]}, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token"), authorization
        assert answer.headers["www-authenticate"].startswith("Bearer")
    client.http.headers["Authorization"] = "Bearer the-initial-access-token"
    client.register()
    del client.http.headers["Authorization"]
    assert client.active(client.sign_in().access)


ALLOWED = [
    "https://claude.ai/api/mcp/auth_callback",
    "https://a.b.example.com/cb",
    "cursor://anysphere.cursor-mcp/oauth/callback",
    "http://localhost:1234/cb",
]
FORBIDDEN = [
    "https://claude.ai.evil.org/cb",
    "https://evilclaude.ai/cb",
    "https://example.com/cb",
    "https://notexample.com/cb",
    "http://127.0.0.1:1234/cb",
    "vscode://x/cb",
]


def test_redirect_hosts_hold_at_registration_and_for_what_was_registered_before(replica: Replica) -> None:
    """TOKENSVC_REDIRECT_HOSTS: hosts, hosts below a domain, private schemes. The operator's own clients are exempt."""
    early = Client(replica.url, redirect_uri="https://other.example.org/cb")
    early.register()
    with replica.twin(redirect_hosts="claude.ai,*.example.com,cursor:,localhost") as choosy:
        early.url = choosy.url
        assert early.page()[1].status_code == 400
        for redirect_uri in ALLOWED:
            client = Client(choosy.url, redirect_uri=redirect_uri)
            client.register()
            assert client.page()[1].status_code == 200, redirect_uri
        for redirect_uri in FORBIDDEN:
            metadata = {"redirect_uris": [ALLOWED[0], redirect_uri]}
            answer = early.http.post(f"{choosy.url}/register", json=metadata)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_redirect_uri"), redirect_uri
        assert known(choosy, "command-line").page()[1].status_code == 200


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_client_that_registers_with_a_secret_has_to_prove_itself(replica: Replica, method: str) -> None:
    """Its secret follows from its client_id, is its own, and is asked for at /token and /revoke."""
    client, other = Client(replica.url), Client(replica.url)
    answer = client.register(token_endpoint_auth_method=method)
    assert answer["client_secret_expires_at"] == 0
    other.register(token_endpoint_auth_method=method)
    assert (client.client_id, client.client_secret) != (other.client_id, other.client_secret)
    issued = client.sign_in()
    for secret in ("", "wrong", other.client_secret):
        assert client.refresh(issued.refresh, client_secret=secret).status_code == 401
        assert client.revoke(issued.refresh, client_secret=secret).status_code == 401
    assert client.active(issued.access)
    headers = basic(client.client_id, client.client_secret)
    following = token_request(client, headers, grant_type="refresh_token", refresh_token=issued.refresh)
    assert following.status_code == 200


def test_the_same_registration_is_the_same_client_on_every_replica(pair: tuple[Replica, Replica]) -> None:
    """Without a secret: 32 at once on two replicas get one client_id, so nothing piles up anywhere."""
    metadata = {"redirect_uris": [PUBLIC], "token_endpoint_auth_method": "none", "client_name": "Codex"}
    answers = race([Post(f"{pair[number % 2].url}/register", document=metadata) for number in range(32)])
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["client_id"] for answer in answers}) == 1
    secret = metadata | {"token_endpoint_auth_method": "client_secret_post"}
    answers = race([Post(f"{pair[number % 2].url}/register", document=secret) for number in range(8)])
    assert len({answer.json["client_id"] for answer in answers}) == 8
    assert len({answer.json["client_secret"] for answer in answers}) == 8
