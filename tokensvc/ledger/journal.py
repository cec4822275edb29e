"""The order in which entries last changed, so that another ledger can be told what is new to it since it last asked."""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator

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


def write_cursor(epoch: str, *numbers: int) -> str:
    return ".".join((epoch, *map(str, numbers)))


def read_cursor(text: str, epoch: str, parts: int) -> tuple[int, ...]:
    """The numbers of a cursor; zeros, which are the beginning, where it is not of this epoch and form."""
    named, *numbers = text.split(".")
    if named != epoch or len(numbers) != parts or not all(_is_number(number) for number in numbers):
        return (0,) * parts
    return tuple(map(int, numbers))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
