"""`POST /register`: dynamic client registration (RFC 7591 §3)."""

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.endpoints.http import NO_STORE, JsonResponse, bearer, read_json
from tokensvc.endpoints.service import address_of, service_of
from tokensvc.errors import InvalidClientMetadata, InvalidRequest, InvalidToken, OAuthError, RequestTooLarge
from tokensvc.observability import log, warn
from tokensvc.protocol.registration import Registration
from tokensvc.tokens.kinds import client_handle


async def register(request: Request) -> Response:
    service = service_of(request)
    now = service.clock()
    address = address_of(request)
    try:
        if service.registration.guarded:
            service.attempts.check("registration", address)
            service.registration.check(bearer(request.headers.get("authorization")))
        metadata = await _read_metadata(request)
        registration = Registration.parse(metadata, service.server.redirect_policy, service.grant_types)
        response = registration.seal(service.server.sealer, now)
    except OAuthError as error:
        if isinstance(error, InvalidToken):
            service.attempts.failed("registration", address)
        warn("registration refused", reason=error.reason, address=address)
        raise
    log("client registered", client=client_handle(response["client_id"]), method=registration.method)
    return JsonResponse(response, 201, headers=NO_STORE)


async def _read_metadata(request: Request) -> object:
    """RFC 7591 §3.2.2 has a code of its own for what cannot be read."""
    try:
        return await read_json(request)
    except RequestTooLarge:
        raise
    except InvalidRequest as error:
        raise InvalidClientMetadata(error.description) from None
