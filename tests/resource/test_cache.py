"""What is kept, for how long, and what makes it go."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.resource.support import facts
from tokensvc.resource import AccessToken
from tokensvc.resource.cache import INACTIVE, SETTLE, Cache
from tokensvc.resource.service import Entry

TOKEN = AccessToken.parse(facts(exp=1_000_000))
EPOCH = 0.0


def entry(kind: str, name: str) -> Entry:
    """As the service makes it (tests/endpoints/test_denylist.py)."""
    digest = hashlib.sha256(f"{kind}:{name}".encode()).digest()[:16]
    return Entry(kind, base64.urlsafe_b64encode(digest).decode().rstrip("="))


def test_an_answer_is_kept_for_its_time_from_when_it_was_asked_for() -> None:
    cache = Cache(10, 5)
    cache.keep(b"a", TOKEN, asked=100, epoch=EPOCH)
    assert cache.get(b"a", 109.9)
    assert cache.get(b"a", 110) is None


@given(ttl=st.floats(0, 60), exp=st.integers(-100, 100), epoch=st.floats(-100, 100), after=st.floats(0, 200))
def test_no_answer_is_kept_beyond_the_end_of_its_token(ttl: float, exp: int, epoch: float, after: float) -> None:
    cache = Cache(ttl, 5)
    cache.keep(b"a", AccessToken.parse(facts(exp=exp)), asked=0, epoch=epoch)
    kept = cache.get(b"a", after) is not None
    assert kept == (after < min(ttl, exp - epoch))


def test_a_refusal_is_kept_for_less_and_never_longer_than_an_answer() -> None:
    long, short = Cache(10, 5), Cache(1, 5)
    for cache in (long, short):
        cache.keep(b"a", None, asked=0, epoch=EPOCH)
    kept = long.get(b"a", INACTIVE - 0.1)
    assert kept
    assert kept.token is None
    assert long.get(b"a", INACTIVE) is None
    assert short.get(b"a", 1) is None


def test_refusals_do_not_crowd_out_answers() -> None:
    cache = Cache(10, 3)
    cache.keep(b"good", TOKEN, asked=0, epoch=EPOCH)
    for number in range(1000):
        cache.keep(number.to_bytes(2, "big"), None, asked=0, epoch=EPOCH)
    assert cache.get(b"good", 1)
    assert len(cache) == 4


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=80))
def test_memory_is_bounded_and_the_newest_stays(kept: list[tuple[int, bool]]) -> None:
    cache = Cache(10, 4)
    for key, active in kept:
        cache.keep(bytes([key, active]), TOKEN if active else None, asked=0, epoch=EPOCH)
        assert cache.get(bytes([key, active]), 1)
        assert len(cache) <= 8


MARKS = {
    "everything": "",
    "account": "acme",
    "user": "acme/ada",
    "user-client": f"acme/ada/{'c' * 22}",
    "client": "c" * 22,
    "family": "family",
    "token": "family.1",
}


@pytest.mark.parametrize("kind", MARKS)
def test_an_entry_drops_the_answers_that_it_is_about_and_no_others(kind: str) -> None:
    cache = Cache(10, 5)
    other = facts(exp=1_000_000, sub="corp/eve", client_id="e" * 22, family="other", jti="other.1")
    cache.keep(b"ada", TOKEN, asked=0, epoch=EPOCH)
    cache.keep(b"eve", AccessToken.parse(other), asked=0, epoch=EPOCH)
    cache.drop([entry(kind, MARKS[kind])], now=1)
    assert cache.get(b"ada", 2) is None
    assert (cache.get(b"eve", 2) is None) == (kind == "everything")


@pytest.mark.parametrize("kind", ["credential", "of-a-later-release"])
def test_an_entry_of_a_kind_that_no_answer_names_drops_all_of_them(kind: str) -> None:
    cache = Cache(10, 5)
    cache.keep(b"ada", TOKEN, asked=0, epoch=EPOCH)
    cache.drop([entry(kind, "abcdefgh")], now=1)
    assert cache.get(b"ada", 2) is None
    cache.keep(b"ada", TOKEN, asked=2, epoch=EPOCH)
    assert cache.get(b"ada", 3) is None


def test_what_a_replica_says_that_may_not_have_heard_yet_is_not_kept() -> None:
    cache = Cache(10, 5)
    cache.drop([entry("family", "family")], now=100)
    for asked, kept in ((99, False), (100 + SETTLE - 0.1, False), (100 + SETTLE + 0.1, True)):
        cache.keep(b"ada", TOKEN, asked=asked, epoch=EPOCH)
        assert (cache.get(b"ada", asked + 0.1) is not None) == kept, asked


@pytest.mark.parametrize("seconds", [2 * SETTLE + 1, 59])
def test_a_slow_answer_from_before_an_entry_is_not_kept_whatever_came_since(seconds: float) -> None:
    cache = Cache(60, 5)
    cache.drop([entry("family", "family")], now=101)
    cache.drop([entry("family", "another")], now=100 + seconds)
    cache.keep(b"ada", TOKEN, asked=100, epoch=EPOCH)
    assert cache.get(b"ada", 100 + seconds) is None
    asked = 100 + seconds + SETTLE
    cache.keep(b"ada", TOKEN, asked=asked, epoch=EPOCH)
    assert cache.get(b"ada", asked)


def test_a_flood_of_entries_is_forgotten_without_an_answer_staying(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokensvc.resource.cache._MOST_NAMES", 10)
    cache = Cache(10, 5)
    cache.drop([entry("family", "family")], now=100)
    cache.drop([entry("family", str(number)) for number in range(20)], now=100)
    cache.keep(b"ada", TOKEN, asked=101, epoch=EPOCH)
    assert cache.get(b"ada", 102) is None
