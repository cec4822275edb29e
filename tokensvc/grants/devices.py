"""What a process remembers of devices: how fast each asks, and how many of their requests it has put into the ledger.

Both are bounded, and neither is shared: a replica that knows nothing of a device is lenient with it.
"""

from collections import OrderedDict, deque
from typing import NamedTuple

INTERVAL = 5_000
"""Between two questions of a device, in milliseconds; so much more with each that comes too early (RFC 8628 §3.5)."""
TOLERANCE = 1_000
"""An answer that took long makes the next question look early."""
MOST_PACES = 10_000
MOST_REQUESTS = 10_000
"""That stand in the ledger at a time, about 8 MB: anyone may ask for one. Later ones travel in the link."""


class _Pace(NamedTuple):
    asked: int
    interval: int


class Devices:
    """Times are in milliseconds since the epoch."""

    def __init__(self) -> None:
        self._paces: OrderedDict[str, _Pace] = OrderedDict()
        self._expiries: deque[int] = deque()

    def in_time(self, name: str, now: int) -> bool:
        """Whether a device asks no earlier than it should; where it does, it has to wait longer from now on."""
        before = self._paces.pop(name, None)
        early = before is not None and now - before.asked < before.interval - TOLERANCE
        interval = before.interval if before is not None else INTERVAL
        self._paces[name] = _Pace(now, interval + INTERVAL if early else interval)
        if len(self._paces) > MOST_PACES:
            self._paces.popitem(last=False)
        return not early

    def has_room(self, expires: int, now: int) -> bool:
        """Whether one more request may go into the ledger, which then counts until it expires."""
        while self._expiries and self._expiries[0] <= now:
            self._expiries.popleft()
        if len(self._expiries) >= MOST_REQUESTS:
            return False
        self._expiries.append(expires)
        return True
