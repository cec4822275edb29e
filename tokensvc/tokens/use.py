"""How often the versions of the rings were used: counted in this process, for as long as it runs.

The counts outlive a sealer, since another one takes its place when the rings are read again. They follow the secret and
not the kid, so that a version that is listed again goes on where it was.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Count:
    """Of one derived key. `opened` is when it last opened something, in milliseconds since the epoch, 0 for never."""

    seals: int = 0
    opens: int = 0
    opened: int = 0


class KeyUse:
    """A count for each derived key: of a version, a kind and a day, so there are few, whatever is presented."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], dict[tuple[str, int | None], Count]] = {}

    def count(self, ring: str, fingerprint: str, kind: str, day: int | None) -> Count:
        """The count of a derived key, which its sealer adds to. `ring` is the variable that lists the version."""
        return self._counts.setdefault((ring, fingerprint), {}).setdefault((kind, day), Count())

    def total(self, ring: str, fingerprint: str) -> Count:
        """Of all keys that were derived from a version."""
        counts = self._counts.get((ring, fingerprint), {}).values()
        return Count(
            seals=sum(count.seals for count in counts),
            opens=sum(count.opens for count in counts),
            opened=max((count.opened for count in counts), default=0),
        )

    def most_seals(self, ring: str, fingerprint: str) -> int:
        """Of the one key derived from a version that sealed most: what the budget of nonces is about."""
        counts = self._counts.get((ring, fingerprint), {}).values()
        return max((count.seals for count in counts), default=0)
