"""What the authorization endpoint says before anybody signs in (RFC 6749 §4.1.1, RFC 9207)."""

from collections.abc import Iterator

from tokensvc.commands.probe.courier import printable
from tokensvc.commands.probe.findings import Finding
from tokensvc.commands.probe.visit import Asked, Visit

LONGEST_URL = 2_000
"""Characters. Windows shells cut a command at 2,081."""
_RELIEF = {
    "state": (12, "accept any state of up to 2,048 characters, `/ + =` among them"),
    "scope": (7, "drop scopes that are not known, and fall back to a default"),
    "resource": (10, "accept the resource as the resource metadata spells it"),
}


def refusal(visit: Visit) -> Iterator[Finding]:
    """What was refused, and which parameter it was, where the same without it was not."""
    if not visit.asked or not visit.asked[-1].error:
        return
    met = visit.asked[-1]
    for name in visit.relieved:
        trap, remedy = _RELIEF[name]
        yield Finding(trap, f"/authorize {met.error}, but for its {name} it would not", remedy)
    if visit.relieved:
        return
    elsewhere = met.redirect_uri in visit.client.elsewhere.values()
    if visit.by_document:
        yield Finding(11, f"/authorize {met.error} to the client_id {visit.client_id}", DOCUMENT)
    elif met.answer.problem or met.answer.status >= 500:
        yield Finding(15, f"/authorize {met.error}", "show a page that says what is wrong, with status 400")
    elif met.answer.status == 429:
        yield Finding(12, f"/authorize {met.error}", "let one address ask for more: hosted clients share theirs")
    elif met.refusal:
        yield Finding(_BY_ERROR.get(met.refusal, 0), f"/authorize {met.error}", "let the request through to a person")
    else:
        problem = f"/authorize {met.error} to the redirect URI {met.redirect_uri}"
        yield Finding(5, problem, _ANY_PORT if elsewhere else _AS_REGISTERED)


def size(visit: Visit) -> Iterator[Finding]:
    longest = max((len(asked.url) for asked in visit.asked), default=0)
    if longest >= LONGEST_URL and visit.client.installed:
        problem = f"the authorization URL has {longest} characters: Windows opens it cut off, or not at all"
        yield Finding(1, problem, "make client_ids shorter")


def state(visit: Visit) -> Iterator[Finding]:
    """RFC 6749 §4.1.2.1, seen where a request is sent back with an error."""
    if (back := _sent_back(visit)) and back.returned("state") != visit.client.state:
        yield Finding(12, "state does not come back as it was sent", "return it to the letter, percent-encoded once")


def iss(visit: Visit) -> Iterator[Finding]:
    """RFC 9207 §2: advertised, it is in every redirect, and is the issuer of the metadata."""
    back = _sent_back(visit)
    if back is None or visit.client.habits.issuer != "letter":
        return
    advertised = visit.metadata.get("authorization_response_iss_parameter_supported") is True
    given = back.returned("iss")
    if given and given != visit.metadata["issuer"]:
        yield Finding(3, f"iss is {printable(given)}, not the issuer", "send the issuer of the metadata to the letter")
    elif advertised and not given:
        yield Finding(3, "iss is advertised, and did not come", "send iss with codes and errors alike")


def stranger(visit: Visit) -> Iterator[Finding]:
    """A client_id of another life. Nobody may be sent on for a client that is not there."""
    answer = visit.stranger_page
    if answer is None or answer.status == 400:
        return
    what = answer.problem or f"answers {answer.status}"
    problem = f"/authorize {what} to a client_id that nobody has: whose was forgotten stays stuck"
    yield Finding(2, problem, "answer 400 there, and 401 invalid_client at the token endpoint", fatal=False)


DOCUMENT = "fetch the document, or do not advertise client_id_metadata_document_supported"
_AS_REGISTERED = "accept every redirect URI that was registered, and open the page without cookies"
_ANY_PORT = "ignore the port of localhost, 127.0.0.1 and [::1] (RFC 8252 §7.3)"
_BY_ERROR = {"invalid_scope": 7, "invalid_target": 10}


def _sent_back(visit: Visit) -> Asked | None:
    """The request for a response_type of no one, where it came back to the client. A page shows no parameters."""
    return visit.refused if visit.refused and visit.refused.refusal else None
