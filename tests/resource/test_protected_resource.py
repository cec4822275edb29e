"""What a resource server is called, whoever asks, and what it says of itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.resource.support import ISSUER, METADATA_URL, RESOURCE
from tokensvc.resource.protected_resource import ProtectedResource, UnknownOrigin

PROXY, STRANGER = ("127.0.0.1", 1), ("203.0.113.7", 1)


def scope(client: tuple[str, int] | None = STRANGER, scheme: str = "http", **headers: str) -> dict[str, Any]:
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http", "scheme": scheme, "client": client, "headers": raw}


FORWARDED = {"x_forwarded_proto": "https", "x_forwarded_host": "public.example.com"}


@pytest.mark.parametrize(
    ("resource", "issuer", "client", "headers", "origin"),
    [
        (RESOURCE, ISSUER, PROXY, FORWARDED, "https://api.example.com"),
        (RESOURCE, "", PROXY, FORWARDED, "https://api.example.com"),
        ("/mcp", ISSUER, PROXY, FORWARDED, ISSUER),
        ("/mcp", f"{ISSUER}/auth", PROXY, FORWARDED, ISSUER),
        ("/mcp", "", PROXY, FORWARDED, "https://public.example.com"),
        ("/mcp", "", STRANGER, FORWARDED, "http://own.example.com:8080"),
        ("/mcp", "", None, FORWARDED, "http://own.example.com:8080"),
        ("/mcp", "", PROXY, {}, "http://own.example.com:8080"),
    ],
    ids=["setting", "setting, no issuer", "issuer", "its path", "proxy", "stranger", "nobody", "host"],
)
def test_the_origin_is_found_in_four_steps(
    resource: str, issuer: str, client: tuple[str, int] | None, headers: dict[str, str], origin: str
) -> None:
    found = ProtectedResource(resource, issuer)
    asked = scope(client, host="own.example.com:8080", **headers)
    assert found.origin(asked) == origin
    assert found.identifier(asked) == f"{origin}/mcp"
    assert found.metadata(asked, ["mcp"])["authorization_servers"] == [issuer or origin]


def test_of_a_chain_of_proxies_the_nearest_counts() -> None:
    headers = {"x_forwarded_proto": "http, https", "x_forwarded_host": "evil.example, public.example.com"}
    assert ProtectedResource("", "").origin(scope(PROXY, host="x", **headers)) == "https://public.example.com"


@pytest.mark.parametrize("host", ["", 'x"y', "a b", "user@evil.example", "x/y", "x:port", "é.example", "[::1"])
def test_a_host_that_is_none_gives_no_origin(host: str) -> None:
    with pytest.raises(UnknownOrigin):
        ProtectedResource("/mcp", "").origin(scope(host=host))


@given(st.text(st.characters(max_codepoint=255), max_size=50))
def test_no_host_brings_anything_but_a_name_into_an_answer(host: str) -> None:
    try:
        url = ProtectedResource("/mcp", "").metadata_url(scope(host=host))
    except UnknownOrigin:
        return
    assert url.isascii()
    assert not set('"\\ \r\n,') & set(url)


@pytest.mark.parametrize(
    "resource", ["ftp://x", "https://x?q", "https://x#f", 'https://x/"', "x", "https://u@x", "/a b"]
)
def test_an_identifier_that_is_none_is_refused(resource: str) -> None:
    with pytest.raises(ValueError, match="the resource is"):
        ProtectedResource(resource, ISSUER)


@pytest.mark.parametrize("issuer", [f"{ISSUER}/", "auth.example.com", 'https://x"', f"{ISSUER}?x"])
def test_an_issuer_that_clients_would_not_find_is_refused(issuer: str) -> None:
    with pytest.raises(ValueError, match="the issuer is"):
        ProtectedResource(RESOURCE, issuer)


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        (RESOURCE, "/.well-known/oauth-protected-resource/mcp"),
        (f"{RESOURCE}/", "/.well-known/oauth-protected-resource/mcp/"),
        ("https://api.example.com", "/.well-known/oauth-protected-resource"),
        ("https://api.example.com/", "/.well-known/oauth-protected-resource"),
    ],
)
def test_the_metadata_lies_between_host_and_path(resource: str, path: str) -> None:
    assert ProtectedResource(resource, ISSUER).metadata_path == path


def test_the_metadata_holds_the_identifier_to_the_letter_and_no_nulls() -> None:
    found = ProtectedResource(RESOURCE, ISSUER)
    assert found.metadata_url(scope()) == METADATA_URL
    assert found.metadata(scope(), ["mcp"]) == {
        "resource": RESOURCE,
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["mcp"],
    }
    assert "scopes_supported" not in found.metadata(scope(), [])


@pytest.mark.parametrize(
    ("resource", "aud", "same"),
    [
        (RESOURCE, RESOURCE, True),
        (RESOURCE, "HTTPS://API.example.com/mcp", False),
        (RESOURCE, "https://API.example.com/mcp", True),
        (RESOURCE, f"{RESOURCE}/", False),
        (RESOURCE, "https://api.example.com/MCP", False),
        (RESOURCE, "https://api.example.com.evil.example/mcp", False),
        (RESOURCE, "", False),
        ("https://api.example.com", "https://api.example.com/", True),
        ("/mcp", "https://auth.example.com/mcp", True),
        ("/mcp", "https://other.example.com/mcp", False),
    ],
)
def test_the_audience_is_this_server_or_another(resource: str, aud: str, same: bool) -> None:
    assert ProtectedResource(resource, ISSUER).is_audience(aud) == same


def test_without_any_origin_configured_the_path_of_the_audience_counts() -> None:
    found = ProtectedResource("/mcp", "")
    assert found.is_audience("https://anything.example/mcp")
    assert not found.is_audience("https://anything.example/other")
