"""Clients that are known by a document of their own, over HTTPS from a real host, at every endpoint that they meet."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.endpoints.local import DAY, NOW, SECOND, Service
from tests.https_host import HttpsHost, answer, document, hang_up
from tests.proofs import bound
from tests.replica import Client, hidden_inputs, redirect_parameters, tokens
from tests.signer import ASSERTION_TYPE, Signer
from tokensvc.endpoints.attempts import PER_MINUTE
from tokensvc.outbound.documents import FAILED_FOR
from tokensvc.protocol.client_metadata_document import KEPT_FOR
from tokensvc.tokens.kinds import client_handle

TOKEN = "https://auth.example.com/token"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsHost]:
    with HttpsHost(tmp_path_factory.mktemp("host")) as started, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(started.authority))
        yield started


@pytest.fixture
def service() -> Iterator[Service]:
    with Service({"fetch_networks": "127.0.0.0/8,::1", "cimd": "*"}) as started:
        yield started


def known_as(service: Service, client_id: str, address: str = "127.0.0.1") -> Client:
    client = service.client(address)
    client.client_id = client_id
    return client


def signer_of(service: Service, client_id: str, alg: str = "ES256") -> Signer:
    return Signer(client_id, alg, now=lambda: service.clock.now / 1000)


def test_public_client_signs_a_person_in_refreshes_and_revokes(service: Service, host: HttpsHost) -> None:
    client = known_as(service, host.publish("/public.json"))
    issued = client.sign_in()
    facts = client.introspect(issued.access)
    assert facts["client_id"] == client_handle(client.client_id)
    refreshed = tokens(client.refresh(issued.refresh))
    assert client.active(refreshed.access)
    assert client.revoke(refreshed.refresh).status_code == 200
    assert not client.active(refreshed.access)
    assert host.asked["/public.json"] == 1


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "ES384", "EdDSA"])
@pytest.mark.parametrize("place", ["jwks", "jwks_uri"])
def test_client_with_keys_signs_for_every_request(service: Service, host: HttpsHost, alg: str, place: str) -> None:
    path = f"/{alg}-{place}.json"
    signer = signer_of(service, host.url(path), alg)
    keys = signer.jwks if place == "jwks" else host.serve(f"/{alg}-keys", document(signer.jwks))
    members: dict[str, Any] = {"token_endpoint_auth_signing_alg": alg, place: keys}
    members["token_endpoint_auth_method"] = "private_key_jwt"
    client = known_as(service, host.publish(path, **members))
    issued = tokens(client.redeem(client.code(), **signer.parameters(TOKEN)))
    refreshed = tokens(client.refresh(issued.refresh, **signer.parameters(service.issuer)))
    here = "https://auth.example.com/revoke"
    assert client.revoke(refreshed.refresh, **signer.parameters(here)).status_code == 200
    assert not client.active(refreshed.access)


def test_client_id_beside_an_assertion_may_be_left_out_and_must_not_differ(service: Service, host: HttpsHost) -> None:
    client, signer = signing(service, host, "/beside.json")
    code = client.code()
    other = client.redeem(code, **signer.parameters(TOKEN), client_id="other")
    assert (other.status_code, other.json()["error"]) == (400, "invalid_request")
    assert tokens(client.redeem(code, **signer.parameters(TOKEN), client_id="")).access


@pytest.mark.parametrize("claims", [{"sub": "other"}, {"iss": "other"}, {"aud": "https://evil.example"}, {"exp": 1}])
def test_wrong_assertion_is_an_invalid_client_and_uses_nothing_up(
    service: Service, host: HttpsHost, claims: dict[str, object]
) -> None:
    client, signer = signing(service, host, "/wrong.json")
    code = client.code()
    refused = client.redeem(code, client_id="", **signer.parameters(TOKEN, **claims))
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert tokens(client.redeem(code, **signer.parameters(TOKEN))).access


def test_client_with_keys_gets_nothing_without_its_assertion(service: Service, host: HttpsHost) -> None:
    client, signer = signing(service, host, "/without.json")
    code = client.code()
    stranger = Signer(client.client_id, now=signer.now)
    for parameters in ({}, {"client_secret": "secret"}, stranger.parameters(TOKEN)):
        refused = client.redeem(code, **parameters)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert tokens(client.redeem(code, **signer.parameters(TOKEN))).access


def test_client_that_also_lists_none_may_leave_its_assertion_out_but_not_send_a_wrong_one(
    service: Service, host: HttpsHost
) -> None:
    client, signer = signing(
        service, host, "/either.json", token_endpoint_auth_methods_supported=["none", "private_key_jwt"]
    )
    issued = client.sign_in()
    refused = client.refresh(issued.refresh, **Signer(client.client_id, now=signer.now).parameters(TOKEN))
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert tokens(client.refresh(issued.refresh, **signer.parameters(TOKEN))).access
    public = known_as(service, host.publish("/keyless.json"))
    refused = public.redeem(public.code(), **Signer(public.client_id, now=signer.now).parameters(TOKEN))
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


def test_client_that_signed_once_signs_each_refresh_though_its_document_lists_none(
    service: Service, host: HttpsHost
) -> None:
    """Or whoever takes its refresh token would need no key."""
    client, signer = signing(service, host, "/signed.json", token_endpoint_auth_methods_supported=["none"])
    issued = tokens(client.redeem(client.code(), **signer.parameters(TOKEN)))
    refused = client.refresh(issued.refresh)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    again = tokens(client.refresh(issued.refresh, **signer.parameters(TOKEN)))
    assert client.refresh(again.refresh).status_code == 401
    assert client.active(again.access)


def test_assertion_counts_once_at_every_endpoint_together(service: Service, host: HttpsHost) -> None:
    client, signer = signing(service, host, "/once.json")
    once = signer.parameters(service.issuer)
    issued = tokens(client.redeem(client.code(), **once))
    for replay in (client.refresh(issued.refresh, **once), client.revoke(issued.refresh, **once)):
        assert (replay.status_code, replay.json()["error"]) == (401, "invalid_client")
    assert client.active(issued.access)


def test_ways_to_authenticate_are_not_mixed(service: Service, host: HttpsHost) -> None:
    client, signer = signing(service, host, "/mixed.json")
    parameters = {"grant_type": "refresh_token", "refresh_token": "x"} | signer.parameters(TOKEN)
    mixed = client.http.post("/token", data=parameters, auth=("id", "secret"))
    assert (mixed.status_code, mixed.json()["error"]) == (400, "invalid_request")
    for changes in ({"client_secret": "x"}, {"client_assertion": ""}, {"client_assertion_type": ""}):
        refused = client.token(**parameters | changes)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    for changes in ({"client_assertion_type": f"{ASSERTION_TYPE}x"}, {"client_assertion": "a.b.c"}):
        refused = client.token(**parameters | changes)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


def test_assertion_may_be_made_out_to_the_endpoint_that_is_asked_and_to_no_other(
    service: Service, host: HttpsHost
) -> None:
    client, signer = signing(service, host, "/endpoints.json")
    asked = dict(parse_qsl(urlsplit(client.authorize_url()).query))
    for audience, status in ((f"{service.issuer}/par", 201), (TOKEN, 201), (f"{service.issuer}/revoke", 401)):
        assert client.http.post("/par", data=asked | signer.parameters(audience)).status_code == status


def test_wrong_assertions_are_limited_by_address_like_wrong_secrets(service: Service, host: HttpsHost) -> None:
    client, signer = signing(service, host, "/limited.json", address="192.0.2.1")
    for _ in range(PER_MINUTE):
        assert client.token(grant_type="refresh_token", **signer.parameters("https://evil.example")).status_code == 401
    assert client.token(grant_type="refresh_token", **signer.parameters(TOKEN)).status_code == 429
    elsewhere = known_as(service, client.client_id, "192.0.2.2")
    assert elsewhere.token(grant_type="refresh_token", **signer.parameters(TOKEN)).status_code == 400


def test_host_that_is_down_is_503_and_a_page_and_never_a_refusal(service: Service, host: HttpsHost) -> None:
    client = known_as(service, host.serve("/down.json", hang_up))
    refused = client.token(grant_type="refresh_token", refresh_token="x")
    assert (refused.status_code, refused.json()["error"]) == (503, "temporarily_unavailable")
    assert refused.headers["retry-after"]
    _, page = client.page()
    assert page.status_code == 503
    assert f"localhost:{host.port}" in page.text
    assert "cannot be identified right now" in page.text
    assert host.asked["/down.json"] == 1
    host.publish("/down.json")
    service.clock.now += FAILED_FOR
    assert client.sign_in().access


def test_keys_that_cannot_be_had_are_503_too(service: Service, host: HttpsHost) -> None:
    keys = host.serve("/lost-keys", hang_up)
    client, signer = signing(service, host, "/lost.json", jwks=None, jwks_uri=keys)
    code = client.code()
    assert client.redeem(code, **signer.parameters(TOKEN)).status_code == 503
    host.serve("/lost-keys", document(signer.jwks))
    service.clock.now += FAILED_FOR
    assert tokens(client.redeem(code, **signer.parameters(TOKEN))).access


def test_host_that_went_down_stops_nobody_for_a_week(service: Service, host: HttpsHost) -> None:
    client = known_as(service, host.publish("/kept.json"))
    issued = client.sign_in()
    host.serve("/kept.json", hang_up)
    service.clock.now += 6 * DAY
    issued = tokens(client.refresh(issued.refresh))
    service.clock.now = NOW + KEPT_FOR
    assert client.refresh(issued.refresh).status_code == 503
    host.publish("/kept.json")
    service.clock.now += FAILED_FOR
    assert tokens(client.refresh(issued.refresh)).access


@pytest.mark.parametrize(
    "odd",
    [
        {"client_id": "https://localhost/other.json"},
        {"client_secret": "x"},
        {"redirect_uris": ["javascript:alert(1)"]},
        {"token_endpoint_auth_method": "client_secret_basic"},
    ],
    ids=str,
)
def test_document_that_says_no_is_an_invalid_client_and_a_page(
    service: Service, host: HttpsHost, odd: dict[str, Any]
) -> None:
    client = known_as(service, host.url("/odd.json"))
    host.publish("/odd.json", **odd)
    refused = client.token(grant_type="refresh_token", refresh_token="x")
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    _, page = client.page()
    assert page.status_code == 400
    assert "describes itself wrongly" in page.text
    probe = client.http.get(client.authorize_url(), headers={"Accept": "application/json"})
    assert (probe.status_code, probe.json()["error"]) == (400, "invalid_client")


def test_app_is_held_to_proofs_if_its_document_says_so(service: Service, host: HttpsHost) -> None:
    client = known_as(service, host.publish("/bound.json", dpop_bound_access_tokens=True))
    code = client.code()
    refused = client.redeem(code)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_dpop_proof")
    issued = tokens(bound(client).redeem(code))
    assert issued.response["token_type"] == "DPoP"
    assert client.refresh(issued.refresh).json()["error"] == "invalid_dpop_proof"


def test_app_is_held_to_pushed_requests_if_its_document_says_so(service: Service, host: HttpsHost) -> None:
    client = known_as(service, host.publish("/pushed.json", require_pushed_authorization_requests=True))
    url, answer = client.page()
    assert (answer.status_code, redirect_parameters(answer)["error"]) == (303, "invalid_request")
    pushed = client.http.post("/par", data=dict(parse_qsl(urlsplit(url).query))).json()
    assert client.http.get("/authorize", params={"client_id": client.client_id} | pushed).status_code == 200


def test_document_that_is_gone_ends_what_its_copy_allowed_and_one_that_is_not_found_does_not(
    service: Service, host: HttpsHost
) -> None:
    """404 is also what a host answers that is being set up anew."""
    client = known_as(service, host.publish("/gone.json"))
    issued = client.sign_in()
    service.clock.now += DAY
    host.serve("/gone.json", answer(404, b"{}"))
    issued = tokens(client.refresh(issued.refresh))
    service.clock.now += DAY
    host.serve("/gone.json", answer(410, b"{}"))
    refused = client.refresh(issued.refresh)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


def test_app_that_changed_its_document_is_held_to_the_new_one(service: Service, host: HttpsHost) -> None:
    client = known_as(service, host.publish("/changed.json", headers={"Cache-Control": "max-age=60"}))
    issued = client.sign_in()
    signer = signer_of(service, client.client_id)
    host.publish("/changed.json", token_endpoint_auth_method="private_key_jwt", jwks=signer.jwks)
    service.clock.now += 60 * SECOND
    assert client.refresh(issued.refresh).status_code == 401
    assert tokens(client.refresh(issued.refresh, **signer.parameters(TOKEN))).access


@pytest.mark.parametrize(
    ("networks", "url"),
    [
        ("", "https://localhost:1/client.json"),
        ("", "https://127.0.0.1:1/client.json"),
        ("", "https://[::1]:1/client.json"),
        ("", "https://[::ffff:127.0.0.1]:1/client.json"),
        ("", "https://169.254.169.254/latest/meta-data"),
        ("", "https://2130706433/client.json"),
        ("", "https://0x7f000001/client.json"),
    ],
)
def test_nobody_inside_is_asked_on_a_stranger_s_word(host: HttpsHost, networks: str, url: str) -> None:
    with Service({"fetch_networks": networks}) as service:
        client = known_as(service, url.replace(":1/", f":{host.port}/"))
        before = host.asked["/client.json"]
        assert client.page()[1].status_code == 503
        assert client.token(grant_type="refresh_token", refresh_token="x").status_code == 503
        assert host.asked["/client.json"] == before


def test_what_went_wrong_on_the_way_is_in_the_log_alone(
    service: Service, host: HttpsHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who may name a URL must not learn from the answer what stands behind it."""
    host.serve("/html.json", answer(200, b"<html>", {"Content-Type": "text/html"}))
    texts = set()
    for path in ("/html.json", "/nothing.json"):
        client = known_as(service, host.url(path))
        _, page = client.page()
        texts.add(page.text)
        assert page.status_code == 503
    assert len(texts) == 1
    logged = capsys.readouterr().err
    assert "not JSON by its content type" in logged
    assert "it answered 404" in logged


def test_page_names_the_host_and_whether_the_operator_knows_it(host: HttpsHost) -> None:
    shown = {}
    named = f"*,localhost:{host.port}"
    for cimd in ("*", "*,localhost", named):
        with Service({"fetch_networks": "127.0.0.0/8,::1", "cimd": cimd}) as service:
            client = known_as(service, host.publish("/page.json", redirect_uris=["https://app.example/cb"]))
            _, page = client.page(redirect_uri="https://app.example/cb")
            shown[cimd] = html.unescape(page.text)
            form = hidden_inputs(page.text) | {"api_key": "wrong", "decision": "allow"}
            again = client.http.post(client.authorize_url(redirect_uri="https://app.example/cb"), data=form)
            assert f"localhost:{host.port}" in again.text
    assert all(f"localhost:{host.port}" in text for text in shown.values())
    assert all("Name not verified" in shown[cimd] for cimd in ("*", "*,localhost")), "another port may be another's"
    assert "Known app" in shown[named]


def test_policy_keeps_other_hosts_out(host: HttpsHost) -> None:
    with Service({"fetch_networks": "127.0.0.0/8,::1", "cimd": "claude.ai,*.example.com"}) as service:
        client = known_as(service, host.publish("/policy.json"))
        assert client.page()[1].status_code == 400
        assert client.token(grant_type="refresh_token", refresh_token="x").status_code == 401
        assert not host.asked["/policy.json"]


def test_operator_ends_one_person_s_app_without_asking_its_host_and_never_everybody_s(
    service: Service, host: HttpsHost
) -> None:
    client = known_as(service, host.publish("/shared.json"))
    issued = client.sign_in()
    refused = client.admin_revoke("client", client.client_id)
    assert refused.status_code == 400
    assert "user-client" in refused.json()["error_description"]
    assert "TOKENSVC_CIMD" in refused.json()["error_description"]
    assert client.active(issued.access)
    asked = host.asked["/shared.json"]
    service.clock.now += DAY
    issued = client.sign_in()
    assert client.admin_revoke("user-client", "acme/ada", client=client.client_id).status_code == 200
    assert not client.active(issued.access)
    assert host.asked["/shared.json"] == asked + 1


def test_revocation_by_a_shared_client_ends_its_own_family_alone(service: Service, host: HttpsHost) -> None:
    client_id = host.publish("/two.json")
    one, other = (known_as(service, client_id).sign_in() for _ in range(2))
    client = known_as(service, client_id)
    assert client.revoke(one.refresh).status_code == 200
    assert not client.active(one.access)
    assert client.active(other.access)


def signing(
    service: Service, host: HttpsHost, path: str, address: str = "127.0.0.1", **members: Any
) -> tuple[Client, Signer]:
    """A client that has published a key, and what it signs with."""
    signer = signer_of(service, host.url(path))
    published: dict[str, Any] = {"token_endpoint_auth_method": "private_key_jwt", "jwks": signer.jwks} | members
    return known_as(service, host.publish(path, **published), address), signer
