"""What a request brings to be let in (RFC 6750 §2.1, RFC 9449 §7.1)."""

from __future__ import annotations

from typing import NamedTuple

from starlette.types import Scope


class Credential(NamedTuple):
    """`scheme` is in lower case; `value` is that of a token, and empty for every other scheme."""

    scheme: str
    value: str


def credentials_of(scope: Scope) -> list[Credential]:
    """One for every Authorization header. There should be one at most (RFC 9110 §5.3)."""
    found = []
    for header in values_of(scope, b"authorization"):
        parts = header.split(None, 1)
        scheme = parts[0].lower() if parts else ""
        is_token = len(parts) == 2 and scheme in ("bearer", "dpop")
        found.append(Credential(scheme, parts[1].strip() if is_token else ""))
    return found


def values_of(scope: Scope, wanted: bytes) -> list[str]:
    """Of every header of a name, which is in lower case."""
    return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]
