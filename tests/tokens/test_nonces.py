"""Nonces that nobody stores (RFC 9449 §8)."""

from __future__ import annotations

import pytest

from tests.replica import ring_entry
from tokensvc.keyring import KEYS, KeyRing
from tokensvc.tokens.nonces import LIFETIME, WINDOW, Nonces

NOW = 1_800_000_000_000
ISSUER = "https://auth.example.com"
OLD, NEW = ring_entry("k1"), ring_entry(f"k2@{NOW // 1000}")


def nonces(*entries: str, issuer: str = ISSUER) -> Nonces:
    return Nonces(KeyRing.parse(",".join(entries), KEYS, NOW), issuer)


def test_nonce_is_good_on_every_replica_with_the_ring() -> None:
    assert nonces(OLD).current(NOW) == nonces(OLD).current(NOW)
    assert nonces(OLD).is_fresh(nonces(OLD).current(NOW), NOW)


@pytest.mark.parametrize(
    ("age", "fresh"),
    [(0, True), (WINDOW, True), (2 * WINDOW - 1, True), (2 * WINDOW, False), (LIFETIME, False), (-5_000, True)],
)
def test_nonce_is_good_for_two_windows(age: int, fresh: bool) -> None:
    """From the beginning of one; a replica that is ahead may have given it a little early."""
    begin = NOW // WINDOW * WINDOW
    assert nonces(OLD).is_fresh(nonces(OLD).current(begin), begin + age) is fresh


def test_none_is_good_any_more_when_its_proofs_are_forgotten() -> None:
    for offset in range(0, WINDOW, 1_000):
        given = [nonces(OLD).current(NOW + offset + ahead) for ahead in (0, 5_000)]
        assert not any(nonces(OLD).is_fresh(nonce, NOW + offset + LIFETIME) for nonce in given)


def test_nonce_outlives_a_rotation_and_not_its_version() -> None:
    before = nonces(OLD).current(NOW - 1)
    after = nonces(OLD, NEW).current(NOW)
    assert before != nonces(OLD, NEW).current(NOW)
    assert nonces(OLD, NEW).is_fresh(before, NOW)
    assert nonces(OLD, NEW).is_fresh(after, NOW)
    assert not nonces(NEW).is_fresh(before, NOW)


def test_nonce_of_another_service_is_none() -> None:
    assert not nonces(OLD).is_fresh(nonces(OLD, issuer="https://staging.example.com").current(NOW), NOW)
    for nonce in ("", "\udcff", "é", "x" * 16, nonces(OLD).current(NOW)[:-1]):
        assert not nonces(OLD).is_fresh(nonce, NOW)
