"""Documents of other hosts, parsed and remembered: for as long as their headers say, and beyond as last good copies."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from pydantic_core import from_json

from tokensvc.observability import warn
from tokensvc.outbound import Busy, Refused, Unfetchable
from tokensvc.outbound.fetch import Outbound
from tokensvc.outbound.freshness import lifetime, validators

FAILED_FOR = 30_000
"""Milliseconds for which a host that failed is not asked again for the same."""
_MOST_FAILURES = 1024

Parsed = TypeVar("Parsed")
Parse = Callable[[str, Any], Parsed]
"""Reads a document by its URL and its JSON value. Raises Refused."""


@dataclass(frozen=True, slots=True)
class _Copy(Generic[Parsed]):
    """`size` in bytes; the host stood by it at `confirmed`, and it is fresh until `fresh_until`."""

    value: Parsed
    size: int
    validators: Mapping[str, str]
    confirmed: int
    fresh_until: int


class Documents(Generic[Parsed]):
    """Each at most `largest` bytes, together at most `most` documents and `most_bytes` before parsing.

    A copy serves for `kept_for` milliseconds after its host last stood by it, and is asked for anew in half that time
    at the latest: so there is as long again for a host that fails.
    """

    def __init__(
        self,
        outbound: Outbound,
        parse: Parse[Parsed],
        *,
        largest: int,
        kept_for: int,
        most: int = 512,
        most_bytes: int = 2_000_000,
    ) -> None:
        self._outbound = outbound
        self._parse = parse
        self._largest, self._kept_for, self._most, self._most_bytes = largest, kept_for, most, most_bytes
        self._copies: OrderedDict[str, _Copy[Parsed]] = OrderedDict()
        self._bytes = 0
        self._failures: OrderedDict[str, tuple[int, Unfetchable | Refused]] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[Parsed | Unfetchable | Refused]] = {}

    async def get(self, url: str, now: int, since: int = 0) -> Parsed:
        """The document, and no copy that its host last stood by before `since`.

        Raises Unfetchable where there is neither an answer nor a copy that may still serve; Refused.
        """
        copy = self._copies.get(url)
        if copy is not None:
            self._copies.move_to_end(url)
            if now < copy.fresh_until and copy.confirmed >= since:
                return copy.value
        found = self._failure(url, now) or await self._fetched(url, now)
        if isinstance(found, Unfetchable) and copy is not None and since <= copy.confirmed > now - self._kept_for:
            return copy.value
        if isinstance(found, Unfetchable | Refused):
            raise type(found)(*found.args)
        return found

    def has(self, url: str, now: int) -> bool:
        """Whether there is a copy that may still serve."""
        copy = self._copies.get(url)
        return copy is not None and copy.confirmed > now - self._kept_for

    def failed(self, url: str, now: int) -> bool:
        """Whether its host failed, and is not asked again for now."""
        return self._failure(url, now) is not None

    def _failure(self, url: str, now: int) -> Unfetchable | Refused | None:
        until, problem = self._failures.get(url, (0, None))
        return problem if now < until else None

    async def _fetched(self, url: str, now: int) -> Parsed | Unfetchable | Refused:
        """One fetch for all who ask meanwhile. It goes on where one of them goes away."""
        task = self._under_way.get(url)
        if task is None:
            task = self._under_way[url] = asyncio.create_task(self._fetch(url, now))
            task.add_done_callback(lambda _: self._under_way.pop(url, None))
        return await asyncio.shield(task)

    async def _fetch(self, url: str, now: int) -> Parsed | Unfetchable | Refused:
        try:
            copy = await self._ask(url, now)
        except (Unfetchable, Refused) as error:
            # Anew, since what was raised holds on to all that it came through.
            problem = type(error)(str(error))
            # Of the host alone: who named it may have put anything into the rest.
            event = "document refused" if isinstance(problem, Refused) else "document unavailable"
            warn(event, host=urlsplit(url).netloc, reason=str(problem))
            if not isinstance(problem, Busy):
                self._fail(url, problem, now)
            return problem
        self._failures.pop(url, None)
        self._keep(url, copy)
        return copy.value

    async def _ask(self, url: str, now: int) -> _Copy[Parsed]:
        before = self._copies.get(url)
        answer = await self._outbound.get(url, self._largest, before.validators if before else None)
        fresh_until = now + min(lifetime(answer.headers, now), self._kept_for // 2)
        if answer.body is None and before is not None:
            return _Copy(before.value, before.size, before.validators, now, fresh_until)
        body = answer.body or b""
        try:
            value = from_json(body, allow_inf_nan=False)
        except ValueError:
            raise Unfetchable("it is not JSON") from None
        kept = validators(answer.headers)
        size = len(body) + sum(map(len, kept.values()))
        return _Copy(self._parse(url, value), size, kept, now, fresh_until)

    def _fail(self, url: str, problem: Unfetchable | Refused, now: int) -> None:
        if isinstance(problem, Refused):
            self._drop(url)
        self._failures[url] = (now + FAILED_FOR, problem)
        self._failures.move_to_end(url)
        if len(self._failures) > _MOST_FAILURES:
            self._failures.popitem(last=False)

    def _keep(self, url: str, copy: _Copy[Parsed]) -> None:
        """What was not asked for the longest goes first."""
        self._drop(url)
        self._copies[url] = copy
        self._bytes += copy.size
        while len(self._copies) > self._most or self._bytes > self._most_bytes:
            self._drop(next(iter(self._copies)))

    def _drop(self, url: str) -> None:
        dropped = self._copies.pop(url, None)
        self._bytes -= dropped.size if dropped else 0
