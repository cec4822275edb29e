"""The order in which entries last changed, so that another ledger can be told what is new to it since it last asked."""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tokensvc.ledger.algebra import Key

_COMPACT = 1024


class Journal:
    """Each change of an entry takes the next number. What it was changed by before is skipped, and dropped in time."""

    def __init__(self) -> None:
        self.last = 0
        self._numbers = array("q")
        self._keys: list[Key] = []
        self._latest: dict[Key, int] = {}

    def note(self, key: Key) -> None:
        self.last += 1
        self._latest[key] = self.last
        self._numbers.append(self.last)
        self._keys.append(key)
        if len(self._keys) > 2 * len(self._latest) + _COMPACT:
            self._compact()

    def after(self, number: int) -> Iterator[tuple[int, Key]]:
        """What changed after a number, each entry once, in order."""
        for place in range(bisect_right(self._numbers, number), len(self._keys)):
            if self._latest.get(self._keys[place]) == self._numbers[place]:
                yield self._numbers[place], self._keys[place]

    def forget(self, known: Callable[[Key], bool]) -> None:
        """Drop whatever is not known any more."""
        self._latest = {key: number for key, number in self._latest.items() if known(key)}
        self._compact()

    def _compact(self) -> None:
        """In place of the changes of each entry, its last one; the numbers stay."""
        kept = [*self.after(0)]
        self._numbers = array("q", (number for number, _ in kept))
        self._keys = [key for _, key in kept]


class Cursor(NamedTuple):
    """Up to where each sequence of numbers was told, and, between two pages, where the last of them will end.

    That end stands fast from the first page on: what is told may else grow as fast as it is told, and the end of it
    never come. An entry that changes again meanwhile comes after it.
    """

    told: tuple[int, ...]
    until: tuple[int, ...] | None = None

    def write(self, epoch: str) -> str:
        return ".".join((epoch, *map(str, self.told + (self.until or ()))))

    @classmethod
    def after(cls, told: tuple[int, ...], end: tuple[int, ...]) -> "Cursor":
        return cls(told) if told == end else cls(told, end)

    @classmethod
    def read(cls, text: str, epoch: str, parts: int) -> "Cursor":
        """The beginning, where the text is not of this epoch and form."""
        named, *numbers = text.split(".")
        if named != epoch or len(numbers) not in {parts, 2 * parts} or not all(map(_is_number, numbers)):
            return cls((0,) * parts)
        told, until = tuple(map(int, numbers[:parts])), tuple(map(int, numbers[parts:]))
        return cls(told, until or None)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
