"""`POST /par`: the pushed authorization request endpoint (RFC 9126 §2).

What a client wants goes here from the client itself, which proves who it is, and the browser carries no more than a
sealed name of it. Nothing is kept, so whoever pushes floods of requests fills no memory.
"""

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.endpoints.client_authentication import authenticate_client
from tokensvc.endpoints.http import NO_STORE, JsonResponse, read_form
from tokensvc.endpoints.proof import nonce_header, read_proof
from tokensvc.endpoints.service import service_of
from tokensvc.errors import OAuthError, TemporarilyUnavailable, UseDpopNonce
from tokensvc.observability import log, warn
from tokensvc.protocol.pushed_request import LIFETIME, push

PATH = "/par"


async def pushed_authorization_request(request: Request) -> Response:
    service = service_of(request)
    client = ""
    try:
        parameters = (await read_form(request)).check()
        now = service.clock()
        await service.server.ledger.ready(now)
        # Neither proof nor assertion is used up: nothing is issued, however often the request comes.
        proof = read_proof(request, PATH, service, now)
        authenticated, _ = await authenticate_client(request, parameters, service, now)
        client = authenticated.handle
        request_uri = push(parameters, authenticated, proof.jkt if proof else "", service.server, now)
    except (TemporarilyUnavailable, UseDpopNonce):
        raise
    except OAuthError as error:
        warn("pushed request refused", client=client, error=error.error, reason=error.reason)
        raise
    log("authorization request pushed", client=client)
    answer = {"request_uri": request_uri, "expires_in": LIFETIME // 1000}
    return JsonResponse(answer, 201, headers=NO_STORE | nonce_header(proof, service, now))
