"""Client metadata documents: which URLs may be client_ids, what a document may say, and whose are accepted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.protocol.directory import new_clients
from tests.signer import Signer
from tests.tokens.examples import NOW, sealer
from tokensvc.errors import InvalidRedirectUri, TemporarilyUnavailable, UnknownClient
from tokensvc.outbound import Busy, Refused, Unfetchable
from tokensvc.outbound.fetch import Fetched
from tokensvc.protocol.client import Client, Lifetimes
from tokensvc.protocol.client_metadata_document import (
    ClientMetadataDocument,
    DocumentRefused,
    DocumentUnavailable,
    check_client_id,
)
from tokensvc.protocol.redirect_uri import RedirectPolicy
from tokensvc.tokens.kinds import client_handle

CLIENT_ID = "https://app.example/oauth/client.json"
URI = "https://app.example/callback"
KEYS = Signer(CLIENT_ID).jwks
KEYS_URI = "https://app.example/jwks"
ALSO_NONE = {"token_endpoint_auth_methods_supported": ["none"]}
LIFETIMES = Lifetimes(1, 2, 3, 4)
# As they are published, less what has no say here.
CLAUDE = {
    "client_id": "https://claude.ai/oauth/mcp-oauth-client-metadata",
    "client_name": "Claude",
    "client_uri": "https://claude.ai",
    "redirect_uris": ["https://claude.ai/api/mcp/auth_callback"],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
}
CHATGPT = {
    "client_id": "https://chatgpt.com/oauth/kDmjx77UnKOM/client.json",
    "client_uri": "https://chatgpt.com/",
    "redirect_uris": ["https://chatgpt.com/connector/oauth/kDmjx77UnKOM"],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "client_name": "ChatGPT",
    "token_endpoint_auth_method": "private_key_jwt",
    "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
    "token_endpoint_auth_signing_alg": "RS256",
    "jwks_uri": "https://chatgpt.com/oauth/jwks.json",
}


def parse(**members: Any) -> ClientMetadataDocument:
    """A document; a member that is None is left out."""
    metadata = {"client_id": CLIENT_ID, "redirect_uris": [URI]} | members
    return ClientMetadataDocument.parse(
        CLIENT_ID, {name: value for name, value in metadata.items() if value is not None}
    )


def test_least_that_is_needed_makes_a_public_client() -> None:
    document = parse()
    assert (document.client_id, document.host, document.name) == (CLIENT_ID, "app.example", "")
    assert document.grant_types == ("authorization_code", "refresh_token")
    assert (document.jwks, document.jwks_uri, document.may_be_public) == (None, "", True)


@pytest.mark.parametrize("published", [CLAUDE, CHATGPT], ids=["claude", "chatgpt"])
def test_documents_of_known_clients_are_taken(published: dict[str, Any]) -> None:
    document = ClientMetadataDocument.parse(published["client_id"], published)
    assert document.name == published["client_name"]
    assert document.may_be_public
    assert document.jwks_uri == published.get("jwks_uri", "")


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"client_id": None}, "client_id is not the URL"),
        ({"client_id": CLIENT_ID.upper()}, "client_id is not the URL"),
        ({"client_id": f"{CLIENT_ID}/"}, "client_id is not the URL"),
        ({"client_id": [CLIENT_ID]}, "client_id is not the URL"),
        ({"client_secret": "hunter2"}, "client_secret"),
        ({"client_secret": ""}, "client_secret"),
        ({"client_secret_expires_at": 0}, "client_secret"),
        ({"token_endpoint_auth_method": "tls_client_auth"}, "neither none nor private_key_jwt"),
        ({"token_endpoint_auth_method": "client_secret_basic"}, "needs a secret"),
        ({"token_endpoint_auth_method": "client_secret_post", **ALSO_NONE}, "needs a secret"),
        ({"token_endpoint_auth_method": "client_secret_jwt", **ALSO_NONE}, "needs a secret"),
        ({"token_endpoint_auth_method": ["none"]}, "token_endpoint_auth_method is no string"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "either jwks or jwks_uri"),
        ({"token_endpoint_auth_method": "private_key_jwt", "jwks": KEYS, "jwks_uri": KEYS_URI}, "either jwks or"),
        ({"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": []}}, "no key that could verify"),
        ({"token_endpoint_auth_method": "private_key_jwt", "jwks": []}, "its keys"),
        ({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://app.example/jwks"}, "its keys"),
        (
            {"token_endpoint_auth_method": "private_key_jwt", "jwks": KEYS, "token_endpoint_auth_signing_alg": "HS256"},
            "signing_alg is not supported",
        ),
        ({"redirect_uris": None}, "no redirect URI"),
        ({"redirect_uris": []}, "no redirect URI"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "no redirect URI"),
        ({"redirect_uris": ["http://app.example/callback"]}, "no redirect URI"),
        ({"redirect_uris": URI}, "no list of strings"),
        ({"redirect_uris": [URI, 1]}, "no list of strings"),
        ({"grant_types": "authorization_code"}, "no list of strings"),
        ({"client_name": {"en": "App"}}, "client_name is no string"),
        ({"dpop_bound_access_tokens": "true"}, "dpop_bound_access_tokens is neither true nor false"),
        ({"require_pushed_authorization_requests": 1}, "require_pushed_authorization_requests is neither true nor"),
    ],
)
def test_document_that_cannot_be_accepted_is_refused(members: dict[str, Any], problem: str) -> None:
    with pytest.raises(Refused, match=problem) as refusal:
        parse(**members)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("metadata", [None, [], "x", 1])
def test_document_is_an_object(metadata: Any) -> None:
    with pytest.raises(Refused, match="no JSON object"):
        ClientMetadataDocument.parse(CLIENT_ID, metadata)


def test_what_is_not_known_or_of_no_use_is_tolerated() -> None:
    document = parse(
        grant_types=["authorization_code", "urn:example:other", "implicit"],
        redirect_uris=[URI, "http://app.example/insecure", "javascript:alert(1)", "http://localhost/callback"],
        scope="mcp",
        logo_uri="https://app.example/logo.png",
        client_name="n" * 1000,
        **{"client_name#ja": "アプリ", "x": {"deep": [1, None]}},
    )
    assert len(document.redirects) == 2
    assert len(document.name) == 128


def test_client_without_the_code_grant_needs_no_redirect_uri() -> None:
    assert parse(grant_types=["client_credentials"], redirect_uris=None).redirects == frozenset()


@pytest.mark.parametrize(
    "members",
    [
        {"token_endpoint_auth_signing_alg": "RS512", "jwks": KEYS},
        {"jwks": {"keys": []}},
        {},
        {"token_endpoint_auth_method": "tls_client_auth"},
    ],
)
def test_client_that_can_do_without_is_public_where_it_cannot_do_what_it_prefers(members: dict[str, Any]) -> None:
    asked = {"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_methods_supported": ["none"]}
    document = parse(**asked | members)
    assert (document.jwks, document.jwks_uri, document.may_be_public) == (None, "", True)


@pytest.mark.parametrize(
    "client_id",
    [
        "https://app.example/client.json",
        "https://app.example:8443/a",
        "https://app.example/a?b=c",
        "https://app.example//",
        "https://app.example/.well-known/client",
        "https://xn--bcher-kva.example/a",
        "https://app.example/a%20b",
    ],
)
def test_client_id_is_an_https_url_with_a_path(client_id: str) -> None:
    assert check_client_id(client_id).host.endswith(".example")


@pytest.mark.parametrize(
    "client_id",
    [
        "https://app.example",
        "https://app.example/",
        "https://app.example/?a",
        "https://app.example?a",
        "https://app.example/a/../b",
        "https://app.example/./b",
        "https://app.example/a/..",
        "https://app.example/a/%2e%2E/b",
        "https://app.example/a/.%2e/b",
        "https://app.example/a#b",
        "https://user@app.example/a",
        "https://app.example\\a",
        "https://bücher.example/a",
        "http://app.example/a",
    ],
)
def test_any_other_url_is_none(client_id: str) -> None:
    with pytest.raises(UnknownClient, match="client_id"):
        check_client_id(client_id)


class Host:
    """In the place of Outbound."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def get(self, url: str, _largest: int, _validators: Mapping[str, str] | None = None) -> Fetched:
        self.asked.append(url)
        if isinstance(self.answer, Exception):
            raise self.answer
        return Fetched(json.dumps(self.answer).encode(), {})


def find(host: Host, client_id: str = CLIENT_ID, cimd: str = "*", known: Client | None = None) -> Client:
    by_id = {known.client_id: known} if known else {}
    clients = new_clients(sealer(), by_id, LIFETIMES, RedirectPolicy.parse(""), cimd=cimd, outbound=host)  # type: ignore[arg-type]
    return asyncio.run(clients.find(client_id, NOW))


def test_client_is_what_its_document_says() -> None:
    document = {"client_id": CLIENT_ID, "client_name": "App", "redirect_uris": [URI, "http://localhost/cb"]}
    client = find(Host(document))
    assert (client.client_id, client.handle, client.name) == (CLIENT_ID, client_handle(CLIENT_ID), "App")
    assert (client.method, client.verified, client.host) == ("none", False, "app.example")
    assert client.lifetimes == LIFETIMES
    assert client.redirect_uri("http://localhost:54321/cb").kind == "loopback"
    with pytest.raises(InvalidRedirectUri):
        client.redirect_uri("https://evil.example/cb")


def test_host_that_the_operator_names_makes_a_known_app() -> None:
    document = {"client_id": CLIENT_ID, "redirect_uris": [URI]}
    assert find(Host(document), cimd="app.example").verified
    assert find(Host(document), cimd="*,app.example").verified


@pytest.mark.parametrize("bound", [True, False, None])
def test_client_is_held_to_what_its_document_binds_it_to(bound: bool | None) -> None:
    binds = {"dpop_bound_access_tokens": bound, "require_pushed_authorization_requests": bound}
    client = find(Host({"client_id": CLIENT_ID, "redirect_uris": [URI]} | binds))
    held = (client.dpop_bound_access_tokens, client.require_pushed_authorization_requests)
    assert held == (bool(bound), bool(bound))


def test_redirect_policy_holds_for_every_document() -> None:
    host = Host({"client_id": CLIENT_ID, "redirect_uris": [URI]})
    policy = RedirectPolicy.parse("localhost")
    clients = new_clients(sealer(), {}, LIFETIMES, policy, cimd="app.example", outbound=host)  # type: ignore[arg-type]
    with pytest.raises(InvalidRedirectUri):
        clients.redirect_uri(asyncio.run(clients.find(CLIENT_ID, NOW)), URI)


def test_grant_types_that_nobody_here_knows_are_left_out() -> None:
    grants = ["refresh_token", "authorization_code", "implicit", "urn:example:other"]
    document = {"client_id": CLIENT_ID, "redirect_uris": [URI], "grant_types": grants}
    assert find(Host(document)).grant_types == ("authorization_code", "refresh_token")


def test_nobody_is_asked_for_a_client_that_is_configured_or_not_accepted() -> None:
    host = Host(AssertionError("it was asked"))
    known = Client(CLIENT_ID, client_handle(CLIENT_ID), "Known", "none", (), LIFETIMES, frozenset(), verified=True)
    assert find(host, known=known) == known
    for cimd in ("off", "other.example"):
        with pytest.raises(UnknownClient):
            find(host, cimd=cimd)
    for client_id in ("https://app.example", "https://127.0.0.1/a#b", "http://app.example/a"):
        with pytest.raises(UnknownClient):
            find(host, client_id)
    assert not host.asked


def test_document_that_says_no_is_an_unknown_client_and_one_that_cannot_be_had_is_nobodys_fault() -> None:
    with pytest.raises(DocumentRefused, match="client_id is not the URL"):
        find(Host({"client_id": "https://other.example/a"}))
    with pytest.raises(DocumentUnavailable) as unavailable:
        find(Host(Unfetchable("down")))
    assert (unavailable.value.status, unavailable.value.host) == (503, "app.example")
    assert "down" not in unavailable.value.description
    with pytest.raises(TemporarilyUnavailable) as busy:
        find(Host(Busy("too many")))
    assert not isinstance(busy.value, DocumentUnavailable)
