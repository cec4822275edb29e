"""What a grant decides on, and what it is."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tokensvc.grants.issued import Issued
from tokensvc.protocol.client import Client
from tokensvc.protocol.server import AuthorizationServer


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request at the token endpoint by a client that proved who it is, at `now`.

    `jkt` is the thumbprint of the key that a DPoP proof showed (RFC 9449 §6), empty without one.
    """

    parameters: Mapping[str, str] = field(repr=False)
    client: Client
    now: int
    jkt: str = ""


GrantType = Callable[[TokenRequest, AuthorizationServer], Awaitable[Issued]]
