"""Client authentication (RFC 6749 §2.3): which credentials a request holds, and whether they are a client's."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.directory import new_clients
from tests.tokens.examples import NOW, sealer
from tokensvc.errors import InvalidClient, InvalidRequest
from tokensvc.protocol.client import Client, Clients, Lifetimes
from tokensvc.protocol.client_authentication import ClientCredentials, authenticate, parse_basic
from tokensvc.protocol.redirect_uri import RedirectPolicy

LIFETIMES = Lifetimes(1, 1, 1, 1)
PUBLIC = Client("public", "p" * 22, "P", "none", ("authorization_code",), LIFETIMES, frozenset())
SECRET = "s%2Bcret+ /é"


def confidential(client_id: str, secret: str = SECRET) -> Client:
    digest = hashlib.sha256(secret.encode()).digest()
    return replace(PUBLIC, client_id=client_id, method="client_secret_basic", secret_hash=digest)


def clients(*known: Client) -> Clients:
    by_id: Mapping[str, Client] = {client.client_id: client for client in known}
    return new_clients(sealer(), by_id, LIFETIMES, RedirectPolicy.parse(""))


def parse(authorization: str | None, client_id: str | None, client_secret: str | None) -> ClientCredentials:
    parameters = {"client_id": client_id, "client_secret": client_secret}
    return ClientCredentials.parse(authorization, {name: text for name, text in parameters.items() if text is not None})


def authenticated(credentials: ClientCredentials, known: Clients) -> Client:
    return asyncio.run(authenticate(credentials, known, frozenset(), NOW)).client


def basic(name: str, secret: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"


def test_public_client_names_itself() -> None:
    credentials = parse(None, "public", None)
    assert (credentials.client_ids, credentials.secrets, credentials.basic) == (("public",), (), False)
    assert authenticated(credentials, clients(PUBLIC)) == PUBLIC


def test_secret_in_the_body_is_taken_as_it_is() -> None:
    credentials = parse(None, "id", SECRET)
    assert authenticated(credentials, clients(confidential("id"))).client_id == "id"
    encoded = parse(None, "id", quote(SECRET, safe=""))
    with pytest.raises(InvalidClient):
        authenticated(encoded, clients(confidential("id")))


@pytest.mark.parametrize("client_id", ["id", "a.b-c_d~e", "https://app.example/client", "a+b", "a%2Bb", "a:b"])
def test_basic_is_taken_percent_encoded_or_as_it_is(client_id: str) -> None:
    known = clients(confidential(client_id))
    spelled = [(quote(client_id, safe=""), quote(SECRET, safe="")), (quote_plus(client_id), quote_plus(SECRET))]
    if ":" not in client_id:
        spelled.append((client_id, SECRET))
    for name, secret in spelled:
        credentials = parse(basic(name, secret), None, None)
        assert credentials.basic
        assert authenticated(credentials, known).client_id == client_id


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_any_name_and_secret_survive_encoding(name: str, secret: str) -> None:
    credentials = parse(basic(quote(name, safe=""), quote(secret, safe="")), None, None)
    assert name in credentials.client_ids
    assert secret in credentials.secrets


def test_spelling_that_is_known_wins_over_one_that_is_not() -> None:
    """A name that looks encoded may be one that is not."""
    credentials = parse(basic("a%2Bb", SECRET), None, None)
    assert authenticated(credentials, clients(confidential("a%2Bb"), confidential("a+b"))).client_id == "a%2Bb"
    assert authenticated(credentials, clients(confidential("a+b"))).client_id == "a+b"


def test_client_id_may_stand_in_the_body_too_if_equal() -> None:
    for name in ("a+b", "a%2Bb"):
        credentials = parse(basic(name, SECRET), "a+b", None)
        assert authenticated(credentials, clients(confidential("a+b"))).client_id == "a+b"
    for client_id, client_secret in (("other", None), ("a+b", SECRET), (None, SECRET), ("a+b", "")):
        with pytest.raises(InvalidRequest):
            parse(basic("a+b", SECRET), client_id, client_secret)


@pytest.mark.parametrize("secret", ["", "wrong", SECRET[:-1], SECRET.upper(), f"{SECRET} "])
def test_wrong_secret_is_refused_in_either_way(secret: str) -> None:
    for credentials in (
        parse(None, "id", secret),
        parse(basic("id", secret), None, None),
        parse(None, "id", None),
    ):
        with pytest.raises(InvalidClient) as refusal:
            authenticated(credentials, clients(confidential("id")))
        assert refusal.value.basic is credentials.basic
        assert SECRET not in refusal.value.reason


def test_empty_secret_is_nobodys() -> None:
    """Also where a client without a secret hash were taken for a confidential one."""
    broken = replace(PUBLIC, client_id="id", method="client_secret_basic", secret_hash=b"")
    for credentials in (parse(None, "id", ""), parse(basic("id", ""), None, None)):
        with pytest.raises(InvalidClient):
            authenticated(credentials, clients(broken))


def test_unknown_client_is_refused_like_a_wrong_secret() -> None:
    with pytest.raises(InvalidClient) as unknown:
        authenticated(parse(None, "unknown", SECRET), clients())
    with pytest.raises(InvalidClient) as wrong:
        authenticated(parse(None, "id", "wrong"), clients(confidential("id")))
    assert unknown.value.description == wrong.value.description
    with pytest.raises(InvalidClient):
        parse(None, None, SECRET)


@pytest.mark.parametrize(
    "encoded", ["", "=", "!!!", "Zm9v", "Zm9vOmJhcg", "Zm9vOmJhcg== x", "/////w==", "Zm9 vOmJhcg=="]
)
def test_header_that_is_no_basic_is_refused(encoded: str) -> None:
    for scheme in ("Basic", "basic", "BASIC"):
        with pytest.raises(InvalidClient) as refusal:
            parse(f"{scheme} {encoded}", "id", None)
        assert refusal.value.basic
    with pytest.raises(ValueError, match="not Basic"):
        parse_basic("Bearer Zm9vOmJhcg==")


def test_name_ends_at_the_first_colon() -> None:
    assert parse_basic("basic  Zm9vOmI6Yw==  ") == ("foo", "b:c")


@given(st.text(st.characters(max_codepoint=255), max_size=40))
def test_any_header_is_basic_or_refused(header: str) -> None:
    for authorization in (header, f"Basic {header}"):
        try:
            parse(authorization, None, None)
        except InvalidClient as refusal:
            assert refusal.basic  # noqa: PT017  # most headers are refused, some are not


def test_secrets_are_not_in_the_repr() -> None:
    assert SECRET not in repr(parse(None, "id", SECRET))
