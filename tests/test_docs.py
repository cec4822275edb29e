"""The README and the pages of docs/ say what the code does: tables, names, examples, links."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from pydantic import SecretStr
from starlette.routing import Route

from tests import replica
from tests.ports import free_port
from tests.replica import SECONDS, Client, Replica, wait_for
from tests.test_readme import blocks, section
from tokensvc import app, cli, settings
from tokensvc.protocol.client import Lifetimes
from tokensvc.protocol.client_metadata_document import ClientMetadataDocument
from tokensvc.protocol.preregistered import parse_clients
from tokensvc.settings import Settings, variable_name

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md", "keys/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
EXAMPLES = [*sorted((ROOT / "deploy").iterdir()), ROOT / "keys/example.env"]
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]

DEFAULTS = {
    "ISSUER": None,
    "KEYS": None,
    "CLIENT_KEYS": None,
    "ACCESS_TOKEN_FORMAT": "sealed",
    "SIGNING_KEYS": "",
    "SIGNING_ALG": "ES256",
    "LEDGER": "sqlite:///tokensvc.db",
    "PEERS": "",
    "PEERS_BOOTSTRAP": False,
    "STALENESS": 30,
    "DENYLIST": "",
    "IDENTITY": "api-keys",
    "API_KEYS": "",
    "INTROSPECTION_TOKENS": "",
    "ADMIN_TOKENS": "",
    "RESOURCES": "",
    "SCOPES": "mcp",
    "ROLE_SCOPES": "",
    "CLIENTS": "[]",
    "ID_JAG_ISSUERS": "[]",
    "REGISTRATION": "open",
    "DEVICE_AUTHORIZATION": "off",
    "CIMD": "*",
    "FETCH_NETWORKS": "",
    "REDIRECT_HOSTS": "",
    "CODE_TTL": 60,
    "ACCESS_TTL": 3600,
    "REFRESH_TTL": 30 * 24 * 3600,
    "REFRESH_MAX_TTL": 180 * 24 * 3600,
    "REFRESH_GRACE": 60,
    "TOKEN_PREFIX": "ts",
    "LIMITS": "on",
    "TRUSTED_PROXIES": "127.0.0.0/8,::1",
    "STRICT": False,
}
"""The public interface: a variable that goes, or a default that changes, needs an entry in the changelog."""
SECRETS = {
    "KEYS",
    "CLIENT_KEYS",
    "SIGNING_KEYS",
    "DENYLIST",
    "API_KEYS",
    "INTROSPECTION_TOKENS",
    "ADMIN_TOKENS",
    "ROLE_SCOPES",
    "CLIENTS",
    "ID_JAG_ISSUERS",
    "REGISTRATION",
}


def rows(text: str) -> list[list[str]]:
    """The cells of the tables in a text, without heads and rulers."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rulers = {index for index, line in enumerate(lines) if re.fullmatch(r"[|\- ]+", line)}
    body = [line for index, line in enumerate(lines) if index not in rulers and index + 1 not in rulers]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body]


def unquoted(cell: str) -> str:
    return cell.removeprefix("`").removesuffix("`")


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_settings_table_the_class_and_the_interface_agree() -> None:
    fields = Settings.model_fields
    assert list(fields) == [name.lower() for name in DEFAULTS]
    table = rows(section("Settings"))
    assert [unquoted(row[0]) for row in table] == [variable_name(name) for name in fields]
    for name, _, default, file in table:
        short = unquoted(name).removeprefix("TOKENSVC_")
        field = fields[short.lower()]
        assert (field.annotation is SecretStr) == (short in SECRETS) == (file == "yes"), name
        if field.is_required():
            assert (DEFAULTS[short], default) == (None, "required"), name
            continue
        value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        assert value == DEFAULTS[short], name
        assert default.startswith(_as_written(value)), name


def test_every_variable_that_is_named_anywhere_is_a_setting() -> None:
    for path in PAGES + EXAMPLES:
        named = set(re.findall(r"TOKENSVC_[A-Z_]*[A-Z]", path.read_text(encoding="utf-8")))
        assert not settings.unknown_names(dict.fromkeys(named, "")), path.name


def test_the_command_line_table_and_the_help_agree() -> None:
    table = {unquoted(row[0]): set(re.findall(r"--[a-z]+", row[1])) for row in rows(section("Command line"))}
    assert set(table) == {f"tokensvc {command}" for command in _commands()}
    for command, options in table.items():
        assert options_of(command) == options, command


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_every_command_in_an_example_exists(path: Path) -> None:
    for block in blocks(path.read_text(encoding="utf-8"), "sh"):
        for line in re.findall(r"^tokensvc .*", block, re.MULTILINE):
            command = re.match(r"tokensvc (keys \w+|apikey \w+|\w+)", line)
            assert command, line
            assert set(re.findall(r"--[a-z]+", line)) <= options_of(command[0]), line


def test_the_table_of_endpoints_and_the_routes_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = {"signing_keys": replica.ring_entry("s1"), "device_authorization": "on"}
    for name, value in replica.settings("memory://", 8000, **everything).items():
        monkeypatch.setenv(name, value)
    routes = app.build(settings.load()).routes
    mounted = {
        (method, route.path)
        for route in routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    table = {
        (method, path)
        for cell, _ in rows(section("HTTP"))
        for path in re.findall(r"`([^`]+)`", cell)
        for method in re.findall(r"GET|POST", cell)
    }
    assert table == mounted


def test_the_example_of_own_clients_is_accepted() -> None:
    (example,) = blocks(section("Run it for real"), "json")
    clients = parse_clients(example, Lifetimes(60_000, 3_600_000, 1, 1))
    billing, cli = clients["billing"], clients["cli"]
    assert billing.secret_hash
    assert (billing.method, billing.require_pkce, billing.lifetimes.access) == ("client_secret_post", False, 600_000)
    assert (cli.method, cli.require_pkce) == ("none", True)
    assert cli.redirect_uri("https://pr-17.preview.example.com/callback").kind == "https"
    assert cli.redirect_uri("http://127.0.0.1:40123/callback").kind == "loopback"


def test_the_examples_of_clients_are_accepted() -> None:
    document, own = blocks(page("docs/clients.md"), "json")
    metadata = json.loads(document)
    parsed = ClientMetadataDocument.parse(metadata["client_id"], metadata)
    assert (parsed.signing_alg, len(parsed.redirects)) == ("ES256", 2)
    clients = parse_clients(own, Lifetimes(60_000, 3_600_000, 1, 1)).values()
    assert [client.method for client in clients] == ["private_key_jwt"] * 2


def test_every_event_of_the_log_is_explained_with_its_level() -> None:
    explained = {unquoted(row[0]): row[1] for row in rows(page("docs/operations.md")) if row[1] in {"info", "warning"}}
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tokensvc").rglob("*.py"))
    for event, level in _events(source):
        assert explained.get(event) == level, event
    for event in explained:
        # An endpoint that is guarded by a secret logs `NAME refused`.
        assert f'"{event}"' in source or f'"{event.removesuffix(" refused")}"' in source, event


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_every_test_that_a_page_names_exists(path: Path) -> None:
    for file, name in re.findall(r"(tests/[\w/]+\.py)::(\w+)", path.read_text(encoding="utf-8")):
        tree = ast.parse(page(file))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in functions, f"{file} has no {name}"


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_every_number_of_a_proof_is_listed_and_every_listed_one_is_used(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    listed = re.findall(r"^(\d+)\. `tests/[\w/]+\.py::\w+`", text, re.MULTILINE)
    used = {number for group in re.findall(r"<sup>([\d ]+)</sup>", text) for number in group.split()}
    assert set(listed) == used
    assert [int(number) for number in listed] == list(range(1, len(listed) + 1))


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if urlsplit(target).scheme:
            continue
        name, _, anchor = target.partition("#")
        found = (path.parent / name).resolve() if name else path
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, target


def test_the_python_resource_server_lets_in_who_has_a_token(tmp_path: Path) -> None:
    """The example of docs/resource-server.md as it stands, with other ports."""
    _, example = blocks(page("docs/resource-server.md"), "python")
    port, own = free_port(), free_port()
    assert "PORT = 9000\n" in example
    (tmp_path / "server.py").write_text(example.replace("PORT = 9000", f"PORT = {own}"), encoding="utf-8")
    url = f"http://127.0.0.1:{own}/mcp"
    environment = replica.settings("memory://", port, resources=url)
    metadata_url = f"http://127.0.0.1:{own}/.well-known/oauth-protected-resource/mcp"
    with Replica(environment, port) as authorization_server, (tmp_path / "log").open("w") as log:
        own_environment = {"ISSUER": authorization_server.url, "INTROSPECTION_TOKEN": replica.INTROSPECTION_TOKEN}
        process = subprocess.Popen(
            [sys.executable, "server.py"], cwd=tmp_path, env=os.environ | own_environment, stdout=log, stderr=log
        )
        try:
            document = wait_for(lambda: _json(metadata_url), "the resource server answers")
            assert document["resource"] == url
            assert document["authorization_servers"] == [authorization_server.url]
            assert _initialize(url, "").headers["www-authenticate"].endswith(f'resource_metadata="{metadata_url}"')
            client = Client(authorization_server.url)
            issued = client.sign_in()
            assert _initialize(url, issued.access).status_code == 200
            client.revoke(issued.access)
            assert _initialize(url, issued.access).status_code == 401
        finally:
            process.terminate()
            process.wait(SECONDS)


def _as_written(default: object) -> str:
    """How the table shows a default. An empty one is said in words: none, any, the issuer."""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`" if default != "" else ""


def _json(url: str) -> dict[str, object]:
    try:
        answer: dict[str, object] = httpx.get(url, timeout=5).json()
    except httpx.TransportError:
        return {}
    return answer


def _initialize(url: str, token: str) -> httpx.Response:
    """The first request of an MCP client."""
    headers = {"Accept": "application/json, text/event-stream"} | (
        {"Authorization": f"Bearer {token}"} if token else {}
    )
    parameters = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "tests", "version": "1"},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": parameters}
    return httpx.post(url, json=body, headers=headers, timeout=SECONDS)


@cache
def _help(command: str) -> str:
    with redirect_stdout(io.StringIO()) as printed, pytest.raises(SystemExit, match=r"^0$"):
        cli.main([*command.split()[1:], "--help"])
    return printed.getvalue()


def options_of(command: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z]+", _help(command).partition("options:")[2])) - {"--help"}


def _commands(command: str = "tokensvc") -> list[str]:
    """Every command that does something, by its words after `tokensvc`."""
    below = re.findall(r"^    (\w+) ", _help(command), re.MULTILINE)
    words = command.partition(" ")[2]
    return [found for name in below for found in _commands(f"{command} {name}")] if below else [words]


def _events(source: str) -> list[tuple[str, str]]:
    """Every event that is written out where it is logged, and its level."""
    levels = {"log": "info", "warn": "warning"}
    return [
        (call.args[0].value, levels[call.func.id])
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in levels
        if call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)
    ]


def test_the_python_example_of_a_verifier_lets_in_a_token_of_ours(tmp_path: Path) -> None:
    """That of docs/jwt-access-tokens.md as it stands."""
    (example,) = blocks(page("docs/jwt-access-tokens.md"), "python")
    port = free_port()
    ring = replica.ring_entry("s1")
    environment = replica.settings("memory://", port, access_token_format="jwt", signing_keys=ring)
    with Replica(environment, port, directory=tmp_path) as running:
        issued = Client(running.url).sign_in()
        namespace: dict[str, Any] = {"ISSUER": running.url, "RESOURCE": running.url}
        exec(example, namespace)  # noqa: S102  # it is our own page
        assert namespace["verify"](issued.access)["sub"] == "acme/ada"
        with pytest.raises(jwt.PyJWTError):
            namespace["verify"](f"{issued.access[:-8]}AAAAAAAA")
