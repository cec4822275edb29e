"""What a replica says of itself when it is asked: `/admin/state`, `/admin/keys` and `/readyz`."""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from tokensvc.commands import CommandFailed, now
from tokensvc.commands.admin_client import ask

LATELY = 10_000
"""A peer that was not heard for longer is out of reach, in milliseconds: it is asked every second or so."""
_SECONDS = 10.0
_AT_ONCE = 16
_MOST = 64
"""Replicas that are followed from one to its peers; an operator may name more."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the ring that the variable `ring` lists. `activates` is in milliseconds since the epoch."""

    ring: str
    kid: str
    fingerprint: str
    state: str
    activates: int


@dataclass(frozen=True, slots=True)
class Peer:
    """Another replica as one of them sees it. `heard` is how long ago it was heard, in milliseconds, None for never.

    `replica` is empty until it was.
    """

    url: str
    replica: str
    heard: int | None

    @property
    def is_heard(self) -> bool:
        return self.heard is not None and self.heard <= LATELY


@dataclass(frozen=True, slots=True)
class Replica:
    """All times are in milliseconds, those of its own clock since the epoch.

    `replica` is what its peers know it by, the same for all that share a ledger. `unready` says why it is not ready,
    `refused` what was wrong with the files that it read again last; both are empty where all is well. `stale` says that
    its news of the peers are too old to call anything active. `ahead` is how far its clock is before that of this
    machine, give or take `uncertain`.
    """

    url: str
    replica: str
    version: str
    issuer: str
    unready: str
    stale: bool
    ahead: int
    uncertain: int
    ledger: str
    marks_since: int
    marks: int
    marks_digest: str
    settings: Mapping[str, str]
    rings: tuple[Version, ...]
    refused: str
    warnings: tuple[str, ...]
    peers: tuple[Peer, ...]

    @property
    def name(self) -> str:
        return name_of(self.url)


@dataclass(frozen=True, slots=True)
class Silent:
    """An address at which no replica could be examined, and why."""

    url: str
    problem: str

    @property
    def name(self) -> str:
        return name_of(self.url)


Examined = Replica | Silent


def examine(urls: Iterable[str]) -> list[Examined]:
    """The replicas at these addresses, all asked at once."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(_examine, dict.fromkeys(urls)))


def discover(url: str) -> list[Examined]:
    """The replica at this address, its peers, and theirs.

    The address may be a balancer's. What it led to is left out again where it was found under its own address too.
    """
    found, asked = examine([url]), {url}
    first = found[0]
    while following := [peer for peer in _peers(found) if peer not in asked][: _MOST - len(asked)]:
        asked.update(following)
        found += examine(following)
    ids = [one.replica for one in found[1:] if isinstance(one, Replica)]
    return found[1:] if isinstance(first, Replica) and first.replica in ids else found


def name_of(url: str) -> str:
    """What tells it from the others in one short word."""
    return url.partition("://")[2]


def _peers(found: Iterable[Examined]) -> list[str]:
    return [peer.url for one in found if isinstance(one, Replica) for peer in one.peers]


def _examine(url: str) -> Examined:
    url = url.rstrip("/")
    try:
        unready = _unready(url)
        before = now()
        begun = time.monotonic()
        state = ask(url, "GET", "/admin/state")
        took = int((time.monotonic() - begun) * 1000)
        return _parse(url, state, ask(url, "GET", "/admin/keys"), unready, before + took // 2, took // 2)
    except CommandFailed as failed:
        return Silent(url, str(failed).removeprefix(f"{url} "))
    except (LookupError, TypeError, ValueError):
        return Silent(url, "does not answer as a replica of this version does")


def _unready(url: str) -> str:
    """Why it is not ready; empty where it is."""
    try:
        response = httpx.get(f"{url}/readyz", timeout=_SECONDS)
        if response.status_code == 200:
            return ""
        return str(response.json().get("error_description", response.status_code))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, AttributeError):
        # The question that follows says why it cannot be reached.
        return "no answer"


def _parse(
    url: str, state: dict[str, Any], keys: dict[str, Any], unready: str, asked_at: int, uncertain: int
) -> Replica:
    """Raises LookupError, TypeError or ValueError where something is missing or of another kind."""
    ledger, reload, exchange = state["ledger"], state["reload"], state["exchange"]
    return Replica(
        url=url,
        replica=str(ledger["epoch"]),
        version=str(state["version"]),
        issuer=str(state["issuer"]),
        unready=unready,
        stale=exchange is not None and not exchange["fresh"],
        ahead=int(state["clock"]) - asked_at,
        uncertain=uncertain,
        ledger=str(ledger["kind"]),
        marks_since=int(ledger["marks_since"]),
        marks=int(ledger["marks"]),
        marks_digest=str(ledger["marks_digest"]),
        settings=dict(state["settings"]),
        rings=tuple(_version(found) for found in state["rings"]),
        refused=str(reload["problem"]) if reload else "",
        warnings=tuple(f"{w['ring']} {w['kid']} {w['problem']}" for w in keys["warnings"]),
        peers=tuple(_peer(found) for found in state["peers"]),
    )


def _version(found: dict[str, Any]) -> Version:
    ring, kid, fingerprint, state = (str(found[name]) for name in ("ring", "kid", "fingerprint", "state"))
    return Version(ring, kid, fingerprint, state, int(found["activates"]))


def _peer(found: dict[str, Any]) -> Peer:
    heard = found["heard_ago"]
    return Peer(str(found["url"]), str(found["replica"]), None if heard is None else int(heard))
