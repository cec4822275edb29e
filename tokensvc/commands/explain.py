"""`tokensvc explain`: what a token is, and why it would be refused. Offline, with the rings in the environment."""

import argparse
import asyncio
import re
from typing import Any

from tokensvc import assembly, settings
from tokensvc.commands import CommandFailed, now, print_facts, print_json, read_argument, rfc3339
from tokensvc.commands.admin_client import ask
from tokensvc.identity import IdentityEnded
from tokensvc.identity.api_keys import ApiKeys
from tokensvc.ledger.marks import Dead, Mark, Marks, parse_subject
from tokensvc.protocol.client import GRANT_TYPES, METHODS, Lifetimes
from tokensvc.protocol.preregistered import parse_clients
from tokensvc.protocol.redirect_uri import DIGEST_CHARACTERS
from tokensvc.protocol.resource_indicator import Resources
from tokensvc.settings import Settings
from tokensvc.tokens.artefact import Artefact, Unsealable
from tokensvc.tokens.kinds import AccessToken, AuthorizationCode, ClientId, Grant, RefreshToken, client_handle

_KINDS: dict[type[Artefact], str] = {
    AccessToken: "access token",
    RefreshToken: "refresh token",
    AuthorizationCode: "code",
    ClientId: "client_id",
}
_KID = re.compile(r"[A-Za-z0-9_-]{1,16}")


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Say what an access token, refresh token, code or client_id holds, opened with the rings in the environment, "
        "and every reason that is known here why it would be refused. Nothing is sent anywhere unless --url asks a "
        "replica for its revocations; the token itself never is."
    )
    parser.add_argument("token", nargs="?", default="-", metavar="TOKEN", help="- or nothing: from standard input")
    parser.add_argument("--url", nargs="?", const="", help="ask this replica too (default: TOKENSVC_ISSUER)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    loaded = settings.load()
    moment = now()
    if options.url and "://" not in options.url and options.token == "-":
        # `--url TOKEN`: the option may stand without a value, which argparse cannot tell from the token.
        options.url, options.token = "", options.url
    value = read_argument(options.token)
    kind = _kind(value, loaded)
    version = _version(kind, value, loaded, moment)
    artefact = _open(kind, value, loaded, moment)
    facts: dict[str, Any] = {"kind": _KINDS[kind], "version": version}
    if isinstance(artefact, ClientId):
        facts |= _client_facts(artefact, value)
    if isinstance(artefact, Grant):
        refused = asyncio.run(_refusals(artefact, loaded, moment))
        refused += [] if options.url is None else _marked(artefact, options.url)
        facts |= _grant_facts(artefact, loaded) | {"refused": refused}
    if options.json:
        print_json(facts)
        return
    if facts.get("refused") == []:
        unknown = ", and revocations were not asked for: see --url" if options.url is None else ""
        facts["refused"] = f"for no reason that is known here{unknown}"
    print_facts(facts)


def _kind(value: str, loaded: Settings) -> type[Artefact]:
    for kind in _KINDS:
        if value.startswith(f"{loaded.token_prefix}{kind.kind}_"):
            return kind
    prefixes = ", ".join(f"{loaded.token_prefix}{kind.kind}_ ({name})" for kind, name in _KINDS.items())
    given = "this is nothing that is sealed here" if value else "there is no token"
    raise CommandFailed(f"{given}: what is begins with one of {prefixes}; the first letters are TOKENSVC_TOKEN_PREFIX")


def _version(kind: type[Artefact], value: str, loaded: Settings, moment: int) -> str:
    """Which version of which ring sealed it, and on which day. CommandFailed where that one is not there."""
    variable = "TOKENSVC_CLIENT_KEYS" if kind is ClientId else "TOKENSVC_KEYS"
    ring = assembly.rings(loaded, moment)[variable]
    try:
        kid, _, day = assembly.sealer(loaded, moment).version_of(value).partition(".")
    except Unsealable:
        raise CommandFailed(f"this {_KINDS[kind]} is damaged, or was not sealed by this service") from None
    version = ring.get(kid)
    if version is None:
        # Whoever made the token wrote the kid: only what could be one is shown.
        name = kid if _KID.fullmatch(kid) else "something else"
        there = ", ".join(version.kid for version in ring.versions)
        raise CommandFailed(
            f"this {_KINDS[kind]} names the version {name}, and {variable} here has {there}: "
            "that version was dropped, or the token is from elsewhere"
        )
    sealed = f", sealed on {rfc3339(int(day) * 86_400_000)[:10]}" if day else ""
    return f"{kid} of {variable} ({ring.state(version, moment)}){sealed}"


def _open(kind: type[Artefact], value: str, loaded: Settings, moment: int) -> Artefact:
    try:
        return assembly.sealer(loaded, moment).unseal(kind, value, moment)
    except Unsealable as error:
        raise CommandFailed(
            f"this {_KINDS[kind]} does not open: {error}. It is damaged, or sealed under another TOKENSVC_ISSUER or a "
            "version of the same name with another secret"
        ) from None


def _client_facts(client: ClientId, value: str) -> dict[str, Any]:
    return {
        "client": client_handle(value),
        "name": client.name,
        "token_endpoint_auth_method": METHODS[client.method],
        "grant_types": [GRANT_TYPES[letter] for letter in client.grants],
        "redirect_uris": f"{len(client.redirects) // DIGEST_CHARACTERS}, as digests",
    }


def _grant_facts(grant: Grant, loaded: Settings) -> dict[str, Any]:
    account, user, role = grant.identity
    resource = Resources.parse(loaded.resources, loaded.issuer).sealed(grant.resource)
    facts: dict[str, Any] = {
        "account": account,
        "user": user,
        "role": role,
        "client": grant.client,
        "credential": grant.credential,
        "resource": resource.identifier if resource else f"none of TOKENSVC_RESOURCES here (digest {grant.resource})",
        "scope": grant.scope,
        "family": grant.family,
    }
    if isinstance(grant, AccessToken | RefreshToken):
        facts["generation"] = grant.generation
    if isinstance(grant, AccessToken):
        facts["jti"] = grant.jti
    times = {"authorized": grant.authorized_at, "issued": grant.iat, "expires": grant.exp}
    return facts | {name: rfc3339(time) for name, time in times.items()}


async def _refusals(grant: Grant, loaded: Settings, moment: int) -> list[str]:
    """Every reason that can be known without the ledger."""
    refusals = []
    if moment >= grant.exp:
        refusals.append(f"expired {rfc3339(grant.exp)}")
    elif moment >= (end := _end(grant, loaded)):
        refusals.append(f"older than the lifetime that is set now, which ended it {rfc3339(end)}")
    if Resources.parse(loaded.resources, loaded.issuer).sealed(grant.resource) is None:
        refusals.append("its resource is not in TOKENSVC_RESOURCES")
    try:
        api_keys = ApiKeys.parse(loaded.api_keys.get_secret_value())
        await api_keys.confirm(grant.credential, grant.identity, moment)
    except IdentityEnded as ended:
        refusals.append(str(ended))
    return refusals


def _end(grant: Grant, loaded: Settings) -> int:
    """When the present lifetimes of its client end it."""
    general = assembly.lifetimes(loaded)
    clients = parse_clients(loaded.clients.get_secret_value(), general).values()
    own: Lifetimes = next((client.lifetimes for client in clients if client.handle == grant.client), general)
    return own.end_of(grant)


def _marked(grant: Grant, url: str) -> list[str]:
    """What the marks of a running replica say."""
    marks = Marks()
    try:
        for entry in ask(url, "GET", "/admin/denylist")["marks"]:
            marks.put(parse_subject(entry["kind"], entry["subject"]), Mark(entry["not_before"], entry["expires"]))
    except (KeyError, TypeError, ValueError):
        raise CommandFailed("what answered is no replica of this version") from None
    try:
        marks.check(grant)
    except Dead as dead:
        return [str(dead)]
    return []
