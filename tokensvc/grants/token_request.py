"""What a grant decides on, and what it is."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tokensvc.dpop import Proof
from tokensvc.grants.issued import Issued
from tokensvc.protocol.assertion import Assertion
from tokensvc.protocol.client import Client
from tokensvc.protocol.server import AuthorizationServer


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request at the token endpoint by a client that proved who it is, at `now`.

    `proof` is that of a key of the client's (RFC 9449 §5), fresh and for this request, if it has sent one; `assertion`
    is what it authenticated by, if it signs (RFC 7523 §2.2). Both count once: see `grants.proof`.
    """

    parameters: Mapping[str, str] = field(repr=False)
    client: Client
    now: int
    proof: Proof | None = None
    assertion: Assertion | None = None

    @property
    def jkt(self) -> str:
        """The thumbprint of the key that was proved (RFC 9449 §6), empty without a proof."""
        return self.proof.jkt if self.proof else ""


GrantType = Callable[[TokenRequest, AuthorizationServer], Awaitable[Issued]]
