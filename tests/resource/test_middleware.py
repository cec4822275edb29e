"""The middleware: who is let in, who is told what, and what never reaches the application."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from tests.resource.support import (
    ISSUER,
    METADATA_URL,
    RESOURCE,
    TOKEN,
    Scripted,
    facts,
    get,
    protected,
    request,
    run,
    until,
)
from tokensvc.resource import AnswerUnavailable, BearerAuth, Unavailable

INACTIVE: dict[str, Any] = {"active": False}
PASSING: dict[str, Any] = {"scopes": ["mcp"], "pass_others": True}


def asked(path: str = "/mcp", token: str = "", *, script: Any = None, headers: Any = None, **options: Any) -> Any:
    """One request to an application that is protected: its answer, and what the service was asked."""

    async def go() -> tuple[httpx.Response, list[httpx.Request]]:
        service = Scripted(**(script or {}))
        app = protected(service.verifier(), **({"scopes": ["mcp"]} | options))
        return await get(app, path, token, headers=headers or {}), service.asked

    return run(go())


def test_an_active_token_lets_in_and_says_who_it_is() -> None:
    answer, _ = asked(token=TOKEN)
    assert answer.json() == {"sub": "acme/ada", "scopes": ["files", "mcp"], "key": None}


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(scheme: str) -> None:
    answer, _ = asked(headers={"Authorization": f"{scheme}  {TOKEN} "})
    assert answer.status_code == 200


def test_without_a_credential_the_challenge_says_where_to_go_and_nothing_is_wrong() -> None:
    answer, questions = asked()
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == f'Bearer scope="mcp", resource_metadata="{METADATA_URL}"'
    assert answer.headers["cache-control"] == "no-store"
    assert not questions


@pytest.mark.parametrize("others", [False, True])
def test_a_token_that_is_not_active_is_401_and_reaches_nothing(others: bool) -> None:
    answer, _ = asked("/by-key", TOKEN, script={"answers": INACTIVE}, pass_others=others)
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_token"
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith('Bearer error="invalid_token", ')
    assert challenge.endswith(f'resource_metadata="{METADATA_URL}"')


@pytest.mark.parametrize("authorization", ["Bearer other", "Basic dTpw", "nonsense", "Bearer", "Bearer tsrt_x"])
def test_another_credential_is_401_where_there_is_no_other_check(authorization: str) -> None:
    answer, questions = asked(headers={"Authorization": authorization})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token", ')
    assert not questions


def test_a_token_without_a_scope_is_told_which_ones_are_needed() -> None:
    answer, _ = asked(token=TOKEN, scopes=["mcp", "admin"])
    assert answer.status_code == 403
    challenge = answer.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="mcp admin"' in challenge
    assert f'resource_metadata="{METADATA_URL}"' in challenge


@pytest.mark.parametrize("others", [False, True])
def test_a_service_that_cannot_be_asked_is_503_and_never_401(others: bool) -> None:
    script = {"status": 503, "headers": {b"Retry-After": b"7"}}
    answer, _ = asked("/by-key", TOKEN, script=script, pass_others=others)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert answer.json()["error"] == "temporarily_unavailable"
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
def test_other_credentials_pass_untouched_to_the_check_of_the_api(header: str) -> None:
    value = "Bearer the-key" if header == "authorization" else "the-key"
    answer, questions = asked("/by-key", headers={header: value}, **PASSING)
    assert (answer.status_code, answer.json()["key"]) == (200, "the-key")
    assert not questions


def test_what_the_check_of_the_api_refuses_says_how_to_get_a_token() -> None:
    """Clients read the first challenge, so ours stands there, and a bare Bearer goes."""
    answer, _ = asked("/by-key", headers={"X-API-Key": "wrong"}, **PASSING)
    assert answer.json() == {"own": "refusal"}
    ours = f'Bearer scope="mcp", resource_metadata="{METADATA_URL}"'
    assert answer.headers.get_list("www-authenticate") == [ours, 'ApiKey realm="x"']


def test_other_refusals_of_the_api_are_its_own() -> None:
    answer, _ = asked("/by-key", headers={"X-API-Key": "banned"}, **PASSING)
    assert answer.status_code == 403
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("second", ["Bearer the-key", "Basic dTpw", f"Bearer {TOKEN}"])
def test_a_token_beside_another_credential_is_refused(second: str, others: bool) -> None:
    headers = httpx.Headers([("Authorization", f"Bearer {TOKEN}"), ("Authorization", second)])
    for given_headers in (headers.raw, headers.raw[::-1]):
        service = Scripted()
        app = protected(service.verifier(), pass_others=others)
        answer = run(request(app, "GET", "/by-key", headers=given_headers))
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        assert not service.asked


def test_a_token_in_the_query_is_nobodys() -> None:
    answer, questions = asked(f"/mcp?access_token={TOKEN}")
    assert answer.status_code == 401
    assert not questions


def test_a_verifier_of_none_changes_nothing() -> None:
    app = protected(None, scopes=["mcp"])
    assert run(get(app, "/mcp", TOKEN)).json()["sub"] is None
    assert run(get(app, "/.well-known/oauth-protected-resource/mcp")).status_code == 404
    refused = run(get(app, "/by-key"))
    assert refused.headers.get_list("www-authenticate") == ["Bearer", 'ApiKey realm="x"']


def test_an_endpoint_asks_for_more() -> None:
    assert asked("/files", TOKEN)[0].json() == {"sub": "acme/ada"}
    answer, _ = asked("/files", TOKEN, script={"answers": facts(scope="mcp")})
    assert answer.status_code == 403
    assert 'scope="mcp files"' in answer.headers["www-authenticate"], "all that the request needs"
    assert f'resource_metadata="{METADATA_URL}"' in answer.headers["www-authenticate"]


def test_an_endpoint_that_needs_a_token_has_no_use_for_an_api_key() -> None:
    answer, _ = asked("/files", headers={"X-API-Key": "the-key"}, **PASSING)
    assert answer.status_code == 401
    assert f'resource_metadata="{METADATA_URL}"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("dpop", ["optional", "required"])
def test_whoever_comes_with_nothing_is_told_all_the_scopes_that_an_endpoint_needs(dpop: str) -> None:
    answer, _ = asked("/files", **PASSING, dpop=dpop)
    (challenge,) = answer.headers.get_list("www-authenticate")
    assert 'scope="mcp files"' in challenge


METADATA_PATH = "/.well-known/oauth-protected-resource/mcp"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "DELETE"])
def test_the_metadata_is_for_everybody_web_pages_too(method: str) -> None:
    app = protected(Scripted().verifier(), scopes=["mcp"])
    answer = run(request(app, method, METADATA_PATH, headers={"Origin": "https://page.example"}))
    expected = {"GET": 200, "HEAD": 200, "OPTIONS": 204}
    assert answer.status_code == expected.get(method, 405)
    assert answer.headers["access-control-allow-origin"] == "*"
    if method == "GET":
        assert answer.json()["resource"] == RESOURCE
        assert answer.json()["authorization_servers"] == [ISSUER]
        assert answer.json()["scopes_supported"] == ["mcp"]


@pytest.mark.parametrize(
    ("resource", "issuer", "cached"),
    [(RESOURCE, ISSUER, "public, max-age=300"), ("/mcp", ISSUER, "public, max-age=300"), ("/mcp", "", "no-store")],
    ids=["whole", "on the issuer's origin", "by the request"],
)
def test_metadata_that_hang_on_the_request_are_kept_by_no_cache(resource: str, issuer: str, cached: str) -> None:
    app = protected(Scripted().verifier(resource=resource, issuer=issuer, url=ISSUER))
    assert run(request(app, "GET", METADATA_PATH)).headers["cache-control"] == cached


def test_the_metadata_is_found_behind_a_proxy_that_takes_a_path_away() -> None:
    """As `uvicorn --root-path /api` gives it: the root path stands before every path."""
    resource = "https://api.example.com/api"
    app = protected(Scripted().verifier(resource=resource))

    async def ask(path: str) -> httpx.Response:
        transport = httpx.ASGITransport(app, root_path="/api")
        async with httpx.AsyncClient(transport=transport, base_url="http://api.internal:8080") as http:
            return await http.get(f"{path}/.well-known/oauth-protected-resource/api")

    for path in ("/api", ""):
        assert run(ask(path)).json()["resource"] == resource
    assert run(ask("/other")).status_code == 401


def test_other_well_known_paths_are_the_applications() -> None:
    answer, _ = asked("/.well-known/openid-configuration", **PASSING)
    assert answer.status_code == 404


def test_a_request_whose_host_is_none_is_refused_where_that_would_count() -> None:
    app = protected(Scripted().verifier(issuer="", url=ISSUER, resource="/mcp"))
    for host, status in (("api.example.com", 401), ('x"y', 400)):
        answer = run(request(app, "GET", "/mcp", headers={"Host": host}))
        assert answer.status_code == status
    challenge = run(request(app, "GET", "/mcp", headers={"Host": "api.example.com"})).headers["www-authenticate"]
    assert challenge == 'Bearer resource_metadata="http://api.example.com/.well-known/oauth-protected-resource/mcp"'


@pytest.mark.parametrize("scope", ["two words", 'qu"ote', "back\\slash", "", "é"])
def test_a_scope_that_is_none_is_refused(scope: str) -> None:
    with pytest.raises(ValueError, match="a scope is"):
        BearerAuth(protected(None), Scripted().verifier(), scopes=[scope])


@given(st.binary(max_size=60))
def test_no_authorization_header_gets_in_or_breaks_anything(value: bytes) -> None:
    """Whatever it is, it is refused, or goes to the application without a name."""
    reached: list[Scope] = []

    async def application(scope: Scope, _receive: Receive, _send: Send) -> None:
        reached.append(scope)

    async def go() -> None:
        sent: list[Message] = []
        headers = [(b"authorization", value)]
        scope = {"type": "http", "method": "GET", "path": "/x", "headers": headers, "client": None, "scheme": "http"}

        async def send(message: Message) -> None:
            sent.append(message)

        guarded = BearerAuth(application, Scripted(answers=INACTIVE).verifier(), pass_others=True)
        await guarded(scope, _nothing, send)
        assert bool(sent) != bool(reached)

    run(go())
    assert all("user" not in scope for scope in reached)
    assert not (reached and re.match(rb"(?i)\s*bearer\s+tsat_", value))


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize("path", ["/x", METADATA_PATH])
@pytest.mark.parametrize("token", ["", "other", TOKEN])
def test_a_websocket_is_protected_like_everything_else(token: str, path: str) -> None:
    reached: list[Scope] = []

    async def application(scope: Scope, _receive: Receive, _send: Send) -> None:
        reached.append(scope)

    async def go(answers: dict[str, Any]) -> list[Message]:
        sent: list[Message] = []
        headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
        scope = {"type": "websocket", "path": path, "headers": headers, "client": None, "scheme": "wss"}

        async def send(message: Message) -> None:
            sent.append(message)

        await BearerAuth(application, Scripted(answers=answers).verifier())(scope, _nothing, send)
        return sent

    (closed,) = run(go(INACTIVE))
    assert (closed["type"], closed["code"], reached) == ("websocket.close", 1008, [])
    run(go(facts()))
    assert [scope["user"].sub for scope in reached] == (["acme/ada"] if token == TOKEN else [])


def test_the_end_of_the_application_is_none_of_its_business() -> None:
    seen: list[str] = []

    async def application(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    async def unused(_message: Message) -> None:
        raise AssertionError

    run(BearerAuth(application, Scripted().verifier())({"type": "lifespan"}, _nothing, unused))
    assert seen == ["lifespan"]


def test_an_application_that_asks_itself_is_answered_503_too() -> None:
    async def application(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise Unavailable("the service is away", retry_after=9)

    answer = run(request(AnswerUnavailable(application), "GET", "/"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "9")


def test_a_burst_of_one_caller_costs_one_question() -> None:
    async def go() -> int:
        service = Scripted()
        service.gate.clear()
        app = protected(service.verifier())
        burst = [asyncio.create_task(get(app, token=TOKEN)) for _ in range(20)]
        await until(lambda: bool(service.asked), "it is asked about")
        service.gate.set()
        assert {answer.status_code for answer in await asyncio.gather(*burst)} == {200}
        return len(service.asked)

    assert run(go()) == 1
