"""`GET /healthz` and `/readyz`: for balancers and orchestrators."""

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.endpoints.http import NO_STORE, JsonResponse
from tokensvc.endpoints.service import is_leaving, service_of


async def healthz(_request: Request) -> Response:
    """The process is alive."""
    return JsonResponse({"status": "alive"}, headers=NO_STORE)


async def readyz(request: Request) -> Response:
    """The settings are valid, the ledger was opened, and the clock is not behind it; before that nothing listens.

    A replica that was told to stop says so here first, and goes on answering while balancers take it out.

    A later outage of the ledger does not unready a replica: all that share the ledger would be taken out at once.
    """
    if is_leaving(request):
        return JsonResponse({"status": "leaving"}, 503, headers=NO_STORE)
    service = service_of(request)
    await service.server.ledger.ready(service.clock())
    return JsonResponse({"status": "ready"}, headers=NO_STORE)
