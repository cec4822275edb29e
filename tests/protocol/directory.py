"""Parts that find clients, for the tests of this folder: by default nobody can be asked for anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tokensvc.outbound.address import Networks
from tokensvc.outbound.fetch import Outbound
from tokensvc.protocol.client import Client, Clients, Lifetimes
from tokensvc.protocol.client_metadata_document import MetadataDocuments, new_documents
from tokensvc.protocol.host_policy import HostPolicy
from tokensvc.protocol.jwks import KeyDirectory
from tokensvc.protocol.redirect_uri import RedirectPolicy
from tokensvc.tokens.sealer import Sealer


async def nowhere(_host: str, _port: int) -> Sequence[str]:
    raise OSError("no such host")


def new_clients(
    sealer: Sealer,
    known: Mapping[str, Client],
    lifetimes: Lifetimes,
    policy: RedirectPolicy,
    *,
    cimd: str = "off",
    outbound: Outbound | None = None,
) -> Clients:
    out = outbound or Outbound(Networks(), nowhere)
    documents = MetadataDocuments(HostPolicy.parse(cimd), new_documents(out))
    return Clients(sealer, known, lifetimes, policy, KeyDirectory(out), documents)
