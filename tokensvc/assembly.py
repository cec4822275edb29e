"""Where settings become adapters: rings, identity sources, clients, the ledger, and the service of all of them."""

import os
from collections.abc import Callable
from pathlib import Path
from secrets import token_urlsafe
from typing import NamedTuple

from tokensvc import __version__
from tokensvc import settings as environment
from tokensvc.endpoints.attempts import Attempts
from tokensvc.endpoints.secrets import Secrets, parse_introspection_secrets, parse_secrets
from tokensvc.endpoints.service import Replica, Service
from tokensvc.errors import SettingsError
from tokensvc.grants import authorization_code, client_credentials, refresh_token
from tokensvc.grants.device_code import DeviceCodeGrant
from tokensvc.grants.jwt_bearer import JwtBearer
from tokensvc.grants.token_request import GrantType
from tokensvc.identity import IdentitySource
from tokensvc.identity.api_keys import ApiKeys
from tokensvc.identity.assertion_issuers import AssertionIssuers
from tokensvc.identity.clients import ClientIdentities
from tokensvc.identity.sources import Sources
from tokensvc.keyring import CLIENT_KEYS, KEYS, SIGNING_KEYS, KeyRing, derive
from tokensvc.ledger import Ledger
from tokensvc.ledger.exchange import Exchange
from tokensvc.ledger.memory import MemoryLedger
from tokensvc.ledger.peers import PeeredLedger
from tokensvc.ledger.sqlite import SqliteLedger
from tokensvc.observability import warn
from tokensvc.outbound.address import Networks
from tokensvc.protocol import id_jag
from tokensvc.protocol.client import DEVICE_CODE, Client, Clients, Lifetimes
from tokensvc.protocol.host_policy import HostPolicy
from tokensvc.protocol.id_jag import TrustedIssuer
from tokensvc.protocol.jwt_access_token import JwtAccessTokens
from tokensvc.protocol.peer import PEERS, Directory, Post
from tokensvc.protocol.preregistered import parse_clients
from tokensvc.protocol.published import Publishers
from tokensvc.protocol.redirect_uri import RedirectPolicy
from tokensvc.protocol.registration_policy import RegistrationPolicy
from tokensvc.protocol.resource_indicator import Resources
from tokensvc.protocol.scope import Scopes
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.settings import Settings
from tokensvc.tokens.access_tokens import AccessTokens, AnyFormat, SealedAccessTokens
from tokensvc.tokens.nonces import Nonces
from tokensvc.tokens.sealer import Sealer
from tokensvc.tokens.signing_keys import SigningKeys
from tokensvc.tokens.use import KeyUse

Clock = Callable[[], int]


def rings(settings: Settings, now: int) -> dict[str, KeyRing]:
    """Every ring by its variable: both that seal, and the one that signs where it is set. Raises SettingsError."""
    texts = {KEYS: settings.keys, CLIENT_KEYS: settings.client_keys}
    if settings.signing_keys.get_secret_value():
        texts[SIGNING_KEYS] = settings.signing_keys
    elif settings.access_token_format == "jwt":
        remedy = "Make an entry with `tokensvc keys new`"
        raise SettingsError(SIGNING_KEYS, "is not set, and TOKENSVC_ACCESS_TOKEN_FORMAT=jwt needs it", remedy)
    return {name: KeyRing.parse(text.get_secret_value(), name, now) for name, text in texts.items()}


def sealer(settings: Settings, now: int, use: KeyUse | None = None) -> Sealer:
    """The sealer of the rings in the settings. Raises SettingsError."""
    found = rings(settings, now)
    return Sealer(found[KEYS], found[CLIENT_KEYS], settings.issuer, settings.token_prefix, use)


def signing_keys(settings: Settings, now: int, use: KeyUse | None = None) -> SigningKeys | None:
    """What signs, or has signed, access tokens as JWTs. Raises SettingsError."""
    ring = rings(settings, now).get(SIGNING_KEYS)
    return SigningKeys(ring, settings.signing_alg, settings.issuer, settings.token_prefix, use) if ring else None


def lifetimes(settings: Settings) -> Lifetimes:
    """Of what clients are given that have none of their own."""
    return Lifetimes(
        code=settings.code_ttl * 1000,
        access=settings.access_ttl * 1000,
        refresh=settings.refresh_ttl * 1000,
        refresh_max=settings.refresh_max_ttl * 1000,
    )


class Listed(NamedTuple):
    """Whom the operator lists beside people: clients by client_id, and issuers of assertions by their `iss`."""

    clients: dict[str, Client]
    issuers: dict[str, TrustedIssuer]


def listed(settings: Settings) -> Listed:
    """Raises SettingsError."""
    clients = parse_clients(settings.clients.get_secret_value(), lifetimes(settings))
    return Listed(clients, _id_jag_issuers(settings))


def longest_lifetimes(settings: Settings, clients: dict[str, Client]) -> dict[str, int]:
    """Of what each ring seals or signs for any client, of the operator's or not, in milliseconds.

    The ring of client_ids is left out, since they have no end.
    """
    every = (lifetimes(settings), *(client.lifetimes for client in clients.values()))
    return {
        KEYS: max(max(own.code, own.access, own.refresh) for own in every),
        SIGNING_KEYS: max(own.access for own in every),
    }


def identities(settings: Settings, others: Listed) -> IdentitySource:
    """Whoever a token can stand for. Raises SettingsError."""
    people = ApiKeys.parse(settings.api_keys.get_secret_value())
    sources = (
        ClientIdentities(client.stands_for for client in others.clients.values() if client.stands_for),
        AssertionIssuers(issuer.name for issuer in others.issuers.values()),
    )
    return Sources(people, *sources) if any(sources) else people


def _id_jag_issuers(settings: Settings) -> dict[str, TrustedIssuer]:
    """Raises SettingsError, also where replicas could not promise that an assertion counts once."""
    issuers = id_jag.parse_issuers(settings.id_jag_issuers.get_secret_value(), settings.issuer)
    if issuers and settings.peers:
        problem = f"goes together with {PEERS}, where two replicas could each take the same assertion once"
        remedy = "Let the replicas share one ledger instead of being peers, or trust no issuers of assertions"
        raise SettingsError("TOKENSVC_ID_JAG_ISSUERS", problem, remedy)
    return issuers


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
    """Raises SettingsError."""
    return Replica(
        id=token_urlsafe(9),
        pid=os.getpid(),
        started=now,
        clock=clock,
        attempts=Attempts(limited=settings.limits == "on"),
        use=KeyUse(),
        publishers=Publishers.on(Networks.parse(settings.fetch_networks)),
    )


def assemble(settings: Settings, replica: Replica, now: int, ledger: Callable[[], Ledger]) -> Service:
    """Everything that the settings say, around a replica and its ledger. Raises SettingsError."""
    resources, others = Resources.parse(settings.resources, settings.issuer), listed(settings)
    admin_tokens = parse_secrets(settings.admin_tokens.get_secret_value(), "TOKENSVC_ADMIN_TOKENS")
    introspection_tokens = settings.introspection_tokens.get_secret_value()
    sealing, signing = sealer(settings, now, replica.use), signing_keys(settings, now, replica.use)
    return Service(
        introspection=parse_introspection_secrets(introspection_tokens, resources),
        registration=RegistrationPolicy.parse(settings.registration.get_secret_value()),
        admin=Secrets(dict.fromkeys(admin_tokens)),
        attempts=replica.attempts,
        clock=replica.clock,
        replica=replica,
        grant_types=_grant_types(settings, others, replica),
        rings=rings(settings, now),
        longest=longest_lifetimes(settings, others.clients),
        signing=signing,
        nonces=Nonces(sealing.rings[KEYS], settings.issuer),
        digests=environment.digests(settings, _digest_key(sealing)),
        # Last, since it opens the ledger: until then nothing has to be closed again.
        server=_server(
            settings, others, replica, sealing, _access_tokens(settings, sealing, signing, resources), resources, ledger
        ),
    )


def _grant_types(settings: Settings, others: Listed, replica: Replica) -> dict[str, GrantType]:
    """What is advertised and what is accepted, in one table."""
    grants: dict[str, GrantType] = {
        "authorization_code": authorization_code.grant,
        "refresh_token": refresh_token.grant,
    }
    if any(client.stands_for for client in others.clients.values()):
        grants["client_credentials"] = client_credentials.grant
    if others.issuers:
        grants[id_jag.GRANT_TYPE] = JwtBearer(others.issuers, replica.publishers.vouched.keys).grant
    if settings.device_authorization == "on":
        grants[DEVICE_CODE] = DeviceCodeGrant(replica.devices)
    return grants


def _digest_key(sealing: Sealer) -> bytes:
    """Of the oldest version of the ring that changes least, so that a replica with one more has the same."""
    oldest = min(sealing.rings[CLIENT_KEYS].versions, key=lambda version: version.activates)
    return derive(oldest, "digest")


def jwt_access_tokens(settings: Settings, now: int) -> JwtAccessTokens | None:
    """Where the settings have a ring that signs. Raises SettingsError."""
    signing = signing_keys(settings, now)
    resources = Resources.parse(settings.resources, settings.issuer)
    return JwtAccessTokens(signing, settings.issuer, resources) if signing else None


def _access_tokens(
    settings: Settings, sealing: Sealer, signing: SigningKeys | None, resources: Resources
) -> AccessTokens:
    """Minted in the format that is set. With a ring that signs both are taken, whichever that is."""
    sealed = SealedAccessTokens(sealing)
    if signing is None:
        return sealed
    signed = JwtAccessTokens(signing, settings.issuer, resources)
    return AnyFormat(signed if settings.access_token_format == "jwt" else sealed, sealed, signed)


def _server(
    settings: Settings,
    others: Listed,
    replica: Replica,
    sealing: Sealer,
    access_tokens: AccessTokens,
    resources: Resources,
    ledger: Callable[[], Ledger],
) -> AuthorizationServer:
    policy = RedirectPolicy.parse(settings.redirect_hosts)
    documented = HostPolicy.parse(settings.cimd)
    return AuthorizationServer(
        issuer=settings.issuer,
        sealer=sealing,
        access_tokens=access_tokens,
        identities=identities(settings, others),
        clients=Clients(sealing, others.clients, lifetimes(settings), policy, documented, replica.publishers),
        redirect_policy=policy,
        resources=resources,
        scopes=Scopes.parse(settings.scopes, settings.role_scopes.get_secret_value()),
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
