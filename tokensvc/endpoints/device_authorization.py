"""`POST /device_authorization`: the device authorization endpoint (RFC 8628 §3.1)."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.endpoints.attempts import network_of
from tokensvc.endpoints.client_authentication import authenticate_client
from tokensvc.endpoints.http import NO_STORE, JsonResponse, read_form
from tokensvc.endpoints.service import address_of, service_of
from tokensvc.errors import OAuthError, TemporarilyUnavailable
from tokensvc.grants.device_authorization import LIFETIME, Begun, begin, check_grant_type
from tokensvc.grants.devices import INTERVAL
from tokensvc.observability import log, warn
from tokensvc.protocol.user_code import shown


async def device_authorization(request: Request) -> Response:
    service = service_of(request)
    server, devices = service.server, service.replica.devices
    handle = ""
    try:
        parameters = (await read_form(request)).check()
        now = service.clock()
        await server.ledger.ready(now)
        client, _ = await authenticate_client(request, parameters, service, now)
        handle = client.handle
        check_grant_type(client)
        resource = server.resources.find(parameters.get("resource"))
        scope = server.scopes.grant(parameters.get("scope"))
        begun = await begin(client, resource, scope, network_of(address_of(request)), server, devices, now)
    except TemporarilyUnavailable:
        raise
    except OAuthError as error:
        warn("device authorization refused", client=handle, error=error.error, reason=error.reason)
        raise
    log("device authorization begun", client=handle, by="link" if begun.request else "code")
    return JsonResponse(_response(begun, server.issuer), headers=NO_STORE)


def _response(begun: Begun, issuer: str) -> dict[str, str | int]:
    """§3.2. Where the request travels in the link, both addresses carry it; the code is then there to be compared."""
    user_code = shown(begun.user_code)
    link = {"request": begun.request} if begun.request else {}
    page = f"{issuer}/device"
    return {
        "device_code": begun.device_code,
        "user_code": user_code,
        "verification_uri": f"{page}?{urlencode(link)}" if link else page,
        "verification_uri_complete": f"{page}?{urlencode({'user_code': user_code} | link)}",
        "expires_in": LIFETIME // 1000,
        "interval": INTERVAL // 1000,
    }
