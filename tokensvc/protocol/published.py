"""What hosts publish, as one process remembers it: the keys of those who sign, and the documents of clients."""

from dataclasses import dataclass

from tokensvc.outbound.address import Networks
from tokensvc.outbound.documents import Documents
from tokensvc.outbound.fetch import Outbound
from tokensvc.protocol.client_metadata_document import ClientMetadataDocument, new_documents
from tokensvc.protocol.jwks import KeyDirectory


@dataclass(frozen=True, slots=True)
class Published:
    """Read by one way out, into one memory: whoever fills these leaves those of another untouched."""

    keys: KeyDirectory
    documents: Documents[ClientMetadataDocument]

    @classmethod
    def read_by(cls, outbound: Outbound) -> "Published":
        return cls(KeyDirectory(outbound), new_documents(outbound))


@dataclass(frozen=True, slots=True)
class Publishers:
    """Those whom the operator `vouched` for by naming them in the settings, and the `others`, whom strangers name.

    Else a stranger could keep this service from hearing that a trusted key was taken out.
    """

    vouched: Published
    others: Published

    @classmethod
    def on(cls, networks: Networks) -> "Publishers":
        return cls(Published.read_by(Outbound(networks)), Published.read_by(Outbound(networks)))
