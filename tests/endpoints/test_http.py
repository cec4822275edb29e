"""What every endpoint does with bodies, parameters, unknown paths and failures."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request

from tests.endpoints.local import Service
from tests.replica import ADMIN_TOKEN, INTROSPECTION_TOKEN
from tokensvc.endpoints.http import LONGEST_BODY, MOST_PARAMETERS, Parameters, bearer, oauth_error, read_body, read_part
from tokensvc.errors import InvalidRequest, InvalidTarget, RequestTooLarge, TemporarilyUnavailable

FORMS = ["/token", "/introspect", "/revoke"]
JSONS = ["/register", "/admin/revoke"]
SECRETS = {"/introspect": INTROSPECTION_TOKEN, "/admin/revoke": ADMIN_TOKEN}


def post(service: Service, path: str, content: bytes, content_type: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {SECRETS[path]}"} if path in SECRETS else {}
    if content_type:
        headers["Content-Type"] = content_type
    with service.http() as http:
        return http.post(path, content=content, headers=headers)


@pytest.mark.parametrize(
    ("text", "values", "repeated"),
    [
        (b"", {}, set()),
        (b"a=1&b=2", {"a": "1", "b": "2"}, set()),
        (b"a=1&a=2&a=3&b=4", {"a": "1", "b": "4"}, {"a"}),
        (b"a=&b", {}, set()),
        (b"a=&a=1", {"a": "1"}, set()),
        (b"a=%C3%A9+%2B", {"a": "é +"}, set()),
        ("a=é".encode(), {"a": "é"}, set()),
        (b"a=b=c;d", {"a": "b=c;d"}, set()),
        (b"=x", {"": "x"}, set()),
    ],
)
def test_parameters_are_read_and_empty_ones_left_out(text: bytes, values: dict[str, str], repeated: set[str]) -> None:
    assert Parameters.parse(text) == Parameters(values, frozenset(repeated))


@pytest.mark.parametrize("text", [b"a=\xff", b"a=%ff", b"a=%ED%A0%80", b"\x80=1", b"&".join([b"a=1"] * 65)])
def test_what_is_no_utf8_or_too_many_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidRequest):
        Parameters.parse(text)
    most = Parameters.parse(b"&".join(b"%d=1" % number for number in range(MOST_PARAMETERS)))
    assert len(most.values) == MOST_PARAMETERS


@given(st.binary(max_size=60))
def test_any_bytes_are_parameters_or_an_invalid_request(text: bytes) -> None:
    try:
        values = Parameters.parse(text).values
    except InvalidRequest:
        return
    assert all(value for value in values.values())


def test_repeated_parameter_is_an_invalid_request_and_several_resources_an_invalid_target() -> None:
    with pytest.raises(InvalidRequest, match="repeated"):
        Parameters.parse(b"a=1&a=1").check()
    with pytest.raises(InvalidTarget):
        Parameters.parse(b"resource=x&a=1&a=1&resource=x").check()


@pytest.mark.parametrize(
    ("header", "credential"),
    [
        (None, None),
        ("", None),
        ("Bearer", ""),
        ("Bearer abc", "abc"),
        ("bearer   abc ", "abc"),
        ("Basic YTpi", None),
        ("Bearerabc", None),
    ],
)
def test_bearer_credential_is_found(header: str | None, credential: str | None) -> None:
    assert bearer(header) == credential


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("content_type", ["", "application/json", "multipart/form-data; boundary=x", "text/plain", ";"])
def test_form_endpoints_take_forms_alone(service: Service, path: str, content_type: str) -> None:
    answer = post(service, path, b'{"token":"x"}', content_type)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("path", FORMS)
def test_charset_and_case_of_the_form_type_do_not_matter(service: Service, path: str) -> None:
    answer = post(service, path, b"a=b", "Application/X-WWW-Form-Urlencoded ; charset=UTF-8")
    assert "x-www-form-urlencoded" not in answer.json()["error_description"]


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("body", [b"a=%ff", b"a=\xff", b"&".join([b"a=b"] * 65), "a=b".encode("utf-16")])
def test_form_that_cannot_be_read_is_an_invalid_request(service: Service, path: str, body: bytes) -> None:
    answer = post(service, path, body, "application/x-www-form-urlencoded")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("path", JSONS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a':1}",
        b"\xef\xbb\xbf{}",
        b'{"a":NaN}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        "{}".encode("utf-16"),
    ],
)
def test_json_that_cannot_be_read_is_refused(service: Service, path: str, body: bytes) -> None:
    answer = post(service, path, body, "application/json")
    code = "invalid_client_metadata" if path == "/register" else "invalid_request"
    assert (answer.status_code, answer.json()["error"]) == (400, code)


@pytest.mark.parametrize("path", JSONS)
@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"text"', b"[[]]", b"true", b"1e999"])
def test_json_that_is_no_object_is_refused(service: Service, path: str, body: bytes) -> None:
    assert post(service, path, body, "application/json").status_code == 400


@pytest.mark.parametrize("path", [*FORMS, *JSONS])
def test_body_over_the_cap_is_413_and_one_at_the_cap_is_read(service: Service, path: str) -> None:
    content_type = "application/json" if path in JSONS else "application/x-www-form-urlencoded"
    assert post(service, path, b"x" * (LONGEST_BODY + 1), content_type).status_code == 413
    assert post(service, path, b"x" * LONGEST_BODY, content_type).status_code != 413


def request(chunks: Iterable[bytes], *, length: bytes = b"", ends: bool = True) -> Request:
    """A request whose body comes in these chunks, and whose client may then go away."""

    async def receive() -> dict[str, object]:
        return await anext(messages)

    async def produce() -> AsyncIterator[dict[str, object]]:
        for chunk in chunks:
            yield {"type": "http.request", "body": chunk, "more_body": True}
        yield {"type": "http.request", "body": b"", "more_body": False} if ends else {"type": "http.disconnect"}

    messages = produce()
    headers = [(b"content-length", length)] if length else []
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


@pytest.mark.parametrize("length", [b"65537", b"99999999999999999999", b"-1", b"\xb2", b"1e3", b" ", b"0x1"])
def test_declared_length_that_is_too_large_or_no_number_is_refused_unread(service: Service, length: bytes) -> None:
    with pytest.raises(RequestTooLarge):
        service.run(read_body(request([], length=length)))


def test_body_is_cut_off_while_it_comes(service: Service) -> None:
    """Whatever was declared, and without waiting for the rest."""
    endless = iter(lambda: b"x" * 1000, b"")
    with pytest.raises(RequestTooLarge):
        service.run(read_body(request(endless, length=b"10")))
    assert service.run(read_body(request([b"a=", b"b"]))) == b"a=b"


def test_body_in_many_small_pieces_takes_time_in_proportion(service: Service) -> None:
    """Half a megabyte byte by byte would be copied half a million times over, which takes six seconds."""
    length = 2**19
    pieces = [b"x"] * length
    before = time.process_time()
    assert len(service.run(read_body(request(pieces), length))) == length
    assert time.process_time() - before < 2


def test_part_of_a_body_is_read_and_the_rest_left(service: Service) -> None:
    half = request([b"abc", b"def", b"g"])
    assert service.run(read_part(half, 4)) == (b"abcdef", True)
    assert service.run(read_part(half, 4)) == (b"g", False)


def test_client_that_goes_away_is_noticed(service: Service) -> None:
    with pytest.raises(ClientDisconnect):
        service.run(read_body(request([b"a="], ends=False)))


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/nowhere", "/token/", "/TOKEN", "//token", "/authorize/", "/.well-known/openid-configuration"),
        *("/.well-known/oauth-authorization-server/", "/jwks.json", "/par/", "/device", "/console", "/metrics"),
        *("/peers/state", "/denylist/", "/admin", "/admin/keys/", "/gateway/x/mcp", "/docs", "/openapi.json"),
    ],
)
def test_unknown_path_is_a_json_404_for_every_method(service: Service, path: str) -> None:
    with service.http() as http:
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
            answer = http.request(method, path)
            assert answer.status_code == 404
            assert answer.json() == {"error": "not_found", "error_description": "not found"}
            assert answer.headers["cache-control"] == "no-store"
            assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/token", {"POST"}),
        ("/register", {"POST"}),
        ("/introspect", {"POST"}),
        ("/revoke", {"POST"}),
        ("/admin/revoke", {"POST"}),
        ("/admin/events", {"POST"}),
        ("/admin/denylist", {"GET", "HEAD"}),
        ("/admin/keys", {"GET", "HEAD"}),
        ("/admin/state", {"GET", "HEAD"}),
        ("/denylist", {"GET", "HEAD"}),
        ("/authorize", {"GET", "HEAD", "POST"}),
        ("/healthz", {"GET", "HEAD"}),
        ("/.well-known/oauth-authorization-server", {"GET", "HEAD"}),
    ],
)
def test_wrong_method_is_a_json_405_that_names_the_right_ones(service: Service, path: str, allowed: set[str]) -> None:
    with service.http() as http:
        for method in {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"} - allowed:
            answer = http.request(method, path)
            assert answer.status_code == 405
            assert set(answer.headers["allow"].split(", ")) == allowed
            assert answer.headers["cache-control"] == "no-store"
            if method != "HEAD":
                assert answer.json()["error"] == "method_not_allowed"


def test_unavailability_says_when_to_come_back(service: Service) -> None:
    answer = service.run(oauth_error(request([]), TemporarilyUnavailable("the ledger cannot be asked")))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
