"""`/admin/…`: what operators may end, and how they name it."""

from __future__ import annotations

import json
from urllib.parse import quote

import httpx
import pytest

from tests.endpoints.local import NOW, Alone, Down, Service
from tests.replica import ADMIN_TOKEN, API_KEY, Client, api_key_entry, tokens
from tokensvc.ledger.marks import RETENTION
from tokensvc.tokens.kinds import client_handle

BEARER = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


@pytest.fixture
def service() -> object:
    """Marks outlive a test, so each has a service of its own."""
    return Service({"api_keys": f"{api_key_entry(API_KEY)},{api_key_entry('other', user='bob')}"})


def post(client: Client, body: object, headers: dict[str, str] = BEARER) -> httpx.Response:
    return client.http.post("/admin/revoke", json=body, headers=headers)


@pytest.mark.parametrize(
    "kind", ["everything", "account", "user", "user-client", "credential", "client", "family", "token"]
)
def test_every_kind_of_subject_ends_what_it_names(service: Service, kind: str) -> None:
    with service:
        client = service.client()
        issued = client.sign_in()
        facts = client.introspect(issued.access)
        credential = service.credential(API_KEY)
        subject = {
            "everything": "",
            "account": "acme",
            "user": "acme/ada",
            "user-client": "acme/ada",
            "credential": credential,
            "client": client.client_id,
            "family": facts["family"],
            "token": facts["jti"],
        }[kind]
        members = {"client": client.client_id} if kind == "user-client" else {}
        answer = post(client, {"kind": kind, "subject": subject} | members)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json().keys() == {"kind", "subject", "not_before", "peers"}
        assert (answer.json()["kind"], answer.json()["not_before"], answer.json()["peers"]) == (kind, NOW, {})
        assert not client.active(issued.access)
        assert client.refresh(issued.refresh).status_code == (200 if kind == "token" else 400)


def test_client_is_named_by_its_id_or_its_handle(service: Service) -> None:
    with service:
        client = service.client()
        client.register()
        handle = client_handle(client.client_id)
        for name in (client.client_id, handle):
            assert post(client, {"kind": "client", "subject": name}).json()["subject"] == handle
            body = {"kind": "user-client", "subject": "acme/ada", "client": name}
            assert post(client, body).json()["subject"] == f"acme/ada/{handle}"


def test_unknown_client_id_is_named_by_its_handle_all_the_same(service: Service) -> None:
    """Its registration may have ended with the key that sealed it; what it was given has not."""
    with service:
        answer = post(service.client(), {"kind": "client", "subject": "tscl_forgotten"})
        assert answer.json()["subject"] == client_handle("tscl_forgotten")


@pytest.mark.parametrize("cimd", ["*", "off"])
def test_pre_registered_client_is_ended_whatever_its_id_looks_like(cimd: str) -> None:
    client_id = "https://partner.example/client"
    entry = {"client_id": client_id, "redirect_uris": ["http://127.0.0.1:33418/callback"]}
    with Service({"clients": json.dumps([entry]), "cimd": cimd}) as service:
        client = service.client()
        client.client_id = client_id
        issued = client.sign_in()
        answer = post(client, {"kind": "client", "subject": client_id})
        assert (answer.status_code, answer.json()["subject"]) == (200, client_handle(client_id))
        assert not client.active(issued.access)
        other = post(client, {"kind": "client", "subject": f"{client_id}s"})
        assert (other.status_code, other.json()["error"]) == (400, "invalid_request")


def test_mark_ends_nobody_else(service: Service) -> None:
    with service:
        ada, bob = service.client(), service.client()
        bob.api_key = "other"
        kept, ended = bob.sign_in(), ada.sign_in()
        post(ada, {"kind": "user", "subject": "acme/ada"})
        assert not ada.active(ended.access)
        assert bob.active(kept.access)


def test_person_may_sign_in_again_at_once(service: Service) -> None:
    with service:
        client = service.client()
        client.sign_in()
        post(client, {"kind": "everything"})
        issued = tokens(client.redeem(client.code()))
        assert client.active(issued.access)


@pytest.mark.parametrize("subject", ["a/b", "ac:me", "ac%me", "é", "a b"])
def test_names_are_percent_encoded_where_a_slash_joins_them(service: Service, subject: str) -> None:
    with service:
        name = quote(subject, safe="")
        assert post(service.client(), {"kind": "account", "subject": name}).json()["subject"] == name
        assert (
            post(service.client(), {"kind": "user", "subject": f"{name}/{name}"}).json()["subject"] == f"{name}/{name}"
        )


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"kind": None},
        {"kind": 1, "subject": "x"},
        {"kind": "nobody", "subject": "x"},
        {"kind": "everything", "subject": "x"},
        {"kind": "everything", "subject": []},
        {"kind": "everything", "subject": {}},
        {"kind": "everything", "subject": False},
        {"kind": "everything", "subject": 0},
        {"kind": "account", "subject": ""},
        {"kind": "account", "subject": "a/b"},
        {"kind": "account", "subject": "%ff"},
        {"kind": "account", "subject": "%00"},
        {"kind": "account", "subject": "a" * 129},
        {"kind": "user", "subject": "acme"},
        {"kind": "user", "subject": "acme/"},
        {"kind": "user", "subject": "acme/ada/admin"},
        {"kind": "user-client", "subject": "acme/ada"},
        {"kind": "user-client", "subject": "acme/ada", "client": ["x"]},
        {"kind": "client", "subject": ""},
        {"kind": "client", "subject": "nobody"},
        {"kind": "family", "subject": "a b"},
        {"kind": "token", "subject": "a.b"},
        {"kind": "credential", "subject": "a" * 65},
    ],
    ids=str,
)
def test_subject_that_names_nothing_is_refused_and_ends_nothing(service: Service, body: object) -> None:
    with service:
        client = service.client()
        issued = client.sign_in()
        answer = post(client, body)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        assert answer.json()["error_description"].isascii()
        assert client.active(issued.access)


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", f"Basic {ADMIN_TOKEN}", ADMIN_TOKEN])
def test_wrong_or_missing_secret_is_challenged(service: Service, authorization: str) -> None:
    with service:
        client = service.client()
        issued = client.sign_in()
        headers = {"Authorization": authorization} if authorization else {}
        for answer in (
            post(client, {"kind": "everything"}, headers),
            client.http.get("/admin/denylist", headers=headers),
        ):
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
            assert answer.headers["www-authenticate"].startswith("Bearer ")
        assert client.active(issued.access)


def test_denylist_lists_the_marks_in_force(service: Service) -> None:
    with service:
        client = service.client()
        assert client.http.get("/admin/denylist", headers=BEARER).json() == {"marks": []}
        post(client, {"kind": "user", "subject": "acme/a%2Fb"})
        service.clock.now += 5
        post(client, {"kind": "everything"})
        expected = [
            {"kind": "everything", "subject": "", "not_before": NOW + 5, "expires": NOW + 5 + RETENTION},
            {"kind": "user", "subject": "acme/a%2Fb", "not_before": NOW, "expires": NOW + RETENTION},
        ]
        answer = client.http.get("/admin/denylist", headers=BEARER)
        assert answer.json() == {"marks": expected}
        assert answer.headers["cache-control"] == "no-store"
        service.clock.now += RETENTION
        assert client.http.get("/admin/denylist", headers=BEARER).json() == {"marks": []}


def test_outage_of_the_ledger_is_no_revocation(service: Service) -> None:
    with service:
        client = service.client()
        with service.changed(ledger=Down()):
            answer = post(client, {"kind": "everything"})
            assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/admin/revoke", {"kind": "user", "subject": "acme/ada"}),
        ("/admin/events", {"event": "user_deleted", "account": "acme", "user": "ada"}),
    ],
    ids=["revoke", "events"],
)
def test_revocation_that_no_peer_took_stands_in_the_log(
    service: Service, capfd: pytest.CaptureFixture[str], path: str, body: dict[str, str]
) -> None:
    """It is answered 503 and holds here all the same, so whoever looks into the log later has to find it."""
    with service:
        client = service.client()
        issued = client.sign_in()
        with service.changed(ledger=Alone(service.app.state.service.server.ledger)):
            capfd.readouterr()
            assert client.http.post(path, json=body, headers=BEARER).status_code == 503
        assert not client.active(issued.access)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["event"] for line in lines[:2]] == ["revocation unconfirmed", "unavailable"]
    assert (lines[0]["level"], lines[0]["subject"], lines[0]["reason"]) == ("warning", "user:acme/ada", Alone.reason)


def test_without_a_secret_configured_there_is_no_admin_endpoint() -> None:
    with Service({"admin_tokens": ""}) as service:
        assert post(service.client(), {"kind": "everything"}).status_code == 404


def test_every_secret_of_the_setting_opens() -> None:
    with Service({"admin_tokens": "old-secret, new-secret"}) as service:
        for secret in ("old-secret", "new-secret"):
            headers = {"Authorization": f"Bearer {secret}"}
            assert service.client().http.get("/admin/denylist", headers=headers).status_code == 200
