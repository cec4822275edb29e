"""How a model becomes the claims that are sealed: JSON with one-letter names, defaults left out.

A field may be added to a kind with a default. A field is never removed and never given a new meaning: that would be a
new kind. So replicas of two releases read one another's artefacts.
"""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import ConfigDict, TypeAdapter


class Unsealable(Exception):
    """The one error for every way of not being an artefact of the kind asked for. The message is for the log."""


def claim(name: str, default: Any = MISSING) -> Any:
    """A field of an artefact, with its name on the wire. What equals its default is not written."""
    return field(default=default, metadata={"alias": name})


@dataclass(frozen=True, slots=True)
class Artefact:
    """What every kind has in common. `kind` stands in the prefix on the wire and in the key derivation."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True)

    kind: ClassVar[str]
    longest: ClassVar[int] = 4096
    """The cap on the sealed form, in characters, checked before anything is parsed."""
    shown_often: ClassVar[bool] = False
    """Whether the same value comes again and again, so that it pays to remember what it opened to."""

    @property
    def repeatable(self) -> bool:
        """Whether equal models have to seal to equal values."""
        return False

    def to_claims(self) -> bytes:
        return _CODECS[type(self)].write(self, by_alias=True, exclude_defaults=True)

    @classmethod
    def from_claims(cls, claims: bytes) -> Self:
        """Raises Unsealable for what no release has sealed. What a later one may have added is ignored."""
        try:
            artefact: Self = _CODECS[cls].read(claims)
        except ValueError:
            raise Unsealable(f"claims of {cls.kind} are not legible") from None
        return artefact


class _Codec(NamedTuple):
    read: Callable[[bytes], Any]
    write: Callable[..., bytes]


class _Codecs(dict[type[Artefact], _Codec]):
    """Made at the first use of a kind, when its class is complete."""

    def __missing__(self, kind: type[Artefact]) -> _Codec:
        adapter = TypeAdapter(kind)
        codec = self[kind] = _Codec(adapter.validator.validate_json, adapter.serializer.to_json)
        return codec


_CODECS = _Codecs()
