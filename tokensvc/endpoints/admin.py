"""`/admin/…`: for operators, with a secret of TOKENSVC_ADMIN_TOKENS."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.endpoints.http import NO_STORE, JsonResponse, bearer, read_json
from tokensvc.endpoints.service import Service, guard, service_of
from tokensvc.errors import InvalidRequest, TemporarilyUnavailable, UnknownClient
from tokensvc.ledger.marks import RETENTION, Mark, Subject, parse_subject, subject_name, subject_text
from tokensvc.observability import log, warn
from tokensvc.protocol.client_metadata_document import is_document_url
from tokensvc.tokens.kinds import ClientId, client_handle


async def revoke(request: Request) -> Response:
    """Write a mark: `{"kind", "subject"}`, with `client` for user-client."""
    service = service_of(request)
    guard_admin(request, service)
    body = await read_json(request)
    now = service.clock()
    return await end(await _subject(body, service, now), service, now)


async def end(subject: Subject, service: Service, now: int) -> Response:
    """Mark a subject on an operator's word, and say what was marked from when on."""
    try:
        marked = await service.server.ledger.mark(subject, Mark(now, now + RETENTION), now)
    except TemporarilyUnavailable as error:
        # It may hold here all the same, and whoever looks into the log later has to find that.
        warn("revocation unconfirmed", subject=subject_text(subject), reason=error.reason)
        raise
    log("revoked by operator", subject=subject_text(subject))
    answer = {
        "kind": subject[0],
        "subject": subject_name(subject),
        "not_before": marked.mark.not_before,
        "peers": dict(marked.peers),
    }
    return JsonResponse(answer, headers=NO_STORE)


async def denylist(request: Request) -> Response:
    """All marks that are in force."""
    service = service_of(request)
    now = service.clock()
    guard_admin(request, service)
    in_force = await service.server.ledger.marks(now)
    marks = [
        {
            "kind": subject[0],
            "subject": subject_name(subject),
            "not_before": mark.not_before,
            "expires": mark.expires,
        }
        for subject, mark in sorted(in_force.items())
    ]
    return JsonResponse({"marks": marks}, headers=NO_STORE)


def guard_admin(request: Request, service: Service) -> None:
    """Let an operator in. Raises InvalidToken or TooManyRequests."""
    credential = bearer(request.headers.get("authorization"))
    guard(request, service, service.admin, (credential,) if credential else (), "admin")


async def _subject(body: Any, service: Service, now: int) -> Subject:
    """Raises InvalidRequest."""
    if not isinstance(body, dict):
        raise InvalidRequest("the body is a JSON object")
    kind, name = body.get("kind"), body.get("subject")
    name = "" if name is None else name
    if not isinstance(kind, str) or not isinstance(name, str):
        raise InvalidRequest("kind and subject are strings")
    if kind == "client" and service.server.clients.is_app(name):
        raise InvalidRequest(
            "all installations of an app share this client_id: end one person's with user-client, "
            "and take its host out of TOKENSVC_CIMD to keep the app out"
        )
    if kind == "client":
        name = await _handle(name, service, now)
    if kind == "user-client":
        name = f"{name}/{await _handle(body.get('client'), service, now)}"
    try:
        return parse_subject(kind, name)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None


async def _handle(client: Any, service: Service, now: int) -> str:
    """A client by its client_id, or by its handle already. Raises InvalidRequest."""
    if not isinstance(client, str) or not client:
        raise InvalidRequest("client is a client_id or a client handle")
    if is_document_url(client):
        # Its host need not be asked for what it is called here.
        return client_handle(client)
    try:
        return (await service.server.clients.find(client, now)).handle
    except UnknownClient:
        if len(client) == len(client_handle("")):
            return client
        if client.partition("_")[0].endswith(ClientId.kind):
            # Sealed under a version that is gone: its tokens still name it.
            return client_handle(client)
        raise InvalidRequest("client is neither known here nor a client handle") from None
