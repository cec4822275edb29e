"""`GET /healthz` and `/readyz`: for balancers and orchestrators."""

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.endpoints.http import NO_STORE, JsonResponse


async def healthz(_request: Request) -> Response:
    """The process is alive."""
    return JsonResponse({"status": "alive"}, headers=NO_STORE)


async def readyz(_request: Request) -> Response:
    """The settings are valid and the ledger was opened: before that nothing listens. A later outage of the ledger does
    not unready a replica, since every other one that shares the ledger would be taken out with it."""
    return JsonResponse({"status": "ready"}, headers=NO_STORE)
