"""Sign-in by API key: whose it is, and what ends when it is rotated or changed."""

import asyncio
import base64
import hashlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.identity.test_identity import identities, written
from tokensvc.errors import SettingsError
from tokensvc.identity import Identity, IdentityEnded, SignedIn, credential_of
from tokensvc.identity.api_keys import ApiKeys, new_api_key

NOW = 1_800_000_000_000
ADA = Identity("acme", "ada", "admin")
BOB = Identity("acme", "bob", "member")


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def entry(key: str, identity: Identity = ADA, activation: str = "") -> str:
    at = f"@{activation}" if activation else ""
    return f"sha256:{digest(key)}{at}={written(identity)}"


def sign_in(keys: ApiKeys, secret: str, now: int = NOW) -> SignedIn | None:
    return asyncio.run(keys.sign_in(secret, now))


def confirm(keys: ApiKeys, signed_in: SignedIn, now: int = NOW) -> None:
    asyncio.run(keys.confirm(signed_in.credential, signed_in.identity, now))


def signed_in(keys: ApiKeys, secret: str) -> SignedIn:
    found = sign_in(keys, secret)
    assert found is not None
    return found


# Whose key it is


def test_key_signs_in_the_person_it_is_listed_for() -> None:
    keys = ApiKeys.parse(f"{entry('one')},{entry('two', BOB)}")
    assert signed_in(keys, "one").identity == ADA
    assert signed_in(keys, "two").identity == BOB


@pytest.mark.parametrize(
    "secret", ["", " ", "on", "o ne", "ONE", "one\0", digest("one"), f"sha256:{digest('one')}", "é" * 10_000]
)
def test_what_is_not_a_listed_key_signs_nobody_in(secret: str) -> None:
    assert sign_in(ApiKeys.parse(entry("one")), secret) is None


def test_without_keys_nobody_signs_in() -> None:
    assert sign_in(ApiKeys.parse(""), "one") is None


@given(identities)
def test_key_of_any_identity_signs_in_exactly_that_identity(identity: Identity) -> None:
    secret, listed = new_api_key(identity, "ts")
    assert signed_in(ApiKeys.parse(listed), secret).identity == identity


@given(identities, identities)
def test_key_never_stands_for_another_identity(one: Identity, other: Identity) -> None:
    assume(one != other)
    (first, first_entry), (second, second_entry) = new_api_key(one, "ts"), new_api_key(other, "ts")
    keys = ApiKeys.parse(f"{first_entry}\n{second_entry}")
    mine, theirs = signed_in(keys, first), signed_in(keys, second)
    assert (mine.identity, theirs.identity) == (one, other)
    confirm(keys, mine)
    for mixed in (SignedIn(other, mine.credential), SignedIn(one, theirs.credential)):
        with pytest.raises(IdentityEnded):
            confirm(keys, mixed)


@given(st.text(min_size=1, max_size=50).filter(lambda text: text == text.strip()))
def test_key_may_be_any_text(secret: str) -> None:
    assert signed_in(ApiKeys.parse(entry(secret)), secret).identity == ADA


def test_spaces_and_line_ends_around_a_pasted_key_are_nothing() -> None:
    assert signed_in(ApiKeys.parse(entry("one")), " one\r\n").identity == ADA


# What ends


def test_removed_key_ends_what_it_authorized() -> None:
    before = signed_in(ApiKeys.parse(f"{entry('one')},{entry('two')}"), "one")
    with pytest.raises(IdentityEnded, match="no API key, client or issuer"):
        confirm(ApiKeys.parse(entry("two")), before)


@pytest.mark.parametrize(
    "changed",
    [ADA._replace(role="member"), ADA._replace(account="other"), ADA._replace(user="eve"), ADA._replace(role="Admin")],
)
def test_changed_account_user_or_role_ends_what_the_key_authorized(changed: Identity) -> None:
    before = signed_in(ApiKeys.parse(entry("one")), "one")
    after = ApiKeys.parse(entry("one", changed))
    with pytest.raises(IdentityEnded, match="another account, user or role"):
        confirm(after, before)
    confirm(after, signed_in(after, "one"))


def test_rotated_key_of_the_same_person_ends_what_the_old_one_authorized() -> None:
    before = signed_in(ApiKeys.parse(entry("old")), "old")
    with pytest.raises(IdentityEnded):
        confirm(ApiKeys.parse(entry("new")), before)


def test_key_that_stays_keeps_what_it_authorized_whatever_else_changes() -> None:
    before = signed_in(ApiKeys.parse(entry("one")), "one")
    confirm(ApiKeys.parse(f"{entry('three', BOB)}\n{entry('one')},{entry('two')}"), before)


# Activation


def test_key_signs_in_from_its_activation_on() -> None:
    keys = ApiKeys.parse(entry("one", activation="2030-01-01T00:00:00Z"))
    activation = 1_893_456_000_000
    assert sign_in(keys, "one", activation - 1) is None
    found = sign_in(keys, "one", activation)
    assert found is not None
    assert found.identity == ADA


def test_old_and_staged_key_of_one_person_overlap() -> None:
    keys = ApiKeys.parse(f"{entry('old')},{entry('new', activation='1900000000')}")
    assert signed_in(keys, "old").identity == ADA
    assert sign_in(keys, "new", 1_900_000_000_000) is not None
    assert sign_in(keys, "old", 1_900_000_000_000) is not None


# The credential's name


def test_credential_is_eight_bytes_that_reveal_neither_key_nor_hash() -> None:
    credential = credential_of(digest("one"))
    assert len(base64.urlsafe_b64decode(credential + "=")) == 8
    raw = bytes.fromhex(digest("one"))
    assert base64.urlsafe_b64encode(raw).decode()[:10] not in credential
    assert credential == signed_in(ApiKeys.parse(entry("one")), "one").credential
    assert credential == signed_in(ApiKeys.parse(entry("one", BOB)), "one").credential


def test_new_keys_are_long_random_and_carry_the_prefix() -> None:
    made = [new_api_key(ADA, "ov_key") for _ in range(100)]
    assert len({key for key, _ in made}) == 100
    assert all(key.startswith("ov_key_") and len(key) >= 50 for key, _ in made)
    assert not any(key in listed for key, listed in made)


# The setting


def test_entries_are_separated_by_commas_or_lines() -> None:
    text = f"\n{entry('one')},{entry('two')}\r\n\n {entry('three')} ,"
    keys = ApiKeys.parse(text)
    assert all(sign_in(keys, secret) for secret in ("one", "two", "three"))


def test_hash_may_be_written_in_capitals() -> None:
    keys = ApiKeys.parse(f"sha256:{digest('one').upper()}=acme/ada/admin")
    assert signed_in(keys, "one") == signed_in(ApiKeys.parse(entry("one")), "one")


REFUSED = {
    "a bare key": "ts_key_secret-of-ada",
    "a key in place of its hash": "ts_key_secret-of-ada=acme/ada/admin",
    "a short hash": f"sha256:{digest('one')[:-1]}=acme/ada/admin",
    "a long hash": f"sha256:{digest('one')}0=acme/ada/admin",
    "another hash": f"md5:{digest('one')}=acme/ada/admin",
    "no identity": f"sha256:{digest('one')}",
    "an empty identity": f"sha256:{digest('one')}=",
    "two parts": f"sha256:{digest('one')}=acme/ada",
    "four parts": f"sha256:{digest('one')}=a/b/ada/admin",
    "an empty part": f"sha256:{digest('one')}=acme//admin",
    "a control character": f"sha256:{digest('one')}=acme/ada%0A/admin",
    "no UTF-8": f"sha256:{digest('one')}=acme/ada%FF/admin",
    "an account that is too long": f"sha256:{digest('one')}={'a' * 129}/ada/admin",
    "an activation that is no time": f"sha256:{digest('one')}@soon=acme/ada/admin",
    "an empty activation": f"sha256:{digest('one')}@=acme/ada/admin",
    "a key twice": f"{entry('one')},{entry('one', BOB)}",
    "a key twice in the same words": f"{entry('one')},{entry('one')}",
    "a key twice in capitals": f"{entry('one')},sha256:{digest('one').upper()}=acme/ada/admin",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_refusal_names_the_variable_and_a_way_out_and_shows_no_key(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        ApiKeys.parse(f"{entry('zero')}\n{text}")
    message = str(refused.value)
    assert message.startswith("TOKENSVC_API_KEYS ")
    assert any(way in message for way in ("tokensvc apikey new", "Percent-encode", "Give every key"))
    assert "secret-of-ada" not in message
    assert digest("one") not in message
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
