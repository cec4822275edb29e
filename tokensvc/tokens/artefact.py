"""How a model becomes the claims that are sealed: JSON with one-letter names, defaults left out.

A field may be added to a kind with a default. A field is never removed and never given a new meaning: that would be a
new kind. So replicas of two releases read one another's artefacts.
"""

import json
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, NamedTuple, Self


class Unsealable(Exception):
    """The one error for every way of not being an artefact of the kind that was asked for. The message is for the log."""


def claim(name: str, default: Any = MISSING, decode: Callable[[Any], Any] | None = None) -> Any:
    """A field of an artefact: its name on the wire, and how to read it where JSON has no such type."""
    metadata = {"claim": name, "decode": decode}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Artefact:
    """What every kind has in common. `kind` stands in the prefix on the wire and in the key derivation."""

    kind: ClassVar[str]
    longest: ClassVar[int] = 4096
    """The cap on the sealed form, in characters, checked before anything is parsed."""

    def to_claims(self) -> bytes:
        values = ((c.name, getattr(self, c.field), c.default) for c in _claims(type(self)))
        present = {name: value for name, value, default in values if value != default}
        return json.dumps(present, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_claims(cls, claims: bytes) -> Self:
        """Raises Unsealable for what no release of ours has sealed."""
        try:
            sealed = json.loads(claims)
            return cls(**{c.field: c.decode(sealed[c.name]) for c in _claims(cls) if c.name in sealed})
        except (ValueError, TypeError) as error:
            raise Unsealable(f"claims of {cls.kind} are not legible: {type(error).__name__}") from None


class _Claim(NamedTuple):
    field: str
    name: str
    default: Any
    decode: Callable[[Any], Any]


@cache
def _claims(kind: type[Artefact]) -> tuple[_Claim, ...]:
    return tuple(_Claim(f.name, f.metadata["claim"], f.default, f.metadata["decode"] or _as_is) for f in fields(kind))


def _as_is(value: Any) -> Any:
    return value
