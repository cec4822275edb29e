"""What an operator wants to know of the rings: each version's state and use, when it can go, and what wants attention.

Times are in milliseconds since the epoch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from tokensvc.keyring import KEYS, SIGNING_KEYS, KeyRing, KeyVersion, State, fingerprint
from tokensvc.tokens.use import KeyUse

OLD = 366 * 86_400_000
"""After so long a version of a ring of tokens should have a successor: what leaks unnoticed is good for as long."""
MANY_SEALS = 2**31
"""Half of the seals that NIST SP 800-38D allows a key with random nonces."""


@dataclass(frozen=True, slots=True)
class VersionReport:
    """One version of the ring that the variable `ring` lists.

    `followed` says whether another version takes or took over, `retired_since` when, where that is past and written
    down. `longest` is the longest lifetime of what it seals, None for client_ids, which do not expire. `drop_from` is
    when the last thing that it sealed has expired; None where that never comes by itself or is not known. `most_seals`
    are those of the one derived key that sealed most. A ring that signs is said to seal what it signs.
    """

    ring: str
    kid: str
    fingerprint: str
    state: State
    activates: int
    followed: bool
    retired_since: int | None
    longest: int | None
    drop_from: int | None
    seals: int
    opens: int
    last_opened: int | None
    most_seals: int


@dataclass(frozen=True, slots=True)
class RingWarning:
    """`problem` says what is the matter with a version, and what to do."""

    ring: str
    kid: str
    problem: str


def report(rings: Mapping[str, KeyRing], use: KeyUse, longest: Mapping[str, int], now: int) -> list[VersionReport]:
    """Every version of the rings. They and the longest lifetimes, in milliseconds, are by variable."""
    return [
        _version(name, ring, version, use, longest.get(name), now)
        for name, ring in rings.items()
        for version in ring.versions
    ]


def warnings(versions: Iterable[VersionReport], now: int) -> list[RingWarning]:
    """What wants an operator's attention."""
    return [RingWarning(version.ring, version.kid, problem) for version in versions for problem in _of(version, now)]


def _version(
    name: str, ring: KeyRing, version: KeyVersion, use: KeyUse, longest: int | None, now: int
) -> VersionReport:
    name_of_secret = fingerprint(version)
    total = use.total(name, name_of_secret)
    state, retired = ring.state(version, now), ring.retired_at(version)
    return VersionReport(
        ring=name,
        kid=version.kid,
        fingerprint=name_of_secret,
        state=state,
        activates=version.activates,
        followed=retired is not None,
        retired_since=(retired or None) if state == "retired" else None,
        longest=longest,
        # Without an activation nobody wrote down when the successor came, and it sealed until then.
        drop_from=retired + longest if retired and longest is not None else None,
        seals=total.seals,
        opens=total.opens,
        last_opened=total.opened or None,
        most_seals=use.most_seals(name, name_of_secret),
    )


def _of(version: VersionReport, now: int) -> Iterable[str]:
    if version.most_seals >= MANY_SEALS and version.ring != SIGNING_KEYS:
        yield f"has sealed {version.most_seals} times under one key, and 2^32 is the most: add a version"
    rotated = version.ring in (KEYS, SIGNING_KEYS) and not version.followed
    if rotated and version.activates and now - version.activates > OLD:
        yield f"is the newest, and has sealed since {_date(version.activates)}: add a version"
    if version.state == "retired" and version.drop_from is not None and version.drop_from <= now:
        yield f"can be dropped since {_date(version.drop_from)}: what it sealed has expired"


def _date(moment: int) -> str:
    return datetime.fromtimestamp(moment // 1000, UTC).date().isoformat()
