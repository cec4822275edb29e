"""Who a bearer token stands for: asked of the service, remembered for a moment."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import httpx

from tokensvc.resource.cache import Cache
from tokensvc.resource.denylist import listen
from tokensvc.resource.presented import Recogniser
from tokensvc.resource.protected_resource import LOOPBACK, ProtectedResource, is_url
from tokensvc.resource.service import Page, Service, Unavailable
from tokensvc.resource.token import AccessToken

if TYPE_CHECKING:
    from tokensvc.resource.proof import Proofs

LONGEST_TTL = 60.0
"""Seconds: a token that was revoked works this long at most, whatever becomes of the denylist."""
_SECRET = re.compile(r"[!-~]{1,512}")
_PREFIX = re.compile(r"[a-z0-9]{1,8}")


class IntrospectionVerifier:
    """Asks about each token once in `ttl` seconds, and keeps at most `most` answers.

    `issuer` is TOKENSVC_ISSUER to the letter, `secret` one of the introspection secrets, `resource` the address that
    clients know this server by, as in TOKENSVC_RESOURCES. `url` is where the service is reached from here, if that is
    not its issuer. `denylist` listens for revocations, which then end answers at once. `timeout` is in seconds.
    `trusted_proxies` count only where the resource is a path and there is no issuer (ProtectedResource). `http` is a
    client of your own, for a proxy or a certificate authority of your own; you close it.

    ValueError for a configuration that cannot work. It belongs to one event loop, the first that it is used in.
    """

    def __init__(
        self,
        issuer: str,
        secret: str,
        *,
        resource: str = "",
        url: str = "",
        prefix: str = "ts",
        ttl: float = 10,
        most: int = 10_000,
        denylist: bool = False,
        timeout: float = 5,
        trusted_proxies: Sequence[str] = LOOPBACK,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self.resource = ProtectedResource(resource, issuer, trusted_proxies)
        address = (url or issuer).removesuffix("/")
        if not is_url(address):
            raise ValueError("where the service is asked is an http or https URL without query and user name")
        if not _SECRET.fullmatch(secret):
            raise ValueError("the introspection secret is missing, or not printable ASCII without spaces")
        if not _PREFIX.fullmatch(prefix):
            raise ValueError("the prefix is 1 to 8 of a-z0-9")
        if not (0 <= ttl <= LONGEST_TTL and most >= 1 and 0 < timeout <= LONGEST_TTL):
            raise ValueError(f"ttl is 0 to {LONGEST_TTL:.0f} seconds, timeout no longer, and most at least 1")
        self._service = Service(address, secret, timeout, http)
        self._cache = Cache(ttl, most)
        self._recogniser = Recogniser(prefix, self.resource.issuer)
        self._flights: dict[bytes, asyncio.Task[AccessToken | None]] = {}
        self.proofs = _proofs()
        self._denylist = denylist
        self._listening: asyncio.Task[None] | None = None

    def recognises(self, credential: str) -> bool:
        """Whether it says of itself that it is an access token of this service: then nothing else may be tried."""
        return self._recogniser.recognises(credential)

    async def verify(self, token: str) -> AccessToken | None:
        """The token if it is active for this resource and a bearer may use it, None if not. Raises Unavailable.

        One that is bound to a key is for whoever proves to have that, which is the middleware's to see (RFC 9449 §7).
        """
        found = await self.find(token)
        return None if found is None or found.jkt else found

    async def find(self, token: str) -> AccessToken | None:
        """The token if it is active for this resource, None if it is not. Raises Unavailable.

        Of one with a `jkt` the caller has to see a proof.
        """
        key = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        if kept := self._cache.get(key, time.monotonic()):
            return kept.token
        if not self._recogniser.may_be_active(token):
            return None  # Asked of nobody, and kept by nobody.
        # Whoever asks about one token at the same time waits for one answer; one who goes away takes nobody along.
        return await asyncio.shield(self._flights.get(key) or self._begin(key, token))

    async def aclose(self) -> None:
        """Stop listening, and close the connections once what was asked is answered."""
        if self._listening:
            self._listening.cancel()
        tasks = [*self._flights.values(), *filter(None, [self._listening])]
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._service.aclose()

    def _begin(self, key: bytes, token: str) -> asyncio.Task[AccessToken | None]:
        if self._denylist and (self._listening is None or self._listening.done()):
            self._listening = asyncio.create_task(listen(self._service, self._heard))
        flight = asyncio.create_task(self._ask(key, token))
        self._flights[key] = flight
        flight.add_done_callback(partial(self._landed, key))
        return flight

    async def _ask(self, key: bytes, token: str) -> AccessToken | None:
        asked = time.monotonic()
        found = await self._service.introspect(token)
        if found:
            self._check(found)
        self._cache.keep(key, found, asked, time.time())
        return found

    def _check(self, token: AccessToken) -> None:
        """The service answers for the resource of the secret. That it is another one is nobody's fault but ours."""
        if self.resource.issuer and token.iss != self.resource.issuer:
            raise Unavailable(f"introspection answered for the issuer {token.iss!r}, another than is configured here")
        if not self.resource.is_audience(token.aud):
            raise Unavailable(f"the introspection secret opens {token.aud!r}, another resource than is configured here")

    def _landed(self, key: bytes, flight: asyncio.Task[AccessToken | None]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # Looked at, for a question that nobody waits for any more.

    def _heard(self, page: Page) -> None:
        if page.entries:
            # What is being asked was asked before this: let nobody join who comes after it.
            self._flights.clear()
            self._cache.drop(page.entries, time.monotonic())


def _proofs() -> Proofs:
    """Loaded here, so that to import the kit loads no cryptography."""
    from tokensvc.resource.proof import Proofs

    return Proofs()
