"""What every request passes through: its id, and for clients that are web pages, leave to ask from any origin."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.endpoints.local import Service

ORIGIN = {"Origin": "https://app.example"}


def request_id(answer: httpx.Response) -> str:
    return answer.headers["x-request-id"]


def test_every_answer_names_its_request(service: Service) -> None:
    with service.http() as http:
        ids = [request_id(http.get(path)) for path in ("/healthz", "/healthz", "/nowhere", "/token", "/authorize")]
        assert len(set(ids)) == 5
        assert all(re.fullmatch(r"[0-9a-f]{16}", name) for name in ids)
        for given in ("a", "req-1.2_3", "x" * 64):
            assert request_id(http.get("/healthz", headers={"X-Request-Id": given})) == given
        for given in ("", "x" * 65, "a b", "é", 'a"', "a\x7f"):
            assert request_id(http.get("/healthz", headers=[(b"X-Request-Id", given.encode())])) != given


@pytest.mark.parametrize("path", ["/token", "/register", "/revoke", "/.well-known/oauth-authorization-server"])
def test_page_of_any_origin_may_ask_what_clients_ask_and_brings_no_cookies(service: Service, path: str) -> None:
    with service.http() as http:
        answer = http.get(path, headers=ORIGIN)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        preflight = ORIGIN | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-any"}
        answer = http.options(path, headers=preflight)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
        assert "x-any" in answer.headers["access-control-allow-headers"]
        preflight["Access-Control-Request-Method"] = "DELETE"
        assert http.options(path, headers=preflight).status_code == 400


@pytest.mark.parametrize("path", ["/authorize", "/introspect", "/admin/revoke", "/healthz", "/nowhere"])
def test_page_of_another_origin_reads_nothing_else(service: Service, path: str) -> None:
    with service.http() as http:
        assert "access-control-allow-origin" not in http.get(path, headers=ORIGIN).headers
