"""TOKENSVC_CLIENTS: what an operator may ask for, and what is refused with a message that shows no secret."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tests.signer import Signer
from tokensvc.errors import InvalidRedirectUri, SettingsError
from tokensvc.protocol.client import Client, Lifetimes
from tokensvc.protocol.preregistered import parse_clients

GENERAL = Lifetimes(code=60_000, access=3_600_000, refresh=10**9, refresh_max=10**10)
URI = "https://app.example/callback"
KEYS_URI = "https://app.example/jwks"
SIGNER = Signer("app")
PRIVATE = SIGNER.key.as_dict(private=True)
SECRET_HASH = f"sha256:{hashlib.sha256(b'secret').hexdigest()}"


def one(**members: Any) -> Client:
    [client] = parse_clients(json.dumps([{"client_id": "app", "redirect_uris": [URI]} | members]), GENERAL).values()
    return client


def test_least_that_is_needed() -> None:
    client = one()
    assert (client.client_id, client.name, client.method) == ("app", "app", "none")
    assert client.grant_types == ("authorization_code", "refresh_token")
    assert client.lifetimes == GENERAL
    assert client.verified
    assert client.require_pkce
    assert client.redirect_uri(URI).text == URI


def test_no_clients_by_any_spelling_of_nothing() -> None:
    for text in ("", "[]", " [ ] "):
        assert parse_clients(text, GENERAL) == {}


def test_client_with_a_secret_authenticates_by_basic_unless_it_says_otherwise() -> None:
    client = one(client_secret_hash=SECRET_HASH.upper().replace("SHA256", "sha256"))
    assert client.method == "client_secret_basic"
    assert client.has_secret("secret")
    assert not client.has_secret("Secret")
    assert one(client_secret_hash=SECRET_HASH, token_endpoint_auth_method="client_secret_post").method != client.method


def test_client_with_keys_authenticates_by_them_unless_it_says_otherwise() -> None:
    inline = one(jwks=SIGNER.jwks, token_endpoint_auth_signing_alg="ES256")
    assert (inline.method, inline.signing_alg, inline.may_be_public) == ("private_key_jwt", "ES256", False)
    assert inline.jwks is not None
    assert len(inline.jwks.keys) == 1
    remote = one(jwks_uri=KEYS_URI, token_endpoint_auth_method="private_key_jwt", require_pkce=False)
    assert (remote.method, remote.jwks_uri, remote.jwks) == ("private_key_jwt", KEYS_URI, None)


def test_lifetimes_of_its_own_stand_in_place_of_the_general_ones() -> None:
    client = one(access_ttl=60, refresh_max_ttl=120)
    assert client.lifetimes == Lifetimes(GENERAL.code, 60_000, GENERAL.refresh, 120_000)


def test_pkce_may_be_waived_for_a_client_with_a_secret_alone() -> None:
    assert not one(client_secret_hash=SECRET_HASH, require_pkce=False).require_pkce
    with pytest.raises(SettingsError, match="require_pkce may be false only for a client with a secret"):
        one(require_pkce=False)


@pytest.mark.parametrize(
    ("pattern", "taken", "refused"),
    [
        (
            "https://*.example.com/cb",
            ["https://a.example.com/cb", "https://a-b-C1.example.com/cb"],
            [
                *("https://example.com/cb", "https://a.b.example.com/cb", "https://a.example.com.evil.example/cb"),
                *("https://.example.com/cb", "https://evil.example/x.example.com/cb", "https://a.example.com/cb/"),
                *("https://evil.example?.example.com/cb", "https://a@b.example.com/cb", "https://a%2e.example.com/cb"),
            ],
        ),
        (
            "https://app.example/*/cb",
            ["https://app.example/x/cb", "https://app.example/tenant-1/cb"],
            [
                "https://app.example//cb",
                "https://app.example/a/b/cb",
                "https://app.example/../cb",
                "https://app.example/cb",
            ],
        ),
        (
            "https://pr-*.preview.example/*",
            ["https://pr-1.preview.example/x"],
            ["https://pr-.preview.example/x", "https://pr-1.preview.example/", "https://pr-1xpreview.example/x"],
        ),
    ],
)
def test_star_stands_inside_one_label_or_segment(pattern: str, taken: list[str], refused: list[str]) -> None:
    client = one(redirect_uris=[], redirect_uri_patterns=[pattern])
    for text in taken:
        assert client.redirect_uri(text).text == text
    for text in refused:
        with pytest.raises(InvalidRedirectUri):
            client.redirect_uri(text)


def test_metadata_that_is_known_to_the_standard_and_of_no_use_is_taken() -> None:
    assert one(scope="mcp", logo_uri="https://app.example/logo", contacts=["a@app.example"]).client_id == "app"


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"client_id": ""}, "0.client_id"),
        ({"client_id": "a b"}, "0.client_id"),
        ({"client_id": "é"}, "0.client_id"),
        ({"client_id": "x" * 513}, "0.client_id"),
        ({"client_id": 1}, "0.client_id"),
        ({"client_name": "x" * 129}, "0.client_name"),
        ({"client_secret": "hunter2"}, "0.client_secret: Extra inputs"),
        ({"client_secret_hash": "hunter2"}, "0.client_secret_hash"),
        ({"client_secret_hash": "sha256:hunter2"}, "0.client_secret_hash"),
        ({"client_secret_hash": SECRET_HASH, "token_endpoint_auth_method": "none"}, "client_secret_hash goes with"),
        ({"token_endpoint_auth_method": "client_secret_post"}, "client_secret_hash goes with"),
        ({"token_endpoint_auth_method": "client_secret_jwt"}, "0.token_endpoint_auth_method"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "jwks or jwks_uri goes with private_key_jwt"),
        ({"token_endpoint_auth_method": "none", "jwks_uri": KEYS_URI}, "jwks or jwks_uri goes with private_key_jwt"),
        ({"client_secret_hash": SECRET_HASH, "jwks_uri": KEYS_URI}, "client_secret_hash goes with"),
        ({"jwks_uri": KEYS_URI, "jwks": SIGNER.jwks}, "jwks or under jwks_uri, in one of them"),
        ({"jwks_uri": "http://app.example/jwks"}, "jwks_uri: the URL is not https"),
        ({"jwks": {"keys": []}}, "jwks has no key that could verify"),
        ({"jwks": {"keys": [PRIVATE]}}, "jwks has no key that could verify"),
        ({"jwks": {}}, "a JWK Set is an object with a list"),
        ({"jwks": SIGNER.jwks, "token_endpoint_auth_signing_alg": "HS256"}, "token_endpoint_auth_signing_alg is one"),
        ({"grant_types": ["password"]}, "0.grant_types.0"),
        ({"response_types": ["token"]}, "0.response_types.0"),
        ({"redirect_uris": []}, "it needs redirect_uris or redirect_uri_patterns"),
        ({"redirect_uris": URI}, "0.redirect_uris"),
        ({"redirect_uris": ["http://app.example/"]}, "redirect URI that is refused: .*plain http"),
        ({"redirect_uri_patterns": ["http://*.example.com/"]}, "redirect URI that is refused: .*plain http"),
        ({"redirect_uri_patterns": ["*"]}, "redirect URI that is refused"),
        ({"access_ttl": 0}, "0.access_ttl"),
        ({"access_ttl": "60"}, "0.access_ttl"),
        ({"refresh_max_ttl": 366 * 86_400 + 1}, "0.refresh_max_ttl"),
        ({"require_pkce": "no"}, "0.require_pkce"),
        ({"pkce": False}, "0.pkce: Extra inputs"),
    ],
)
def test_entry_that_is_wrong_is_refused_by_its_place_and_never_shown(members: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=rf"^TOKENSVC_CLIENTS .*{problem}") as refusal:
        one(**members)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("text", ["{", "hunter2", "[" * 10_000, '"hunter2"', '{"client_id":"hunter2"}', "[1]", "null"])
def test_what_is_no_list_of_clients_is_refused_unseen(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^TOKENSVC_CLIENTS ") as refusal:
        parse_clients(text, GENERAL)
    assert "hunter2" not in str(refusal.value)


def test_client_id_that_stands_twice_is_refused() -> None:
    entry = {"client_id": "app", "redirect_uris": [URI]}
    with pytest.raises(SettingsError, match="twice"):
        parse_clients(json.dumps([entry, entry]), GENERAL)


def test_hash_is_not_in_the_repr() -> None:
    assert "secret_hash" not in repr(one(client_secret_hash=SECRET_HASH))
