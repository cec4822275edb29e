"""The device code grant (RFC 8628 §3.4): a device asks until the person has decided, and gets tokens once."""

from tokensvc.errors import AccessDenied, AuthorizationPending, ExpiredToken, InvalidRequest, ReplayedGrant, SlowDown
from tokensvc.grants.device_authorization import approval_of, check_grant_type, decision_on
from tokensvc.grants.devices import Devices
from tokensvc.grants.issued import Issued
from tokensvc.grants.minting import advance, check_client, check_resource, mint, present_scope, refusal
from tokensvc.grants.token_request import TokenRequest
from tokensvc.ledger.algebra import DENIED
from tokensvc.ledger.marks import Dead, Mark, family
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.tokens.artefact import Unsealable
from tokensvc.tokens.kinds import DeviceApproval, DeviceCode


class DeviceCodeGrant:
    """The grant, with what this process remembers of devices."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices

    async def __call__(self, request: TokenRequest, server: AuthorizationServer) -> Issued:
        """Raises AuthorizationPending or SlowDown, which say to ask again; all others say to begin again (§3.5).

        Tokens are minted once. A device that lost the answer and asks again has presented its code twice, which ends
        the grant as with any code: it begins again too.
        """
        check_grant_type(request.client)
        device_code = await _open(request, server)
        decision = await decision_on(device_code.offer, server, request.now)
        if not decision:
            # With peers it may have been made elsewhere within the last second: it is heard of in time.
            if self._devices.in_time(device_code.offer, request.now):
                raise AuthorizationPending("the person has not decided yet")
            raise SlowDown("the device asks too often")
        if decision == DENIED:
            await _check_unused(device_code, server, request.now)
            raise AccessDenied("the person did not allow it")
        return await _redeem(decision, device_code, request, server)


async def _open(request: TokenRequest, server: AuthorizationServer) -> DeviceCode:
    """Raises InvalidGrant for what is no code of this client, ExpiredToken where it is too old to be decided."""
    client, now = request.client, request.now
    if "device_code" not in request.parameters:
        raise InvalidRequest("device_code is missing")
    try:
        device_code = server.sealer.unseal(DeviceCode, request.parameters["device_code"], now)
    except Unsealable as error:
        raise refusal(DeviceApproval, str(error)) from None
    if device_code.client != client.handle:
        raise refusal(DeviceApproval, f"issued to another client, presented by {client.handle}")
    if now >= device_code.exp:
        raise ExpiredToken("the device code has expired")
    try:
        await server.ledger.check(device_code)
    except Dead as dead:
        raise ExpiredToken("the device code has expired", reason=str(dead)) from None
    return device_code


async def _check_unused(device_code: DeviceCode, server: AuthorizationServer, now: int) -> None:
    """Raises ReplayedGrant, once the grant has ended.

    Two decisions at once on two replicas are a denial as soon as these hear of each other. Where tokens were fetched
    for one of them before that, this is the second use of the device code.
    """
    grant = family(device_code.family)
    known = await server.ledger.excerpt([("family", device_code.family), ("mark", *grant)], now)
    if known.families and not known.marks:
        await server.ledger.mark(grant, Mark(now, device_code.exp), now)
        reason = "replayed: after two decisions that differ"
        raise ReplayedGrant(refusal(DeviceApproval, "").description, reason=reason, family=device_code.family)


async def _redeem(decision: str, device_code: DeviceCode, request: TokenRequest, server: AuthorizationServer) -> Issued:
    """Tokens for an approval, which is used up as a code is. Raises InvalidGrant."""
    approval = approval_of(decision, server, request.now)
    if approval is None or approval.family != device_code.family:
        raise refusal(DeviceApproval, "the approval cannot be opened, or is of another request")
    check_client(approval, request.client)
    check_resource(request.parameters.get("resource"), approval, server)
    scope = present_scope(approval, server)
    return mint(approval, await advance(approval, request, server), request, server, scope)
