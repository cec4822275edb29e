"""Identities: no account, user or role can be written so that it is read as another (RFC 3986 §2)."""

import unicodedata
from itertools import product

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tokensvc.identity import Identity, parse_identity, quote_part, unquote_part
from tokensvc.ledger import marks
from tokensvc.ledger.marks import parse_subject, subject_name, subject_text

# Whatever a part may hold, and often the characters that separate parts somewhere.
characters = st.sampled_from("/:%@,=~. ") | st.characters(exclude_categories=["Cc", "Cs"])
parts = st.text(characters, min_size=1, max_size=40).filter(lambda part: len(part.encode()) <= 128)
identities = st.builds(Identity, parts, parts, parts)
HOSTILE = [
    "a/b",
    "a%2Fb",
    "a:b",
    "%",
    "%%",
    "%2",
    "%25",
    "a@b",
    "a,b",
    "a=b",
    " ",
    "..",
    "é",
    "e\u0301",
    "ß",
    "\u202e",
    "\u2028",
]


def written(identity: Identity) -> str:
    return "/".join(quote_part(part) for part in identity)


@given(identities)
@example(Identity("a/b", "c", "d"))
@example(Identity("a", "b/c", "d"))
@example(Identity("a%2Fb", "c", "d"))
def test_identity_is_read_back_as_it_was_written(identity: Identity) -> None:
    assert parse_identity(written(identity)) == identity


@given(identities, identities)
@example(Identity("a/b", "c", "r"), Identity("a", "b/c", "r"))
@example(Identity("a%2Fb", "c", "r"), Identity("a/b", "c", "r"))
@example(Identity("a:b", "c", "r"), Identity("a", "b:c", "r"))
def test_two_people_never_share_a_sub(one: Identity, other: Identity) -> None:
    assume(one[:2] != other[:2])
    assert one.sub != other.sub


@given(identities)
def test_sub_holds_one_slash_and_unreserved_or_encoded_characters_alone(identity: Identity) -> None:
    assert identity.sub.count("/") == 1
    assert identity.sub.isascii()
    assert set(identity.sub) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%/")
    assert tuple(unquote_part(part) for part in identity.sub.split("/")) == identity[:2]


@given(identities, identities)
@example(Identity("a/b", "c", "r"), Identity("a", "b/c", "r"))
@example(Identity("a", "b", "r"), Identity("a/b", "b", "r"))
def test_two_people_never_share_a_mark(one: Identity, other: Identity) -> None:
    assume(one[:2] != other[:2])
    assert subject_text(marks.user(*one[:2])) != subject_text(marks.user(*other[:2]))
    assert subject_text(marks.user_client(*one[:2], "h")) != subject_text(marks.user_client(*other[:2], "h"))


@given(identities)
def test_mark_written_out_is_read_back_on_the_same_person(identity: Identity) -> None:
    for subject in (
        marks.account(identity.account),
        marks.user(identity.account, identity.user),
        marks.user_client(identity.account, identity.user, "handle"),
    ):
        assert parse_subject(subject[0], subject_name(subject)) == subject


def test_hostile_parts_stay_apart() -> None:
    for one, other in product(HOSTILE, HOSTILE):
        assert (parse_identity(written(Identity(one, "u", "r"))).account == other) == (one == other)
        assert (Identity(one, "u", "r").sub == Identity(other, "u", "r").sub) == (one == other)


def test_composed_and_decomposed_letters_are_two_accounts() -> None:
    one, other = Identity("é", "u", "r"), Identity("e\u0301", "u", "r")
    assert unicodedata.normalize("NFC", other.account) == one.account
    assert one.sub != other.sub


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a/b",
        "a/b/c/d",
        "/b/c",
        "a//c",
        "a/b/",
        "a/b/c/",
        "a%00/b/c",
        "a/b%0A/c",
        "a/b/c%7F",
        "a/b/c%C2%85",
        "a\n/b/c",
        "%FF/b/c",
        "a%/b/c",
        "a/b%2/c",
        "a/b/%g0",
        "a/b/%%25",
        "a/%C3/c",
        "a/%ED%A0%80/c",
        "\ud800/b/c",
        "x" * 129 + "/b/c",
        "%C3%A9" * 65 + "/b/c",
        "a/b/" + "é" * 65,
    ],
)
def test_what_is_no_account_user_and_role_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"account|utf-8"):
        parse_identity(text)


@pytest.mark.parametrize("part", ["x" * 128, "é" * 64, "\U0001f511" * 32])
def test_part_may_have_128_bytes(part: str) -> None:
    assert parse_identity(written(Identity(part, part, part))) == Identity(part, part, part)


@given(st.text(max_size=60))
def test_any_text_is_an_identity_or_a_value_error(text: str) -> None:
    try:
        identity = parse_identity(text)
    except ValueError:
        return
    assert parse_identity(written(identity)) == identity
