"""Generated requests to every endpoint of a running replica: no input makes it fail, leak or forget its manners."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings

from tests import replica as running
from tests.fuzz.hostile import CANARY
from tests.fuzz.material import Material
from tests.fuzz.material import settings as machines
from tests.fuzz.mutations import Plan, plans
from tests.fuzz.requests import GOOD, Request
from tests.fuzz.wire import Answer, send
from tests.ports import free_port
from tests.replica import REDIRECT_URI, Replica

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "2000"))
"""How many are generated: some 30 s in `make test`, more in `make soak`."""
DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+")
"""RFC 6749 §5.2."""
STATUSES: Mapping[str, set[int]] = {
    "/.well-known/oauth-authorization-server": {200},
    "/.well-known/oauth-protected-resource": {200},
    "/jwks.json": {200},
    "/healthz": {200},
    "/readyz": {200},
    "/register": {201, 400, 413},
    "/authorize": {200, 303, 400, 401, 403, 413, 429},
    "/token": {200, 400, 401, 413, 429},
    "/par": {201, 400, 401, 413, 429},
    "/device_authorization": {200, 400, 401, 413, 429},
    "/device": {200, 400, 401, 403, 413, 429},
    "/introspect": {200, 400, 401, 413, 429},
    "/revoke": {200, 400, 401, 413, 429},
    "/admin/revoke": {200, 400, 401, 413, 429},
    "/admin/denylist": {200, 401, 429},
    "/admin/events": {200, 400, 401, 413, 429},
    "/admin/keys": {200, 401, 429},
    "/admin/state": {200, 401, 429},
    "/denylist": {200, 400, 401, 429},
}
EVERY_STATUS = set[int]().union(*STATUSES.values())
CUT = {"long", "bad chunk"}
"""Framings after which the client hangs up, or both sides would wait for ever."""
TOO_LONG = 32_768
"""Bytes of headers after which the server hangs up, whether or not the client is still sending."""
SUCCESSES = {"register": 201, "push": 201, "decide": 303, "poll": 400}


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    port = free_port()
    directory: Path = tmp_path_factory.mktemp("fuzz")
    variables = running.settings("sqlite:///ledger.db", port, refresh_grace="600", **machines())
    with Replica(variables, port, directory=directory) as started:
        yield started


@pytest.fixture(scope="module")
def material(replica: Replica) -> Material:
    return Material(replica.url)


@pytest.mark.parametrize("name", GOOD)
def test_good_request_succeeds(name: str, replica: Replica, material: Material) -> None:
    """Or its mutants would prove nothing."""
    answer = ask(Plan(name), replica, material)
    assert answer.status == SUCCESSES.get(name, 200)


@pytest.mark.timeout(180 + REQUESTS // 20)
def test_no_request_makes_the_service_fail_or_repeat_what_it_was_given(replica: Replica, material: Material) -> None:
    outcomes = set()

    @settings(max_examples=REQUESTS, suppress_health_check=list(HealthCheck))
    @given(plans)
    def one(plan: Plan) -> None:
        answer = ask(plan, replica, material)
        outcomes.add((plan.good, answer.status, error_of(answer)))

    one()
    assert len(outcomes) > 60, sorted(outcomes)
    # A revocation whose answer was not waited for may have ended the tokens that there are.
    material.renew()
    assert ask(Plan("refresh"), replica, material).status == 200
    replica.stop()
    log = "".join(replica.lines)
    assert "Traceback" not in log, log[log.index("Traceback") :][:5000]
    assert '"level": "error"' not in log
    assert CANARY not in log
    assert not [secret for secret in material.secrets if secret in log]


def ask(plan: Plan, replica: Replica, material: Material) -> Answer:
    """Send the request of a plan, and hold the answer to what every answer has to be."""
    material.keep_fresh()
    request = plan.request()
    data = request.data(material.values)
    answer = send(replica.url, data, method=request.method, cut=request.framing in CUT)
    if not answer.status:
        assert request.framing in CUT or len(data) > TOO_LONG, "closed without a word"
        return answer
    check(request, answer)
    if request.path == "/token" and answer.status == 200 and plan.good == "redeem":
        material.renew_code()
    elif request.path in {"/revoke", "/admin/revoke"} and answer.status == 200:
        material.renew()
    return answer


def check(request: Request, answer: Answer) -> None:
    if answer.status == 400 and answer.media_type == "text/plain" and answer.header("connection") == "close":
        assert answer.body in {b"Invalid HTTP request received.", b""}, "not HTTP, so no request"
        return
    assert answer.header("x-request-id")
    assert len(answer.headers.as_bytes()) < 4096
    statuses = STATUSES.get(request.path, set()) if isinstance(request.path, str) else EVERY_STATUS
    assert answer.status in {404, 405} | statuses | ({200, 400} if request.method == "OPTIONS" else set())
    if request.method == "OPTIONS" and answer.media_type == "text/plain":
        assert answer.status in {200, 400}, "a preflight"
    elif request.method == "HEAD":
        assert answer.body == b""
    elif answer.status == 303:
        check_redirect(answer)
    elif answer.media_type == "text/html":
        check_page(answer)
    elif answer.body or answer.status >= 400:
        check_json(answer)


def check_redirect(answer: Answer) -> None:
    """RFC 6749 §4.1.2: to a registered address, with `iss` and `state`, and nothing else of the request."""
    location = answer.header("location")
    assert location.startswith((REDIRECT_URI, "http://127.0.0.1", "https://app.example/callback"))
    parameters = parse_qs(urlsplit(location).query, strict_parsing=True)
    assert parameters.keys() <= {"code", "state", "iss", "error", "error_description"}
    assert all(len(values) == 1 for values in parameters.values())
    assert ("code" in parameters) != ("error" in parameters)
    assert "iss" in parameters
    if "error" in parameters:
        check_description(parameters["error_description"][0])


def check_page(answer: Answer) -> None:
    assert CANARY.encode() not in answer.body
    assert answer.header("cache-control") == "no-store"
    assert "default-src 'none'" in answer.header("content-security-policy")


def check_json(answer: Answer) -> None:
    assert answer.media_type == "application/json"
    content = answer.json()
    # What operators look at says null for what is not known; clients never read that.
    assert not holds_null(content) or "worker" in content
    if answer.status >= 400:
        assert content.keys() == {"error", "error_description"}
        assert re.fullmatch(r"[a-z_]+", content["error"])
        check_description(content["error_description"])
        assert answer.header("cache-control") == "no-store"
    if answer.status in {429, 503}:
        assert int(answer.header("retry-after")) > 0


def check_description(text: str) -> None:
    assert DESCRIPTION.fullmatch(text)
    assert CANARY not in text


def holds_null(content: Any) -> bool:
    if isinstance(content, dict | list):
        return any(map(holds_null, content.values() if isinstance(content, dict) else content))
    return content is None


def error_of(answer: Answer) -> str:
    if answer.media_type == "application/json" and answer.body:
        return str(answer.json().get("error", ""))
    return "page" if answer.media_type == "text/html" else ""
