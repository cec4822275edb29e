"""Which addresses may be asked: global unicast ones (RFC 6890 and its registries), and what the operator allows."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from tokensvc.errors import SettingsError

FETCH_NETWORKS = "TOKENSVC_FETCH_NETWORKS"

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL = IPv6Network("2000::/3")
# What the standard library calls global, in whole or in part, and what leads elsewhere than it says: protocol
# assignments, relays, and the tunnels (Teredo, 6to4) whose addresses hold another one.
_NEVER = (
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("2001::/23"),
    IPv6Network("2001:db8::/32"),
    IPv6Network("2002::/16"),
    IPv6Network("3fff::/20"),
)


class Networks:
    """TOKENSVC_FETCH_NETWORKS: networks that may be asked although they are not public."""

    def __init__(self, allowed: Iterable[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    @classmethod
    def parse(cls, text: str) -> "Networks":
        """Raises SettingsError."""
        try:
            return cls(ip_network(entry.strip()) for entry in text.split(",") if entry.strip())
        except ValueError:
            remedy = "List networks such as 10.0.0.0/8, separated by commas"
            raise SettingsError(FETCH_NETWORKS, "has an entry that is no CIDR", remedy) from None

    def allow(self, address: str) -> bool:
        """Whether an address, as a resolver writes it, may be asked."""
        plain = _parse(address)
        return plain is not None and (self._listed(plain) or _is_public(plain))

    def name(self, host: str) -> bool:
        """Whether a host that is an address is one that the operator allows."""
        plain = _parse(host)
        return plain is not None and self._listed(plain)

    def _listed(self, address: Address) -> bool:
        # An address is never in a network of another version.
        return any(address in network for network in self._allowed)


def is_literal(host: str) -> bool:
    """Whether a host is an address, or ends like one: a resolver takes 127.1 and 0x7f000001 for 127.0.0.1."""
    last = host.rpartition(".")[2]
    return ":" in host or last.isdigit() or last.startswith("0x")


def _parse(text: str) -> Address | None:
    """The address that is reached in the end: of one that stands for an IPv4 address, that."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    # RFC 6052: where there is IPv6 alone, every IPv4 host has such an address.
    return IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else address


def _is_public(address: Address) -> bool:
    if any(address in network for network in _NEVER) or address.is_multicast:
        return False
    return address.is_global and (isinstance(address, IPv4Address) or address in _GLOBAL)
