"""What the endpoints share: the authorization server, the clock, the secrets of those who may ask."""

import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from starlette.requests import Request

from tokensvc.endpoints.attempts import Attempts
from tokensvc.errors import InvalidToken, OAuthError, SettingsError
from tokensvc.observability import warn
from tokensvc.protocol.registration_policy import RegistrationPolicy
from tokensvc.protocol.resource_indicator import Resource, Resources
from tokensvc.protocol.server import AuthorizationServer


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


@dataclass(frozen=True, slots=True)
class Service:
    """`clock` gives milliseconds since the epoch; an endpoint reads it once a request."""

    server: AuthorizationServer
    clock: Callable[[], int]
    attempts: Attempts
    registration: RegistrationPolicy
    introspection: Secrets
    admin: Secrets


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def address_of(request: Request) -> str:
    """The client's address, as trusted proxies give it."""
    client = request.scope.get("client")
    return client[0] if client else ""


def guard(
    request: Request, service: Service, secrets: Secrets, presented: tuple[str, ...], name: str
) -> Resource | None:
    """Open a protected endpoint with a secret, and count what fails. Raises InvalidToken or TooManyRequests."""
    address = address_of(request)
    service.attempts.check(name, address)
    try:
        return secrets.open(presented)
    except InvalidToken:
        if presented:
            service.attempts.failed(name, address)
        warn(f"{name} refused", reason="wrong credential" if presented else "no credential", address=address)
        raise


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
