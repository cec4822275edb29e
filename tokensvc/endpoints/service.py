"""What the endpoints share: the authorization server, the clock, the secrets of those who may ask."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from tokensvc.endpoints.attempts import Attempts
from tokensvc.endpoints.secrets import Secrets
from tokensvc.errors import InvalidToken
from tokensvc.observability import warn
from tokensvc.protocol.registration_policy import RegistrationPolicy
from tokensvc.protocol.resource_indicator import Resource
from tokensvc.protocol.server import AuthorizationServer


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
