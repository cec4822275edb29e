"""Who may register a client: TOKENSVC_REGISTRATION."""

import hashlib
import hmac
from dataclasses import dataclass, field

from tokensvc.errors import InvalidToken, SettingsError


@dataclass(frozen=True, slots=True)
class RegistrationPolicy:
    """`secret_hash` is set where registering takes an initial access token (RFC 7591 §3)."""

    enabled: bool
    secret_hash: bytes | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> "RegistrationPolicy":
        """Raises SettingsError."""
        name, colon, secret = text.partition(":")
        if name in {"open", "off"} and not colon:
            return cls(enabled=name == "open")
        if name != "token" or not secret:
            remedy = "Set it to open, off or token:SECRET"
            raise SettingsError("TOKENSVC_REGISTRATION", "is none of its three values", remedy)
        return cls(enabled=True, secret_hash=hashlib.sha256(secret.encode()).digest())

    @property
    def guarded(self) -> bool:
        return self.secret_hash is not None

    def check(self, initial_access_token: str | None) -> None:
        """Raise InvalidToken unless the caller may register."""
        presented = hashlib.sha256((initial_access_token or "").encode()).digest()
        if self.secret_hash is not None and not hmac.compare_digest(presented, self.secret_hash):
            raise InvalidToken("registering takes the operator's initial access token")
