"""How the probe asks a server that it does not know: one request after another, few in all, each bounded.

What a server names as the next address is its word, not the person's. So plain http is spoken to loopback alone, and
only where the person's own address is there: no server sends the probe to what listens beside it.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import httpx

from tokensvc import __version__
from tokensvc.commands import CommandFailed

SECONDS = 10.0
"""For one question with its redirects, from the first byte sent to the last one read."""
REQUESTS = 300
"""In all. A visit of every client takes about a hundred."""
BODY_BYTES = 262_144
REDIRECTS = 5
USER_AGENT = f"tokensvc-probe/{__version__}"

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# No compression: what a small body unpacks to would have no bound.
_HEADERS = {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Where not all of it did, `problem` says why; `status` 0: not even its first line.

    `seconds` is how long it took. Headers and body may hold a secret, so that no repr shows them.
    """

    url: str = field(repr=False)
    status: int = 0
    headers: httpx.Headers = field(default_factory=httpx.Headers, repr=False)
    body: bytes = field(default=b"", repr=False)
    problem: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300 and not self.problem

    @property
    def document(self) -> dict[str, Any] | None:
        """The JSON object that it holds, or None. Half a surrogate pair is no character, and could not be sent on."""
        if self.problem:
            return None
        try:
            parsed = json.loads(self.body)
            json.dumps(parsed, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            return None
        return parsed if isinstance(parsed, dict) else None

    @property
    def location(self) -> str:
        return str(self.headers.get("location", "")) if 300 <= self.status < 400 else ""

    @property
    def error(self) -> str:
        """The member `error` (RFC 6749 §5.2); empty where there is none, or none of the standard's characters."""
        code = (self.document or {}).get("error")
        return code if isinstance(code, str) and len(code) <= 60 and code.isascii() and code.isprintable() else ""


class Courier:
    """Carries questions to servers. The same question is put once, and has the same answer ever after."""

    def __init__(self, start: str) -> None:
        self._http = httpx.AsyncClient(headers=_HEADERS, timeout=SECONDS, follow_redirects=False)
        self._loopback = is_loopback(start)
        self._answers: dict[tuple[str, str, bytes, tuple[tuple[str, str], ...]], Answer] = {}
        self.requests = 0

    async def __aenter__(self) -> "Courier":
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._http.aclose()

    async def get(self, url: str, headers: Mapping[str, str] | None = None, *, follow: bool = False) -> Answer:
        return await self._ask("GET", url, headers or {}, b"", REDIRECTS if follow else 0)

    async def options(self, url: str, headers: Mapping[str, str]) -> Answer:
        return await self._ask("OPTIONS", url, headers, b"", 0)

    async def post_json(self, url: str, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
        typed = {"Content-Type": "application/json"} | dict(headers or {})
        return await self._ask("POST", url, typed, json.dumps(body).encode(), 0)

    async def post_form(self, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Answer:
        typed = {"Content-Type": "application/x-www-form-urlencoded"} | dict(headers or {})
        return await self._ask("POST", url, typed, urlencode(form).encode(), 0)

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes, redirects: int) -> Answer:
        question = (method, url, body, tuple(sorted(headers.items())))
        if question not in self._answers:
            begun = time.monotonic()
            answer = await self._bounded(method, url, headers, body, redirects)
            self._answers[question] = replace(answer, seconds=time.monotonic() - begun)
        return self._answers[question]

    async def _bounded(self, method: str, url: str, headers: Mapping[str, str], body: bytes, redirects: int) -> Answer:
        """The clock runs for the whole exchange: a server that sends a byte now and then has no more of it."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self._followed(method, url, headers, body, redirects)
        except (TimeoutError, httpx.TimeoutException):
            return Answer(url, problem=f"has not answered after {SECONDS:.0f} s")
        except httpx.HTTPError as error:
            return Answer(url, problem=f"cannot be reached: {printable(str(error)) or type(error).__name__}")
        except (httpx.InvalidURL, ValueError):
            return Answer(url, problem="is no URL that can be asked")

    async def _followed(self, method: str, url: str, headers: Mapping[str, str], body: bytes, redirects: int) -> Answer:
        answer = await self._once(method, url, headers, body)
        for _ in range(redirects):
            if not answer.location:
                return answer
            answer = await self._once(method, str(httpx.URL(answer.url).join(answer.location)), headers, body)
        if redirects and answer.location:
            return Answer(url, answer.status, problem=f"redirects more than {redirects} times")
        return answer

    async def _once(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if refusal := self._refusal(httpx.URL(url)):
            return Answer(url, problem=refusal)
        if self.requests == REQUESTS:
            raise CommandFailed(f"{REQUESTS} requests were not enough, and the probe makes no more: try --client")
        self.requests += 1
        async with self._http.stream(method, url, headers=dict(headers), content=body or None) as response:
            read, problem = await _body(response)
        # Each client is one that was never here before.
        self._http.cookies.clear()
        return Answer(url, response.status_code, response.headers, read, problem)

    def _refusal(self, url: httpx.URL) -> str:
        """Why this address is not asked; empty where it is."""
        if url.userinfo:
            return "has a user name in it"
        if url.scheme == "https" and url.host:
            return ""
        if url.scheme == "http" and is_loopback(str(url)):
            return "" if self._loopback else "is an address of the machine itself"
        return "is not https"


def is_loopback(url: str) -> bool:
    try:
        return httpx.URL(url).host in _LOOPBACK
    except (httpx.InvalidURL, ValueError):
        return False


def shown(url: str) -> str:
    """An address for people. A query may hold a key, and stays away."""
    return printable(url.partition("?")[0])


def printable(text: str, longest: int = 160) -> str:
    """What a server said, fit for a terminal: no control characters, and not too much of it."""
    kept = "".join(character if character.isprintable() else " " for character in text[: longest + 1])
    return kept if len(kept) <= longest else f"{kept[: longest - 1]}…"


async def _body(response: httpx.Response) -> tuple[bytes, str]:
    """As it was sent, up to the bound, and what is wrong with it."""
    read = bytearray()
    async for chunk in response.aiter_raw():
        read += chunk
        if len(read) > BODY_BYTES:
            return b"", f"answers with more than {BODY_BYTES // 1024} KiB"
    return bytes(read), ""
