"""Device authorization (RFC 8628): what a device asks for, how a person finds it, and what they decide.

The ledger keeps the request under its user code. Where there is no room, the request travels in the link that the
person follows, and the ledger hears of it with the decision: so a flood of requests takes nothing but the short link.
"""

from contextlib import suppress
from dataclasses import dataclass, field, replace

from tokensvc.errors import AccessDenied, UnauthorizedClient
from tokensvc.grants.devices import Devices
from tokensvc.identity import SignedIn
from tokensvc.ledger import Decided, Taken
from tokensvc.ledger.algebra import DENIED
from tokensvc.protocol.client import DEVICE_CODE, Client
from tokensvc.protocol.resource_indicator import Resource
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.protocol.user_code import new_user_code
from tokensvc.tokens.artefact import Unsealable
from tokensvc.tokens.kinds import DeviceApproval, DeviceCode, DeviceRequest, new_family, subjects_of

LIFETIME = 600_000
"""How long a person may take to find the page and decide, in milliseconds."""
_TRIES = 4
"""User codes that are tried. Of all codes, a fraction of a millionth is taken at any time."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What a device gets. `user_code` is without its dash, `request` is sealed, and empty where the ledger has it."""

    device_code: str = field(repr=False)
    user_code: str = field(repr=False)
    request: str = field(repr=False)


def check_grant_type(client: Client) -> None:
    """Raises UnauthorizedClient."""
    if DEVICE_CODE not in client.grant_types:
        raise UnauthorizedClient("the client did not register for the device code grant")


async def begin(
    client: Client,
    resource: Resource,
    scope: str,
    network: str,
    server: AuthorizationServer,
    devices: Devices,
    now: int,
) -> Begun:
    """Offer a request to whoever enters its user code (§3.2). `network` is where the client asks from."""
    # Where the ledger's memory begins a little ahead of this clock, not before it: what is older counts as lost.
    begun = await server.ledger.lift((), now)
    family = new_family()
    request = DeviceRequest(
        family=family,
        offer=family,
        user_code=new_user_code(),
        client=client.handle,
        client_name=client.name,
        verified=_is_proved(client),
        resource=resource.digest,
        scope=scope,
        exp=begun + LIFETIME,
        client_host=client.host,
    )
    has_room = devices.has_room(request.exp, now, network, known=client.verified)
    kept = await _keep(request, server, now) if has_room else None
    asked = kept or request
    device_code = DeviceCode(family, client.handle, asked.offer, authorized_at=begun, lifetime=LIFETIME)
    return Begun(server.sealer.seal(device_code, now), asked.user_code, "" if kept else server.sealer.seal(asked, now))


def _is_proved(client: Client) -> bool:
    """Whether the operator knows the app, and this was it: without a secret anyone can send its client_id (§5.6)."""
    return client.verified and client.method != "none" and not client.may_be_public


async def find(user_code: str, server: AuthorizationServer, now: int) -> DeviceRequest | None:
    """The request under a user code; None where that is unknown, expired or used."""
    offer = await server.ledger.offered(user_code, now)
    return open_request(offer.request, server, now) if offer and not offer.decision else None


def open_request(sealed: str, server: AuthorizationServer, now: int) -> DeviceRequest | None:
    """What a device asks for, from the ledger or a link; None where it is not one, or expired."""
    try:
        request = server.sealer.unseal(DeviceRequest, sealed, now)
    except Unsealable:
        return None
    return request if now < request.exp else None


async def approve(request: DeviceRequest, signed_in: SignedIn, server: AuthorizationServer, now: int) -> DeviceApproval:
    """What a person allows, as they would at the authorization endpoint. Raises AccessDenied; Decided.

    Who has allowed it already, and clicks once more, gets what they allowed.
    """
    identity, credential = signed_in.identity, signed_in.credential
    scope = server.scopes.limit(request.scope, identity.role)
    if not scope:
        raise AccessDenied("the person may have none of the scopes", reason=f"none of {request.scope} for their role")
    authorized_at = await server.ledger.lift(subjects_of(identity, credential, request.client), now)
    approval = DeviceApproval(
        family=request.family,
        client=request.client,
        identity=identity,
        credential=credential,
        resource=request.resource,
        scope=scope,
        authorized_at=authorized_at,
        lifetime=request.exp - authorized_at,
    )
    try:
        await _decide(request, server.sealer.seal(approval, now), server, now)
    except Decided:
        before = approval_of(await decision_on(request.offer, server, now), server, now)
        if before is None or (before.identity, before.credential) != (identity, credential):
            raise
        return before
    return approval


async def deny(request: DeviceRequest, network: str, server: AuthorizationServer, devices: Devices, now: int) -> None:
    """The device is told, unless it is one of a flood: nobody signs in to deny. Raises Decided."""
    if request.offer != request.family or devices.has_room(request.exp, now, network, known=request.verified):
        try:
            await _decide(request, DENIED, server, now)
        except Decided:
            if await decision_on(request.offer, server, now) != DENIED:
                raise


async def decision_on(offer: str, server: AuthorizationServer, now: int) -> str:
    """A sealed DeviceApproval, DENIED, or empty where there is no decision, or none that was heard of here."""
    found = await server.ledger.offered(offer, now)
    return found.decision if found else ""


def approval_of(decision: str, server: AuthorizationServer, now: int) -> DeviceApproval | None:
    try:
        return server.sealer.unseal(DeviceApproval, decision, now)
    except Unsealable:
        return None


async def _keep(request: DeviceRequest, server: AuthorizationServer, now: int) -> DeviceRequest | None:
    """The request as the ledger keeps it; None where each code that was tried stands for another one."""
    for _ in range(_TRIES):
        code = new_user_code()
        kept = replace(request, offer=code, user_code=code)
        with suppress(Taken):
            await server.ledger.offer(code, server.sealer.seal(kept, now), kept.exp, now)
            return kept
    return None


async def _decide(request: DeviceRequest, decision: str, server: AuthorizationServer, now: int) -> None:
    """Raises Decided."""
    if request.offer == request.family:
        # Equal on every replica, so that two offers of it are one.
        with suppress(Taken):
            await server.ledger.offer(request.offer, "", request.exp, now)
    await server.ledger.decide(request.offer, decision, now)
