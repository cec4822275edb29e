"""The port for access tokens, which have formats: whatever mints, judges or ends one goes through it."""

from typing import Protocol

from tokensvc.tokens.kinds import AccessToken
from tokensvc.tokens.sealer import Sealer

JSON = "eyJ"
"""How a JWT begins: with an object in base64url. What is sealed has no capital before the underscore of its kind."""


class AccessTokens(Protocol):
    def seal(self, token: AccessToken, now: int) -> str:
        """What the client gets."""

    def unseal(self, value: str, now: int) -> AccessToken:
        """Raises Unsealable for whatever is no access token of this server. An expired one opens."""


class AnyFormat:
    """Mints in one format and opens both, so that going over from one to the other ends nothing."""

    def __init__(self, minted: AccessTokens, sealed: AccessTokens, signed: AccessTokens) -> None:
        self.seal = minted.seal
        self._sealed = sealed
        self._signed = signed

    def unseal(self, value: str, now: int) -> AccessToken:
        return (self._signed if value.startswith(JSON) else self._sealed).unseal(value, now)


class SealedAccessTokens:
    """As compact JWEs, like every other kind."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def seal(self, token: AccessToken, now: int) -> str:
        return self._sealer.seal(token, now)

    def unseal(self, value: str, now: int) -> AccessToken:
        return self._sealer.unseal(AccessToken, value, now)
