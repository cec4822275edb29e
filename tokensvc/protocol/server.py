"""The authorization server as one value: everything that a grant or an endpoint decides with."""

from dataclasses import dataclass

from tokensvc.identity import IdentitySource
from tokensvc.ledger import Ledger
from tokensvc.protocol.client import Clients
from tokensvc.protocol.redirect_uri import RedirectPolicy
from tokensvc.protocol.resource_indicator import Resources
from tokensvc.protocol.scope import Scopes
from tokensvc.tokens.access_tokens import AccessTokens
from tokensvc.tokens.sealer import Sealer


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """`grace` is in milliseconds."""

    issuer: str
    sealer: Sealer
    access_tokens: AccessTokens
    ledger: Ledger
    identities: IdentitySource
    clients: Clients
    redirect_policy: RedirectPolicy
    resources: Resources
    scopes: Scopes
    grace: int
