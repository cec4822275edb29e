"""What an operator is told of the rings: state, use, when a version can go, and what wants attention."""

from __future__ import annotations

import pytest

from tests.replica import ring_entry
from tests.tokens.examples import ISSUER
from tokensvc.keyring import CLIENT_KEYS, KEYS, SIGNING_KEYS, KeyRing, fingerprint
from tokensvc.tokens import ring_report
from tokensvc.tokens.kinds import ClientId
from tokensvc.tokens.ring_report import MANY_SEALS, OLD, VersionReport
from tokensvc.tokens.sealer import Sealer
from tokensvc.tokens.use import KeyUse

DAY = 86_400_000
NOW = 20_600 * DAY
LONGEST = 30 * DAY
LIFETIMES = {KEYS: LONGEST, SIGNING_KEYS: DAY}


def entry(kid: str, activates: int = 0) -> str:
    """Activated so many milliseconds before or after NOW; 0 for always."""
    return ring_entry(kid, str((NOW + activates) // 1000) if activates else "")


def report(keys: str, client_keys: str = "", use: KeyUse | None = None, signing_keys: str = "") -> list[VersionReport]:
    texts = {KEYS: keys, CLIENT_KEYS: client_keys or entry("c1"), SIGNING_KEYS: signing_keys}
    rings = {name: KeyRing.parse(text, name, NOW) for name, text in texts.items() if text}
    return ring_report.report(rings, use or KeyUse(), LIFETIMES, NOW)


def problems(keys: str, client_keys: str = "", use: KeyUse | None = None) -> list[str]:
    found = ring_report.warnings(report(keys, client_keys, use), NOW)
    return [f"{warning.kid} {warning.problem}" for warning in found]


def test_a_version_can_be_dropped_once_what_it_sealed_has_expired() -> None:
    versions = report(f"{entry('k1')},{entry('k2', -DAY)},{entry('k3', DAY)}")
    facts = [(v.kid, v.state, v.followed, v.retired_since, v.drop_from) for v in versions]
    assert facts == [
        ("k1", "retired", True, NOW - DAY, NOW - DAY + LONGEST),
        ("k2", "active", True, None, NOW + DAY + LONGEST),
        ("k3", "staged", False, None, None),
        ("c1", "active", False, None, None),
    ]


def test_a_version_of_client_ids_is_never_dropped_by_the_calendar() -> None:
    *_, retired, active = report(entry("k1"), f"{entry('c1')},{entry('c2', -5 * OLD)}")
    assert (retired.state, retired.followed, retired.drop_from) == ("retired", True, None)
    assert active.followed is False
    assert problems(entry("k1"), f"{entry('c1')},{entry('c2', -5 * OLD)}") == []


def test_a_version_that_signs_is_dropped_after_the_longest_access_token_and_has_no_budget_of_nonces() -> None:
    keys = f"{entry('s1')},{entry('s2', -1000)}"
    name = fingerprint(KeyRing.parse(keys, SIGNING_KEYS, NOW).versions[1])
    use = KeyUse()
    use.count(SIGNING_KEYS, name, "ES256", None).seals = 2 * MANY_SEALS
    *_, retired, active = report(entry("k1"), use=use, signing_keys=keys)
    assert (retired.state, retired.drop_from) == ("retired", NOW - 1000 + DAY)
    assert (active.state, active.seals) == ("active", 2 * MANY_SEALS)
    assert ring_report.warnings([retired, active], NOW) == []
    (old,) = ring_report.warnings(report(entry("k1"), signing_keys=entry("s1", -OLD - 1000))[2:], NOW)
    assert (old.ring, old.kid) == (SIGNING_KEYS, "s1")
    assert old.problem.startswith("is the newest")


def test_a_successor_without_activation_leaves_the_date_unknown() -> None:
    retired, active, _ = report(f"{entry('k1')},{entry('k2')}")
    assert (retired.state, retired.followed, retired.retired_since, retired.drop_from) == ("retired", True, None, None)
    assert active.state == "active"


@pytest.mark.parametrize(("age", "warned"), [(LONGEST - DAY, False), (LONGEST, True), (2 * LONGEST, True)])
def test_a_version_that_can_be_dropped_is_a_warning(age: int, warned: bool) -> None:
    found = problems(f"{entry('k1')},{entry('k2', -age)}")
    assert [problem.partition(" since")[0] for problem in found] == (["k1 can be dropped"] if warned else [])


@pytest.mark.parametrize(
    ("activations", "warned"),
    [([-OLD], False), ([-OLD - 1000], True), ([-OLD - 1000, 300 * DAY], False), ([0], False)],
    ids=["a year", "more than a year", "a successor is staged", "nobody wrote down since when"],
)
def test_a_token_ring_that_nobody_rotated_for_a_year_is_a_warning(activations: list[int], warned: bool) -> None:
    keys = ",".join(entry(f"k{number}", activation) for number, activation in enumerate(activations))
    assert [problem.partition(",")[0] for problem in problems(keys)] == (["k0 is the newest"] if warned else [])


def test_a_key_that_nears_its_budget_of_nonces_is_a_warning() -> None:
    """Counted for each derived key: those of other kinds and days do not add to it."""
    keys = entry("k1")
    name = fingerprint(KeyRing.parse(keys, KEYS, NOW).versions[0])
    use = KeyUse()
    use.count(KEYS, name, "at", 1).seals = MANY_SEALS - 1
    use.count(KEYS, name, "at", 2).seals = MANY_SEALS - 1
    use.count(CLIENT_KEYS, name, "cl", None).seals = 2 * MANY_SEALS
    assert problems(keys, use=use) == []
    use.count(KEYS, name, "at", 2).seals += 1
    (problem,) = problems(keys, use=use)
    assert problem.startswith(f"k1 has sealed {MANY_SEALS} times under one key")
    assert report(keys, use=use)[0].seals == 2 * MANY_SEALS - 1


def test_use_is_counted_for_the_version_that_sealed_and_opened() -> None:
    use = KeyUse()
    entries = [entry("k1"), entry("c1")]

    def sealer(client_keys: str) -> Sealer:
        rings = [KeyRing.parse(entries[0], KEYS, NOW), KeyRing.parse(client_keys, CLIENT_KEYS, NOW)]
        return Sealer(rings[0], rings[1], ISSUER, "ts", use)

    one = sealer(entries[1])
    sealed = one.seal(ClientId(redirects="x" * 22), NOW)
    other = sealer(f"{entries[1]},{entry('c2', -1000)}")
    other.unseal(ClientId, sealed, NOW + 5)
    rings = other.rings
    _, c1, c2 = ring_report.report(rings, use, LIFETIMES, NOW)
    assert (c1.seals, c1.opens, c1.last_opened) == (1, 1, NOW + 5)
    assert (c2.seals, c2.opens, c2.last_opened) == (0, 0, None)


def test_what_does_not_open_is_not_counted() -> None:
    use = KeyUse()
    rings = [KeyRing.parse(entry("k1"), KEYS, NOW), KeyRing.parse(entry("c1"), CLIENT_KEYS, NOW)]
    sealing = Sealer(rings[0], rings[1], ISSUER, "ts", use)
    sealed = sealing.seal(ClientId(redirects="x" * 22), NOW)
    with pytest.raises(Exception, match="sealed under another key, or changed"):
        sealing.unseal(ClientId, f"{sealed[:-1]}{'A' if sealed[-1] != 'A' else 'Q'}", NOW)
    assert use.total(CLIENT_KEYS, fingerprint(rings[1].versions[0])).opens == 0


def test_a_fingerprint_tells_secrets_apart_and_is_none_of_them() -> None:
    one, other = (KeyRing.parse(entry("k1"), KEYS, NOW).versions[0] for _ in range(2))
    assert fingerprint(one) != fingerprint(other)
    assert len(fingerprint(one)) == 16
    assert not one.secret.hex().startswith(fingerprint(one))
