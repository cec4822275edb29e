"""User codes: too many to guess, and forgiving to whoever types them (RFC 8628 §6.1)."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.protocol.user_code import ALPHABET, LENGTH, LONGEST_ENTRY, new_user_code, read, shown

CODES = st.text(ALPHABET, min_size=LENGTH, max_size=LENGTH)


def test_there_are_too_many_codes_to_guess_one() -> None:
    """34 bits: with 20 guesses a minute, a year's worth finds one of one in 2,400."""
    assert math.log2(len(set(ALPHABET)) ** LENGTH) > 34
    assert len({new_user_code() for _ in range(1000)}) == 1000


def test_no_code_spells_a_word_or_holds_a_digit() -> None:
    assert not set(ALPHABET) & set("AEIOUY0123456789")


@given(CODES)
def test_code_is_read_as_it_is_shown(code: str) -> None:
    assert read(shown(code)) == code


@pytest.mark.parametrize(
    "entry",
    [
        "WDJB-MJHT",
        "WDJBMJHT",
        "wdjb-mjht",
        "  wdjb mjht\n",
        "W D J B M J H T",
        "WDJB\u2013MJHT",
        "WDJB\u2212MJHT",
        "WDJB_MJHT",
        "wdjb.mjht",
        "\u200bWDJB\u00a0MJHT\ufeff",
        "\uff37\uff24\uff2a\uff22\uff2d\uff2a\uff28\uff34",
        "WD JB---MJ/HT",
    ],
    ids=ascii,
)
def test_case_spaces_and_dashes_do_not_matter(entry: str) -> None:
    assert read(entry) == "WDJBMJHT"


@pytest.mark.parametrize(
    ("entry", "meant"),
    [
        ("1BCD-FGHI", "LBCDFGHL"),
        ("0BCD-FGHO", "QBCDFGHQ"),
        ("2568-BBBB", "ZSGBBBBB"),
        ("uyeb-bbbb", "VVFBBBBB"),
    ],
)
def test_what_looks_like_a_letter_is_read_as_it(entry: str, meant: str) -> None:
    assert read(entry) == meant


@pytest.mark.parametrize(
    "entry",
    ["", "-", "WDJB", "WDJB-MJH", "WDJB-MJHTX", "WDJB-MJHA", "WDJB-MJH\u0422", "é" * 8, "\x00" * 8, "W" * 100_000],
    ids=lambda entry: ascii(entry[:12]),
)
def test_what_can_be_no_code_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r"user code|alphabet"):
        read(entry)


@given(st.text(max_size=2 * LONGEST_ENTRY))
def test_whatever_is_entered_is_a_code_or_refused(entry: str) -> None:
    try:
        code = read(entry)
    except ValueError:
        return
    assert (len(code), set(code) <= set(ALPHABET)) == (LENGTH, True)
