"""The service in this process: with a clock that a test sets, and requests from any address."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import httpx
from starlette.applications import Starlette

from tests.replica import ADMIN_TOKEN, API_KEY, INTROSPECTION_TOKEN, Client, api_key_entry, ring_entry
from tokensvc import app
from tokensvc.errors import TemporarilyUnavailable
from tokensvc.identity import IdentitySource
from tokensvc.ledger import Ledger, Marked
from tokensvc.ledger.marks import Mark, Subject
from tokensvc.settings import Settings

NOW = 1_800_000_000_000
ISSUER = "https://auth.example.com"
SECOND = 1_000
DAY = 86_400_000

Result = TypeVar("Result")


@dataclass
class Clock:
    """Milliseconds since the epoch, as a test says."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class Service:
    """The application of some settings, given by field name. Use as a context manager."""

    settings: dict[str, object] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)

    def __enter__(self) -> Service:
        self.values = {
            "issuer": ISSUER,
            "keys": ring_entry("k1"),
            "client_keys": ring_entry("c1"),
            "ledger": "memory://",
            "api_keys": api_key_entry(API_KEY),
            "introspection_tokens": INTROSPECTION_TOKEN,
            "admin_tokens": ADMIN_TOKEN,
        } | self.settings
        self.app = self.build()
        self._runner = asyncio.Runner()
        self._opened = AsyncExitStack()
        self._runner.run(self._opened.enter_async_context(self.app.router.lifespan_context(self.app)))
        return self

    def __exit__(self, *_exception: object) -> None:
        self._runner.run(self._opened.aclose())
        self._runner.close()

    def build(self) -> Starlette:
        return app.build(Settings.model_validate(self.values), self.clock)

    @property
    def issuer(self) -> str:
        return str(self.app.state.service.server.issuer)

    def http(self, address: str = "127.0.0.1") -> httpx.Client:
        """A browser, or any other program, at this address."""
        return httpx.Client(transport=_Transport(self, address), base_url=self.issuer, trust_env=False)

    def client(self, address: str = "127.0.0.1") -> Client:
        return Client(self.issuer, http=self.http(address))

    def run(self, awaitable: Awaitable[Result]) -> Result:
        """Wait for something where the service runs."""

        async def wait() -> Result:
            return await awaitable

        return self._runner.run(wait())

    def share_ledger(self, other: Service) -> None:
        """Go on with the ledger of another service, as replicas of one machine do."""
        service = self.app.state.service
        ledger = other.app.state.service.server.ledger
        self.app.state.service = replace(service, server=replace(service.server, ledger=ledger))

    def credential(self, api_key: str) -> str:
        """The digest that names an API key in marks."""
        identities: IdentitySource = self.app.state.service.server.identities
        signed_in = self.run(identities.sign_in(api_key, self.clock.now))
        assert signed_in is not None
        return signed_in.credential

    @contextmanager
    def changed(self, **parts: object) -> Iterator[None]:
        """Meanwhile the authorization server has other parts, by their names in `protocol.server`."""
        state = self.app.state
        before = state.service
        state.service = replace(before, server=replace(before.server, **parts))
        yield
        state.service = before

    def failing(self, url: str) -> httpx.Response:
        """The answer to a GET that ends in an exception, which a server would log."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return self.run(_answer(transport, httpx.Request("GET", url)))

    def answer(self, request: httpx.Request, address: str) -> httpx.Response:
        return self._runner.run(_answer(httpx.ASGITransport(self.app, client=(address, 50_000)), request))


class Down:
    """A ledger that cannot be asked."""

    async def ready(self, now: int) -> None:
        """The clock is compared without asking."""

    def __getattr__(self, name: str) -> Any:
        async def unavailable(*_arguments: object) -> None:
            raise TemporarilyUnavailable("the ledger cannot be asked", reason=f"ledger: {name}")

        return unavailable


class Alone:
    """A ledger whose marks no peer takes; all else is that of the one it is given."""

    reason = "peers: none of them took the mark, which holds here"

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def mark(self, subject: Subject, mark: Mark, now: int, instead: Subject | None = None) -> Marked:
        await self._ledger.mark(subject, mark, now, instead)
        raise TemporarilyUnavailable("no other replica has heard of it yet", reason=self.reason)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


class _Transport(httpx.BaseTransport):
    def __init__(self, service: Service, address: str) -> None:
        self._service = service
        self._address = address

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._service.answer(request, self._address)


async def _answer(transport: httpx.ASGITransport, request: httpx.Request) -> httpx.Response:
    response = await transport.handle_async_request(request)
    return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())
