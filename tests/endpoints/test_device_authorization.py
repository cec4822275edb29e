"""`/device_authorization`, its metadata and its registration: there when it is switched on, and in no other case."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.device import Device, Person
from tests.endpoints.local import Service
from tests.replica import REDIRECT_URI, Client
from tokensvc.protocol.client import DEVICE_CODE
from tokensvc.settings import Settings

ON: dict[str, object] = {"device_authorization": "on"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service(ON) as started:
        yield started


def metadata(http: httpx.Client) -> dict[str, Any]:
    answer: dict[str, Any] = http.get("/.well-known/oauth-authorization-server").json()
    return answer


def registration(client: Client, **changes: Any) -> httpx.Response:
    asked = {"token_endpoint_auth_method": "none", "redirect_uris": [REDIRECT_URI]} | changes
    return client.http.post("/register", json=asked)


def test_it_is_off_unless_it_is_switched_on() -> None:
    assert Settings.model_fields["device_authorization"].default == "off"
    with Service() as service:
        http = service.http()
        assert "device_authorization_endpoint" not in metadata(http)
        assert DEVICE_CODE not in metadata(http)["grant_types_supported"]
        assert [http.post("/device_authorization").status_code, http.get("/device").status_code] == [404, 404]
        refused = http.post("/token", data={"grant_type": DEVICE_CODE, "client_id": "x", "device_code": "x"})
        assert refused.json()["error"] == "unsupported_grant_type"


def test_device_alone_cannot_register_where_it_is_off() -> None:
    with Service() as service:
        client = service.client()
        answer = registration(client, redirect_uris=[], grant_types=[DEVICE_CODE])
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")
        granted = registration(client, grant_types=["authorization_code", DEVICE_CODE]).json()
        assert granted["grant_types"] == ["authorization_code"]


def test_metadata_says_where_it_is(service: Service) -> None:
    said = metadata(service.http())
    assert said["device_authorization_endpoint"] == f"{service.issuer}/device_authorization"
    assert said["grant_types_supported"] == ["authorization_code", "refresh_token", DEVICE_CODE]


def test_issuer_with_a_path_has_its_pages_below_it() -> None:
    with Service(ON | {"issuer": "https://example.com/tokens"}) as service:
        device = Device(service.client())
        device.register()
        answer = device.ask().json()
        assert answer["verification_uri"] == "https://example.com/tokens/device"
        assert service.http().get(answer["verification_uri"]).status_code == 200


def test_answer_is_what_the_standard_asks_for(service: Service) -> None:
    """§3.2: no nulls, not stored, a code that a person can type, and a complete address that holds it."""
    device = Device(service.client())
    device.register()
    answer = device.ask()
    assert answer.headers["cache-control"] == "no-store"
    content = answer.json()
    assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", content["user_code"])
    assert content == {
        "device_code": content["device_code"],
        "user_code": content["user_code"],
        "verification_uri": f"{service.issuer}/device",
        "verification_uri_complete": f"{service.issuer}/device?user_code={content['user_code']}",
        "expires_in": 600,
        "interval": 5,
    }
    assert len(content["device_code"]) < 300


@pytest.mark.parametrize(
    ("asked", "granted", "response_types"),
    [
        ({"redirect_uris": [], "grant_types": [DEVICE_CODE]}, [DEVICE_CODE], []),
        ({"redirect_uris": [], "grant_types": [DEVICE_CODE], "response_types": []}, [DEVICE_CODE], []),
        ({"grant_types": [DEVICE_CODE, "refresh_token"]}, ["refresh_token", DEVICE_CODE], []),
        (
            {"grant_types": [DEVICE_CODE, "authorization_code"]},
            ["authorization_code", DEVICE_CODE],
            ["code"],
        ),
        ({}, ["authorization_code", "refresh_token"], ["code"]),
    ],
    ids=["alone", "alone without response types", "with a redirect URI", "beside the other", "not asked for"],
)
def test_registration_grants_it_to_whoever_asks(
    service: Service, asked: dict[str, Any], granted: list[str], response_types: list[str]
) -> None:
    answer = registration(service.client(), **asked)
    assert answer.status_code == 201
    content = answer.json()
    assert (content["grant_types"], content["response_types"]) == (granted, response_types)
    assert content["redirect_uris"] == asked.get("redirect_uris", [REDIRECT_URI])


def test_who_wants_to_be_redirected_needs_a_redirect_uri_all_the_same(service: Service) -> None:
    for grants in (["authorization_code", DEVICE_CODE], ["authorization_code"]):
        answer = registration(service.client(), redirect_uris=[], grant_types=grants)
        assert answer.json()["error"] == "invalid_redirect_uri", grants


def test_client_that_shows_codes_alone_is_redirected_nowhere(service: Service) -> None:
    device = Device(service.client())
    device.register()
    assert device.client.page()[1].status_code == 400


def test_without_the_refresh_token_grant_there_is_no_refresh_token(service: Service) -> None:
    client = service.client()
    client.register(redirect_uris=[], grant_types=[DEVICE_CODE])
    device = Device(client)
    assert device.ask().status_code == 200


def test_confidential_client_proves_itself_at_both_endpoints(service: Service) -> None:
    device = Device(service.client())
    device.register(token_endpoint_auth_method="client_secret_post")
    secret = device.client.client_secret
    assert [device.ask(client_secret=secret).status_code, device.poll(client_secret="").status_code] == [200, 401]
    assert device.poll(client_secret=secret).json()["error"] == "authorization_pending"
    for wrong in ("", "wrong"):
        assert (device.ask(client_secret=wrong).status_code, device.poll(client_secret=wrong).status_code) == (401, 401)


def test_client_of_the_configuration_may_do_without_redirect_uris() -> None:
    clients = f'[{{"client_id": "tv", "client_name": "Television", "grant_types": ["{DEVICE_CODE}"]}}]'
    with Service(ON | {"clients": clients}) as service:
        device = Device(service.client())
        device.client.client_id = "tv"
        assert device.ask().status_code == 200


@pytest.mark.parametrize(("secret", "tag"), [("", "Name not verified"), ("a-secret-of-the-television", "Known app")])
def test_app_counts_as_known_if_it_has_proved_that_it_is_the_one(secret: str, tag: str) -> None:
    """§5.6: whoever knows the client_id of an app without a secret can show its name on this page."""
    entry = {"client_id": "tv", "client_name": "Television", "grant_types": [DEVICE_CODE]}
    if secret:
        entry["client_secret_hash"] = f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}"
    with Service(ON | {"clients": json.dumps([entry])}) as service:
        device = Device(service.client())
        device.client.client_id = "tv"
        device.ask(client_secret=secret)
        assert tag in Person(service.http(), service.issuer).enter(device.user_code).text


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({}, 401, "invalid_client"),
        ({"client_id": "unknown"}, 401, "invalid_client"),
        ({"client_id": "." * 9000}, 401, "invalid_client"),
    ],
    ids=["missing", "unknown", "long"],
)
def test_unknown_clients_are_told_to_register(service: Service, form: dict[str, str], status: int, error: str) -> None:
    answer = service.http().post("/device_authorization", data=form or {"x": "y"})
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_parameters_are_held_to_the_rules_of_every_endpoint(service: Service) -> None:
    device = Device(service.client())
    device.register()
    http, url = device.client.http, "/device_authorization"
    for name, error in (("scope", "invalid_request"), ("resource", "invalid_target")):
        twice = f"client_id={device.client.client_id}&{name}=a&{name}=b"
        assert http.post(url, content=twice, headers=FORM).json()["error"] == error
    assert http.post(url, json={}).json()["error"] == "invalid_request"
    assert http.get(url).status_code == 405
    assert device.ask(resource=f"{service.issuer}/").status_code == 200
