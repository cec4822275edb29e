"""What a step of a family yields: an access token and, for a client that has the grant, the next refresh token."""

from typing import TypeVar

from tokensvc.errors import InvalidGrant, InvalidTarget, ReplayedGrant
from tokensvc.grants.issued import Issued
from tokensvc.grants.token_request import TokenRequest
from tokensvc.identity import IdentityEnded
from tokensvc.ledger import Advanced, Replayed, Step
from tokensvc.ledger.marks import Dead
from tokensvc.protocol.client import Client
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.tokens.artefact import Unsealable
from tokensvc.tokens.kinds import AccessToken, AuthorizationCode, Grant, RefreshToken

Parent = TypeVar("Parent", AuthorizationCode, RefreshToken)


def open_parent(kind: type[Parent], value: str, server: AuthorizationServer, now: int) -> Parent:
    """The code or refresh token, if this server sealed it and it has not expired. Raises InvalidGrant."""
    try:
        parent = server.sealer.unseal(kind, value, now)
    except Unsealable as error:
        raise refusal(kind, str(error)) from None
    if now >= parent.exp:
        raise refusal(kind, "expired", parent)
    return parent


async def advance(
    parent: AuthorizationCode | RefreshToken, request: TokenRequest, server: AuthorizationServer
) -> Advanced:
    """Ask whether the person's credential still stands, then use the parent. Raises InvalidGrant."""
    client, now = request.client, request.now
    try:
        await server.identities.confirm(parent.credential, parent.identity, now)
        generation = parent.generation if isinstance(parent, RefreshToken) else 0
        expires = max(parent.exp, _access_expiry(client, now), _refresh_expiry(parent, client, now))
        step = Step(parent.family, generation, parent, expires, server.grace)
        return await server.ledger.advance(step, now)
    except IdentityEnded as ended:
        raise refusal(type(parent), str(ended), parent) from None
    except Dead as dead:
        raise refusal(type(parent), str(dead), parent) from None
    except Replayed as replayed:
        description = refusal(type(parent), "").description
        raise ReplayedGrant(description, reason=f"replayed: {replayed}", family=parent.family) from None


def mint(parent: Grant, step: Advanced, request: TokenRequest, server: AuthorizationServer, scope: str) -> Issued:
    """The artefacts of the head. A child is never older than its parent, and its expiry counts from now."""
    client, now = request.client, request.now
    issued_after = max(now, parent.iat) - parent.authorized_at
    access_exp, refresh_exp = _access_expiry(client, now), _refresh_expiry(parent, client, now)

    def child(kind: type[AccessToken] | type[RefreshToken], scope: str, exp: int) -> str:
        token = kind(
            family=parent.family,
            client=parent.client,
            identity=parent.identity,
            credential=parent.credential,
            resource=parent.resource,
            scope=scope,
            authorized_at=parent.authorized_at,
            issued_after=issued_after,
            lifetime=exp - issued_after - parent.authorized_at,
            generation=step.head,
        )
        return server.sealer.seal(token, now)

    refreshes = "refresh_token" in client.grant_types
    return Issued(
        access_token=child(AccessToken, scope, access_exp),
        expires_in=(access_exp - now) // 1000,
        scope=scope,
        refresh_token=child(RefreshToken, parent.scope, refresh_exp) if refreshes else None,
        family=parent.family,
        generation=step.head,
        outcome=step.outcome,
    )


def check_client(parent: AuthorizationCode | RefreshToken, client: Client) -> None:
    if parent.client != client.handle:
        raise refusal(type(parent), f"issued to another client, presented by {client.handle}", parent)


def check_resource(
    requested: str | None, parent: AuthorizationCode | RefreshToken, server: AuthorizationServer
) -> None:
    """InvalidGrant for a resource that was taken away, InvalidTarget for another than the grant's (RFC 8707 §2.2)."""
    if server.resources.sealed(parent.resource) is None:
        raise refusal(type(parent), "its resource is not served any more", parent)
    if requested is not None and server.resources.find(requested).digest != parent.resource:
        raise InvalidTarget("the grant is for another resource")


def refusal(
    kind: type[AuthorizationCode] | type[RefreshToken], reason: str, parent: Grant | None = None
) -> InvalidGrant:
    """One answer for every way of not being valid; the log tells them apart."""
    name = "code" if kind is AuthorizationCode else "refresh token"
    return InvalidGrant(f"the {name} is not valid", reason=reason, family=parent.family if parent else "")


def _access_expiry(client: Client, now: int) -> int:
    return now + client.lifetimes.access


def _refresh_expiry(parent: Grant, client: Client, now: int) -> int:
    """Idle time from now, and no longer than the grant itself may live."""
    return min(now + client.lifetimes.refresh, parent.authorized_at + client.lifetimes.refresh_max)
