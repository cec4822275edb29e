"""Failed attempts at a secret, counted for each address, so that nobody guesses at speed."""

from ipaddress import IPv6Address, ip_address

from limits import RateLimitItem, RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from tokensvc.errors import TooManyRequests

PER_MINUTE = 20
"""Failures that an address has free."""
PER_SECOND_ON_LOOPBACK = 500


def network_of(address: str) -> str:
    """The network that an address counts for: a household has one IPv4 address, and a /64 of IPv6 (RFC 6177).

    Empty for loopback: a proxy that does not say for whom it asks, and every test, comes from there.
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    if parsed.is_loopback:
        return ""
    return str(parsed) if parsed.version == 4 else str(IPv6Address(int(parsed) >> 64 << 64))


class Attempts:
    """Successes are never counted: who has the secret is limited only while others fail from the same address."""

    def __init__(self, *, limited: bool) -> None:
        self._limited = limited
        self._storage = MemoryStorage()
        self._limiter = FixedWindowRateLimiter(self._storage)

    def check(self, secret: str, address: str) -> None:
        """Raise TooManyRequests where an address has failed too often at this kind of secret."""
        if not self._limited or not self._storage.storage:
            return
        limit, network = _limit(address)
        if not self._limiter.test(limit, secret, network):
            retry_after = int(limit.get_expiry())
            raise TooManyRequests("too many failed attempts", reason=f"{secret}: {network}", retry_after=retry_after)

    def failed(self, secret: str, address: str) -> None:
        if self._limited:
            limit, network = _limit(address)
            self._limiter.hit(limit, secret, network)


def _limit(address: str) -> tuple[RateLimitItem, str]:
    """The limit and what it counts for."""
    network = network_of(address)
    if not network:
        return RateLimitItemPerSecond(PER_SECOND_ON_LOOPBACK), "loopback"
    return RateLimitItemPerMinute(PER_MINUTE), network
