"""Clients: found in the configuration, or in the client_id itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.protocol.directory import new_clients
from tests.tokens.examples import NOW, sealer
from tokensvc.errors import InvalidRedirectUri, UnknownClient
from tokensvc.protocol.client import Client, Clients, Lifetimes
from tokensvc.protocol.redirect_uri import RedirectPolicy
from tokensvc.protocol.registration import Registration
from tokensvc.tokens.kinds import ClientId, client_handle

SEALER = sealer()
OPEN = RedirectPolicy.parse("")
GENERAL, OWN = Lifetimes(1, 2, 3, 4), Lifetimes(5, 6, 7, 8)
URI = "https://app.example/callback"
KNOWN = Client("app", client_handle("app"), "App", "none", (), OWN, frozenset(), verified=True)


def clients(policy: RedirectPolicy = OPEN, *known: Client) -> Clients:
    return new_clients(SEALER, {client.client_id: client for client in known}, GENERAL, policy)


def registered(**metadata: object) -> str:
    response = Registration.parse({"redirect_uris": [URI]} | metadata, OPEN).seal(SEALER, NOW)
    return str(response["client_id"])


def test_registered_client_is_what_it_registered() -> None:
    client_id = registered(client_name="App", grant_types=["authorization_code"], token_endpoint_auth_method="none")
    client = asyncio.run(clients().find(client_id, NOW))
    assert (client.client_id, client.handle, client.name) == (client_id, client_handle(client_id), "App")
    assert (client.method, client.grant_types, client.lifetimes) == ("none", ("authorization_code",), GENERAL)
    assert client.require_pkce
    assert not client.verified


def test_secret_of_a_registered_client_follows_from_its_client_id() -> None:
    response = Registration.parse({"redirect_uris": [URI]}, OPEN).seal(SEALER, NOW)
    client = asyncio.run(clients().find(response["client_id"], NOW))
    assert client.has_secret(response["client_secret"])
    for wrong in ("", "x", response["client_secret"][:-1], response["client_id"]):
        assert not client.has_secret(wrong)
    public = asyncio.run(clients().find(registered(token_endpoint_auth_method="none"), NOW))
    assert not public.has_secret("")


def test_preregistered_client_is_found_by_its_id_and_keeps_its_own_lifetimes() -> None:
    found = clients(OPEN, KNOWN)
    assert asyncio.run(found.find("app", NOW)) == KNOWN
    assert found.lifetimes(KNOWN.handle) == OWN
    assert found.lifetimes("another") == GENERAL


@pytest.mark.parametrize("client_id", ["", "unknown", "APP", "app ", "tscl_", "." * 500, "é", "tsat_x..a.b.c"])
def test_anything_else_is_an_unknown_client(client_id: str) -> None:
    with pytest.raises(UnknownClient):
        asyncio.run(clients(OPEN, KNOWN).find(client_id, NOW))


def test_redirect_uri_is_one_that_was_registered_whatever_its_loopback_port() -> None:
    client = asyncio.run(clients().find(registered(redirect_uris=[URI, "http://127.0.0.1/cb"]), NOW))
    for text in (URI, "http://127.0.0.1/cb", "http://127.0.0.1:9/cb", "HTTPS://APP.example/callback"):
        assert client.redirect_uri(text).text == text
    for text in (f"{URI}/", f"{URI}?x", "http://localhost/cb", "https://evil.example/callback", "javascript:x", ""):
        with pytest.raises(InvalidRedirectUri):
            client.redirect_uri(text)


def test_policy_of_today_is_for_clients_that_the_operator_did_not_register() -> None:
    strict = RedirectPolicy.parse("claude.ai")
    stranger = asyncio.run(clients().find(registered(), NOW))
    with pytest.raises(InvalidRedirectUri, match="operator"):
        clients(strict).redirect_uri(stranger, URI)
    known = replace(KNOWN, redirects=stranger.redirects)
    assert clients(strict, known).redirect_uri(known, URI).text == URI


def test_registration_of_a_later_release_is_unknown_or_read_in_part() -> None:
    """Replicas of two releases run side by side."""
    sealed = SEALER.unseal(ClientId, registered(), NOW)
    later = SEALER.seal(replace(sealed, grants="az"), NOW)
    assert asyncio.run(clients().find(later, NOW)).grant_types == ("authorization_code",)
    with pytest.raises(UnknownClient):
        asyncio.run(clients().find(SEALER.seal(replace(sealed, method="j"), NOW), NOW))
