"""One GET of a small JSON document from a host that a stranger named."""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

import httpx

from tokensvc.outbound import Refused, Unfetchable
from tokensvc.outbound.address import Networks, is_literal
from tokensvc.outbound.resolver import Resolver
from tokensvc.outbound.slots import Slots

SECONDS = 3.0
"""For all of a fetch: clients give a whole sign-in ten."""
MOST_AT_ONCE = 32
MOST_AT_ONE_HOST = 4
_MOST_ADDRESSES = 4
_LONGEST_URL = 512
# RFC 3986 §2, so that the path goes out to the letter: no library has anything to escape in it.
_URL = re.compile(r"https://([A-Za-z0-9._~:/?\[\]!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
_HOST = re.compile(r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]*[a-z0-9])?)*")
_JSON = re.compile(r"application/([a-z0-9.+-]+\+)?json")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, none where it has none. Raises Busy."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be asked, taken apart. `path` has the query with it."""

    host: str
    port: int
    authority: str
    path: str

    @classmethod
    def parse(cls, url: str) -> "Target":
        """Raises Unfetchable for anything but a plain https URL: no user name, no fragment, no odd characters."""
        if len(url) > _LONGEST_URL or not _URL.fullmatch(url):
            raise Unfetchable("the URL is not https, too long, or has characters that no URL has")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise Unfetchable("the URL is malformed") from None
        if not (_HOST.fullmatch(host) or ":" in host) or len(host) > 253 or port == 0:
            raise Unfetchable("the URL has no host, or a malformed one")
        query = f"?{parts.query}" if "?" in url else ""
        return cls(host, port or 443, parts.netloc.lower(), (parts.path or "/") + query)


@dataclass(frozen=True, slots=True)
class Fetched:
    """`body` is None where the host says that what the validators stand for has not changed."""

    body: bytes | None
    headers: Mapping[str, str]


class Outbound:
    """A way out, with room of its own. `seconds` bounds a whole fetch: name, connection, TLS, headers and body."""

    def __init__(self, networks: Networks, resolve: Resolve | None = None, seconds: float = SECONDS) -> None:
        self._networks = networks
        self._resolve = resolve or Resolver(MOST_AT_ONCE)
        self._seconds = seconds
        self._slots = Slots(MOST_AT_ONCE, MOST_AT_ONE_HOST)

    async def get(self, url: str, largest: int, validators: Mapping[str, str] | None = None) -> Fetched:
        """`largest` in bytes; `validators` are headers of a conditional request (RFC 9110 §13).

        Raises Unfetchable, and Busy where it did not come to asking; Refused.
        """
        target = Target.parse(url)
        async with self._slots.one(target.host):
            try:
                # Not before there is room: the host is not to blame for the time until then.
                async with asyncio.timeout(self._seconds):
                    addresses = await self._addresses(target)
                    return await self._first(target, addresses, largest, validators or {})
            except TimeoutError:
                raise Unfetchable(f"it took more than {self._seconds:g} s") from None

    async def _addresses(self, target: Target) -> list[str]:
        """Every one of them may be asked, or none is: a host that names a forbidden one is not what it seems."""
        if is_literal(target.host):
            if not self._networks.name(target.host):
                raise Unfetchable("the host is an address, not a name")
            return [target.host]
        found = await self._resolve(target.host, target.port)
        if not found:
            raise Unfetchable("the host cannot be resolved")
        for address in found:
            if not self._networks.allow(address):
                raise Unfetchable(f"the host has the address {address}, which is not public")
        return list(dict.fromkeys(found))[:_MOST_ADDRESSES]

    async def _first(self, target: Target, addresses: list[str], largest: int, headers: Mapping[str, str]) -> Fetched:
        """The answer of the first address that can be reached."""
        timeout = httpx.Timeout(self._seconds, connect=self._seconds / len(addresses))
        problem = ""
        for address in addresses:
            # A client for one request: a kept connection would serve another name, whose certificate nobody checked.
            async with httpx.AsyncClient(verify=self._tls, timeout=timeout, trust_env=False) as http:
                try:
                    return await _ask(http, target, address, largest, headers)
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    problem = f"{address} cannot be reached: {_short(error)}"
                except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
                    raise Unfetchable(f"{address}: {_short(error)}") from None
        raise Unfetchable(problem)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """The system's authorities, or those of SSL_CERT_FILE. Read once, when they are needed: that takes a while."""
        return ssl.create_default_context()


async def _ask(
    http: httpx.AsyncClient, target: Target, address: str, largest: int, validators: Mapping[str, str]
) -> Fetched:
    literal = f"[{address}]" if ":" in address else address
    headers = {
        "Host": target.authority,
        "Accept": "application/json",
        # What is packed could be small on the wire alone.
        "Accept-Encoding": "identity",
        "User-Agent": "tokensvc",
        **validators,
    }
    # The name is still what the certificate has to be for.
    extensions = {"sni_hostname": target.host}
    url = f"https://{literal}:{target.port}{target.path}"
    async with http.stream("GET", url, headers=headers, extensions=extensions, follow_redirects=False) as response:
        if validators and response.status_code == 304:
            return Fetched(None, response.headers)
        _check(response, largest)
        body = bytearray()
        async for part in response.aiter_raw():
            body += part
            if len(body) > largest:
                raise Unfetchable(f"it is larger than {largest} bytes")
        return Fetched(bytes(body), response.headers)


def _short(error: Exception) -> str:
    """It may quote what the host sent."""
    return f"{type(error).__name__}: {error}"[:200]


def _check(response: httpx.Response, largest: int) -> None:
    """Raises Unfetchable; Refused for what is gone for good (RFC 9110 §15.5.11), which nothing else says."""
    if response.status_code == 410:
        raise Refused("it is gone")
    if response.status_code != 200:
        raise Unfetchable(f"it answered {response.status_code}")
    if not _JSON.fullmatch(response.headers.get("content-type", "").partition(";")[0].strip().lower()):
        raise Unfetchable("it is not JSON by its content type")
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Unfetchable("it came packed")
    declared = response.headers.get("content-length", "0")
    if not declared.isdecimal() or len(declared) > 9 or int(declared) > largest:
        raise Unfetchable(f"it is larger than {largest} bytes")
