"""`GET /healthz` and `/readyz`: for balancers and orchestrators."""

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.endpoints.http import NO_STORE, JsonResponse, error_response
from tokensvc.endpoints.service import Service, is_leaving, service_of
from tokensvc.errors import TemporarilyUnavailable
from tokensvc.observability import log, warn


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
    try:
        await service.server.ledger.ready(service.clock())
    except TemporarilyUnavailable as error:
        _say(service, error.reason)
        return error_response(error)
    _say(service, "")
    return JsonResponse({"status": "ready"}, headers=NO_STORE)


def _say(service: Service, problem: str) -> None:
    """One line where it changes: a balancer asks every second, and would fill the log while a replica catches up."""
    if problem != service.replica.unready:
        service.replica.unready = problem
        if problem:
            warn("unready", reason=problem)
        else:
            log("ready again")
