"""Where settings become adapters: rings, identity sources, clients, the ledger, and the service of all of them."""

import os
from collections.abc import Callable
from pathlib import Path
from secrets import token_urlsafe

from tokensvc import __version__
from tokensvc import settings as environment
from tokensvc.endpoints.attempts import Attempts
from tokensvc.endpoints.secrets import Secrets, parse_introspection_secrets, parse_secrets
from tokensvc.endpoints.service import Replica, Service
from tokensvc.errors import SettingsError
from tokensvc.grants import authorization_code, refresh_token
from tokensvc.grants.token_request import GrantType
from tokensvc.identity.api_keys import ApiKeys
from tokensvc.keyring import CLIENT_KEYS, KEYS, KeyRing, derive
from tokensvc.ledger import Ledger
from tokensvc.ledger.exchange import Exchange
from tokensvc.ledger.memory import MemoryLedger
from tokensvc.ledger.peers import PeeredLedger
from tokensvc.ledger.sqlite import SqliteLedger
from tokensvc.observability import warn
from tokensvc.protocol.client import Clients, Lifetimes
from tokensvc.protocol.peer import PEERS, Directory, Post
from tokensvc.protocol.preregistered import parse_clients
from tokensvc.protocol.redirect_uri import RedirectPolicy
from tokensvc.protocol.registration_policy import RegistrationPolicy
from tokensvc.protocol.resource_indicator import Resources
from tokensvc.protocol.scope import Scopes
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.settings import Settings
from tokensvc.tokens.sealer import Sealer
from tokensvc.tokens.use import KeyUse

Clock = Callable[[], int]


def rings(settings: Settings, now: int) -> dict[str, KeyRing]:
    """Both rings by their variable. Raises SettingsError."""
    texts = {KEYS: settings.keys, CLIENT_KEYS: settings.client_keys}
    return {name: KeyRing.parse(text.get_secret_value(), name, now) for name, text in texts.items()}


def sealer(settings: Settings, now: int, use: KeyUse | None = None) -> Sealer:
    """The sealer of the rings in the settings. Raises SettingsError."""
    keys, client_keys = rings(settings, now).values()
    return Sealer(keys, client_keys, settings.issuer, settings.token_prefix, use)


def lifetimes(settings: Settings) -> Lifetimes:
    """Of what clients are given that have none of their own."""
    return Lifetimes(
        code=settings.code_ttl * 1000,
        access=settings.access_ttl * 1000,
        refresh=settings.refresh_ttl * 1000,
        refresh_max=settings.refresh_max_ttl * 1000,
    )


def longest_lifetime(settings: Settings) -> int:
    """That a code or token of any client can have, in milliseconds. Raises SettingsError."""
    general = lifetimes(settings)
    clients = parse_clients(settings.clients.get_secret_value(), general).values()
    return max(max(own.code, own.access, own.refresh) for own in (general, *(client.lifetimes for client in clients)))


def ledger_path(settings: Settings) -> Path | None:
    """The file of a sqlite ledger, None for the memory ledger. Raises SettingsError."""
    if settings.ledger == "memory://":
        return None
    scheme, _, path = settings.ledger.partition(":///")
    if scheme != "sqlite" or not path:
        remedy = "Use sqlite:///PATH (three slashes relative, four absolute) or memory://"
        raise SettingsError("TOKENSVC_LEDGER", "is no ledger of this version", remedy)
    return Path(path)


def new_replica(settings: Settings, clock: Clock, now: int) -> Replica:
    return Replica(
        id=token_urlsafe(9),
        pid=os.getpid(),
        started=now,
        clock=clock,
        attempts=Attempts(limited=settings.limits == "on"),
        use=KeyUse(),
    )


def assemble(settings: Settings, replica: Replica, now: int, ledger: Callable[[], Ledger]) -> Service:
    """Everything that the settings say, around a replica and its ledger. Raises SettingsError."""
    resources = Resources.parse(settings.resources, settings.issuer)
    admin_tokens = parse_secrets(settings.admin_tokens.get_secret_value(), "TOKENSVC_ADMIN_TOKENS")
    introspection_tokens = settings.introspection_tokens.get_secret_value()
    sealing = sealer(settings, now, replica.use)
    return Service(
        introspection=parse_introspection_secrets(introspection_tokens, resources),
        registration=RegistrationPolicy.parse(settings.registration.get_secret_value()),
        admin=Secrets(dict.fromkeys(admin_tokens)),
        attempts=replica.attempts,
        clock=replica.clock,
        replica=replica,
        grant_types=_grant_types(),
        longest=longest_lifetime(settings),
        digests=environment.digests(settings, _digest_key(sealing)),
        # Last, since it opens the ledger: until then nothing has to be closed again.
        server=_server(settings, sealing, resources, ledger),
    )


def _grant_types() -> dict[str, GrantType]:
    """What is advertised and what is accepted, in one table."""
    return {"authorization_code": authorization_code.grant, "refresh_token": refresh_token.grant}


def _digest_key(sealing: Sealer) -> bytes:
    """Of the oldest version of the ring that changes least, so that a replica with one more has the same."""
    oldest = min(sealing.rings[CLIENT_KEYS].versions, key=lambda version: version.activates)
    return derive(oldest, "digest")


def _server(
    settings: Settings, sealing: Sealer, resources: Resources, ledger: Callable[[], Ledger]
) -> AuthorizationServer:
    policy = RedirectPolicy.parse(settings.redirect_hosts)
    general = lifetimes(settings)
    clients = parse_clients(settings.clients.get_secret_value(), general)
    return AuthorizationServer(
        issuer=settings.issuer,
        sealer=sealing,
        identities=ApiKeys.parse(settings.api_keys.get_secret_value()),
        clients=Clients(sealing, clients, general, policy),
        redirect_policy=policy,
        resources=resources,
        scopes=Scopes.parse(settings.scopes),
        grace=settings.refresh_grace * 1000,
        ledger=ledger(),
    )


def open_ledger(settings: Settings, clock: Clock, now: int, sealer: Callable[[], Sealer]) -> Ledger:
    """The ledger of this process, with peers where there are any. `sealer` gives the one in force."""
    directory = Directory.parse(settings.peers, settings.issuer)
    local = _open_local(settings, now, alone=not directory.urls)
    if not directory.urls:
        return local
    exchange = Exchange(local, __version__, settings.staleness * 1000, now, bootstrap=settings.peers_bootstrap)
    return PeeredLedger(local, exchange, Post(sealer, clock), directory, clock)


def no_fleet() -> str:
    """Why the process ends where neither a file nor another replica knows what was revoked."""
    problem = "names no replica that is caught up, and this one has no ledger file to begin with"
    remedy = (
        "Start the others first, or set TOKENSVC_PEERS_BOOTSTRAP=true on one replica alone to begin a new fleet, "
        "which ends all that was minted before"
    )
    return str(SettingsError(PEERS, problem, remedy))


def _open_local(settings: Settings, now: int, *, alone: bool) -> Ledger:
    path = ledger_path(settings)
    if path is None:
        return MemoryLedger(now)
    ledger = SqliteLedger(path, now, alone=alone)
    if ledger.restored:
        warn(
            "ledger restored",
            reason="the file is older than its witness: all that was minted before is refused",
        )
    return ledger
