"""TOKENSVC_CIMD: whose documents are accepted, and which hosts the operator knows."""

from __future__ import annotations

import pytest

from tokensvc.errors import SettingsError
from tokensvc.protocol.host_policy import HostPolicy


@pytest.mark.parametrize(
    ("text", "accepted", "named", "refused"),
    [
        ("*", ["a.example", "localhost"], [], []),
        ("off", [], [], ["a.example"]),
        (
            "Claude.ai, *.example.com",
            ["claude.ai", "a.example.com", "a.b.example.com"],
            ["claude.ai", "a.example.com", "a.b.example.com"],
            ["example.com", "x.claude.ai", "claude.ai.evil.example", "notexample.com"],
        ),
        ("*,claude.ai", ["claude.ai", "evil.example"], ["claude.ai"], []),
        (
            "claude.ai, b.example:443, c.example:8443, *.example.com:8443",
            ["claude.ai:443", "b.example", "b.example:443", "c.example:8443", "a.example.com:8443"],
            ["claude.ai:443", "b.example", "b.example:443", "c.example:8443", "a.example.com:8443"],
            ["claude.ai:8443", "b.example:8443", "c.example", "c.example:443", "a.example.com", "claude.ai:0443"],
        ),
        ("*,claude.ai", ["claude.ai:8443", "[::1]:443"], [], []),
    ],
    ids=["any", "off", "listed", "any and known", "ports", "any, known by port"],
)
def test_policy_accepts_hosts_and_knows_those_that_it_names(
    text: str, accepted: list[str], named: list[str], refused: list[str]
) -> None:
    policy = HostPolicy.parse(text)
    assert bool(policy) == (text != "off")
    assert all(map(policy.accepts, accepted))
    assert [host for host in accepted if policy.names(host)] == named
    assert not any(map(policy.accepts, refused))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "off,claude.ai",
        "https://claude.ai",
        "*.",
        "*.*",
        "claude.ai/a",
        "a b",
        "*claude.ai",
        "a:",
        "a:0",
        "a:x",
    ],
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^TOKENSVC_CIMD "):
        HostPolicy.parse(text)
