"""`tokensvc apikey new`: make an API key for a person, and the hashed entry that lets the service know it."""

import argparse
import re

from tokensvc.commands import print_facts, print_json, say
from tokensvc.identity import Identity, quote_part, unquote_part
from tokensvc.identity.api_keys import new_api_key

_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,32}")


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    new = actions.add_parser(
        "new",
        help="print a new API key once, and its entry for TOKENSVC_API_KEYS",
        description="Make an API key. Hand the key to the person, and put the entry, which holds only its hash, into "
        "TOKENSVC_API_KEYS of every replica.",
    )
    new.add_argument("--account", metavar="A", required=True, type=_part, help="the account, 1 to 128 bytes")
    new.add_argument("--user", metavar="U", required=True, type=_part, help="the user, 1 to 128 bytes")
    new.add_argument("--role", metavar="R", required=True, type=_part, help="the role, 1 to 128 bytes")
    new.add_argument("--prefix", default="key", type=_prefix, help="what the key begins with (default: %(default)s)")
    new.add_argument("--json", action="store_true", help="print JSON")
    new.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    key, entry = new_api_key(Identity(options.account, options.user, options.role), options.prefix)
    made = {"api_key": key, "entry": entry}
    if options.json:
        print_json(made)
        return
    say("The key is for its owner and is shown only now. The entry is for TOKENSVC_API_KEYS; the key is not in it.")
    print_facts(made)


def _part(text: str) -> str:
    try:
        return unquote_part(quote_part(text))
    except ValueError:
        raise argparse.ArgumentTypeError("account, user and role are 1 to 128 bytes of text on one line") from None


def _prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise argparse.ArgumentTypeError("a prefix is 1 to 32 of A-Z a-z 0-9 . _ -")
    return text
