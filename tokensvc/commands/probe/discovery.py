"""From an address to an authorization server, as clients go: the 401 challenge, RFC 9728, RFC 8414, OpenID."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tokensvc import __version__
from tokensvc.commands import CommandFailed
from tokensvc.commands.probe.clients import APPENDED, INSERTED, OPENID_APPENDED, OPENID_INSERTED, KnownClient
from tokensvc.commands.probe.courier import Answer, Courier, shown

PROTOCOL = "2025-06-18"
# Clients send it with every question about metadata, so that a page needs leave for it (CORS).
METADATA_HEADERS = {"MCP-Protocol-Version": PROTOCOL}
_MCP_HEADERS = METADATA_HEADERS | {"Accept": "application/json, text/event-stream"}
_INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": PROTOCOL,
        "capabilities": {},
        "clientInfo": {"name": "tokensvc-probe", "version": __version__},
    },
}
_RESOURCE_PLACES = (
    "{origin}/.well-known/oauth-protected-resource{path}",
    "{origin}/.well-known/oauth-protected-resource",
)


@dataclass(frozen=True, slots=True)
class Target:
    """What the person's address turned out to be. `challenge` is what an MCP server said to a request without a token;
    None where the address is an issuer. The address may have a query with a key in it, and no repr shows it."""

    url: str = field(repr=False)
    challenge: Answer | None

    def challenged(self, name: str) -> str:
        """A parameter of the challenge (RFC 6750 §3, RFC 9728 §5.1), empty where it is left out."""
        header = self.challenge.headers.get("www-authenticate", "") if self.challenge else ""
        found = re.search(rf'(?:^|[\s,]){name}=(?:"([^"]*)"|([^\s,"]+))', header)
        return (found[1] or found[2] or "") if found else ""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What one client found on its way. `asked` are the answers about the resource, `tried` those about the issuer.

    `issuer` is the authorization server to which the resource led; where it led to none, the server's own origin, as
    in the revision of 2025-03-26, and `guessed` is true.
    """

    asked: tuple[Answer, ...]
    resource: dict[str, Any]
    issuer: str
    guessed: bool
    tried: tuple[Answer, ...]
    metadata: dict[str, Any]


async def arrive(url: str, courier: Courier) -> Target:
    """See what is there. Raises CommandFailed where it is nothing that a client could begin with."""
    challenge = await courier.post_json(url, _INITIALIZE, _MCP_HEADERS)
    if not challenge.status:
        raise CommandFailed(f"{shown(url)} {challenge.problem}")
    if challenge.status != 401 and await _is_issuer(url, courier):
        return Target(url, None)
    if challenge.status in {404, 405}:
        # The transport of 2024-11-05 begins with a GET, and without a token ends with it.
        begun = await courier.get(url, METADATA_HEADERS | {"Accept": "text/event-stream"})
        challenge = begun if begun.status == 401 else challenge
    if challenge.status == 401 or challenge.status < 300:
        return Target(url, challenge)
    raise CommandFailed(
        f"{shown(url)} answers {challenge.status}: no issuer, and no MCP server, which would answer 401 to a request "
        "without a token"
    )


async def discover(client: KnownClient, target: Target, courier: Courier) -> Discovery:
    headers = METADATA_HEADERS | ({"Origin": client.origin} if client.origin else {})
    asked: list[Answer] = []
    if target.challenge:
        for url in _resource_places(target):
            asked.append(await courier.get(url, headers, follow=True))
            if is_resource(asked[-1]):
                break
    resource = (asked[-1].document or {}) if asked and is_resource(asked[-1]) else {}
    named = _issuer_of(resource)
    issuer = target.url if target.challenge is None else named or origin(target.url)
    lost = target.challenge is not None and not named and not client.habits.guesses
    tried = [] if lost else await _metadata(client, issuer, headers, courier)
    found = (tried[-1].document or {}) if tried and _is_metadata(tried[-1]) else {}
    guessed = target.challenge is not None and not named
    return Discovery(tuple(asked), resource, issuer, guessed, tuple(tried), found)


async def _metadata(client: KnownClient, issuer: str, headers: dict[str, str], courier: Courier) -> list[Answer]:
    """The answers about the issuer, up to the one at which this client stops: to use it, or to give up."""
    tried: list[Answer] = []
    for url in places(client.habits.places, issuer):
        answer = await courier.get(url, headers, follow=True)
        tried.append(answer)
        if _is_metadata(answer) or (client.habits.gives_up and not 400 <= answer.status < 500):
            break
    return tried


def places(templates: Sequence[str], url: str) -> list[str]:
    """Each address once: where there is no path, inserting and appending are the same."""
    path = urlsplit(url).path.rstrip("/")
    return list(dict.fromkeys(template.format(origin=origin(url), path=path) for template in templates))


def origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _resource_places(target: Target) -> list[str]:
    """RFC 9728 §5.1 first, then §3.1, then the root, as the MCP specification has it."""
    named = target.challenged("resource_metadata")
    return list(dict.fromkeys([*([named] if named else []), *places(_RESOURCE_PLACES, target.url)]))


def _issuer_of(resource: dict[str, Any]) -> str:
    """The first of `authorization_servers` (RFC 9728 §2)."""
    servers = resource.get("authorization_servers")
    first = servers[0] if isinstance(servers, list) and servers else ""
    return first if isinstance(first, str) and is_web(first) else ""


def is_web(url: str) -> bool:
    """Whether it is an address with a host at all."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False


def is_resource(answer: Answer) -> bool:
    return answer.ok and "resource" in (answer.document or {})


def _is_metadata(answer: Answer) -> bool:
    return answer.ok and "issuer" in (answer.document or {})


async def _is_issuer(url: str, courier: Courier) -> bool:
    for place in places((INSERTED, APPENDED, OPENID_INSERTED, OPENID_APPENDED), url):
        answer = await courier.get(place, METADATA_HEADERS, follow=True)
        if answer.ok and "token_endpoint" in (answer.document or {}):
            return True
    return False
