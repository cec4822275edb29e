"""Who names a client by its document has this service ask a host: how often an address may do so in vain."""

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from tokensvc.endpoints.service import Service, address_of


@contextmanager
def counted(client_ids: tuple[str, ...], request: Request, service: Service, now: int) -> Iterator[None]:
    """Around whatever finds a client by one of these. Raises TooManyRequests after many hosts with nothing to say.

    A document that is known, or was asked for in vain just now, asks nobody: it neither counts nor is held up.
    """
    clients, address = service.server.clients, address_of(request)
    asked = [client_id for client_id in client_ids if clients.begins_by_asking(client_id, now)]
    if asked:
        service.attempts.check("document", address)
    try:
        yield
    finally:
        if any(clients.failed(client_id, now) for client_id in asked):
            service.attempts.failed("document", address)
