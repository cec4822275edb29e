"""Which addresses may be asked: never one inside, however it is written."""

from __future__ import annotations

import pytest

from tokensvc.errors import SettingsError
from tokensvc.outbound.address import Networks, is_literal

PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700::6810:84e5", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
INSIDE = {
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd00:ec2::254"],
    "link-local": ["169.254.169.254", "fe80::1", "fe80::1%eth0"],
    "shared": ["100.64.0.1", "100.127.255.255"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "::"],  # noqa: S104  # nothing is bound
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "192.0.0.1", "192.0.0.9", "192.88.99.1", "198.18.0.1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "mapped": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::ffff:0:127.0.0.1"],
    "nat64": ["64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"],
    "6to4": ["2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:808:808::1"],
    "teredo": ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001::1"],
    "site-local": ["fec0::1"],
    "none at all": ["", "localhost", "1.2.3", "0x7f.1", "127.1", "8.8.8.8/32", " 8.8.8.8"],
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_may_be_asked(address: str) -> None:
    assert Networks().allow(address)
    assert not Networks().name(address)


@pytest.mark.parametrize("address", [each for addresses in INSIDE.values() for each in addresses])
def test_any_other_address_may_not(address: str) -> None:
    assert not Networks().allow(address)


@pytest.mark.parametrize(
    ("networks", "allowed", "refused"),
    [
        ("127.0.0.0/8", ["127.0.0.1", "::ffff:127.0.0.1"], ["::1", "10.0.0.1"]),
        ("10.1.0.0/16, fd00::/8", ["10.1.2.3", "fd00::1"], ["10.2.0.1", "fc00::1", "169.254.169.254"]),
        ("", [], ["127.0.0.1"]),
    ],
    ids=["loopback", "two", "none"],
)
def test_operator_allows_networks(networks: str, allowed: list[str], refused: list[str]) -> None:
    parsed = Networks.parse(networks)
    assert all(parsed.allow(address) and parsed.name(address) for address in allowed)
    assert not any(parsed.allow(address) for address in refused)
    assert parsed.allow("8.8.8.8")


@pytest.mark.parametrize("text", ["10.0.0.1/8", "intranet", "10.0.0.0/33", "10.0.0.0/8;fd00::/8"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^TOKENSVC_FETCH_NETWORKS "):
        Networks.parse(text)


def test_host_that_a_resolver_reads_as_an_address_counts_as_one() -> None:
    assert all(map(is_literal, ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "a.0x1", "::1", "a.b.1"]))
    assert not any(map(is_literal, ["localhost", "1.example", "10.in-addr.arpa", "0x.example"]))
