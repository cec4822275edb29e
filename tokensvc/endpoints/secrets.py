"""The secrets of those who may ask: resource servers at introspection, operators at /admin."""

import hashlib
import hmac
from collections.abc import Iterable

from tokensvc.errors import InvalidToken, OAuthError, SettingsError
from tokensvc.protocol.resource_indicator import Resource, Resources


class Secrets:
    """Secrets that open a protected endpoint, each with what it opens. Kept as hashes, compared in constant time."""

    def __init__(self, secrets: dict[str, Resource | None]) -> None:
        self._hashes = [(hashlib.sha256(secret.encode()).digest(), opens) for secret, opens in secrets.items()]

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def open(self, presented: Iterable[str]) -> Resource | None:
        """What the secret opens, given in one spelling or several. Raises InvalidToken."""
        for offered in [hashlib.sha256(secret.encode()).digest() for secret in presented]:
            for known, opens in self._hashes:
                if hmac.compare_digest(known, offered):
                    return opens
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
