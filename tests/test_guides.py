"""The guides for connecting apps and for coming over: what can be run in them works as it stands there."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.interop.deployment import Deployment, deployed
from tests.ports import free_port
from tests.replica import API_KEY, SECONDS, TLS, Client, Replica, settings, tokens
from tests.test_docs import options_of, page
from tests.test_readme import blocks
from tokensvc.commands.probe import clients as known
from tokensvc.errors import InvalidRedirectUri
from tokensvc.protocol.client import Lifetimes
from tokensvc.protocol.preregistered import parse_clients
from tokensvc.protocol.redirect_uri import RedirectPolicy, RedirectUri

CONNECT, MIGRATE = page("docs/connect.md"), page("docs/migrate.md")
ADDRESS, ISSUER = "https://mcp.example.com/mcp", "https://auth.example.com"
NAMED = {
    "claude": known.CLAUDE,
    "chatgpt": known.CHATGPT,
    "claude-code": known.CLAUDE_CODE,
    "codex": known.CODEX,
    "cursor": known.CURSOR,
    "vscode": known.VS_CODE,
    "inspector": known.INSPECTOR,
}
"""The apps of the first guide, by the client_id that it gives them."""
SHOP_SECRET = "shop-secret-that-a-machine-drew-1"
EXPORTED: dict[str, Any] = {
    "client_id": "wiki",
    "client_name": "Wiki",
    "client_secret": "wiki-secret-that-a-machine-drew-1",
    "redirect_uris": ["https://wiki.example.com/callback"],
    "token_endpoint_auth_method": "client_secret_basic",
    "client_secret_expires_at": 0,
    "logo_uri": None,
}
"""A client as another server exports it."""
PERSON = ["acme/europe", "ada lovelace", "admin"]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("mcp"), "memory://") as started:
        yield started


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """A replica with all that the guide imports, by the guide's own programs."""
    api_keys, clients = blocks(MIGRATE, "python")
    line = ",".join([hashlib.sha256(API_KEY.encode()).hexdigest(), *PERSON])
    (example,) = blocks(MIGRATE, "json")
    port = free_port()
    environment = settings(
        "memory://",
        port,
        api_keys=ran(api_keys, line + "\n"),
        clients=json.dumps(json.loads(example) + json.loads(ran(clients, json.dumps([EXPORTED])))),
        registration="off",
        token_prefix="ov",
    )
    with Replica(environment, port, directory=tmp_path_factory.mktemp("replica")) as replica:
        yield replica


def test_the_checks_before_the_first_app_show_what_the_page_says(deployment: Deployment) -> None:
    checks, *_ = blocks(CONNECT, "sh")
    origin = deployment.server.url.removesuffix("/mcp")
    script = checks.replace(ADDRESS.removesuffix("/mcp"), origin).replace(ISSUER, deployment.replica.url)
    command = ["bash", "-c", f"set -euo pipefail\n{script}"]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
    challenge, documents = printed.split("\n", 1)
    assert f'resource_metadata="{origin}/.well-known/oauth-protected-resource/mcp"' in challenge
    resource, end = json.JSONDecoder().raw_decode(documents)
    metadata = json.loads(documents[end:])
    assert resource["resource"] == deployment.server.url
    assert resource["authorization_servers"] == [metadata["issuer"]] == [deployment.replica.url]


def test_the_listed_redirect_hosts_let_the_named_apps_in_and_nobody_else() -> None:
    (listed,) = re.findall(r"^TOKENSVC_REDIRECT_HOSTS=(.*)$", CONNECT, re.MULTILINE)
    policy = RedirectPolicy.parse(*shlex.split(listed))
    for app in (*NAMED.values(), known.MCP_REMOTE):
        for uri in app.redirect_uris:
            policy.check(RedirectUri.parse(uri))
    for stranger in ("https://claude.ai.example/callback", "https://cursor.com/callback", "vscode://callback"):
        with pytest.raises(InvalidRedirectUri):
            policy.check(RedirectUri.parse(stranger))


def test_the_apps_that_bring_a_document_are_named() -> None:
    paragraph = CONNECT.partition("**Apps that bring a document.**")[2].partition("\n\n")[0]
    for app in known.ALL:
        assert (app.name in paragraph) == (app.document is not None), app.name


def test_every_configuration_of_an_app_can_be_read_and_names_the_address() -> None:
    *apps, _own = blocks(CONNECT, "json")
    servers = [next(iter(json.loads(text).values())) for text in apps]
    servers += [tomllib.loads(text)["mcp_servers"] for text in blocks(CONNECT, "toml")]
    assert len(servers) == 5
    for entry in (server["example"] for server in servers):
        assert ADDRESS in {entry.get("url"), *entry.get("args", [])}


@pytest.mark.parametrize("client_id", NAMED)
def test_the_own_clients_of_the_page_take_every_redirect_uri_of_their_app(client_id: str) -> None:
    *_, own = blocks(CONNECT, "json")
    clients = parse_clients(own, Lifetimes(1, 1, 1, 1))
    assert clients.keys() == NAMED.keys()
    for uri in NAMED[client_id].redirect_uris:
        clients[client_id].redirect_uri(uri)


@pytest.mark.parametrize("guide", [CONNECT, MIGRATE], ids=["connect", "migrate"])
def test_every_command_of_tokensvc_amid_the_text_exists(guide: str) -> None:
    commands = re.findall(r"`(tokensvc (?:keys \w+|apikey \w+|\w+))([^`]*)`", guide)
    assert commands
    for command, rest in commands:
        assert set(re.findall(r"--[a-z]+", rest)) <= options_of(command), command


def test_the_command_that_hashes_a_secret_makes_what_the_settings_take() -> None:
    (command,) = blocks(MIGRATE, "sh")
    pasted = ["bash", "-c", command]
    printed = subprocess.run(pasted, input=f"{SHOP_SECRET}\n", capture_output=True, text=True, check=True).stdout
    (example,) = blocks(MIGRATE, "json")
    assert printed.strip() == json.loads(example)[0]["client_secret_hash"]


def test_an_imported_api_key_signs_in_as_its_person(imported: Replica) -> None:
    client = Client(imported.url, client_id="company-cli", redirect_uri="http://127.0.0.1:49152/callback")
    issued = client.sign_in()
    facts = client.introspect(issued.access)
    assert [facts[name] for name in ("account", "user", "role")] == PERSON
    assert facts["sub"] == "acme%2Feurope/ada%20lovelace"


def test_a_confidential_client_of_old_goes_on_without_pkce_and_by_its_secret(imported: Replica) -> None:
    for uri in ("https://shop.example.com/login/callback", "https://pr-17.preview.example.com/login/callback"):
        shop = Client(imported.url, redirect_uri=uri, client_id="shop-7f3a", client_secret=SHOP_SECRET)
        code = shop.code(code_challenge="", code_challenge_method="")
        assert shop.redeem(code, code_verifier="", client_secret="a wrong one").status_code == 401
        issued = tokens(shop.redeem(code, code_verifier=""))
        assert (issued.response["expires_in"], issued.access[:5], issued.refresh[:5]) == (600, "ovat_", "ovrt_")
        assert shop.active(issued.access)
        shop.revoke(issued.refresh)
        assert not shop.active(issued.access)


def test_an_exported_client_keeps_its_id_and_its_secret(imported: Replica) -> None:
    wiki = Client(imported.url, redirect_uri=EXPORTED["redirect_uris"][0], client_id="wiki")
    form = {
        "grant_type": "authorization_code",
        "code": wiki.code(),
        "code_verifier": wiki.verifier,
        "redirect_uri": wiki.redirect_uri,
    }
    credentials = ("wiki", EXPORTED["client_secret"])
    answer = httpx.post(f"{imported.url}/token", data=form, auth=credentials, timeout=SECONDS, verify=TLS)
    assert wiki.active(tokens(answer).access)


def ran(program: str, given: str) -> str:
    """Run a program of a guide; what it prints."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
