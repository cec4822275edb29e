"""Resource indicators (RFC 8707)."""

from __future__ import annotations

import pytest

from tokensvc.errors import InvalidTarget, SettingsError
from tokensvc.protocol.resource_indicator import Resources

ISSUER = "https://auth.example.com"
MCP = "https://api.example.com/mcp"
RESOURCES = Resources.parse(f"{MCP}, https://API.example.com , https://api.example.com:8443/?a=b", ISSUER)


def test_issuer_is_the_resource_where_none_is_named() -> None:
    for text in ("", " ", ","):
        assert [resource.identifier for resource in Resources.parse(text, ISSUER).all] == [ISSUER]


def test_first_is_the_default_and_the_configured_spelling_is_kept() -> None:
    assert RESOURCES.find(None).identifier == MCP
    assert RESOURCES.find("https://api.example.com").identifier == "https://API.example.com"


@pytest.mark.parametrize(
    ("requested", "found"),
    [
        (MCP, MCP),
        ("HTTPS://API.EXAMPLE.COM/mcp", MCP),
        ("https://api.example.com", "https://API.example.com"),
        ("https://api.example.com/", "https://API.example.com"),
        ("https://api.example.com:8443/?a=b", "https://api.example.com:8443/?a=b"),
    ],
)
def test_scheme_and_host_are_equal_in_any_case_and_a_bare_origin_with_or_without_its_slash(
    requested: str, found: str
) -> None:
    assert RESOURCES.find(requested).identifier == found


@pytest.mark.parametrize(
    "requested",
    [
        *(
            "https://api.example.com/MCP",
            "https://api.example.com/mcp/",
            "https://api.example.com/mcp?x",
            "api.example.com",
        ),
        *(
            "http://api.example.com/mcp",
            "https://api.example.com:443/mcp",
            "https://evil.example/mcp",
            f"{MCP}#x",
            f"{MCP}#",
        ),
        *("", " ", "/mcp", "https://", "urn:x", "https://[::1", "https://é.example", f"{MCP} ", "https://a\n.example"),
        "https://api.example.com/" + "x" * 1024,
    ],
)
def test_anything_else_is_an_invalid_target(requested: str) -> None:
    with pytest.raises(InvalidTarget):
        RESOURCES.find(requested)


def test_token_of_a_resource_that_was_taken_away_finds_none() -> None:
    sealed = RESOURCES.find(MCP).digest
    assert RESOURCES.sealed(sealed) == RESOURCES.find(MCP)
    assert Resources.parse("https://other.example", ISSUER).sealed(sealed) is None


def test_digest_is_short_and_the_same_for_every_spelling() -> None:
    one, other = Resources.parse("https://A.example/", ISSUER), Resources.parse("HTTPS://a.example", ISSUER)
    assert one.all[0].digest == other.all[0].digest
    assert len(one.all[0].digest) == 11


@pytest.mark.parametrize("text", ["api.example.com", f"{MCP},/x", f"{MCP}#x", "https://é.example", "https://[::1"])
def test_what_is_no_resource_is_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^TOKENSVC_RESOURCES .*\. List absolute URIs"):
        Resources.parse(text, ISSUER)
