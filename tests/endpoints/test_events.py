"""`POST /admin/events`: what the host product says ends what it was about, and nothing else."""

from __future__ import annotations

import hashlib

import httpx
import pytest

from tests.endpoints.local import NOW, Down, Service
from tests.replica import ADMIN_TOKEN, API_KEY, api_key_entry

BEARER = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
ACCOUNT, USER = "ac/me %", "ada:é"
KEY_SHA256 = hashlib.sha256(API_KEY.encode()).hexdigest()


@pytest.fixture
def service() -> Service:
    """Marks outlive a test, so each has a service of its own."""
    return Service({"api_keys": f"{api_key_entry(API_KEY, ACCOUNT, USER)},{api_key_entry('other', user='bob')}"})


def tell(service: Service, body: object, headers: dict[str, str] = BEARER) -> httpx.Response:
    return service.http().post("/admin/events", json=body, headers=headers)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"event": "key_rotated", "key_sha256": KEY_SHA256}, "credential"),
        ({"event": "key_rotated", "key_sha256": KEY_SHA256.upper()}, "credential"),
        ({"event": "user_deleted", "account": ACCOUNT, "user": USER}, "user"),
        ({"event": "role_changed", "account": ACCOUNT, "user": USER}, "user"),
        ({"event": "account_deleted", "account": ACCOUNT}, "account"),
    ],
    ids=["key_rotated", "key_rotated-upper-case", "user_deleted", "role_changed", "account_deleted"],
)
def test_an_event_ends_what_it_is_about_and_nobody_elses(service: Service, body: dict[str, str], kind: str) -> None:
    """Names stand in it as they are, without the encoding that joined names need."""
    with service:
        ada, bob = service.client(), service.client()
        bob.api_key = "other"
        ended, kept = ada.sign_in(), bob.sign_in()
        for later in range(2):
            service.clock.now = NOW + later
            answer = tell(service, body)
            assert answer.status_code == 200, answer.text
            assert answer.json().keys() == {"kind", "subject", "not_before", "peers"}
            assert (answer.json()["kind"], answer.json()["not_before"]) == (kind, NOW + later)
        assert not ada.active(ended.access)
        assert ada.refresh(ended.refresh).status_code == 400
        assert bob.active(kept.access)


def test_a_key_is_also_named_by_the_digest_that_the_log_shows(service: Service) -> None:
    with service:
        client = service.client()
        issued = client.sign_in()
        credential = service.credential(API_KEY)
        answer = tell(service, {"event": "key_rotated", "credential": credential})
        assert answer.json()["subject"] == credential
        assert not client.active(issued.access)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"event": "user_created", "account": "acme", "user": "ada"},
        {"event": "user_deleted"},
        {"event": "user_deleted", "account": "acme"},
        {"event": "user_deleted", "account": "acme", "user": ""},
        {"event": "user_deleted", "account": "acme", "user": ["ada"]},
        {"event": "user_deleted", "account": "acme", "user": "a" * 129},
        {"event": "account_deleted", "account": "\u0000"},
        {"event": "key_rotated"},
        {"event": "key_rotated", "key_sha256": "abc"},
        {"event": "key_rotated", "credential": "not a digest"},
        {"event": "key_rotated", "credential": "AAAAAAAAAAA", "key_sha256": KEY_SHA256},
    ],
    ids=str,
)
def test_an_event_that_says_nothing_clear_is_refused_and_ends_nothing(service: Service, body: object) -> None:
    with service:
        client = service.client()
        issued = client.sign_in()
        answer = tell(service, body)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        assert client.active(issued.access)


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", f"Basic {ADMIN_TOKEN}"])
def test_only_who_has_an_operators_secret_is_believed(service: Service, authorization: str) -> None:
    with service:
        answer = tell(service, {"event": "account_deleted", "account": "acme"}, {"Authorization": authorization})
        assert answer.status_code == 401


def test_what_cannot_be_marked_is_answered_503_so_that_it_is_told_again(service: Service) -> None:
    with service, service.changed(ledger=Down()):
        assert tell(service, {"event": "account_deleted", "account": "acme"}).status_code == 503
