"""The order in which entries last changed, so that another ledger can be told what is new to it since it last asked."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=tuple[str, ...])

PART = 1024
"""How many changes a part of the journal takes: no step looks at more than one part."""


class Journal(Generic[Name]):
    """Each change of an entry takes the next number, and only its last one is kept.

    The numbers stand in parts, in order, each with its keys; `_begins` is a number for each part that is no higher than
    any in it, and higher than all in the part before. Parts that have emptied are gone.
    """

    def __init__(self) -> None:
        self.last = 0
        self._latest: dict[Name, int] = {}
        self._begins: list[int] = []
        self._parts: list[dict[int, Name]] = []

    def note(self, key: Name) -> None:
        self.forget(key)
        self.last += 1
        if not self._parts or self.last - self._begins[-1] >= PART:
            self._begins.append(self.last)
            self._parts.append({})
        self._latest[key] = self.last
        self._parts[-1][self.last] = key

    def after(self, number: int) -> Iterator[tuple[int, Name]]:
        """What changed after a number, each entry once, in order."""
        if number >= self.last:
            return
        for place in range(max(bisect_right(self._begins, number) - 1, 0), len(self._parts)):
            for noted, key in self._parts[place].items():
                if noted > number:
                    yield noted, key

    def forget(self, key: Name) -> None:
        """Drop an entry, if it is known."""
        number = self._latest.pop(key, None)
        if number is None:
            return
        place = bisect_right(self._begins, number) - 1
        part = self._parts[place]
        del part[number]
        if not part:
            del self._begins[place], self._parts[place]
        elif len(part).bit_count() == 1:
            # A dict keeps the room of what was deleted from it; a copy does not.
            self._parts[place] = dict(part)


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
