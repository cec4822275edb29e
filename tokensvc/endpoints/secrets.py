"""The secrets of those who may ask: resource servers at introspection, operators at /admin."""

import hashlib
from collections.abc import Iterable

from tokensvc.errors import InvalidToken, OAuthError, SettingsError
from tokensvc.protocol.resource_indicator import Resource, Resources


class Secrets:
    """Secrets that open a protected endpoint, each with what it opens."""

    def __init__(self, secrets: dict[str, Resource | None]) -> None:
        # Looked up by the SHA-256 of what was given: how long that takes says nothing of the secrets themselves.
        self._by_digest = {_digest(secret): opens for secret, opens in secrets.items()}

    def __bool__(self) -> bool:
        return bool(self._by_digest)

    def open(self, presented: Iterable[str]) -> Resource | None:
        """What the secret opens, given in one spelling or several. Raises InvalidToken."""
        for secret in presented:
            digest = _digest(secret)
            if digest in self._by_digest:
                return self._by_digest[digest]
        raise InvalidToken("the credential of this endpoint is missing or wrong")


def parse_secrets(text: str, variable: str) -> list[str]:
    """Comma separated secrets. Raises SettingsError."""
    secrets = [entry.strip() for entry in text.split(",") if entry.strip()]
    if len(set(secrets)) < len(secrets):
        raise SettingsError(variable, "lists a secret twice", "Give every entry a secret of its own")
    return secrets


def parse_introspection_secrets(text: str, resources: Resources) -> Secrets:
    """Read TOKENSVC_INTROSPECTION_TOKENS: `secret` or `resource=secret`, split at the last `=`. SettingsError."""
    variable = "TOKENSVC_INTROSPECTION_TOKENS"
    opens: dict[str, Resource | None] = {}
    for entry in parse_secrets(text, variable):
        name, equals, secret = entry.rpartition("=")
        if not secret:
            raise SettingsError(variable, "has an empty secret", "Use secrets without `=`, such as base64url unpadded")
        if not equals and len(resources.all) > 1:
            remedy = "With more than one resource write resource=secret for each"
            raise SettingsError(variable, "has a secret that names no resource", remedy)
        if secret in opens:
            raise SettingsError(variable, "lists a secret twice", "Give every resource a secret of its own")
        try:
            opens[secret] = resources.find(name if equals else None)
        except OAuthError:
            remedy = "Name a resource of TOKENSVC_RESOURCES as it stands there"
            raise SettingsError(variable, "has an entry for an unknown resource", remedy) from None
    return Secrets(opens)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
