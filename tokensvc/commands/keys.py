"""`tokensvc keys`: make an entry of a key ring, and see in what state the versions of both rings are."""

import argparse
import base64
import secrets
import string
from typing import TYPE_CHECKING, Any

from tokensvc import app, settings
from tokensvc.commands import now, print_json, rfc3339
from tokensvc.keyring import KeyRing, KeyVersion, parse_time
from tokensvc.protocol.preregistered import parse_clients
from tokensvc.settings import Settings

if TYPE_CHECKING:
    from tokensvc.commands import Subparsers


def add_to(commands: "Subparsers") -> None:
    parser = commands.add_parser("keys", help="make ring entries, see the state of the rings")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    new = actions.add_parser("new", help="print a new entry for TOKENSVC_KEYS or TOKENSVC_CLIENT_KEYS")
    new.add_argument("--activates", metavar="T", type=_time, help="when it begins to seal: RFC 3339 or Unix seconds")
    new.add_argument("--kid", help="its name, 1 to 16 of A-Z a-z 0-9 _ - (default: k, the date and a letter)")
    new.add_argument("--json", action="store_true", help="print JSON")
    new.set_defaults(run=run_new)
    status = actions.add_parser("status", help="each version's state, and when it can be dropped")
    status.add_argument("--json", action="store_true", help="print JSON")
    status.set_defaults(run=run_status)


def run_new(options: argparse.Namespace) -> None:
    kid = options.kid or _new_kid(now() if options.activates is None else options.activates)
    entry = new_entry(kid, options.activates)
    KeyRing.parse(new_entry(kid), "--kid", now())
    print_json({"kid": kid, "entry": entry}) if options.json else print(entry)


def run_status(options: argparse.Namespace) -> None:
    loaded = settings.load()
    moment = now()
    rings = {
        "TOKENSVC_KEYS": KeyRing.parse(loaded.keys.get_secret_value(), "TOKENSVC_KEYS", moment),
        "TOKENSVC_CLIENT_KEYS": KeyRing.parse(loaded.client_keys.get_secret_value(), "TOKENSVC_CLIENT_KEYS", moment),
    }
    longest = _longest(loaded)
    rows = [_row(name, ring, version, longest, moment) for name, ring in rings.items() for version in ring.versions]
    print_json(rows) if options.json else _print_table(rows)


def new_entry(kid: str, activates: int | None = None) -> str:
    """`kid[@activation]=secret` with 32 fresh random bytes."""
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    return f"{kid}={secret}" if activates is None else f"{kid}@{rfc3339(activates)}={secret}"


def _new_kid(moment: int) -> str:
    """`k`, the date, and a letter, so that two of one day may stand in one ring."""
    return f"k{rfc3339(moment)[2:10].replace('-', '')}{secrets.choice(string.ascii_lowercase)}"


def _row(name: str, ring: KeyRing, version: KeyVersion, longest: int, moment: int) -> dict[str, Any]:
    return {
        "ring": name,
        "kid": version.kid,
        "state": ring.state(version, moment),
        "activates": rfc3339(version.activates) if version.activates else "always",
        "drop": _drop(name, ring, version, longest),
    }


def _drop(name: str, ring: KeyRing, version: KeyVersion, longest: int) -> str:
    """A version can go once the last thing that it sealed has expired. `longest` is in milliseconds."""
    retired = ring.retired_at(version)
    if retired is None:
        return "not while it seals"
    if name == "TOKENSVC_CLIENT_KEYS":
        return "when its clients may register anew"
    return f"from {rfc3339(retired + longest)}"


def _longest(loaded: Settings) -> int:
    """The longest lifetime that a code or token can have, of any client, in milliseconds."""
    general = app.lifetimes(loaded)
    clients = parse_clients(loaded.clients.get_secret_value(), general).values()
    every = (general, *(client.lifetimes for client in clients))
    return max(max(lifetimes.code, lifetimes.access, lifetimes.refresh) for lifetimes in every)


def _print_table(rows: list[dict[str, Any]]) -> None:
    heads = {head: head for head in rows[0]}
    widths = {head: max(len(row[head]) for row in [heads, *rows]) for head in heads}
    for row in [heads, *rows]:
        print("  ".join(row[head].ljust(widths[head]) for head in heads).rstrip())


def _time(text: str) -> int:
    try:
        return parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
