"""How long an answer is fresh by its headers, and what asks for it anew."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from tokensvc.outbound.freshness import LONGEST, SHORTEST, USUAL, lifetime, validators

NOW = 1_800_000_000_000


def date(seconds: int) -> str:
    return formatdate(NOW / 1000 + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, USUAL),
        ({"cache-control": "public"}, USUAL),
        ({"cache-control": "public, max-age=600"}, 600_000),
        ({"cache-control": "MAX-AGE = 600"}, 600_000),
        ({"cache-control": 'max-age="600"'}, 600_000),
        ({"cache-control": "max-age=600", "age": "100"}, 500_000),
        ({"cache-control": "max-age=600", "age": "nonsense"}, 600_000),
        ({"cache-control": "max-age=600", "expires": date(-1)}, 600_000),
        ({"cache-control": "max-age=0"}, SHORTEST),
        ({"cache-control": "max-age=600, no-store"}, SHORTEST),
        ({"cache-control": "no-cache"}, SHORTEST),
        ({"cache-control": "max-age=9999999999"}, LONGEST),
        ({"cache-control": "x-max-age=600"}, USUAL),
        ({"expires": date(600)}, 600_000),
        ({"expires": date(600), "date": date(100)}, 500_000),
        ({"expires": "0"}, SHORTEST),
        ({"expires": "Thu, 99 Foo 2026 00:00:00 GMT"}, SHORTEST),
        ({"expires": date(10**6)}, LONGEST),
    ],
    ids=str,
)
def test_lifetime_is_what_the_headers_say_within_bounds(headers: dict[str, str], expected: int) -> None:
    assert lifetime(headers, NOW) == expected


def test_validator_is_the_strongest_there_is() -> None:
    assert validators({"etag": '"1"', "last-modified": date(0)}) == {"If-None-Match": '"1"'}
    assert validators({"last-modified": date(0)}) == {"If-Modified-Since": date(0)}
    assert validators({}) == {}


@pytest.mark.parametrize(
    "odd", ['"é"', '"\udcff"', '"\x01"', "", "x" * 257], ids=["letter", "byte", "control", "empty", "long"]
)
def test_validator_that_cannot_be_sent_or_is_too_long_is_none(odd: str) -> None:
    assert validators({"etag": odd, "last-modified": date(0)}) == {"If-Modified-Since": date(0)}
    assert validators({"etag": odd, "last-modified": odd}) == {}
    assert validators({"etag": "x" * 256}) == {"If-None-Match": "x" * 256}
