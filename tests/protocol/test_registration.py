"""Dynamic client registration (RFC 7591): what is sealed into a client_id, and what is echoed."""

from __future__ import annotations

import asyncio
import unicodedata
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.directory import new_clients
from tests.tokens.examples import NOW, entry, sealer
from tokensvc.errors import InvalidClientMetadata, InvalidRedirectUri
from tokensvc.protocol.client import Lifetimes
from tokensvc.protocol.redirect_uri import RedirectPolicy
from tokensvc.protocol.registration import MOST_REDIRECTS, NAME_BYTES, Registration
from tokensvc.tokens.kinds import ClientId

SEALER = sealer()
OPEN = RedirectPolicy.parse("")
LIFETIMES = Lifetimes(1, 2, 3, 4)
URIS = [f"https://app{number}.example/callback" for number in range(MOST_REDIRECTS + 1)]


def register(**metadata: Any) -> dict[str, Any]:
    """The response, with lists as JSON has them."""
    response = Registration.parse({"redirect_uris": URIS[:1]} | metadata, OPEN).seal(SEALER, NOW)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in response.items()}


def sealed(response: dict[str, Any]) -> ClientId:
    return SEALER.unseal(ClientId, response["client_id"], NOW)


def test_client_that_says_nothing_is_one_of_client_secret_basic() -> None:
    """RFC 7591 §2."""
    response = register()
    assert response["token_endpoint_auth_method"] == "client_secret_basic"
    assert response["grant_types"] == ["authorization_code", "refresh_token"]
    assert response["response_types"] == ["code"]
    assert "client_name" not in response


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        (["authorization_code"], ["authorization_code"]),
        (["refresh_token", "authorization_code"], ["authorization_code", "refresh_token"]),
        (["authorization_code", "implicit", "urn:x"], ["authorization_code"]),
        (["authorization_code", "authorization_code"], ["authorization_code"]),
    ],
)
def test_unknown_grant_types_are_dropped_and_the_rest_echoed(asked: list[str], granted: list[str]) -> None:
    assert register(grant_types=asked)["grant_types"] == granted


def test_what_is_not_understood_is_left_out_of_the_answer() -> None:
    response = register(scope="x", contacts=["a"], jwks_uri="https://app.example/jwks", software_id="x", unknown=[1])
    assert response.keys() == register().keys()


@pytest.mark.parametrize(
    "extra",
    [
        {"software_statement": "eyJhbGciOiJub25lIn0.e30."},
        {"jwks_uri": "not a URL"},
        {"contacts": "ada@app.example"},
        {"contacts": [None]},
        {"client_name#de": "Anwendung", "client_name#": "", "tos_uri#ja": 1},
        {"scope": ["mcp"]},
        {"token_endpoint_auth_signing_alg": "RS256"},
        {"request_uris": ["https://app.example/request"]},
        dict.fromkeys(("client_name", "grant_types", "response_types", "scope", "contacts", "jwks_uri"), ""),
        dict.fromkeys(("client_name", "grant_types", "response_types", "jwks", "dpop_bound_access_tokens")),
        {"dpop_bound_access_tokens": False, "require_pushed_authorization_requests": ""},
    ],
    ids=str,
)
def test_what_real_clients_add_stops_nobody(extra: dict[str, Any]) -> None:
    plain = register(token_endpoint_auth_method="none")
    assert register(token_endpoint_auth_method="none", **extra) == plain


def test_client_is_held_to_what_it_wants_to_be_held_to() -> None:
    names = ("dpop_bound_access_tokens", "require_pushed_authorization_requests")
    for wanted in ((), names[:1], names[1:], names):
        response = register(token_endpoint_auth_method="none", **dict.fromkeys(wanted, True))
        assert {name for name in names if response.get(name) is True} == set(wanted)
        client = asyncio.run(new_clients(SEALER, {}, LIFETIMES, OPEN).find(response["client_id"], NOW))
        assert [getattr(client, name) for name in names] == [name in wanted for name in names]
    for value in ("true", 1, [True]):
        with pytest.raises(InvalidClientMetadata, match="true or false"):
            register(dpop_bound_access_tokens=value)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("private_key_jwt", "metadata document"),
        ("client_secret_jwt", "these are: none, client_secret_basic, client_secret_post"),
        ("tls_client_auth", "these are"),
    ],
)
def test_way_to_authenticate_that_cannot_be_had_is_refused_with_what_can(method: str, said: str) -> None:
    with pytest.raises(InvalidClientMetadata, match=said):
        register(token_endpoint_auth_method=method)


def test_redirect_uris_are_echoed_as_written_and_sealed_as_digests() -> None:
    uris = ["HTTPS://App.example", "http://127.0.0.1:5/cb", "http://127.0.0.1:6/cb", "cursor://x/y"]
    response = register(redirect_uris=uris)
    assert response["redirect_uris"] == uris
    assert len(sealed(response).redirects) == 3 * 22


def test_eight_distinct_redirect_uris_fit_and_nine_do_not() -> None:
    response = register(redirect_uris=URIS[:MOST_REDIRECTS] * 2, client_name="n" * 200)
    assert len(response["client_id"]) <= 512
    with pytest.raises(InvalidRedirectUri, match="8 distinct"):
        register(redirect_uris=URIS)
    with pytest.raises(InvalidRedirectUri, match="8 distinct"):
        register(redirect_uris=URIS[:1] * 1000)


def test_order_and_repetition_of_redirect_uris_give_the_same_public_client() -> None:
    public = {"token_endpoint_auth_method": "none"}
    first = register(redirect_uris=URIS[:3], **public)["client_id"]
    assert register(redirect_uris=[*reversed(URIS[:3]), URIS[0]], **public)["client_id"] == first


@given(st.text(max_size=200))
def test_name_is_echoed_and_sealed_short_without_control_characters(name: str) -> None:
    response = register(client_name=name, token_endpoint_auth_method="none")
    kept = sealed(response).name
    assert response.get("client_name", "") == name
    assert len(kept.encode()) <= NAME_BYTES
    assert not [character for character in kept if unicodedata.category(character) == "Cc"]
    assert len(response["client_id"]) <= 512


def test_registration_that_does_not_fit_is_refused() -> None:
    """The longest kid, eight redirect URIs, and a name that JSON doubles."""
    longest = sealer(client_keys=entry("c" * 16))
    registration = Registration.parse({"redirect_uris": URIS[:MOST_REDIRECTS], "client_name": '"' * 48}, OPEN)
    with pytest.raises(InvalidClientMetadata, match="does not fit"):
        registration.seal(longest, NOW)
    assert len(str(registration.seal(SEALER, NOW)["client_id"])) <= 512


def test_long_name_is_cut_between_characters() -> None:
    assert sealed(register(client_name="é" * 100)).name == "é" * 24
    assert sealed(register(client_name="日" * 100)).name == "日" * 16
    assert sealed(register(client_name="e\u0301" * 100)).name == "é" * 24


@pytest.mark.parametrize("metadata", [None, [], "x", 1, True])
def test_what_is_no_object_is_refused(metadata: object) -> None:
    with pytest.raises(InvalidClientMetadata):
        Registration.parse(metadata, OPEN)


def test_policy_of_the_operator_holds_for_every_uri() -> None:
    policy = RedirectPolicy.parse("app0.example")
    assert Registration.parse({"redirect_uris": URIS[:1]}, policy).redirect_uris == (URIS[0],)
    with pytest.raises(InvalidRedirectUri, match="operator"):
        Registration.parse({"redirect_uris": URIS[:2]}, policy)


def test_a_name_is_cut_before_it_is_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Composing takes time by the square of the accents on a letter: a long name would stop the replica."""
    composed: list[str] = []
    compose = unicodedata.normalize

    def listen(form: Literal["NFC"], text: str) -> str:
        composed.append(text)
        return compose(form, text)

    monkeypatch.setattr(unicodedata, "normalize", listen)
    register(client_name="a" + "\u0301" * 16_000)
    assert composed
    assert max(map(len, composed)) < 256
