"""Redirect URIs: what may be registered, what counts as equal, where a person is sent (RFC 8252, RFC 9700)."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokensvc.errors import InvalidRedirectUri, SettingsError
from tokensvc.protocol.redirect_uri import RedirectPolicy, RedirectUri

CLIENTS = [
    "https://claude.ai/api/mcp/auth_callback",
    "https://chatgpt.com/connector/oauth/a1B2",
    "cursor://anysphere.cursor-mcp/oauth/callback",
    "https://www.cursor.com/agents/mcp/oauth/callback",
    "http://localhost:8787/callback",
    "https://vscode.dev/redirect",
    "http://127.0.0.1/",
    "http://127.0.0.1:33418/",
    "http://127.0.0.1:6274/oauth/callback/debug",
]
"""interop.md."""


@pytest.mark.parametrize("text", CLIENTS)
def test_redirect_uris_of_known_clients_are_taken(text: str) -> None:
    assert RedirectUri.parse(text).text == text


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [
        ("https://Claude.AI/cb", "https", "claude.ai"),
        ("https://app.example:8443/cb", "https", "app.example:8443"),
        ("https://[2001:db8::1]/cb", "https", "[2001:db8::1]"),
        ("https://localhost/cb", "https", "localhost"),
        ("http://localhost/cb", "loopback", "localhost"),
        ("http://LOCALHOST:3000/cb", "loopback", "localhost:3000"),
        ("http://127.0.0.1:1/cb", "loopback", "127.0.0.1:1"),
        ("http://[::1]:1/cb", "loopback", "[::1]:1"),
        ("cursor://host/cb", "private", "cursor:"),
        ("COM.example.App:/cb", "private", "com.example.app:"),
        ("x-a+b.c://h", "private", "x-a+b.c:"),
    ],
)
def test_kind_and_what_a_person_is_shown(text: str, kind: str, target: str) -> None:
    uri = RedirectUri.parse(text)
    assert (uri.kind, uri.target) == (kind, target)


@pytest.mark.parametrize(
    "text",
    [
        *("javascript:alert(1)", "JavaScript:/alert(1)", "javascript://x/%0aalert(1)", "data:text/html,x", "data:/x"),
        *("file:///etc/passwd", "vbscript:/x", "blob:/x", "about:/blank", "mailto:/a@b", "tel:/1", "sms:/1"),
        *("ws://localhost/x", "wss://a.example/", "ftp://a.example/", "intent://x", "content://x", "view-source:/x"),
        *("chrome://settings", "ms-msdt:/x", "search-ms:/x", "resource://x", "jar:/x", "filesystem:/x"),
        *(
            "http://app.example/cb",
            "http://127.0.0.2/cb",
            "http://0.0.0.0/cb",
            "http://[::2]/cb",
            "http://localhost.evil/",
        ),
        *("http://localhost./cb", "http://127.1/cb", "http://2130706433/cb", "http://[::ffff:127.0.0.1]/cb"),
        *(
            "https://",
            "https:///cb",
            "https:/cb",
            "https:cb",
            "http:",
            "http://",
            "https://:443/cb",
            "https://@a.example/",
        ),
        *(
            "https://a.example@evil.example/",
            "https://a:b@c.example/",
            "http://localhost@evil.example/",
            "https://a_b/",
        ),
        *("https://a.example/#", "https://a.example/#x", "https://a.example\\@evil.example/", "https://a .example/"),
        *(
            "https://a.example:x/",
            "https://a.example:99999/",
            "https://[::1/",
            "https://[x]/",
            "https://-a.example/",
            "https://a.example./",
        ),
        *(
            "https://é.example/",
            "https://a.example/é",
            "https://a.example/\n",
            "https://a.example/\t",
            "https://a.example/ ",
        ),
        *(
            " https://a.example/",
            "https://a.example/<",
            'https://a.example/"',
            "https://a.example/{}",
            "https://a.example/|",
        ),
        *("", "/", "cb", "//a.example/cb", "?x", "custom:", "custom:cb", "1a:/cb", "a_b:/cb", ":/cb"),
        "https://a.example/" + "x" * 1024,
    ],
)
def test_what_no_client_may_be_sent_to_is_refused(text: str) -> None:
    with pytest.raises(InvalidRedirectUri):
        RedirectUri.parse(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://127.0.0.1/cb", "http://127.0.0.1:5000/cb"),
        ("http://localhost:1/cb", "http://LOCALHOST/cb"),
        ("http://[::1]/cb", "http://[::1]:5000/cb"),
        ("http://127.0.0.1:33418", "http://127.0.0.1/"),
        ("https://A.example/cb", "HTTPS://a.example/cb"),
        ("https://a.example", "https://a.example/"),
        ("CURSOR://host/cb", "cursor://host/cb"),
    ],
)
def test_these_are_equal(one: str, other: str) -> None:
    assert RedirectUri.parse(one).digest == RedirectUri.parse(other).digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://127.0.0.1/cb", "http://localhost/cb"),
        ("http://127.0.0.1/cb", "http://[::1]/cb"),
        ("http://127.0.0.1/cb", "https://127.0.0.1/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1/cb/"),
        ("http://127.0.0.1/cb", "http://127.0.0.1/CB"),
        ("http://127.0.0.1/cb", "http://127.0.0.1/cb?"),
        ("http://127.0.0.1/cb", "http://127.0.0.1/cb?x"),
        ("https://localhost/cb", "https://localhost:8443/cb"),
        ("https://a.example/cb", "https://a.example:443/cb"),
        ("https://a.example/cb", "https://b.a.example/cb"),
        ("https://a.example/a/../cb", "https://a.example/cb"),
        ("https://a.example/%63b", "https://a.example/cb"),
        ("https://a.example/cb;x", "https://a.example/cb"),
        ("https://a.example//cb", "https://a.example/cb"),
        ("cursor://HOST/cb", "cursor://host/cb"),
        ("cursor://host/cb", "cursor:/host/cb"),
        ("cursor://host", "cursor://host/"),
    ],
)
def test_these_are_not(one: str, other: str) -> None:
    assert RedirectUri.parse(one).digest != RedirectUri.parse(other).digest


_pieces = st.sampled_from(
    [
        "http",
        "https",
        "cursor",
        ":",
        "/",
        "//",
        "@",
        "#",
        "?",
        "localhost",
        "127.0.0.1",
        "[::1]",
        "evil.example",
        ":80",
        "%2f",
        "\\",
        "..",
        "a=b",
        "&",
        ".",
    ]
)


@given(st.one_of(st.text(), st.lists(_pieces, max_size=9).map("".join)))
@example("http://localhost:80@evil.example/")
@example("http://[::1]@evil.example")
@example("https://evil.example\\@localhost/")
def test_plain_http_leads_nowhere_but_to_loopback(text: str) -> None:
    """Whatever is taken is ASCII in one piece, has no fragment and no user name, and goes where its host says."""
    try:
        uri = RedirectUri.parse(text)
    except InvalidRedirectUri:
        return
    parts = urlsplit(text)
    assert text.isascii()
    assert text.isprintable()
    assert "#" not in text
    assert " " not in text
    if parts.scheme == "http":
        assert parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if uri.kind != "private":
        assert "@" not in parts.netloc
        assert parts.hostname
    assert RedirectUri.parse(uri.normal).normal == uri.normal
    assert RedirectUri.parse(uri.normal).kind == uri.kind


_parameters = st.dictionaries(st.sampled_from(["code", "state", "iss"]), st.text(min_size=1, max_size=30), min_size=1)


@given(st.sampled_from([*CLIENTS, "https://a.example/?x=y", "https://a.example/cb?"]), _parameters)
def test_parameters_arrive_as_they_were_and_change_nothing_else(text: str, parameters: dict[str, str]) -> None:
    if any("\ud800" <= character <= "\udfff" for value in parameters.values() for character in value):
        return
    url = RedirectUri.parse(text).with_parameters(parameters)
    assert url.isascii()
    before, after = urlsplit(text), urlsplit(url)
    assert (after.scheme, after.netloc, after.path, after.fragment) == (before.scheme, before.netloc, before.path, "")
    assert parse_qsl(after.query, strict_parsing=True) == [*parse_qsl(before.query), *parameters.items()]


POLICY = RedirectPolicy.parse("claude.ai, *.Example.com ,localhost,[::1],cursor:")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "https://claude.ai/cb",
            "https://claude.ai:8443/cb",
            "https://a.example.com/cb",
            "https://a.b.example.com/cb",
        ),
        *("http://localhost:1/cb", "http://[::1]:1/cb", "cursor://anything/cb"),
    ],
)
def test_policy_allows_what_it_lists(text: str) -> None:
    POLICY.check(RedirectUri.parse(text))
    RedirectPolicy.parse("").check(RedirectUri.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "https://example.com/cb",
            "https://a.claude.ai/cb",
            "https://claude.ai.evil.example/cb",
            "https://evilclaude.ai/",
        ),
        *("http://127.0.0.1:1/cb", "vscode://x/cb", "https://cursor/cb", "localhost://x/cb", "claude.ai://x/cb"),
        "https://aexample.com/cb",
    ],
)
def test_policy_refuses_what_it_does_not_list(text: str) -> None:
    with pytest.raises(InvalidRedirectUri, match="operator"):
        POLICY.check(RedirectUri.parse(text))


@pytest.mark.parametrize("text", ["https://claude.ai", "claude.ai/cb", "*", "*.", "a b", "claude.ai,é", "*.*.com", "_"])
def test_policy_that_lists_no_host_or_scheme_is_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^TOKENSVC_REDIRECT_HOSTS .*\. List hosts"):
        RedirectPolicy.parse(text)
