"""`tokensvc explain`: what a token is, and why it would be refused. Offline, with the rings in the environment."""

import argparse
import asyncio
from typing import TYPE_CHECKING, Any

from tokensvc import app, settings
from tokensvc.commands import CommandFailed, now, print_json, read_argument, rfc3339
from tokensvc.commands.admin_client import ask
from tokensvc.identity import IdentityEnded
from tokensvc.identity.api_keys import ApiKeys
from tokensvc.keyring import KeyRing
from tokensvc.ledger.marks import Dead, Mark, Marks, parse_subject
from tokensvc.protocol.client import METHODS
from tokensvc.protocol.resource_indicator import Resources
from tokensvc.settings import Settings
from tokensvc.tokens.artefact import Artefact, Unsealable
from tokensvc.tokens.kinds import AccessToken, AuthorizationCode, ClientId, Grant, RefreshToken, client_handle

if TYPE_CHECKING:
    from tokensvc.commands import Subparsers

_KINDS: dict[type[Artefact], str] = {
    AccessToken: "access token",
    RefreshToken: "refresh token",
    AuthorizationCode: "code",
    ClientId: "client_id",
}


def add_to(commands: "Subparsers") -> None:
    parser = commands.add_parser(
        "explain",
        help="what a token is, and why it would be refused",
        description="Open a token, code or client_id with the rings in the environment. Nothing is sent anywhere "
        "unless --url asks a replica for its marks.",
    )
    parser.add_argument("token", nargs="?", default="-", metavar="TOKEN", help="- or nothing: from standard input")
    parser.add_argument("--url", nargs="?", const="", help="ask this replica for its marks (TOKENSVC_ISSUER if empty)")
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
    sealer = app.sealer(loaded, moment)
    try:
        artefact = sealer.unseal(kind, value, moment)
        version = sealer.version_of(value)
    except Unsealable as error:
        raise CommandFailed(f"this {_KINDS[kind]} does not open with the rings in the environment: {error}") from None
    facts = {"kind": _KINDS[kind], "version": _version(kind, version, loaded, moment)}
    if isinstance(artefact, ClientId):
        facts |= _client_facts(artefact, value)
    if isinstance(artefact, Grant):
        refusals = asyncio.run(_refusals(artefact, loaded, moment))
        if options.url is not None:
            refusals += _marked(artefact, options.url or None)
        facts |= _grant_facts(artefact, loaded) | {"refused": "; ".join(refusals) or "no reason known here"}
    if options.json:
        print_json(facts)
        return
    for name, fact in facts.items():
        print(f"{name}: {fact}")


def _kind(value: str, loaded: Settings) -> type[Artefact]:
    for kind in _KINDS:
        if value.startswith(f"{loaded.token_prefix}{kind.kind}_"):
            return kind
    prefixes = ", ".join(f"{loaded.token_prefix}{kind.kind}_ {name}" for kind, name in _KINDS.items())
    raise CommandFailed(f"this is nothing that is sealed here; what is begins with one of: {prefixes}")


def _version(kind: type[Artefact], announced: str, loaded: Settings, moment: int) -> str:
    variable = "TOKENSVC_CLIENT_KEYS" if kind is ClientId else "TOKENSVC_KEYS"
    text = (loaded.client_keys if kind is ClientId else loaded.keys).get_secret_value()
    ring = KeyRing.parse(text, variable, moment)
    kid, _, day = announced.partition(".")
    states = [ring.state(version, moment) for version in ring.versions if version.kid == kid]
    sealed = f", sealed on {rfc3339(int(day) * 86_400_000)[:10]}" if day else ""
    return f"{kid} of {variable} ({states[0]}){sealed}"


def _client_facts(client: ClientId, value: str) -> dict[str, Any]:
    return {
        "client": client_handle(value),
        "name": client.name,
        "token_endpoint_auth_method": METHODS[client.method],
        "redirect_uris": f"{len(client.redirects) // 22}, as digests",
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
        "resource": resource.identifier if resource else f"not configured here (digest {grant.resource})",
        "scope": grant.scope,
        "family": grant.family,
        "authorized": rfc3339(grant.authorized_at),
        "issued": rfc3339(grant.iat),
        "expires": rfc3339(grant.exp),
    }
    if isinstance(grant, AccessToken | RefreshToken):
        facts["generation"] = grant.generation
    return facts | ({"jti": grant.jti} if isinstance(grant, AccessToken) else {})


async def _refusals(grant: Grant, loaded: Settings, moment: int) -> list[str]:
    """Every reason that can be known without the ledger."""
    refusals = []
    if moment >= grant.exp:
        refusals.append(f"expired {rfc3339(grant.exp)}")
    if Resources.parse(loaded.resources, loaded.issuer).sealed(grant.resource) is None:
        refusals.append("its resource is not in TOKENSVC_RESOURCES")
    try:
        api_keys = ApiKeys.parse(loaded.api_keys.get_secret_value())
        await api_keys.confirm(grant.credential, grant.identity, moment)
    except IdentityEnded as ended:
        refusals.append(str(ended))
    return refusals


def _marked(grant: Grant, url: str | None) -> list[str]:
    """What the marks of a running replica say."""
    marks = Marks()
    for entry in ask(url, "GET", "/admin/denylist")["marks"]:
        marks.put(parse_subject(entry["kind"], entry["subject"]), Mark(entry["not_before"], entry["expires"]))
    try:
        marks.check(grant.minted)
    except Dead as dead:
        return [str(dead)]
    return []
