"""Scope values (RFC 6749 §3.3): known ones are granted, unknown ones dropped, and nothing left means the default."""

import re
from dataclasses import dataclass

from tokensvc.errors import SettingsError

_VALUE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,64}")
OFFLINE_ACCESS = "offline_access"


@dataclass(frozen=True, slots=True)
class Scopes:
    """`values` as configured, the first is the default."""

    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Scopes":
        """Raises SettingsError."""
        values = tuple(dict.fromkeys(text.split()))
        if not values or len(text) > 1024 or not all(_VALUE.fullmatch(value) for value in values):
            remedy = (
                "List scope values separated by spaces, up to 1,024 visible ASCII characters in all, the default first"
            )
            raise SettingsError("TOKENSVC_SCOPES", "is empty, too long or has a value that is no scope", remedy)
        return cls(tuple(value for value in values if value != OFFLINE_ACCESS) or values)

    @property
    def supported(self) -> tuple[str, ...]:
        """For the authorization server's metadata: with `offline_access`, which clients look for and nobody needs."""
        return (*self.values, OFFLINE_ACCESS)

    def grant(self, requested: str | None) -> str:
        return self.narrow(requested, " ".join(self.values)) or self.values[0]

    def narrow(self, requested: str | None, granted: str) -> str:
        """What of a grant is asked for, in the order of the setting; empty where nothing of it is."""
        wanted = set((requested or "").split()) & set(granted.split())
        return " ".join(value for value in self.values if value in wanted)
