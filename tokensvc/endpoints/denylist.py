"""`GET /denylist`: for resource servers that cache what introspection answered, with the same secret as there.

It tells which subjects were marked, as digests: a resource server recognises those that an answer of its own was about,
and learns no other names. An entry means: drop the answer and ask again. Whoever does not know what an entry of some
kind is about drops everything.
"""

import asyncio
import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.endpoints.http import NO_STORE, JsonResponse, Parameters, header
from tokensvc.endpoints.introspection import presented
from tokensvc.endpoints.overview import digest_of
from tokensvc.endpoints.service import Service, guard, is_leaving, service_of
from tokensvc.errors import InvalidRequest, TemporarilyUnavailable
from tokensvc.ledger import Feed
from tokensvc.ledger.marks import Mark, Subject, subject_text

PAGE = 10_000
"""Entries of one answer, of about 90 bytes each."""
LONGEST_WAIT = 25
"""Seconds that a request may wait for news: less than the 30 after which balancers give up."""
LOOK_EVERY = 0.2
"""Seconds between two looks for news, each the price of an introspection."""
_PLACES = 32
_CURSOR = re.compile(r"[A-Za-z0-9_-]{1,32}\.[0-9]{1,15}(~[A-Za-z0-9_-]{1,32}\.[0-9]{1,15})*")


async def denylist(request: Request) -> Response:
    """What was marked after `since`, a cursor of an earlier answer; with `wait`, once there is something."""
    service = service_of(request)
    if not service.introspection:
        raise TemporarilyUnavailable("introspection is not configured: TOKENSVC_INTROSPECTION_TOKENS is not set")
    guard(request, service, service.introspection, presented(request), "denylist")
    parameters = Parameters.parse(request.scope["query_string"]).check()
    seconds = _seconds(parameters.get("wait", "0"))
    places = _places(parameters.get("since", ""))
    page = await _news(request, service, places.get(service.replica.id, 0), seconds if "since" in parameters else 0)
    headers = NO_STORE
    if "since" not in parameters and not page.more:
        # All there is, and the same on every replica that agrees: a tag that all of them know.
        tag = f'W/"{await asyncio.to_thread(digest_of, page.marks.items())}"'
        headers = {"Cache-Control": "no-cache", "ETag": tag}
        if tag in (header(request.scope, b"if-none-match") or ""):
            return Response(status_code=304, headers=headers)
    answer = {
        "marks": [_entry(subject, mark) for subject, mark in page.marks.items()],
        "cursor": _cursor(places, service.replica.id, page.position),
        "more": page.more,
    }
    return JsonResponse(answer, headers=headers)


def subject_digest(subject: Subject) -> str:
    """How an entry names its subject: base64url(SHA-256(text)[:16]) of `kind:name`, as TOKENSVC_DENYLIST writes it."""
    return urlsafe_b64encode(hashlib.sha256(subject_text(subject).encode()).digest()[:16]).decode().rstrip("=")


async def _news(request: Request, service: Service, position: int, seconds: int) -> Feed:
    """The next page; with seconds to wait, the first that is not empty. A replica that leaves lets nobody wait."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while True:
        now = service.clock()
        await service.server.ledger.ready(now)
        await service.server.ledger.fresh(now)
        page = await service.server.ledger.feed(position, PAGE, now)
        if page.marks or page.more or clock() >= deadline or is_leaving(request) or await request.is_disconnected():
            return page
        await asyncio.sleep(LOOK_EVERY)


def _entry(subject: Subject, mark: Mark) -> dict[str, Any]:
    return {"kind": subject[0], "subject_digest": subject_digest(subject), "not_before": mark.not_before}


def _places(cursor: str) -> dict[str, int]:
    """How far each replica was heard, by its id. What cannot be read is of another release: from the beginning."""
    if not _CURSOR.fullmatch(cursor):
        return {}
    return {name: int(position) for name, _, position in (place.partition(".") for place in cursor.split("~"))}


def _cursor(places: Mapping[str, int], replica: str, position: int) -> str:
    """It goes with the caller from replica to replica, each of which finds its own place in it, the latest last."""
    others = [(name, place) for name, place in places.items() if name != replica]
    return "~".join(f"{name}.{place}" for name, place in [*others, (replica, position)][-_PLACES:])


def _seconds(wait: str) -> int:
    """Raises InvalidRequest."""
    if not (wait.isascii() and wait.isdigit() and len(wait) <= 4):
        raise InvalidRequest("wait is a number of seconds")
    return min(int(wait), LONGEST_WAIT)
