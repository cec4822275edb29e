"""Parts that find clients, for the tests of this folder: by default nobody can be asked for anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tokensvc.outbound.address import Networks
from tokensvc.outbound.fetch import Outbound
from tokensvc.protocol.client import Client, Clients, Lifetimes
from tokensvc.protocol.host_policy import HostPolicy
from tokensvc.protocol.published import Published, Publishers
from tokensvc.protocol.redirect_uri import RedirectPolicy
from tokensvc.tokens.sealer import Sealer


async def nowhere(_host: str, _port: int) -> Sequence[str]:
    return ()


def new_clients(
    sealer: Sealer,
    known: Mapping[str, Client],
    lifetimes: Lifetimes,
    policy: RedirectPolicy,
    *,
    cimd: str = "off",
    outbound: Outbound | None = None,
) -> Clients:
    published = Published.read_by(outbound or Outbound(Networks(), nowhere))
    return Clients(sealer, known, lifetimes, policy, HostPolicy.parse(cimd), Publishers(published, published))
