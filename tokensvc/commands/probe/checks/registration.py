"""How a client comes to a client_id: a metadata document, or dynamic registration (RFC 7591)."""

from collections.abc import Iterator

from tokensvc.commands.probe.checks.discovery import null_members, said
from tokensvc.commands.probe.courier import printable
from tokensvc.commands.probe.findings import Finding
from tokensvc.commands.probe.visit import Visit, strings

_BY_ERROR = {
    "invalid_redirect_uri": (5, "allow the redirect URIs of this client, all of them"),
    "invalid_client_metadata": (8, "grant what can be granted, leave the rest out of the answer, refuse nothing else"),
}
_BY_STATUS = {
    429: (12, "let bursts from one address register: hosted clients share theirs"),
    500: (15, "answer what is wrong with a registration with 400 and a code of RFC 7591 §3.2.2"),
    401: (0, "let clients register without a token, or give people a client_id by hand"),
    403: (0, "let clients register without a token, or give people a client_id by hand"),
}
_OTHER = (0, "answer a registration 201 with what was granted (RFC 7591 §3.2.1)")


def way_in(visit: Visit) -> Iterator[Finding]:
    if not visit.metadata or visit.by_document or visit.metadata.get("registration_endpoint"):
        return
    document = visit.client.document
    remedy = "offer dynamic registration (RFC 7591)"
    if document is None:
        yield Finding(0, "there is no registration_endpoint, and it has no metadata document", remedy)
    elif visit.metadata.get("client_id_metadata_document_supported") is True:
        lacking = "none among the methods of the token endpoint" if document.needs_none else "iss (RFC 9207)"
        yield Finding(11, f"it uses its metadata document only beside {lacking}", f"advertise that, or {remedy}")
    else:
        yield Finding(0, "there is no registration_endpoint", f"{remedy} or Client ID Metadata Documents")


def refusal(visit: Visit) -> Iterator[Finding]:
    answer = visit.registration
    if answer is None or answer.ok:
        return
    by_status = _BY_STATUS.get(min(answer.status, 500), _OTHER)
    trap, remedy = _BY_ERROR.get(answer.error, by_status)
    description = (answer.document or {}).get("error_description")
    why = f": {printable(description)}" if isinstance(description, str) else ""
    yield Finding(trap, f"registration {said(answer)}{why}", remedy)


def response(visit: Visit) -> Iterator[Finding]:
    """RFC 7591 §3.2.1: the client_id, and all that was registered."""
    if visit.registration is None or not visit.registration.ok:
        return
    if not visit.client_id:
        yield Finding(4, "registration gives no client_id", "answer 201 with a JSON object that has one")
    elif visit.registered.get("redirect_uris") is None:
        remedy = "return what was registered, redirect_uris always"
        yield Finding(4, "the registration comes back without redirect_uris", remedy, visit.client.habits.schema)
    elif set(visit.client.registration["redirect_uris"]) - set(strings(visit.registered, "redirect_uris")):
        remedy = "register all, or refuse with invalid_redirect_uri"
        yield Finding(5, "some of its redirect URIs do not come back as they were sent", remedy, fatal=False)


def nulls(visit: Visit) -> Iterator[Finding]:
    if visit.client.habits.schema and (found := null_members(visit.registered)):
        yield Finding(4, f"null in the registration that comes back: {found}", "leave out what is not there")


def method(visit: Visit) -> Iterator[Finding]:
    if not visit.client_id or not visit.registered:
        return
    asked = visit.client.method
    granted = visit.registered.get("token_endpoint_auth_method") or asked
    if granted != "none" and not visit.registered.get("client_secret"):
        problem = f"it is to authenticate by {printable(str(granted))}, and was given no secret"
        yield Finding(8, problem, "give a client_secret, or grant the method none")
    elif granted != asked:
        problem = f"it asked for {asked}, and was granted {printable(str(granted))}"
        yield Finding(8, problem, "grant the token_endpoint_auth_method that was asked for", fatal=False)


def end(visit: Visit) -> Iterator[Finding]:
    names = ("client_id_expires_at", "client_secret_expires_at")
    if ending := [name for name in names if visit.registered.get(name) not in (0, None)]:
        problem = f"the registration ends one day ({', '.join(ending)}), and no client renews it"
        yield Finding(2, problem, "let client_ids and their secrets live on: 0", fatal=False)


def kept(visit: Visit) -> Iterator[Finding]:
    answer = visit.registration
    if answer and answer.ok and "no-store" not in answer.headers.get("cache-control", ""):
        yield Finding(12, "a registration may be kept by caches", "answer with Cache-Control: no-store", fatal=False)
    if len(visit.client_id) > 512:
        problem = f"the client_id has {len(visit.client_id)} characters, and credential stores hold 1,280 for all"
        yield Finding(1, problem, "keep a client_id under 512 characters", fatal=False)
