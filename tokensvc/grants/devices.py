"""What a process remembers of devices: how fast each asks, and how many of their requests it has put into the ledger.

Both are bounded, and neither is shared: a replica that knows nothing of a device is lenient with it.
"""

from collections import Counter, OrderedDict, deque
from typing import NamedTuple

INTERVAL = 5_000
"""Between two questions of a device, in milliseconds; so much more with each that comes too early (RFC 8628 §3.5)."""
TOLERANCE = 1_000
"""An answer that took long makes the next question look early."""
MOST_PACES = 10_000
MOST_REQUESTS = 10_000
"""That stand in the ledger at a time, about 8 MB: anyone may ask for one. Later ones travel in the link."""
RESERVED = 2_000
"""Of these, for the clients that the operator knows."""
MOST_OF_A_NETWORK = 200
"""Of these, for one network: whoever asks from a few takes nobody else's room."""


class _Pace(NamedTuple):
    asked: int
    interval: int


class _Kept(NamedTuple):
    expires: int
    network: str


class Devices:
    """Times are in milliseconds since the epoch."""

    def __init__(self) -> None:
        self._paces: OrderedDict[str, _Pace] = OrderedDict()
        self._requests: deque[_Kept] = deque()
        self._shares: Counter[str] = Counter()

    def in_time(self, name: str, now: int) -> bool:
        """Whether a device asks no earlier than it should; where it does, it has to wait longer from now on."""
        before = self._paces.pop(name, None)
        early = before is not None and now - before.asked < before.interval - TOLERANCE
        interval = before.interval if before is not None else INTERVAL
        self._paces[name] = _Pace(now, interval + INTERVAL if early else interval)
        if len(self._paces) > MOST_PACES:
            self._paces.popitem(last=False)
        return not early

    def has_room(self, expires: int, now: int, network: str, *, known: bool) -> bool:
        """Whether one more request may go into the ledger, which then counts until it expires.

        `network` is where it comes from, empty where nobody can tell, and `known` is a client that the operator knows.
        """
        self._forget(now)
        left = MOST_REQUESTS - len(self._requests) - (0 if known else RESERVED)
        if left <= 0 or (network and self._shares[network] >= MOST_OF_A_NETWORK):
            return False
        self._requests.append(_Kept(expires, network))
        self._shares[network] += 1
        return True

    def _forget(self, now: int) -> None:
        while self._requests and self._requests[0].expires <= now:
            network = self._requests.popleft().network
            self._shares[network] -= 1
            if not self._shares[network]:
                del self._shares[network]
