"""`GET /admin/keys` and `/admin/state`: what an operator and `tokensvc doctor` look at, with an operator's secret.

Nothing here says what a secret is. Rings are told apart by fingerprints, settings by digests, marks by one digest of
them all. Times are in milliseconds since the epoch, those of this replica's clock.
"""

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tokensvc import __version__
from tokensvc.endpoints.admin import guard_admin
from tokensvc.endpoints.http import NO_STORE, JsonResponse
from tokensvc.endpoints.service import Service, service_of
from tokensvc.keyring import KEYS
from tokensvc.ledger.marks import Mark, Subject, subject_text
from tokensvc.ledger.peers import PeeredLedger
from tokensvc.tokens import ring_report
from tokensvc.tokens.ring_report import VersionReport


async def keys(request: Request) -> Response:
    """Each version of every ring and its use. It is counted in the process that answers, since that one started."""
    service = service_of(request)
    guard_admin(request, service)
    now = service.clock()
    versions = _versions(service, now)
    answer = {
        "replica": service.replica.id,
        "worker": service.replica.pid,
        "since": service.replica.started,
        "longest_lifetime": service.longest[KEYS],
        "versions": [asdict(version) for version in versions],
        "warnings": [asdict(warning) for warning in ring_report.warnings(versions, now)],
    }
    return JsonResponse(answer, headers=NO_STORE)


async def state(request: Request) -> Response:
    """What has to be the same on all replicas, and what tells this one from them."""
    service = service_of(request)
    guard_admin(request, service)
    now = service.clock()
    reload = service.replica.reload
    answer = {
        "version": __version__,
        "replica": service.replica.id,
        "worker": service.replica.pid,
        "issuer": service.server.issuer,
        "started": service.replica.started,
        "clock": now,
        "ledger": await _ledger(service, now),
        "settings": service.digests,
        "rings": [_ring(version) for version in _versions(service, now)],
        "reload": asdict(reload) if reload else None,
        **_exchange(service, now),
    }
    return JsonResponse(answer, headers=NO_STORE)


def digest_of(marks: Iterable[tuple[Subject, Mark]]) -> str:
    """16 bytes in hex that are the same for the same marks, in whatever order they came."""
    total = 0
    for subject, mark in marks:
        one = hashlib.sha256(f"{subject_text(subject)}@{mark.not_before}".encode()).digest()
        total += int.from_bytes(one[:16])
    return f"{total % 2**128:032x}"


async def _ledger(service: Service, now: int) -> dict[str, Any]:
    ledger = service.server.ledger
    summary = await ledger.summary(now)
    marks = await ledger.marks(now)
    return {
        "kind": summary.kind,
        "epoch": ledger.epoch,
        "spent_since": summary.continuity.spent_since,
        "marks_since": summary.continuity.marks_since,
        "families": summary.families,
        "marks": len(marks),
        # A million of them take seconds, in which others are answered.
        "marks_digest": await asyncio.to_thread(digest_of, marks.items()),
    }


def _exchange(service: Service, now: int) -> dict[str, Any]:
    """The peers, and what this replica may answer for what it has heard of them. They know it by its ledger's epoch."""
    ledger = service.server.ledger
    if not isinstance(ledger, PeeredLedger):
        return {"exchange": None, "peers": []}
    report = ledger.report(now)
    exchange = {"caught_up": report.caught_up, "fresh": report.fresh, "clock_ok": report.clock_ok}
    return {"exchange": exchange, "peers": [peer._asdict() for peer in report.peers]}


def _versions(service: Service, now: int) -> list[VersionReport]:
    return ring_report.report(service.rings, service.replica.use, service.longest, now)


def _ring(version: VersionReport) -> dict[str, Any]:
    names = ("ring", "kid", "fingerprint", "state", "activates")
    return {name: getattr(version, name) for name in names}
