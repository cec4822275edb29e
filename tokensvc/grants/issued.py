"""What a grant yields."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Issued:
    """The token response (RFC 6749 §5.1), and what the log says of it. `expires_in` is in seconds."""

    access_token: str = field(repr=False)
    expires_in: int
    scope: str
    refresh_token: str | None = field(repr=False)
    family: str
    generation: int
    outcome: str
    token_type: str = "Bearer"
