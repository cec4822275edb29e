"""`GET /denylist`: what resource servers hear of revocations, wherever they ask."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.endpoints.local import NOW, Down, Service
from tests.replica import ADMIN_TOKEN, API_KEY, INTROSPECTION_TOKEN, api_key_entry
from tokensvc.endpoints import denylist

SECRET = {"Authorization": f"Bearer {INTROSPECTION_TOKEN}"}
ACCOUNT = "a/b %:é"


@pytest.fixture
def service() -> Service:
    """Marks outlive a test, so each has a service of its own."""
    return Service()


def ask(service: Service, headers: dict[str, str] | None = None, **query: str) -> httpx.Response:
    return service.http().get("/denylist", params=query, headers=SECRET | (headers or {}))


def heard(service: Service, **query: str) -> Any:
    answer = ask(service, {}, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def revoke(service: Service, kind: str, subject: str = "", **members: str) -> None:
    client = service.client()
    assert client.admin_revoke(kind, subject, **members).status_code == 200


def digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:16]).decode().rstrip("=")


NAMED: dict[str, Callable[[dict[str, str]], str]] = {
    "everything": lambda _facts: "",
    "account": lambda facts: facts["sub"].partition("/")[0],
    "user": lambda facts: facts["sub"],
    "user-client": lambda facts: f"{facts['sub']}/{facts['client_id']}",
    "client": lambda facts: facts["client_id"],
    "family": lambda facts: facts["family"],
    "token": lambda facts: facts["jti"],
}


@pytest.mark.parametrize("kind", NAMED)
def test_a_resource_server_recognises_an_entry_by_what_introspection_told_it(kind: str) -> None:
    with Service({"api_keys": api_key_entry(API_KEY, ACCOUNT, "ada/%", "admin")}) as service:
        client = service.client()
        facts = client.introspect(client.sign_in().access)
        members = {"client": facts["client_id"]} if kind == "user-client" else {}
        revoke(service, kind, facts["sub"] if kind == "user-client" else NAMED[kind](facts), **members)
        (entry,) = heard(service)["marks"]
        assert entry == {"kind": kind, "subject_digest": digest(f"{kind}:{NAMED[kind](facts)}"), "not_before": NOW}


def test_an_entry_on_an_api_key_names_what_no_answer_does(service: Service) -> None:
    with service:
        revoke(service, "credential", service.credential(API_KEY))
        (entry,) = heard(service)["marks"]
        assert entry["kind"] == "credential"
        assert entry["subject_digest"] == digest(f"credential:{service.credential(API_KEY)}")


def test_a_cursor_goes_on_where_the_last_answer_ended(service: Service) -> None:
    with service:
        first = heard(service)
        assert first == {"marks": [], "cursor": first["cursor"], "more": False}
        revoke(service, "user", "acme/ada")
        second = heard(service, since=first["cursor"])
        assert [entry["kind"] for entry in second["marks"]] == ["user"]
        assert heard(service, since=second["cursor"])["marks"] == []
        service.clock.now += 1
        revoke(service, "user", "acme/ada")
        (again,) = heard(service, since=second["cursor"])["marks"]
        assert again["not_before"] == NOW + 1


def test_a_cursor_goes_from_replica_to_replica_and_keeps_its_place_on_each() -> None:
    """On one that it has not met it begins from the beginning; what it heard elsewhere it may hear once more."""
    with Service() as one, Service() as other:
        for service in (one, other):
            revoke(service, "account", "acme")
        cursor = heard(one)["cursor"]
        met = heard(other, since=cursor)
        assert len(met["marks"]) == 1
        assert heard(one, since=met["cursor"])["marks"] == []
        revoke(other, "account", "corp")
        entries = heard(other, since=met["cursor"])["marks"]
        assert [entry["subject_digest"] for entry in entries] == [digest("account:corp")]


@pytest.mark.parametrize("cursor", ["x", "x.1", "~", "x.99999999999999999999", "é", "x.1~y", "0"])
def test_a_cursor_of_another_replica_or_release_begins_from_the_beginning(service: Service, cursor: str) -> None:
    with service:
        revoke(service, "account", "acme")
        assert len(heard(service, since=cursor)["marks"]) == 1


def test_a_position_that_was_never_reached_begins_from_the_beginning(service: Service) -> None:
    with service:
        revoke(service, "account", "acme")
        replica = heard(service)["cursor"].partition(".")[0]
        assert len(heard(service, since=f"{replica}.999")["marks"]) == 1


def test_a_cursor_forgets_the_replicas_that_it_met_longest_ago(service: Service) -> None:
    with service:
        met = [f"replica{number}.1" for number in range(40)]
        places = heard(service, since="~".join(met))["cursor"].split("~")
        assert places[:-1] == met[-31:]


def test_a_long_list_comes_in_pages(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denylist, "PAGE", 2)
    with service:
        for name in ("a", "b", "c", "d", "e"):
            revoke(service, "account", name)
        pages = [heard(service)]
        while pages[-1]["more"]:
            pages.append(heard(service, since=pages[-1]["cursor"]))
        assert [len(page["marks"]) for page in pages] == [2, 2, 1]
        named = [entry["subject_digest"] for page in pages for entry in page["marks"]]
        assert named == [digest(f"account:{name}") for name in ("a", "b", "c", "d", "e")]


def test_a_page_has_no_tag_since_it_is_not_all_there_is(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denylist, "PAGE", 1)
    with service:
        revoke(service, "account", "a")
        revoke(service, "account", "b")
        answer = ask(service)
        assert answer.json()["more"] is True
        assert "etag" not in answer.headers


def test_the_whole_list_has_a_tag_that_every_replica_knows_which_agrees() -> None:
    marks = [f"account:acme@{NOW - 2}", f"user:acme/ada@{NOW - 1}"]
    with Service({"denylist": ",".join(marks)}) as one, Service({"denylist": ",".join(reversed(marks))}) as other:
        tag = ask(one).headers["etag"]
        assert len(heard(one)["marks"]) == 2
        unchanged = ask(other, {"If-None-Match": tag})
        assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", tag)
        revoke(other, "everything")
        assert ask(other, {"If-None-Match": tag}).status_code == 200


def test_a_wait_ends_with_the_first_news(service: Service) -> None:
    with service:
        cursor = heard(service)["cursor"]
        transport = httpx.ASGITransport(service.app)
        marker = {"Authorization": f"Bearer {ADMIN_TOKEN}"}

        async def wait_and_revoke() -> tuple[Any, bool]:
            async with httpx.AsyncClient(transport=transport, base_url=service.issuer) as http:
                query = {"since": cursor, "wait": "20"}
                waiting = asyncio.create_task(http.get("/denylist", params=query, headers=SECRET))
                await asyncio.sleep(2 * denylist.LOOK_EVERY)
                waited = not waiting.done()
                body = {"kind": "account", "subject": "acme"}
                await http.post("/admin/revoke", json=body, headers=marker)
                return (await waiting).json(), waited

        answer, waited = service.run(wait_and_revoke())
        assert waited
        assert [entry["subject_digest"] for entry in answer["marks"]] == [digest("account:acme")]


def test_a_wait_without_news_ends_with_its_time(service: Service) -> None:
    with service:
        cursor = heard(service)["cursor"]
        assert heard(service, since=cursor, wait="1") == {"marks": [], "cursor": cursor, "more": False}


def test_a_first_question_is_answered_without_a_wait(service: Service) -> None:
    with service:
        assert heard(service, wait="9999")["marks"] == []


@pytest.mark.parametrize("wait", ["-1", "1.5", "x", "99999", "²"])
def test_a_wait_that_is_no_number_is_refused(service: Service, wait: str) -> None:
    with service:
        answer = ask(service, wait=wait)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", f"Bearer {ADMIN_TOKEN}"])
def test_only_resource_servers_are_told(service: Service, authorization: str) -> None:
    with service:
        answer = service.http().get("/denylist", headers={"Authorization": authorization})
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


def test_failures_are_counted_apart_from_those_at_introspection() -> None:
    with Service() as service:
        outside = service.http("203.0.113.7")
        wrong = {"Authorization": "Bearer wrong"}
        statuses = [outside.get("/denylist", headers=wrong).status_code for _ in range(30)]
        assert statuses[0] == 401
        assert statuses[-1] == 429
        assert outside.post("/introspect", data={"token": "x"}, headers=SECRET).status_code == 200


def test_without_introspection_secrets_nobody_can_be_told() -> None:
    with Service({"introspection_tokens": ""}) as service:
        assert ask(service).status_code == 503


def test_what_the_ledger_cannot_say_is_no_empty_list(service: Service) -> None:
    with service, service.changed(ledger=Down()):
        assert ask(service).status_code == 503


def test_marks_that_have_expired_are_told_nobody(service: Service) -> None:
    with service:
        revoke(service, "account", "acme")
        service.clock.now += 367 * 86_400_000
        assert heard(service)["marks"] == []
