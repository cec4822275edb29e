"""The size budget: what a client stores, and what stands in a URL (interface.md, "Tokens on the wire")."""

from dataclasses import replace

import pytest

from tests.tokens.examples import ACCESS, CODE, NOW, REFRESH, entry, sealer
from tokensvc.identity import Identity
from tokensvc.tokens.artefact import Artefact
from tokensvc.tokens.kinds import ClientId, digest
from tokensvc.tokens.sealer import DAY

SEALER = sealer(keys=entry("k2026-01"), client_keys=entry("c2026-01"))
# 80 bytes together.
TRIPLE = Identity("an-account-of-32-bytes-in-length", "a.user@organisation-32.example.x", "role-of-16-bytes")
REDIRECTS = {
    "Claude": ["https://claude.ai/api/mcp/auth_callback", "https://claude.com/api/mcp/auth_callback"],
    "Claude Code": ["http://localhost/callback"],
    "ChatGPT": ["https://chatgpt.com/connector_platform_oauth_redirect"],
    "Codex": ["http://127.0.0.1/callback"],
    "Cursor": [
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "https://www.cursor.com/agents/mcp/oauth/callback",
        "http://localhost/callback",
    ],
    "Visual Studio Code": ["https://vscode.dev/redirect", "https://insiders.vscode.dev/redirect", "http://127.0.0.1/"],
    "MCP Inspector": ["http://127.0.0.1/oauth/callback", "http://localhost/oauth/callback/debug"],
    "mcp-remote": ["http://localhost/oauth/callback"],
    "Gemini CLI": ["http://localhost/oauth/callback"],
}


def client_id(name: str, redirect_uris: list[str]) -> ClientId:
    return ClientId(redirects="".join(digest(uri, 16) for uri in redirect_uris), name=name)


def confidential(client: ClientId) -> ClientId:
    return replace(client, method="b")


def size(artefact: Artefact) -> int:
    return len(SEALER.seal(artefact, NOW))


# At sign-in, and refreshed every hour for as long as a grant may live.
FRESH = (
    replace(ACCESS, identity=TRIPLE, issued_after=1_500, generation=1),
    replace(REFRESH, identity=TRIPLE, issued_after=1_500, generation=1, lifetime=30 * DAY),
)
OLD = tuple(replace(token, issued_after=180 * DAY, generation=4_320) for token in FRESH)


def test_triple_is_the_one_of_the_budget() -> None:
    assert sum(len(part.encode()) for part in TRIPLE) == 80


@pytest.mark.parametrize("name", REDIRECTS)
def test_client_ids_of_known_clients_are_within_300_characters(name: str) -> None:
    client = client_id(name, REDIRECTS[name])
    assert max(size(client), size(confidential(client))) <= 300


def test_code_is_within_540_characters() -> None:
    assert size(replace(CODE, identity=TRIPLE, lifetime=366 * DAY)) <= 540


def test_access_and_refresh_token_of_an_old_grant_are_within_450_and_470_characters() -> None:
    access, refresh = OLD
    assert size(access) <= 450
    assert size(refresh) <= 470


@pytest.mark.parametrize("name", REDIRECTS)
def test_what_a_client_stores_is_within_1150_characters(name: str) -> None:
    client = client_id(name, REDIRECTS[name])
    assert size(confidential(client)) + sum(map(size, FRESH)) <= 1150
    assert size(client) + sum(map(size, OLD)) <= 1150


def test_fullest_client_id_is_within_the_cap() -> None:
    """Eight redirect URIs, the longest name, the longest kid and the longest prefix."""
    widest = sealer(client_keys=entry("c" * 16), prefix="prefix78")
    fullest = confidential(client_id("n" * 48, [f"https://{number}.example" for number in range(8)]))
    value = widest.seal(fullest, NOW)
    assert len(value) <= ClientId.longest
    assert widest.unseal(ClientId, value, NOW) == fullest
