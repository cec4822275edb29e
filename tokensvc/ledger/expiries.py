"""When entries expire, so that what has expired is found without looking at the rest."""

from collections.abc import Callable, Iterator
from heapq import heappop, heappush, heapreplace
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=tuple[str, ...])

AT_ONCE = 100
"""How many entries one sweep looks at, so that nobody waits for more than about a millisecond."""


class Expiries(Generic[Name]):
    """The names of entries, each once, by when they are to be looked at; an entry may expire later by then.

    So an entry that is prolonged costs nothing until the time comes at which it would have expired.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, Name]] = []

    def add(self, name: Name, expires: int) -> None:
        """A name that is not known here. `expires` is in milliseconds since the epoch."""
        heappush(self._heap, (expires, name))

    def expired(self, now: int, most: int, expires: Callable[[Name], int]) -> Iterator[Name]:
        """Take out the names that have expired, of so many at most that are looked at. `expires` is when one does."""
        for _ in range(most):
            if not self._heap or self._heap[0][0] > now:
                return
            name = self._heap[0][1]
            later = expires(name)
            if later > now:
                heapreplace(self._heap, (later, name))
            else:
                heappop(self._heap)
                yield name
