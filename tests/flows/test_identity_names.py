"""Whatever stands in account, user and role: it is never another's identity, and never hit by another's mark.

Fault 33, for API keys.
"""

from __future__ import annotations

import re
import time
from urllib.parse import quote

import pytest

from tests.flows.conftest import Start
from tests.replica import Client, Replica, Tokens, api_key_entry

Identity = tuple[str, str, str]

IDENTITIES: list[Identity] = [
    ("acme", "ada", "admin"),
    ("acme", "ada/admin", "admin"),
    ("acme/ada", "admin", "admin"),
    ("acme/", "ada", "admin"),
    ("acme", "/ada", "admin"),
    ("acme%2Fada", "admin", "admin"),
    ("acme%252Fada", "admin", "admin"),
    ("acme:ada", "x", "admin"),
    ("acme", "ada:x", "admin"),
    ("user", "acme/ada", "admin"),
    ("everything", "everything", "everything"),
    ("%", "%", "%"),
    ("a@1", "b@2", "c@3"),
    ("a=b", "c=d", "e=f"),
    ("a,b", "c;d", "e f"),
    ("日本", "ユーザー", "管理者"),
    ("é", "x", "y"),  # composed
    ("e\u0301", "x", "y"),  # decomposed: looks the same, and is another
    ("ACME", "ADA", "ADMIN"),
    ("-._~", "!$&'()*+", '"<>\\^`{|}'),
    ("🔑", "\u00a0", "\ufeff"),
    ("n" * 128, "m" * 128, "k" * 128),
    ("..", ".", ".."),
]


def key_of(identity: Identity) -> str:
    return f"key-number-{IDENTITIES.index(identity):04d}-of-these-tests"


@pytest.fixture(scope="module")
def replica(start: Start) -> Replica:
    return start(api_keys="\n".join(api_key_entry(key_of(identity), *identity) for identity in IDENTITIES))


@pytest.fixture(scope="module")
def client(replica: Replica) -> Client:
    registered = Client(replica.url)
    registered.register()
    return registered


@pytest.fixture(scope="module")
def signed_in() -> dict[Identity, Tokens]:
    return {}


@pytest.fixture
def everybody(client: Client, signed_in: dict[Identity, Tokens]) -> dict[Identity, Tokens]:
    """A live token of each; those whose last one was revoked sign in again."""
    for identity in set(IDENTITIES) - alive(client, signed_in):
        signed_in[identity] = sign_in(client, identity)
    return signed_in


def sign_in(client: Client, identity: Identity) -> Tokens:
    client.api_key = key_of(identity)
    return client.sign_in()


def subject(*parts: str) -> str:
    return "/".join(quote(part, safe="") for part in parts)


def alive(client: Client, everybody: dict[Identity, Tokens]) -> set[Identity]:
    return {identity for identity, issued in everybody.items() if client.active(issued.access)}


@pytest.mark.parametrize("identity", IDENTITIES, ids=range(len(IDENTITIES)))
def test_introspection_names_exactly_who_signed_in(client: Client, identity: Identity) -> None:
    """Fault 33. Each part as it is, and `sub` with each part encoded, so that no two identities share one."""
    facts = client.introspect(sign_in(client, identity).access)
    assert (facts["account"], facts["user"], facts["role"]) == identity
    assert facts["sub"] == subject(*identity[:2])
    assert re.fullmatch(r"[A-Za-z0-9._~%-]+/[A-Za-z0-9._~%-]+", facts["sub"])


@pytest.mark.parametrize("identity", IDENTITIES, ids=range(len(IDENTITIES)))
def test_a_mark_on_a_user_ends_that_user_and_nobody_else(
    client: Client, everybody: dict[Identity, Tokens], identity: Identity
) -> None:
    """Fault 33. Everybody is signed in; one is revoked."""
    assert client.admin_revoke("user", subject(*identity[:2])).status_code == 200
    assert alive(client, everybody) == set(IDENTITIES) - {identity}


@pytest.mark.parametrize("account", sorted({identity[0] for identity in IDENTITIES}))
def test_a_mark_on_an_account_ends_its_users_and_nobody_else(
    client: Client, everybody: dict[Identity, Tokens], account: str
) -> None:
    """Fault 33."""
    assert client.admin_revoke("account", subject(account)).status_code == 200
    assert alive(client, everybody) == {identity for identity in IDENTITIES if identity[0] != account}


@pytest.mark.parametrize("identity", [IDENTITIES[1], IDENTITIES[15]], ids=["encoded", "non-ASCII"])
def test_a_mark_on_this_app_of_this_person_ends_no_other_app_or_person(
    client: Client, everybody: dict[Identity, Tokens], identity: Identity
) -> None:
    """Fault 33, for user-client."""
    other = Client(client.url)
    other.register(client_name="Another app")
    elsewhere = sign_in(other, identity)
    assert client.admin_revoke("user-client", subject(*identity[:2]), client=client.client_id).status_code == 200
    assert alive(client, everybody) == set(IDENTITIES) - {identity}
    assert client.active(elsewhere.access)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("user", "acme/ada/admin"),
        ("user", "acme"),
        ("user", "acme/"),
        ("user", "/ada"),
        ("user", ""),
        ("user", "acme/%FF"),
        ("user", "acme/a%00b"),
        ("user", f"acme/{'u' * 129}"),
        ("account", "acme/ada"),
        ("account", ""),
        ("everything", "acme"),
        ("role", "admin"),
        ("user-client", "acme/ada"),
        ("token", "a/b"),
        ("family", "*"),
    ],
    ids=repr,
)
def test_a_subject_that_is_no_one_s_name_is_refused(
    client: Client, everybody: dict[Identity, Tokens], kind: str, name: str
) -> None:
    """Fault 33. A mark on a name that nobody can have would be a revocation that did not happen."""
    answer = client.admin_revoke(kind, name)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert alive(client, everybody) == set(everybody)


def test_marks_by_configuration_name_the_same_people(
    replica: Replica, client: Client, everybody: dict[Identity, Tokens]
) -> None:
    """Fault 33, for TOKENSVC_DENYLIST: the same spelling, and whatever stands in it."""
    named = [IDENTITIES[index] for index in (1, 5, 7, 11, 12, 14, 15, 16, 19)]
    now = time.time_ns() // 1_000_000
    with replica.twin(denylist="\n".join(f"user:{subject(*each[:2])}@{now}" for each in named)):
        assert alive(client, everybody) == set(IDENTITIES) - set(named)


def test_a_wrong_key_and_keys_that_hold_anything_are_told_apart(start: Start) -> None:
    """Fault 33 for the keys themselves: their hash is listed, so their form is free."""
    keys = ["schlüssel mit leerzeichen", "a,b\tc=d/e:f%2F+g", "🔑" * 8]
    entries = [api_key_entry(key, "acme", f"user {number}") for number, key in enumerate(keys)]
    client = Client(start("memory://", api_keys=",".join(entries)).url)
    client.register()
    for number, key in enumerate(keys):
        client.api_key = key
        assert client.introspect(client.sign_in().access)["user"] == f"user {number}"
    url, page = client.page()
    for wrong in ("schlüssel mit  leerzeichen", "SCHLÜSSEL MIT LEERZEICHEN", "a,b\tc=d/e:f/+g", "🔑" * 7):
        assert client.decide(url, page, api_key=wrong).status_code == 401
