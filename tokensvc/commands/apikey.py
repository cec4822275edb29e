"""`tokensvc apikey new`: make an API key for a person, and the hashed entry that lets the service know it."""

import argparse
from typing import TYPE_CHECKING

from tokensvc.commands import CommandFailed, print_json, say
from tokensvc.identity import Identity, quote_part, unquote_part
from tokensvc.identity.api_keys import new_api_key

if TYPE_CHECKING:
    from tokensvc.commands import Subparsers


def add_to(commands: "Subparsers") -> None:
    parser = commands.add_parser("apikey", help="make an API key")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    new = actions.add_parser("new", help="print a new API key once, and its entry for TOKENSVC_API_KEYS")
    for name in ("account", "user", "role"):
        new.add_argument(f"--{name}", required=True, help=f"the {name}, 1 to 128 bytes")
    new.add_argument("--prefix", default="key", help="what the key begins with (default: %(default)s)")
    new.add_argument("--json", action="store_true", help="print JSON")
    new.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    try:
        parts = (unquote_part(quote_part(part)) for part in (options.account, options.user, options.role))
        key, entry = new_api_key(Identity(*parts), options.prefix)
    except ValueError as error:
        raise CommandFailed(str(error)) from None
    if options.json:
        print_json({"api_key": key, "entry": entry})
        return
    say("The key is shown this once; the service needs only the entry.")
    print(f"api_key: {key}\nentry: {entry}")
