"""The service as a resource server asks it: `/introspect` (RFC 7662) and `/denylist`, over one pool of connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tokensvc.resource.token import AccessToken

LONGEST_ANSWER = 65_536
LONGEST_PAGE = 4_000_000
"""Bytes of an answer about a token, and of a page of the denylist with its ten thousand entries."""
WAIT = 20
"""Seconds that the service may keep a question about the denylist until there is news."""
_LONGEST_RETRY = 60
# The service closes a connection that is idle for five seconds: it could do so while a request is on its way.
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=2)


class Unavailable(Exception):
    """Whether a token is active cannot be said now: that is no reason to let in, nor to throw the token away.

    The text is for the log and holds no secret; `retry_after` is in seconds.
    """

    def __init__(self, reason: str, retry_after: int = 2) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Entry:
    """Answers about this subject are to be dropped and asked for again."""

    kind: str
    subject_digest: str


@dataclass(frozen=True, slots=True)
class Page:
    """News of the denylist; `cursor` goes with the next question, `more` says that there is more already."""

    entries: tuple[Entry, ...]
    cursor: str
    more: bool


class Service:
    """Asked at `url` with the introspection secret. No answer is waited for longer than `timeout` seconds."""

    def __init__(self, url: str, secret: str, timeout: float, http: httpx.AsyncClient | None) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {secret}", "Accept-Encoding": "identity"}
        self._timeout = timeout
        self._owned = http is None
        # trust_env would let a .netrc put its own credential in the place of the secret.
        self._http = http or httpx.AsyncClient(limits=_LIMITS, trust_env=False)

    async def introspect(self, token: str) -> AccessToken | None:
        """The token, or None if it is not active. Raises Unavailable."""
        answer = await self._ask("POST", "/introspect", self._timeout, LONGEST_ANSWER, data={"token": token})
        if answer.get("active") is False:
            return None
        try:
            if answer.get("active") is not True:
                raise ValueError("active is missing")
            return AccessToken.parse(answer)
        except ValueError as error:
            raise Unavailable(f"introspection gave an answer that cannot be read: {error}") from None

    async def denylist(self, cursor: str) -> Page:
        """What was marked since; waits for news unless it is the first question. Raises Unavailable."""
        query = {"since": cursor, "wait": str(WAIT)} if cursor else {}
        answer = await self._ask("GET", "/denylist", WAIT + self._timeout, LONGEST_PAGE, params=query)
        try:
            entries = tuple(Entry(str(mark["kind"]), str(mark["subject_digest"])) for mark in answer["marks"])
            return Page(entries, str(answer["cursor"]), answer["more"] is True)
        except (KeyError, TypeError):
            raise Unavailable("the denylist gave an answer that cannot be read") from None

    async def aclose(self) -> None:
        if self._owned:
            await self._http.aclose()

    async def _ask(self, method: str, path: str, seconds: float, most: int, **request: Any) -> Mapping[str, Any]:
        """The JSON object of a success. Raises Unavailable for everything else, whatever it is."""
        try:
            async with asyncio.timeout(seconds):
                try:
                    return await self._exchange(method, path, seconds, most, request)
                except (httpx.NetworkError, httpx.RemoteProtocolError):
                    # The connection was closed under the request, as by a replica that leaves. Asking changes nothing.
                    return await self._exchange(method, path, seconds, most, request)
        except (TimeoutError, httpx.HTTPError) as error:
            raise Unavailable(f"{path} cannot be asked: {type(error).__name__}") from None

    async def _exchange(
        self, method: str, path: str, seconds: float, most: int, request: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        body = bytearray()
        # A redirect would take the token, and perhaps the secret, to an address that nobody configured.
        options: dict[str, Any] = {"headers": self._headers, "timeout": seconds, "follow_redirects": False}
        async with self._http.stream(method, f"{self._url}{path}", **options, **request) as response:
            if response.status_code != 200:
                reason = ": the introspection secret is none of the service's" if response.status_code == 401 else ""
                raise Unavailable(f"{path} answered {response.status_code}{reason}", _retry_after(response))
            async for part in response.aiter_bytes():
                body += part
                if len(body) > most:
                    raise Unavailable(f"{path} gave more than {most} bytes")
        try:
            answer = json.loads(bytes(body))
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise Unavailable(f"{path} gave an answer that is no JSON object")
        return answer


def _retry_after(response: httpx.Response) -> int:
    """Seconds (RFC 9110 §10.2.3); a date, or nonsense, counts as two of them."""
    given = response.headers.get("retry-after", "")
    return min(max(int(given), 1), _LONGEST_RETRY) if given.isascii() and given.isdigit() and len(given) < 9 else 2
