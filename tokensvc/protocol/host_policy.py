"""Whose client metadata documents are accepted: TOKENSVC_CIMD."""

import re
from dataclasses import dataclass

from tokensvc.errors import SettingsError

_VARIABLE = "TOKENSVC_CIMD"
_ENTRY = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[1-9][0-9]{0,4})?")
_USUAL_PORT = ":443"


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """TOKENSVC_CIMD: whose documents are accepted. Those of `hosts` the operator vouches for.

    A host is an authority (RFC 3986 §3.2): what listens on another port may be another's.
    """

    hosts: frozenset[str]
    any_host: bool

    @classmethod
    def parse(cls, text: str) -> "HostPolicy":
        """Raises SettingsError."""
        entries = frozenset(entry.strip().lower() for entry in text.split(",") if entry.strip())
        if entries == {"off"}:
            return cls(frozenset(), any_host=False)
        hosts = frozenset(entry.removesuffix(_USUAL_PORT) for entry in entries - {"*"})
        if not entries or "off" in entries or not all(_ENTRY.fullmatch(host) for host in hosts):
            remedy = "Set it to *, to off, or to hosts such as claude.ai, *.example.com"
            raise SettingsError(_VARIABLE, "is empty, or has an entry that is no host", remedy)
        return cls(hosts, any_host="*" in entries)

    def __bool__(self) -> bool:
        return bool(self.hosts) or self.any_host

    def accepts(self, authority: str) -> bool:
        return self.any_host or self.names(authority)

    def names(self, authority: str) -> bool:
        host = authority.removesuffix(_USUAL_PORT)
        labels = host.split(".")
        below = (f"*.{'.'.join(labels[i:])}" for i in range(1, len(labels)))
        return host in self.hosts or any(parent in self.hosts for parent in below)
