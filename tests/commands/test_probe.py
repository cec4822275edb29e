"""`tokensvc probe`: who would connect to a real replica, and what is said of servers with one trap each."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from tests.commands import broken
from tests.commands.broken import SECRET, Good, running, serving
from tests.commands.transcript import Ran, called, tokensvc
from tests.https_host import HttpsHost
from tests.interop.mcp_server import McpServer
from tests.ports import free_port
from tests.replica import Replica, settings
from tests.test_docs import rows
from tests.test_readme import blocks
from tokensvc import __version__
from tokensvc.commands.probe import courier
from tokensvc.commands.probe.clients import ALL
from tokensvc.commands.probe.courier import Courier
from tokensvc.commands.probe.findings import TRAPS

PAGE = (Path(__file__).parents[2] / "docs" / "probe.md").read_text(encoding="utf-8")
NAMES = [client.name for client in ALL]
SCHEMA = [client.name for client in ALL if client.habits.schema]
LETTER = [client.name for client in ALL if client.habits.issuer == "letter"]
NAMING = [client.name for client in ALL if client.habits.resource in {"within", "letter"}]
PKCE = [client.name for client in ALL if client.habits.pkce]
MOVING = [client.name for client in ALL if client.elsewhere]
EVERY = NAMES
NOBODY: list[str] = []
DOCUMENTED = [client.name for client in ALL if client.document]


@pytest.fixture(scope="module", params=["", "/auth"], ids=["origin", "path"])
def replica(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    port = free_port()
    # Where these tests run, nobody can read the documents of the known clients: they register here.
    environment = settings("memory://", port, issuer=f"http://127.0.0.1:{port}{request.param}", cimd="off")
    with Replica(environment, port, directory=tmp_path_factory.mktemp("probe")) as started:
        yield started


def failing(ran: Ran) -> dict[str, list[dict[str, Any]]]:
    """The clients that would fail, with what they met."""
    return {
        each["client"]: [finding for finding in each["findings"] if finding["fatal"]]
        for each in ran.json["clients"]
        if each["verdict"] == "would fail"
    }


# What is right.


def test_every_client_would_connect_to_a_replica(replica: Replica) -> None:
    ran = tokensvc("probe", replica.url)
    assert ran.code == 0, ran.out + ran.err
    head, *table = ran.out.splitlines()
    assert head.split() == ["client", "verdict", "trap", "why"]
    assert [line.split("  ")[0].strip() for line in table] == NAMES
    assert all(line.endswith("would connect") for line in table)
    said, summary = ran.err.splitlines()
    assert said == f"{replica.url} is an issuer."
    assert re.fullmatch(r"\d+ requests; clients that are registered there now: 12\.", summary)


def test_nothing_at_all_is_found_at_a_replica(replica: Replica) -> None:
    ran = called("probe", replica.url, "--json")
    assert ran.json["is"] == "issuer"
    assert [each["findings"] for each in ran.json["clients"]] == [[]] * len(ALL)


def test_replica_that_cannot_read_the_clients_documents_and_says_it_does_is_found_out(tmp_path: Path) -> None:
    """Here because it trusts no authority that vouches for their hosts; behind a firewall it is the same."""
    port = free_port()
    with HttpsHost(tmp_path) as host:
        environment = settings("memory://", port) | {"SSL_CERT_FILE": str(host.authority)}
        with Replica(environment, port, directory=tmp_path) as replica:
            ran = called("probe", replica.url, "--json")
    assert ran.code == 1
    failed = failing(ran)
    assert failed.keys() == set(DOCUMENTED)
    assert {finding["trap"] for findings in failed.values() for finding in findings} == {11}
    assert all("answers 503 to the client_id https://" in findings[0]["problem"] for findings in failed.values())


@pytest.mark.verifies("known habits", "it would connect, says `tokensvc probe`")
def test_every_client_would_connect_to_a_server_of_the_sdk_beside_a_replica(tmp_path: Path) -> None:
    port, mcp_port = free_port(), free_port()
    server = McpServer(mcp_port, f"http://127.0.0.1:{port}", "secret-of-the-mcp-server", tmp_path / "log")
    environment = settings("memory://", port, resources=server.url, introspection_tokens=server.secret, cimd="off")
    with server, Replica(environment, port, directory=tmp_path):
        server.wait_until_ready()
        ran = called("probe", server.url, "--json")
    assert (ran.code, ran.json["is"]) == (0, "mcp server"), ran.out
    assert failing(ran) == {}


def test_server_that_is_right_has_no_findings() -> None:
    with serving(Good) as server:
        ran = called("probe", server.url, "--json")
        assert (ran.code, [each["findings"] for each in ran.json["clients"]]) == (0, [[]] * len(ALL))
        assert called("probe", server.origin, "--json").json["is"] == "issuer"


@pytest.mark.parametrize("kind", [broken.OnlyOpenId, broken.OldTransport])
def test_other_ways_that_all_clients_know_are_ways(kind: type[Good]) -> None:
    with serving(kind) as server:
        ran = called("probe", server.url, "--json")
    assert (ran.code, failing(ran), ran.json["is"]) == (0, {}, "mcp server")


# One trap each.


@pytest.mark.parametrize(
    ("kind", "trap", "said", "who"),
    [
        (broken.LongClientId, 1, "Windows opens it cut off", [c.name for c in ALL if c.installed]),
        (broken.SecretThatEnds, 2, "the registration ends one day", NOBODY),
        (broken.PageForStrangers, 2, "/authorize answers 302 to a client_id that nobody has", NOBODY),
        (broken.StrangersInvalidGrant, 2, "where 401 invalid_client heals", NOBODY),
        (broken.IssuerWithSlash, 3, "is named by the resource metadata as", LETTER),
        (broken.NoAuthorizationServers, 3, "names no authorization server", ["Zed"]),
        (broken.NoIss, 3, "iss is advertised, and did not come", LETTER),
        (broken.AnotherIss, 3, "not the issuer", LETTER),
        (broken.NullInMetadata, 4, "null in the metadata: jwks_uri", SCHEMA),
        (broken.NullInRegistration, 4, "comes back: logo_uri", SCHEMA),
        (broken.NoRedirectUrisBack, 4, "without redirect_uris", SCHEMA),
        (broken.NullInErrors, 4, "null in a token error: error_description", SCHEMA),
        (broken.NoPrivateSchemes, 5, "registration answers 400 invalid_redirect_uri", ["Cursor"]),
        (broken.ExactPorts, 5, "/authorize answers 400 to the redirect URI http://", MOVING),
        (broken.UnknownScopesRefused, 7, "but for its scope it would not", ["Claude", "mcp-remote"]),
        (broken.OfflineAccessOfTheResource, 7, "lists offline_access", NOBODY),
        (broken.MethodWithoutSecret, 8, "was given no secret", EVERY),
        (broken.AnotherMethod, 8, "was granted none", NOBODY),
        (broken.ClientsNotLetIn, 8, "answers 401 invalid_client", EVERY),
        (broken.HtmlForMetadata, 9, "what is no JSON object", SCHEMA),
        (broken.ErrorForMetadata, 9, "answers 502", EVERY),
        (broken.NoMetadata, 9, "no authorization server metadata: ", EVERY),
        (broken.OnlyAppended, 9, "no authorization server metadata: ", [n for n in NAMES if n != "Codex"]),
        (broken.NoTokenEndpoint, 9, "lacks token_endpoint", EVERY),
        (broken.HtmlForResourceMetadata, 9, "the challenge leads to", ["Zed"]),
        (broken.ResourceWithSlash, 10, "the resource metadata names", NAMING),
        (broken.ResourceAbove, 10, "the resource metadata names", ["Gemini CLI"]),
        (broken.ResourceRefused, 10, "but for its resource it would not", EVERY),
        (broken.ResourceRefusedAtToken, 10, "the token endpoint answers 400 invalid_target", EVERY),
        (broken.DocumentsAdvertised, 11, "to the client_id https://", DOCUMENTED),
        (broken.DocumentsAlone, 11, "none among the methods", ["Claude"]),
        (broken.ShortState, 12, "but for its state it would not", ["ChatGPT"]),
        (broken.StateDecodedTwice, 12, "state does not come back", ["VS Code"]),
        (broken.NoPages, 12, "no web page may use", ["MCP Inspector"]),
        (broken.NoPreflight, 12, "no web page may use", ["MCP Inspector"]),
        (broken.NoBursts, 12, "registration answers 429", NAMES[8:]),
        (broken.FewPages, 12, "/authorize answers 429", EVERY),
        (broken.Cached, 12, "kept by caches", NOBODY),
        (broken.CrashesOnAuthorization, 15, "/authorize answers 500", EVERY),
        (broken.CrashesOnCodes, 15, "the token endpoint answers 500", EVERY),
        (broken.CrashesOnRegistrations, 15, "registration answers 500", EVERY),
        (broken.TokenInHtml, 0, "the token endpoint answers 400 to an unknown code", EVERY),
        (broken.NoPkce, 0, "does not offer PKCE", PKCE),
        (broken.NoRegistration, 0, "no registration_endpoint", EVERY),
        (broken.BareChallenge, 0, "has no resource_metadata", NOBODY),
        (broken.Open, 0, "begins without a token", NOBODY),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_trap_is_named_with_the_clients_that_fall_into_it(
    kind: type[Good], trap: int, said: str, who: list[str]
) -> None:
    with serving(kind) as server:
        ran = called("probe", server.url, "--json")
    found = [(each["client"], finding) for each in ran.json["clients"] for finding in each["findings"]]
    of_trap = [(name, one) for name, one in found if one["trap"] == trap and said in one["problem"]]
    assert of_trap, found
    assert [name for name, one in of_trap if one["fatal"]] == who
    assert (ran.code, "clients would fail" in ran.err) == ((1, True) if failing(ran) else (0, False))
    if kind is not broken.DocumentsAlone:
        assert list(failing(ran)) == who, found


def test_client_that_has_neither_registration_nor_document_fails_where_others_use_theirs() -> None:
    with serving(broken.DocumentsAlone) as server:
        ran = called("probe", server.url, "--json")
        assert not [path for _, path, _ in server.seen if path == "/register"]
    assert set(NAMES) - set(failing(ran)) == set(DOCUMENTED) - {"Claude"}


def test_every_trap_is_one_that_a_test_can_find_and_the_page_explains() -> None:
    explained = {int(number): text for number, text, *_ in rows(PAGE) if number.isdigit()}
    assert {number: explained.get(number) for number in TRAPS} == TRAPS


def test_sample_of_the_page_is_what_is_printed() -> None:
    with serving(broken.Sample) as server:
        ran = tokensvc("probe", server.url)
    assert ran.code == 1
    (sample,) = blocks(PAGE, "text")
    printed = (ran.out + ran.err.splitlines()[-1] + "\n").replace(server.origin, "https://mcp.example.com")
    widths = [re.sub(r" +$", "", line) for line in printed.splitlines()]
    assert sample.splitlines() == widths


def test_table_of_clients_on_the_page_is_the_one_of_the_code() -> None:
    table = PAGE.partition("## The clients")[2].partition("##")[0]
    assert [row[0] for row in rows(table)] == NAMES


# How it behaves.


def test_it_says_who_it_is_asks_one_thing_at_a_time_and_registers_each_client_once() -> None:
    with serving(Good) as server:
        assert called("probe", server.url).code == 0
        assert called("probe", server.url, "--client", "zed", "--client", "zed").code == 0
    assert {headers["user-agent"] for _, _, headers in server.seen} == {f"tokensvc-probe/{__version__}"}
    assert server.most_at_once == 1
    assert len(server.clients) == len(ALL) + 1
    assert {method for method, path, _ in server.seen if path == "/authorize"} == {"GET"}
    assert not [headers for _, _, headers in server.seen if "cookie" in headers]
    assert len(server.seen) < 150


def test_without_registering_it_only_reads() -> None:
    with serving(Good) as server:
        ran = called("probe", server.url, "--no-register")
    assert ran.code == 0
    assert ran.out.count("nothing in its way so far") == len(ALL)
    assert ran.err.endswith("registered there now: 0.\n")
    assert server.clients == {}
    assert {(method, path) for method, path, _ in server.seen if method == "POST"} == {
        ("POST", "/mcp"),
        ("POST", "/token"),
    }


def test_client_can_be_chosen() -> None:
    with serving(broken.NoPages) as server:
        assert called("probe", server.url, "--client", "cursor", "--client", "vs-code").code == 0
        ran = called("probe", server.url, "--client", "mcp-inspector")
    assert ran.code == 1
    assert "1 of 1 clients would fail" in ran.err
    assert [line.split("  ")[0] for line in ran.out.splitlines()[1:2]] == ["MCP Inspector"]


@pytest.mark.parametrize(
    "arguments",
    [
        *("", "127.0.0.1:1", "ftp://mcp.example.com", "http://mcp.example.com/mcp", "https://ada:pw@mcp.example.com"),
        *(
            "https://",
            "HTTP://mcp.example.com",
            "http://[::1",
            "https://mcp.example.com/#x",
            "https://[",
            "https://mcp.example.com --client nobody",
        ),
    ],
)
def test_anything_but_an_address_and_known_clients_is_wrong_usage(arguments: str) -> None:
    ran = called("probe", *arguments.split())
    assert (ran.code, ran.out) == (2, "")
    assert "tokensvc probe: error: " in ran.err
    assert "pw" not in ran.err.partition("error: ")[2]


@pytest.mark.parametrize("kind", [broken.AllowsAtOnce, broken.MethodWithoutSecret, broken.ClientsNotLetIn])
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_nothing_secret_is_printed(kind: type[Good], form: list[str]) -> None:
    with serving(kind) as server:
        ran = called("probe", f"{server.url}?key=key-in-the-address", *form)
    assert ran.out
    for secret in (SECRET, "key-in-the-address"):
        assert secret not in ran.out + ran.err


def test_what_a_server_says_cannot_steer_the_terminal() -> None:
    with serving(broken.NoPrivateSchemes) as server:
        ran = called("probe", server.url)
    assert "invalid_redirect_uri: https [31m  only" in ran.out
    assert all(character.isprintable() or character == "\n" for character in ran.out)


# Servers that do not behave.


def test_address_where_nothing_listens_is_said() -> None:
    url = f"http://127.0.0.1:{free_port()}/mcp"
    ran = tokensvc("probe", url)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"tokensvc: {url} cannot be reached: ")
    assert ran.err.count("\n") == 1


def test_address_of_something_else_is_said_and_nothing_is_registered() -> None:
    with serving(Good) as server:
        ran = called("probe", f"{server.origin}/elsewhere")
        assert (ran.code, ran.out, server.clients) == (1, "", {})
    assert "answers 404: no issuer, and no MCP server" in ran.err


@contextmanager
def answering(status: int, headers: dict[str, str], body: list[bytes], *, ends: bool) -> Iterator[str]:
    """A server that gives every request this answer, piece by piece, and ends it or holds the connection open."""

    async def application(_scope: Scope, receive: Receive, send: Send) -> None:
        if body or ends:
            pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
            await send({"type": "http.response.start", "status": status, "headers": pairs})
        for piece in body:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if ends:
            await send({"type": "http.response.body", "body": b""})
            return
        while (await receive())["type"] != "http.disconnect":
            pass

    port = free_port()
    with running(application, port):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("body", [[], [b'{"issuer": ']], ids=["silent", "stuck"])
def test_server_that_does_not_come_to_an_end_is_left(monkeypatch: pytest.MonkeyPatch, body: list[bytes]) -> None:
    monkeypatch.setattr(courier, "SECONDS", 0.3)
    with answering(200, {}, body, ends=False) as url:
        ran = called("probe", url)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"tokensvc: {url} has not answered after 0 s\n"


def test_body_without_end_is_not_read() -> None:
    pieces = [b"x" * 65_536] * 64
    with answering(200, {"content-type": "application/json"}, pieces, ends=True) as url:

        async def ask() -> courier.Answer:
            async with Courier(url) as asking:
                return await asking.get(url)

        answer = asyncio.run(ask())
    assert (answer.status, answer.body, answer.problem) == (200, b"", "answers with more than 256 KiB")


def test_redirects_without_end_are_counted() -> None:
    class Endless(Good):
        async def document(self, _request: Any) -> Any:
            self.hops = getattr(self, "hops", 0) + 1
            return RedirectResponse(f"{self.origin}/.well-known/oauth-authorization-server?hop={self.hops}")

    with serving(Endless) as server:
        ran = called("probe", server.url, "--client", "cursor")
    assert ran.code == 1
    assert "redirects more than 5 times" in ran.out


def test_requests_are_bounded_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "REQUESTS", 7)
    with serving(Good) as server:
        ran = called("probe", server.url)
        assert len(server.seen) == 7
    assert (ran.code, ran.out) == (1, "")
    assert "7 requests were not enough" in ran.err


@pytest.mark.parametrize("start", ["https://mcp.example.com/mcp", "https://localhost.example.com/"])
def test_server_elsewhere_cannot_send_it_to_the_machine_itself(start: str) -> None:
    with serving(Good) as server:

        async def ask() -> list[str]:
            async with Courier(start) as asking:
                urls = (server.url, "http://10.0.0.1/", "ftp://mcp.example.com", "https://ada:pw@mcp.example.com", "x")
                return [(await asking.get(url)).problem for url in urls]

        own, plain, other, named, none = asyncio.run(ask())
        assert server.seen == []
    assert own == "is an address of the machine itself"
    assert plain == other == none == "is not https"
    assert named == "has a user name in it"


def test_slow_server_loses_the_client_that_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(0, 100_000, 3))
    monkeypatch.setattr(courier, "time", SimpleNamespace(monotonic=lambda: float(next(moments))))
    with serving(Good) as server:
        ran = called("probe", server.url, "--json")
    assert list(failing(ran)) == ["Claude"]
    assert "it waits 10 s" in failing(ran)["Claude"][0]["problem"]


HOSTILE: list[Any] = [
    *("http://[", "https://\x00", "http:///", "//", "javascript:alert(1)", "https://half\ud800", "x" * 70_000),
    *(7, ["x"], None, {}, True),
]


class Hostile(Good):
    """Each of its documents may hold what no document should."""

    member = ""
    value: Any = ""

    def resource_metadata(self) -> dict[str, Any]:
        return self.spoilt(super().resource_metadata())

    def metadata(self) -> dict[str, Any]:
        return self.spoilt(super().metadata())

    async def resource_document(self, _request: Request) -> Response:
        return self.written(self.resource_metadata())

    async def document(self, _request: Request) -> Response:
        return self.written(self.metadata())

    def registered(self, _asked: dict[str, Any], granted: dict[str, Any]) -> Response:
        return self.written(self.spoilt(granted))

    def spoilt(self, document: dict[str, Any]) -> dict[str, Any]:
        return document | ({self.member: self.value} if self.member in document else {})

    def written(self, document: dict[str, Any]) -> Response:
        """In ASCII, which can say what is no character."""
        return Response(json.dumps(document), media_type="application/json")


@pytest.mark.parametrize(
    "member",
    [
        *("resource", "authorization_servers", "scopes_supported", "issuer", "authorization_endpoint"),
        *("token_endpoint", "registration_endpoint", "client_id", "redirect_uris", "token_endpoint_auth_method"),
    ],
)
def test_whatever_stands_in_a_document_is_a_finding_and_no_crash(member: str) -> None:
    with serving(Hostile) as server:
        hostile = cast(Hostile, server)
        hostile.member = member
        for value in [*HOSTILE, [HOSTILE[0]]]:
            hostile.value = value
            ran = called("probe", server.url, "--client", "cursor", "--json")
            assert ran.json["clients"][0]["client"] == "Cursor"
            assert all(len(finding["problem"]) < 1000 for finding in ran.json["clients"][0]["findings"])
