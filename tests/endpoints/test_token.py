"""`POST /token`: who the client is, what it asks for, and what it is told (OAuth 2.1 §3.2, RFC 6749 §5)."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote

import httpx
import pytest

from tests.endpoints.local import SECOND, Down, Service
from tests.replica import Client, Tokens, redirect_parameters, tokens


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"}


def percent_encoded(text: str) -> str:
    """As some libraries do it: everything but letters and digits."""
    return re.sub(r"[^A-Za-z0-9]", lambda match: f"%{ord(match[0]):02X}", text)


def redeem(client: Client, code: str, changes: dict[str, str]) -> httpx.Response:
    grant = {"grant_type": "authorization_code", "code": code, "code_verifier": client.verifier}
    return client.token(**(grant | {"redirect_uri": client.redirect_uri} | changes))


@pytest.fixture
def client(service: Service) -> Client:
    client = service.client()
    client.register()
    return client


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an error in its standard form."""
    content = answer.json()
    assert content.keys() == {"error", "error_description"}
    assert re.fullmatch(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+", content["error_description"])
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, content["error"]


def test_response_has_the_fields_of_the_standard_and_is_not_kept(client: Client) -> None:
    answer = client.redeem(client.code())
    content = answer.json()
    assert content.keys() == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    assert (content["token_type"], content["expires_in"], content["scope"]) == ("Bearer", 3600, "mcp")
    assert answer.headers["cache-control"] == "no-store"
    assert re.fullmatch(r"tsat_[A-Za-z0-9._-]+", content["access_token"])
    assert re.fullmatch(r"tsrt_[A-Za-z0-9._-]+", content["refresh_token"])


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
def test_client_without_the_refresh_grant_gets_no_refresh_token(service: Service, method: str) -> None:
    client = service.client()
    client.register(grant_types=["authorization_code"], token_endpoint_auth_method=method)
    assert "refresh_token" not in client.redeem(client.code()).json()


def test_grant_type_is_required_and_known(client: Client) -> None:
    assert refused(client.token()) == (400, "invalid_request")
    for grant_type in ("password", "implicit", "client_credentials", "AUTHORIZATION_CODE", "refresh_token "):
        assert refused(client.token(grant_type=grant_type)) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("repeated", ["grant_type", "client_id", "code", "code_verifier", "redirect_uri", "unknown"])
def test_repeated_parameter_is_refused_and_uses_nothing_up(client: Client, repeated: str) -> None:
    code = client.code()
    form = {
        "grant_type": "authorization_code",
        "client_id": client.client_id,
        "code": code,
        "code_verifier": client.verifier,
        "redirect_uri": client.redirect_uri,
    }
    body = "&".join(f"{name}={quote(value, safe='')}" for name, value in form.items())
    again = f"&{repeated}={quote(form.get(repeated, 'x'), safe='')}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    twice = again if repeated in form else again * 2
    assert refused(client.http.post("/token", content=body + twice, headers=headers)) == (400, "invalid_request")
    assert client.redeem(code).status_code == 200


def test_several_resources_are_an_invalid_target(client: Client) -> None:
    form = {"grant_type": "refresh_token", "resource": ["https://auth.example.com", "https://auth.example.com"]}
    assert refused(client.http.post("/token", data=form)) == (400, "invalid_target")


def test_unknown_client_is_told_to_register_anew(client: Client) -> None:
    for client_id in ("unknown", "tscl_x..y.z.w", client.client_id[:-1], client.client_id + "x"):
        answer = client.refresh("x", client_id=client_id)
        assert refused(answer) == (401, "invalid_client")
        assert "www-authenticate" not in answer.headers


def test_missing_client_is_refused(client: Client) -> None:
    assert refused(client.refresh("x", client_id="")) == (401, "invalid_client")


@pytest.mark.parametrize("header", ["Basic", "Basic !", "Basic Zm9v", "Bearer x", "Digest x", "", "Basic /////w=="])
def test_authorization_that_is_no_basic_is_challenged(client: Client, header: str) -> None:
    form = {"grant_type": "refresh_token", "client_id": client.client_id}
    answer = client.http.post("/token", data=form, headers={"Authorization": header})
    assert refused(answer) == (401, "invalid_client")
    assert answer.headers["www-authenticate"] == 'Basic realm="tokensvc", charset="UTF-8"'


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_confidential_client_proves_its_secret_in_either_way(service: Service, method: str) -> None:
    """However it registered, and whether or not it percent-encodes."""
    client = service.client()
    client.register(token_endpoint_auth_method=method)
    issued = client.sign_in()
    name, secret = client.client_id, client.client_secret
    form = {"grant_type": "refresh_token", "refresh_token": issued.refresh}
    for headers in (basic(name, secret), basic(percent_encoded(name), percent_encoded(secret))):
        assert client.http.post("/token", data=form, headers=headers).status_code == 200
        assert client.http.post("/token", data=form | {"client_id": name}, headers=headers).status_code == 200
    assert client.http.post("/token", data=form | {"client_id": name, "client_secret": secret}).status_code == 200


def test_confidential_client_without_its_secret_is_refused_and_uses_nothing_up(service: Service) -> None:
    client = service.client()
    client.register(token_endpoint_auth_method="client_secret_basic")
    name, secret, code = client.client_id, client.client_secret, client.code()
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": client.verifier}
    assert refused(client.http.post("/token", data=form | {"client_id": name})) == (401, "invalid_client")
    for headers in (basic(name, ""), basic(name, secret[:-1]), basic("", secret), basic(secret, name)):
        answer = client.http.post("/token", data=form, headers=headers)
        assert refused(answer) == (401, "invalid_client")
        assert answer.headers["www-authenticate"].startswith("Basic ")
    assert client.http.post("/token", data=form, headers=basic(name, secret)).status_code == 200


def test_two_ways_of_authentication_at_once_are_refused(service: Service) -> None:
    client, other = service.client(), service.client()
    client.register(token_endpoint_auth_method="client_secret_basic")
    other.register(token_endpoint_auth_method="client_secret_basic")
    name, secret = client.client_id, client.client_secret
    for more in ({"client_secret": secret}, {"client_id": other.client_id}, {"client_id": "x"}):
        form = {"grant_type": "refresh_token", "refresh_token": "x"} | more
        answer = client.http.post("/token", data=form, headers=basic(name, secret))
        assert refused(answer) == (400, "invalid_request")


def test_secret_of_one_client_is_no_other_s(service: Service) -> None:
    client, other = service.client(), service.client()
    client.register(token_endpoint_auth_method="client_secret_post")
    other.register(token_endpoint_auth_method="client_secret_post")
    assert refused(client.refresh("x", client_secret=other.client_secret)) == (401, "invalid_client")


def test_public_client_is_not_stopped_by_a_secret_it_need_not_send(client: Client) -> None:
    issued = client.sign_in()
    assert client.refresh(issued.refresh, client_secret="whatever").status_code == 200


@pytest.mark.parametrize(
    ("missing", "code"), [("code", "invalid_request"), ("code_verifier", "invalid_request"), ("redirect_uri", "")]
)
def test_code_and_verifier_are_required_and_the_redirect_uri_is_not(client: Client, missing: str, code: str) -> None:
    answer = redeem(client, client.code(), {missing: ""})
    assert refused(answer) == (400, code) if code else answer.status_code == 200


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"code": "x"}, "invalid_grant"),
        ({"code": "." * 600}, "invalid_grant"),
        ({"code_verifier": "x"}, "invalid_grant"),
        ({"code_verifier": "x" * 43}, "invalid_grant"),
        ({"code_verifier": "é" * 43}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:33419/callback"}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:33418/callback/"}, "invalid_grant"),
        ({"resource": "https://other.example"}, "invalid_target"),
        ({"resource": "no uri"}, "invalid_target"),
    ],
    ids=str,
)
def test_redemption_that_is_wrong_in_one_place_leaves_the_code_good(
    client: Client, changes: dict[str, str], code: str
) -> None:
    good = client.code()
    assert refused(redeem(client, good, changes)) == (400, code)
    assert client.redeem(good).status_code == 200


def test_refresh_token_is_required(client: Client) -> None:
    assert refused(client.refresh("")) == (400, "invalid_request")


def test_refresh_may_narrow_and_never_widen_the_scope() -> None:
    with Service({"scopes": "read write admin"}) as service:
        client = service.client()
        client.register()
        issued = tokens(client.redeem(client.code(scope="read write")))
        assert issued.response["scope"] == "read write"
        narrowed = tokens(client.refresh(issued.refresh, scope="write"))
        assert narrowed.response["scope"] == "write"
        assert client.introspect(narrowed.access)["scope"] == "write"
        whole = tokens(client.refresh(narrowed.refresh))
        assert whole.response["scope"] == "read write"
        for asked in ("admin", "unknown", "admin unknown"):
            assert "admin" not in tokens(client.refresh(whole.refresh, scope=asked)).response["scope"]


def test_same_resource_in_another_spelling_is_the_same(client: Client) -> None:
    issued = client.sign_in()
    assert client.refresh(issued.refresh, resource="HTTPS://AUTH.example.com/").status_code == 200


def test_description_says_nothing_of_why_a_token_was_refused() -> None:
    """An expired, a foreign, a revoked and an invented one look the same."""
    with Service() as service:
        client, other = service.client(), service.client()
        other.register(client_name="Another")
        expired, revoked, foreign = client.sign_in(), client.sign_in(), other.sign_in()
        client.revoke(revoked.refresh)
        answers = [client.refresh(token) for token in (revoked.refresh, foreign.refresh, "invented", expired.access)]
        service.clock.now += 31 * 86_400 * SECOND
        answers.append(client.refresh(expired.refresh))
    assert {answer.status_code for answer in answers} == {400}
    assert len({answer.text for answer in answers}) == 1


def test_verifier_for_a_code_without_a_challenge_is_a_downgrade() -> None:
    """RFC 9700 §2.1.1, where an operator lets a confidential client do without PKCE."""
    clients = (
        '[{"client_id":"legacy","client_secret_hash":"sha256:'
        'd74ff0ee8da3b9806b18c877dbf29bbde50b5bd8e4dad7a3a725000feb82e8f1",'
        '"redirect_uris":["http://127.0.0.1:33418/callback"],"require_pkce":false}]'
    )
    with Service({"clients": clients}) as service:
        client = service.client()
        client.client_id, client.client_secret = "legacy", "pass"
        without = {"code_challenge": "", "code_challenge_method": ""}
        code = client.code(**without)
        assert refused(client.redeem(code)) == (400, "invalid_grant")
        assert client.redeem(code, code_verifier="").status_code == 200
        assert refused(client.redeem(client.code(), code_verifier="")) == (400, "invalid_request")
        assert client.redeem(client.code()).status_code == 200


def test_outage_of_the_ledger_is_no_refusal(service: Service, client: Client) -> None:
    issued: Tokens = client.sign_in()
    code = client.code()
    with service.changed(ledger=Down()):
        for answer in (client.refresh(issued.refresh), client.redeem(code)):
            assert refused(answer) == (503, "temporarily_unavailable")
            assert int(answer.headers["retry-after"]) > 0
    assert client.refresh(issued.refresh).status_code == 200
    assert client.redeem(code).status_code == 200


def test_web_page_of_any_origin_may_ask_and_read_the_challenge(client: Client) -> None:
    origin = {"Origin": "https://app.example"}
    preflight = origin | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, mcp-protocol-version",
    }
    answer = client.http.options("/token", headers=preflight)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "mcp-protocol-version" in answer.headers["access-control-allow-headers"]
    answer = client.http.post("/token", headers=origin)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "WWW-Authenticate" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers


def test_code_reaches_the_client_beside_state_and_issuer(client: Client) -> None:
    url, page = client.page()
    answer = redirect_parameters(client.decide(url, page))
    assert answer.keys() == {"code", "state", "iss"}
