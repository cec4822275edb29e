"""Scope values (RFC 6749 §3.3): known ones are granted, unknown ones dropped, and nothing left means the default.

What a role may have is the operator's to say, and bounds what is granted to people of that role, whatever they allow.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tokensvc.errors import SettingsError
from tokensvc.identity import unquote_part

_VALUE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,64}")
_ROLES = "TOKENSVC_ROLE_SCOPES"
OFFLINE_ACCESS = "offline_access"


@dataclass(frozen=True, slots=True)
class Scopes:
    """`values` as configured, the first is the default. `roles` holds what those roles may have that are limited."""

    values: tuple[str, ...]
    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, roles: str = "") -> "Scopes":
        """Read TOKENSVC_SCOPES and TOKENSVC_ROLE_SCOPES. Raises SettingsError."""
        values = tuple(dict.fromkeys(text.split()))
        if not values or len(text) > 1024 or not all(_VALUE.fullmatch(value) for value in values):
            remedy = (
                "List scope values separated by spaces, up to 1,024 visible ASCII characters in all, the default first"
            )
            raise SettingsError("TOKENSVC_SCOPES", "is empty, too long or has a value that is no scope", remedy)
        known = tuple(value for value in values if value != OFFLINE_ACCESS) or values
        return cls(known, _parse_roles(roles, frozenset({*known, OFFLINE_ACCESS})))

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

    def limit(self, granted: str, role: str) -> str:
        """What of a grant a person of this role may have by the present setting; empty where that is nothing."""
        allowed = self.roles.get(role)
        if allowed is None:
            return granted
        return " ".join(value for value in granted.split() if value in allowed)


def _parse_roles(text: str, known: frozenset[str]) -> dict[str, frozenset[str]]:
    """`role=scope scope;role=…`, or a line for each role. Raises SettingsError."""
    roles: dict[str, frozenset[str]] = {}
    for entry in filter(None, (entry.strip() for entry in re.split(r"[;\n]", text))):
        name, equals, scopes = entry.partition("=")
        if not equals:
            raise SettingsError(_ROLES, "has an entry without `=`", "Write role=scope scope;role=scope")
        try:
            role = unquote_part(name.strip())
        except ValueError as error:
            raise SettingsError(_ROLES, f"names a role that is refused: {error}", "Percent-encode the role") from None
        if role in roles:
            raise SettingsError(_ROLES, "names a role twice", "Give every role one entry with all of its scopes")
        allowed = frozenset(scopes.split())
        if not allowed <= known:
            remedy = "Name scopes that TOKENSVC_SCOPES lists; a role without any may have nothing"
            raise SettingsError(_ROLES, "has an entry with a scope that is not offered here", remedy)
        roles[role] = allowed
    return roles
