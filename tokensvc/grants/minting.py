"""What a step of a family yields: an access token and, for a client that has the grant, the next refresh token.

A family without a person at its side has one step, and its access token alone.
"""

from typing import TypeVar

from tokensvc.errors import InvalidDpopProof, InvalidGrant, InvalidTarget, ReplayedGrant
from tokensvc.grants.issued import Issued
from tokensvc.grants.proof import use_up
from tokensvc.grants.token_request import TokenRequest
from tokensvc.identity import IdentityEnded, SignedIn
from tokensvc.ledger import Advanced, Replayed, Step
from tokensvc.ledger.marks import Dead
from tokensvc.observability import log
from tokensvc.protocol.client import Client
from tokensvc.protocol.resource_indicator import Resource
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.tokens.artefact import Unsealable
from tokensvc.tokens.kinds import AccessToken, AuthorizationCode, DeviceApproval, Grant, RefreshToken, new_family

Parent = TypeVar("Parent", AuthorizationCode, DeviceApproval, RefreshToken)
Child = TypeVar("Child", AccessToken, RefreshToken)
Used = AuthorizationCode | DeviceApproval | RefreshToken
_NAMES: dict[type[Grant], str] = {
    AuthorizationCode: "code",
    DeviceApproval: "device code",
    RefreshToken: "refresh token",
}
"""What a client is told that it presented."""


def open_parent(kind: type[Parent], value: str, server: AuthorizationServer, now: int) -> Parent:
    """The code or refresh token, if this server sealed it and it has not expired. Raises InvalidGrant."""
    try:
        parent = server.sealer.unseal(kind, value, now)
    except Unsealable as error:
        raise refusal(kind, str(error)) from None
    if now >= parent.exp:
        raise refusal(kind, "expired", parent)
    return parent


async def advance(parent: Used, request: TokenRequest, server: AuthorizationServer) -> Advanced:
    """Ask whether the person's credential still stands, then use what the request was proved with, and the parent.

    Raises InvalidGrant; InvalidClient or InvalidDpopProof, and then the parent was not used.
    """
    client, now = request.client, request.now
    _check_key(parent, request)
    try:
        await server.identities.confirm(parent.credential, parent.identity, now)
        # What is dead already is refused before anything is used up for it.
        await server.ledger.check(parent)
        await use_up(request, server)
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

    def child(kind: type[Child], scope: str, exp: int, jkt: str, **own: bool) -> Child:
        return kind(
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
            jkt=jkt,
            **own,
        )

    refresh_token = None
    if "refresh_token" in client.grant_types:
        signed = request.assertion is not None
        refreshing = child(RefreshToken, parent.scope, refresh_exp, _refresh_key(parent, request), signed=signed)
        refresh_token = server.sealer.seal(refreshing, now)
    return Issued(
        access_token=server.access_tokens.seal(child(AccessToken, scope, access_exp, request.jkt), now),
        expires_in=(access_exp - now) // 1000,
        scope=scope,
        refresh_token=refresh_token,
        family=parent.family,
        generation=step.head,
        outcome=step.outcome,
        token_type="DPoP" if request.jkt else "Bearer",
    )


def new_token(
    signed_in: SignedIn, authorized_at: int, resource: Resource, scope: str, request: TokenRequest
) -> AccessToken:
    """The only token of a new family, for a client that asks without a person at its side.

    `authorized_at` is in milliseconds, and may lie ahead a little.
    """
    client, now = request.client, request.now
    issued_at = max(now, authorized_at)
    return AccessToken(
        family=new_family(),
        client=client.handle,
        identity=signed_in.identity,
        credential=signed_in.credential,
        resource=resource.digest,
        scope=scope,
        authorized_at=authorized_at,
        issued_after=issued_at - authorized_at,
        lifetime=_access_expiry(client, now) - issued_at,
        jkt=request.jkt,
    )


def alone(token: AccessToken, request: TokenRequest, server: AuthorizationServer) -> Issued:
    """What a new_token yields, which is no refresh token: its client can ask again at any time."""
    log("authorization granted", client=token.client, family=token.family, credential=token.credential)
    return Issued(
        access_token=server.access_tokens.seal(token, request.now),
        expires_in=(token.exp - request.now) // 1000,
        scope=token.scope,
        refresh_token=None,
        family=token.family,
        generation=token.generation,
        outcome="advanced",
        token_type="DPoP" if token.jkt else "Bearer",
    )


def present_scope(parent: Used, server: AuthorizationServer) -> str:
    """What of its scope is still served, and may still be had by its role. Raises InvalidGrant where nothing is."""
    scopes = server.scopes
    present = scopes.limit(scopes.narrow(parent.scope, parent.scope), parent.identity.role)
    if not present:
        raise refusal(type(parent), "none of its scopes is served any more, or its role may have none", parent)
    return present


def _refresh_key(parent: Grant, request: TokenRequest) -> str:
    """Whoever may come without a secret keeps the key that it proves; others may change theirs (RFC 9449 §5)."""
    if request.client.method == "none" or request.client.may_be_public:
        return request.jkt
    return parent.jkt if isinstance(parent, RefreshToken) else ""


def _check_key(parent: Used, request: TokenRequest) -> None:
    """A code or refresh token that is bound to a key is for whoever has that (RFC 9449 §5 and §10)."""
    if parent.jkt and not request.proof:
        raise InvalidDpopProof(f"the {_NAMES[type(parent)]} is bound to a key, and a DPoP proof of that is missing")
    if parent.jkt and parent.jkt != request.jkt:
        raise refusal(type(parent), "bound to another key than the DPoP proof is of", parent)


def check_client(parent: Used, client: Client) -> None:
    if parent.client != client.handle:
        raise refusal(type(parent), f"issued to another client, presented by {client.handle}", parent)


def check_resource(requested: str | None, parent: Used, server: AuthorizationServer) -> None:
    """InvalidGrant for a resource that was taken away, InvalidTarget for another than the grant's (RFC 8707 §2.2)."""
    if server.resources.sealed(parent.resource) is None:
        raise refusal(type(parent), "its resource is not served any more", parent)
    if requested is not None and server.resources.find(requested).digest != parent.resource:
        raise InvalidTarget("the grant is for another resource")


def refusal(kind: type[Grant], reason: str, parent: Grant | None = None) -> InvalidGrant:
    """One answer for every way of not being valid; the log tells them apart."""
    return InvalidGrant(f"the {_NAMES[kind]} is not valid", reason=reason, family=parent.family if parent else "")


def _access_expiry(client: Client, now: int) -> int:
    return now + client.lifetimes.access


def _refresh_expiry(parent: Grant, client: Client, now: int) -> int:
    """Idle time from now, and no longer than the grant itself may live."""
    return min(now + client.lifetimes.refresh, parent.authorized_at + client.lifetimes.refresh_max)
