"""`tokensvc probe`: act as the known MCP clients do, and say which would fail at a server, and why."""

import argparse
import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from tokensvc.commands import CommandFailed, print_json, say
from tokensvc.commands.probe.checks import examine
from tokensvc.commands.probe.clients import ALL, KnownClient
from tokensvc.commands.probe.courier import Courier, is_loopback, shown
from tokensvc.commands.probe.discovery import Target, arrive, is_web
from tokensvc.commands.probe.report import Verdict, as_json, print_report
from tokensvc.commands.probe.visitor import visit

_NAMES = {client.name.lower().replace(" ", "-"): client for client in ALL}
_DESCRIPTION = """\
Act as the known MCP clients do against an MCP server or an authorization server,
and say which would fail, and why. Exit code 1 where one would."""
_EPILOG = f"""\
It registers each client once, since most begin with that; nothing takes a registration back. It opens sign-in pages
and never signs in, and sends one code that nobody issued. Requests go one after another, about a hundred in all.

clients: {", ".join(list(_NAMES)[:7])},
  {", ".join(list(_NAMES)[7:])}"""


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("url", metavar="URL", help="what people give to their clients, or an issuer")
    parser.add_argument("--client", metavar="NAME", action="append", choices=list(_NAMES), help="this one alone")
    parser.add_argument("--no-register", action="store_true", help="only read: no further than a client_id takes")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run, usage_error=parser.error)


def run(options: argparse.Namespace) -> None:
    if problem := _problem(options.url):
        options.usage_error(problem)
    clients = [_NAMES[name] for name in dict.fromkeys(options.client)] if options.client else ALL
    target, verdicts = asyncio.run(_probe(options.url, clients, register=not options.no_register))
    if options.json:
        what = "issuer" if target.challenge is None else "mcp server"
        print_json({"url": shown(target.url), "is": what, "clients": [as_json(verdict) for verdict in verdicts]})
    else:
        print_report(verdicts)
    if failing := [verdict.client for verdict in verdicts if verdict.obstacles]:
        raise CommandFailed(f"{len(failing)} of {len(verdicts)} clients would fail")


async def _probe(url: str, clients: Sequence[KnownClient], *, register: bool) -> tuple[Target, list[Verdict]]:
    """One client after another, on what the first ones have asked already."""
    async with Courier(url) as courier:
        target = await arrive(url, courier)
        say(f"{shown(url)} is an {'issuer' if target.challenge is None else 'MCP server'}.")
        visits = [await visit(client, target, courier, register=register) for client in clients]
        registered = len({each.client_id for each in visits if each.registration and each.client_id})
        say(f"{courier.requests} requests; clients that are registered there now: {registered}.")
    return target, [Verdict(each.client.name, tuple(examine(each)), bool(each.asked)) for each in visits]


def _problem(url: str) -> str:
    """Why this is no address to probe; empty where it is."""
    if not is_web(url) or "@" in urlsplit(url).netloc or urlsplit(url).fragment:
        return "the address begins with https://, and has neither a user name nor a fragment"
    if urlsplit(url).scheme == "http" and not is_loopback(url):
        return "plain http is for loopback alone: no client sends a token over it"
    return ""
