"""What a token rests on has to stand still: its credential, its role, its resource, its scope, its lifetime.

A setting changes, and the replica starts anew on the same sqlite ledger. Where nothing is lost by it, the one before
goes on running, so that it serves more than one test.
"""

from __future__ import annotations

import time

import pytest

from tests.flows.conftest import Start
from tests.replica import API_KEY, Client, Replica, Tokens, api_key_entry, tokens, wait_until

NEW_KEY = "key_of-ada-after-a-rotation-and-long-enough"
BOB_KEY = "key_for-bob-which-is-long-enough"
SECRET = "secret-of-the-first-resource"
OTHER_SECRET = "secret-of-the-second-resource"
BOB = api_key_entry(BOB_KEY, user="bob")
REMOVED = "no API key, client or issuer stands for it any more"
CHANGED = "the API key has another account, user or role now"


@pytest.fixture(scope="module")
def before(start: Start) -> Replica:
    """How it was before a setting changed."""
    return start(api_keys=f"{api_key_entry(API_KEY)},{BOB}")


def refused(client: Client, issued: Tokens) -> bool:
    """Whether neither token is good for anything, and that is all that is said of them."""
    error = client.refresh(issued.refresh).json().get("error")
    return client.introspect(issued.access) == {"active": False} and error == "invalid_grant"


CHANGES = {
    "it is removed": (BOB, REMOVED),
    "it is rotated": (f"{api_key_entry(NEW_KEY)},{BOB}", REMOVED),
    "its role changes": (f"{api_key_entry(API_KEY, role='viewer')},{BOB}", CHANGED),
    "its user changes": (f"{api_key_entry(API_KEY, user='eve')},{BOB}", CHANGED),
    "its account changes": (f"{api_key_entry(API_KEY, 'evil')},{BOB}", CHANGED),
}


@pytest.mark.parametrize(("keys", "reason"), CHANGES.values(), ids=CHANGES)
def test_what_an_api_key_authorized_ends_when(before: Replica, keys: str, reason: str) -> None:
    """At introspection and at refresh, for codes too; what another key authorized lives; and the log says why."""
    ada, bob = Client(before.url), Client(before.url, api_key=BOB_KEY)
    issued, code = ada.sign_in(), ada.code()
    others = bob.sign_in()
    assert ada.active(issued.access)
    with before.twin(api_keys=keys) as after:
        ada.url = bob.url = after.url
        assert refused(ada, issued)
        assert ada.redeem(code).json()["error"] == "invalid_grant"
        assert after.logged("token inactive", reason=reason)
        assert after.logged("token refused", reason=reason, grant_type="refresh_token")
        assert bob.active(others.access)


def test_a_refusal_for_the_credential_uses_nothing_up(start: Start) -> None:
    """A key that was removed by mistake and comes back brings back what it had authorized."""
    replica = start()
    client = Client(replica.url)
    issued = client.sign_in()
    replica.restart(api_keys=api_key_entry(API_KEY, role="viewer"))
    assert refused(client, issued)
    replica.restart(api_keys=api_key_entry(API_KEY))
    assert client.active(issued.access)
    assert client.refresh(issued.refresh).status_code == 200


def test_a_key_that_is_not_active_yet_signs_nobody_in(start: Start) -> None:
    """And the one that is in force meanwhile does."""
    entry = api_key_entry(NEW_KEY).replace("=", f"@{int(time.time()) + 3600}=", 1)
    client = Client(start("memory://", api_keys=f"{api_key_entry(API_KEY)},{entry}").url)
    client.sign_in()
    url, page = client.page()
    assert client.decide(url, page, api_key=NEW_KEY).status_code == 401


def test_a_resource_taken_away_ends_its_tokens_and_no_others(start: Start) -> None:
    """Introspection, refresh, codes and the page in flight."""
    first, second = "https://one.example.com/mcp", "https://two.example.com/mcp"
    replica = start(resources=f"{first},{second}", introspection_tokens=f"{first}={SECRET},{second}={OTHER_SECRET}")
    client = Client(replica.url)
    client.register()
    gone = tokens(client.redeem(client.code(resource=first)))
    kept = tokens(client.redeem(client.code(resource=second)))
    code = client.code(resource=first)
    url, page = client.page(resource=first)
    assert client.introspect(gone.access, SECRET)["aud"] == first
    assert client.introspect(gone.access, OTHER_SECRET) == {"active": False}
    replica.restart(resources=second, introspection_tokens=OTHER_SECRET)
    assert client.introspect(gone.access, OTHER_SECRET) == {"active": False}
    assert client.refresh(gone.refresh).json()["error"] == "invalid_grant"
    assert client.refresh(gone.refresh, resource=first).json()["error"] == "invalid_grant"
    assert client.redeem(code).json()["error"] == "invalid_grant"
    assert client.decide(url, page).status_code == 400
    assert client.introspect(kept.access, OTHER_SECRET)["aud"] == second
    assert client.refresh(kept.refresh).status_code == 200


def test_a_refresh_narrows_the_access_token_and_never_the_grant(start: Start) -> None:
    """RFC 6749 §6: less for one access token, the whole again for the next, and never more than was granted."""
    client = Client(start("memory://", scopes="mcp read write").url)
    client.register()
    issued = tokens(client.redeem(client.code(scope="mcp read")))
    assert issued.response["scope"] == "mcp read"
    narrow = tokens(client.refresh(issued.refresh, scope="read"))
    assert narrow.response["scope"] == "read"
    assert client.introspect(narrow.access)["scope"] == "read"
    whole = tokens(client.refresh(narrow.refresh))
    assert client.introspect(whole.access)["scope"] == "mcp read"
    wide = tokens(client.refresh(whole.refresh, scope="mcp read write admin offline_access"))
    assert client.introspect(wide.access)["scope"] == "mcp read"


def test_a_scope_taken_away_is_gone_with_the_next_refresh(start: Start) -> None:
    """What is left of the grant is granted on."""
    replica = start(scopes="mcp read write")
    client = Client(replica.url)
    client.register()
    issued = tokens(client.redeem(client.code(scope="read write")))
    replica.restart(scopes="mcp read")
    assert tokens(client.refresh(issued.refresh)).response["scope"] == "read"


LIFETIMES = {
    # the setting that is lowered: whether the access token, the refresh token and the code outlive it
    "access_ttl": (False, True, True),
    "refresh_ttl": (True, False, True),
    "refresh_max_ttl": (True, False, True),
    "code_ttl": (True, True, False),
}


@pytest.mark.parametrize(("setting", "outlives"), LIFETIMES.items(), ids=LIFETIMES)
def test_a_lifetime_that_is_lowered_holds_for_what_was_issued_before(
    before: Replica, setting: str, outlives: tuple[bool, bool, bool]
) -> None:
    """A token dies at its issue plus the present setting, whatever was sealed."""
    client = Client(before.url)
    issued, code = client.sign_in(), client.code()
    latest = time.time()
    with before.twin(**{setting: "1"}) as after:
        client.url = after.url
        wait_until(latest + 1.1)
        answers = [client.refresh(issued.refresh).json(), client.redeem(code).json()]
        assert (client.active(issued.access), *map(is_good, answers)) == outlives


def is_good(answer: dict[str, str]) -> bool:
    assert "access_token" in answer or answer["error"] == "invalid_grant"
    return "access_token" in answer


def test_a_lifetime_that_is_raised_prolongs_nothing(start: Start) -> None:
    """Expiry is sealed."""
    replica = start(access_ttl="1", refresh_ttl="1")
    client = Client(replica.url)
    issued = client.sign_in()
    assert issued.response["expires_in"] == 1
    wait_until(time.time() + 1.1)
    replica.restart(access_ttl="3600", refresh_ttl="3600")
    assert refused(client, issued)


def test_refreshing_ends_at_the_maximum_however_often_it_was_done(start: Start) -> None:
    """TOKENSVC_REFRESH_MAX_TTL counts from the sign-in."""
    client = Client(start("memory://", refresh_ttl="2", refresh_max_ttl="2", refresh_grace="0").url)
    began = time.time()
    issued = client.sign_in()
    signed_in = asked = time.time()
    while (answer := client.refresh(issued.refresh)).status_code == 200:
        assert asked < signed_in + 2.01
        issued = tokens(answer)
        asked = time.time()
    assert answer.json()["error"] == "invalid_grant"
    assert time.time() > began + 1.99
    assert client.active(issued.access)
