"""What the endpoints share: the authorization server, the clock, the secrets of those who may ask."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.requests import Request

from tokensvc.endpoints.attempts import Attempts
from tokensvc.endpoints.secrets import Secrets
from tokensvc.errors import InvalidToken
from tokensvc.grants.devices import Devices
from tokensvc.grants.token_request import GrantType
from tokensvc.keyring import KeyRing
from tokensvc.observability import warn
from tokensvc.protocol.published import Publishers
from tokensvc.protocol.registration_policy import RegistrationPolicy
from tokensvc.protocol.resource_indicator import Resource
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.reload import Reload
from tokensvc.tokens.nonces import Nonces
from tokensvc.tokens.signing_keys import SigningKeys
from tokensvc.tokens.use import KeyUse

_PINNED = "tokensvc.service"


@dataclass(slots=True)
class Replica:
    """This process for as long as it runs: whatever goes on when the settings are read again.

    `id` is random, `started` in milliseconds since the epoch, `reload` the last time that settings were read again,
    `unready` why it said at /readyz that it is not ready, empty where it did not.
    """

    id: str
    pid: int
    started: int
    clock: Callable[[], int]
    attempts: Attempts
    use: KeyUse
    publishers: Publishers
    devices: Devices = field(default_factory=Devices)
    reload: Reload | None = None
    unready: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """One set of settings in force. `clock` gives milliseconds since the epoch; an endpoint reads it once a request.

    `grant_types` are advertised and accepted, by name. `rings` and `longest` are by a ring's variable, the latter the
    longest lifetime of what it seals or signs, in milliseconds. `signing` is there where JWT access tokens are taken.
    `digests` are those of the settings, by variable.
    """

    server: AuthorizationServer
    clock: Callable[[], int]
    attempts: Attempts
    registration: RegistrationPolicy
    introspection: Secrets
    admin: Secrets
    grant_types: Mapping[str, GrantType]
    replica: Replica
    rings: Mapping[str, KeyRing]
    longest: Mapping[str, int]
    signing: SigningKeys | None
    nonces: Nonces
    digests: Mapping[str, str]


def service_of(request: Request) -> Service:
    """The service that was in force when the request began: settings may be read again before it is answered."""
    service: Service = request.scope.setdefault(_PINNED, request.app.state.service)
    return service


def address_of(request: Request) -> str:
    """The client's address, as trusted proxies give it."""
    client = request.scope.get("client")
    return client[0] if client else ""


def is_leaving(request: Request) -> bool:
    """Whether this process was told to stop: its server keeps an asyncio.Event in the state of every scope."""
    leaving = request.scope.get("state", {}).get("leaving")
    return leaving is not None and leaving.is_set()


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
