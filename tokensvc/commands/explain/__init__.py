"""`tokensvc explain`: what a token is, and why it would be refused. Offline, with the rings in the environment."""

import argparse
import asyncio
from typing import Any

from tokensvc import settings
from tokensvc.commands import now, print_facts, print_json, read_argument
from tokensvc.commands.explain.facts import facts_of
from tokensvc.commands.explain.opening import open_value
from tokensvc.commands.explain.refusals import marked, refusals
from tokensvc.tokens.kinds import ClientId, Grant


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Say what an access token (sealed or a JWT), refresh token, code, client_id, device code or pushed request "
        "holds, opened with the rings in the environment, and every reason that is known here why it would be refused. "
        "Nothing is sent anywhere unless --url asks a replica for its revocations; the token itself never is."
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
    opened = open_value(value, loaded, moment)
    facts: dict[str, Any] = {"kind": opened.name, "version": opened.version}
    facts |= facts_of(opened.artefact, value, loaded)
    if not isinstance(opened.artefact, ClientId):
        facts["refused"] = asyncio.run(refusals(opened.artefact, loaded, moment))
    if isinstance(opened.artefact, Grant) and options.url is not None:
        facts["refused"] += marked(opened.artefact, options.url)
    if options.json:
        print_json(facts)
        return
    if facts.get("refused") == []:
        unknown = ", and revocations were not asked for: see --url" if options.url is None else ""
        facts["refused"] = f"for no reason that is known here{unknown}"
    print_facts(facts)
