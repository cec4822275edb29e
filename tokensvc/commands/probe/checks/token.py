"""The token endpoint, as far as a code that nobody issued leads (RFC 6749 §5.2)."""

from collections.abc import Iterator

from tokensvc.commands.probe.checks.authorization import DOCUMENT
from tokensvc.commands.probe.checks.discovery import null_members, said
from tokensvc.commands.probe.findings import Finding
from tokensvc.commands.probe.visit import Visit

_BY_ERROR = {
    "invalid_client": (8, "let the client in with the method that it was granted"),
    "unauthorized_client": (8, "grant authorization_code to whoever registers for it"),
    "invalid_target": (10, "accept the resource that was accepted at /authorize"),
}


def bogus_code(visit: Visit) -> Iterator[Finding]:
    """400 `invalid_grant` it has to be; what comes before that check keeps a good code out as well."""
    answer = visit.token
    if answer is None or (answer.status == 400 and answer.error == "invalid_grant"):
        return
    if answer.status >= 500 and visit.by_document:
        yield Finding(11, f"the token endpoint {said(answer)} to the client_id {visit.client_id}", DOCUMENT)
    elif answer.status >= 500:
        remedy = "answer 400 invalid_grant: a client takes a 5xx for an outage, and tries on"
        yield Finding(15, f"the token endpoint {said(answer)} to an unknown code", remedy)
    elif answer.error in _BY_ERROR:
        trap, remedy = _BY_ERROR[answer.error]
        yield Finding(trap, f"the token endpoint {said(answer)} to a client that has just come to be", remedy)
    else:
        remedy = "answer 400 with the JSON of RFC 6749 §5.2: invalid_grant"
        yield Finding(0, f"the token endpoint {said(answer)} to an unknown code", remedy, answer.document is None)


def kept(visit: Visit) -> Iterator[Finding]:
    answer = visit.token
    if answer is None or not answer.status:
        return
    if "no-store" not in answer.headers.get("cache-control", ""):
        remedy = "answer with Cache-Control: no-store, refusals too"
        yield Finding(12, "answers of the token endpoint may be kept by caches", remedy, fatal=False)
    if visit.client.habits.schema and (found := null_members(answer.document or {})):
        yield Finding(4, f"null in a token error: {found}", "leave out what is not there")


def stranger(visit: Visit) -> Iterator[Finding]:
    """What makes a client register anew (RFC 6749 §5.2)."""
    answer = visit.stranger_token
    if answer is None or (answer.status == 401 and answer.error == "invalid_client"):
        return
    problem = (
        f"the token endpoint {said(answer)} to a client_id that nobody has, where 401 invalid_client heals clients"
    )
    yield Finding(2, problem, "answer 401 invalid_client", fatal=False)


def patience(visit: Visit) -> Iterator[Finding]:
    if visit.client.patience and visit.seconds > visit.client.patience:
        problem = (
            f"discovery, registration and token took {visit.seconds:.1f} s, and it waits {visit.client.patience:.0f} s"
        )
        yield Finding(0, problem, "answer faster")
