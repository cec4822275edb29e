"""From the MCP server to the metadata of its authorization server: RFC 9728, RFC 8414, and the browser's leave."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tokensvc.commands.probe.courier import Answer, printable, shown
from tokensvc.commands.probe.discovery import is_resource, is_web, origin
from tokensvc.commands.probe.findings import Finding
from tokensvc.commands.probe.visit import Visit, strings


def challenge(visit: Visit) -> Iterator[Finding]:
    """RFC 9728 §5.1: the 401 begins it all."""
    answer = visit.target.challenge
    if answer is None:
        return
    remedy = 'answer a request without a token 401 with WWW-Authenticate: Bearer resource_metadata="…"'
    if answer.status == 401:
        if not visit.target.challenged("resource_metadata"):
            yield Finding(0, "the 401 has no resource_metadata in WWW-Authenticate", remedy, fatal=False)
    else:
        yield Finding(0, "the server begins without a token, and may never ask for one", remedy, fatal=False)


def resource_metadata(visit: Visit) -> Iterator[Finding]:
    """RFC 9728 §3: where the challenge says, or at the well-known addresses. Some clients do without."""
    asked = visit.discovery.asked
    fatal = not visit.metadata and not visit.is_open
    if visit.target.challenged("resource_metadata") and asked and not is_resource(asked[0]):
        problem = f"the challenge leads to {_at(asked[0])}, which {said(asked[0])}"
        yield Finding(9, problem, "serve the resource metadata there as JSON", fatal)
    elif asked and not visit.discovery.resource:
        problem = f"no resource metadata at {', '.join(map(_at, asked))}"
        yield Finding(9, problem, "serve RFC 9728 metadata with resource and authorization_servers", fatal)


def resource_name(visit: Visit) -> Iterator[Finding]:
    """RFC 9728 §3.3: the metadata is of the resource that the client asked for."""
    named, url = visit.discovery.resource.get("resource"), visit.target.url
    if named is None or _names(visit, named):
        return
    falls_back = visit.client.habits.resource == "same" and visit.discovery.issuer == origin(url)
    remedy = "let the resource metadata name the address that people give to clients, slash by slash"
    problem = f"the resource metadata names {shown(str(named))}, not the address"
    yield Finding(10, problem, remedy, fatal=not falls_back)


def authorization_servers(visit: Visit) -> Iterator[Finding]:
    if visit.discovery.resource and visit.discovery.guessed:
        remedy = "name the issuer in authorization_servers"
        yield Finding(3, "the resource metadata names no authorization server", remedy, not visit.metadata)


def offline_access(visit: Visit) -> Iterator[Finding]:
    if "offline_access" in strings(visit.discovery.resource, "scopes_supported"):
        remedy = "list it in the authorization server's metadata alone"
        yield Finding(7, "the resource metadata lists offline_access among its scopes", remedy, fatal=False)


def well_known(visit: Visit) -> Iterator[Finding]:
    """Where this client looked in vain, up to the answer that was its last."""
    tried = visit.discovery.tried
    if visit.metadata or not tried or visit.is_open:
        return
    answers = dict.fromkeys(said(answer) for answer in tried)
    met = "; ".join(f"{', '.join(_at(one) for one in tried if said(one) == answer)} {answer}" for answer in answers)
    remedy = "serve it at the first, and answer 404 where it is not"
    yield Finding(9, f"no authorization server metadata: {met}", remedy)


def issuer(visit: Visit) -> Iterator[Finding]:
    """RFC 8414 §3.3: to the letter. An address that the person gave may have a slash too many."""
    named, expected = visit.metadata.get("issuer"), visit.discovery.issuer
    if not visit.metadata or named == expected or visit.client.habits.issuer == "any":
        return
    typed = visit.target.challenge is None or visit.discovery.guessed
    forgiving = typed or visit.client.habits.issuer == "url"
    if forgiving and isinstance(named, str) and named.rstrip("/") == expected.rstrip("/"):
        return
    who = "was asked as" if typed else "is named by the resource metadata as"
    problem = f"the metadata is of the issuer {shown(str(named))}, which {who} {shown(expected)}"
    yield Finding(3, problem, "write one issuer everywhere, without a slash at its end")


def nulls(visit: Visit) -> Iterator[Finding]:
    documents = {"resource metadata": visit.discovery.resource, "metadata": visit.metadata}
    for name, document in documents.items():
        if visit.client.habits.schema and (found := null_members(document)):
            yield Finding(4, f"null in the {name}: {found}", "leave out what is not there")


def members(visit: Visit) -> Iterator[Finding]:
    """What RFC 8414 §2 requires, and every client needs."""
    if not visit.metadata:
        return
    needed = ["authorization_endpoint", "token_endpoint"]
    needed += ["response_types_supported"] if visit.client.habits.schema else []
    if missing := [name for name in needed if not visit.metadata.get(name)]:
        yield Finding(9, f"the metadata lacks {', '.join(missing)}", "add what RFC 8414 §2 requires")


def pkce(visit: Visit) -> Iterator[Finding]:
    if visit.metadata and "S256" not in strings(visit.metadata, "code_challenge_methods_supported"):
        remedy = "support PKCE with S256, and say so in code_challenge_methods_supported"
        yield Finding(0, "the metadata does not offer PKCE with S256", remedy, visit.client.habits.pkce)


def cors(visit: Visit) -> Iterator[Finding]:
    """A page reads nothing, and sends no JSON, without the server's leave."""
    page = visit.client.origin
    if not page:
        return
    read = (*visit.discovery.tried[-1:], visit.registration, visit.token)
    closed = [answer.url for answer in read if answer and answer.status and not _open_to(page, answer)]
    if visit.preflight and not _may_send_json(page, visit.preflight):
        closed.append(visit.preflight.url)
    if closed:
        problem = f"no web page may use {', '.join(map(shown, dict.fromkeys(closed)))}"
        yield Finding(12, problem, "answer OPTIONS, and allow every origin there (CORS), without credentials")


def said(answer: Answer) -> str:
    """What an answer was, in a few words."""
    if answer.problem:
        return answer.problem
    if answer.ok:
        return f"answers {answer.status} with what is no JSON object" if answer.document is None else "is no metadata"
    return " ".join(filter(None, (f"answers {answer.status}", answer.error)))


def null_members(document: dict[str, Any]) -> str:
    return ", ".join(printable(name) for name, value in document.items() if value is None)


def _names(visit: Visit, named: Any) -> bool:
    """Whether the resource metadata is, for this client, of the address that it was given."""
    url, how = visit.target.url, visit.client.habits.resource
    if how == "any":
        return True
    if not isinstance(named, str) or not is_web(named):
        return False
    if how == "letter":
        return named == _as_url(url)
    return _as_url(named) == _as_url(url) if how == "same" else _within(_as_url(named), _as_url(url))


def _within(above: str, url: str) -> bool:
    """As the TypeScript SDK has it: of the same origin, and at or above the address."""
    path, below = urlsplit(above).path, urlsplit(url).path
    same_origin = origin(above).lower() == origin(url).lower()
    return same_origin and len(path) <= len(below) and f"{below.rstrip('/')}/".startswith(f"{path.rstrip('/')}/")


def _as_url(url: str) -> str:
    """As a URL object writes it: an origin ends in a slash. A query is no part of it here."""
    parts = urlsplit(url)
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{parts.path or '/'}"


def _open_to(page: str, answer: Answer) -> bool:
    return answer.headers.get("access-control-allow-origin") in {"*", page}


def _may_send_json(page: str, preflight: Answer) -> bool:
    headers = preflight.headers.get("access-control-allow-headers", "")
    allowed = {name.strip().lower() for name in headers.split(",")}
    return preflight.ok and _open_to(page, preflight) and bool(allowed & {"*", "content-type"})


def _at(answer: Answer) -> str:
    return shown(answer.url)
