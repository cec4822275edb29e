"""`tokensvc revoke`: write a mark through a running replica."""

import argparse
from typing import TYPE_CHECKING

from tokensvc.commands import print_json, read_argument, say
from tokensvc.commands.admin_client import ask

if TYPE_CHECKING:
    from tokensvc.commands import Subparsers

_SUBJECTS = {
    "user": ("A/U", "end all that this user authorized"),
    "account": ("A", "end all of an account"),
    "client": ("C", "end all of a client, given by client_id or handle"),
    "family": ("F", "end one grant, by the family that introspection names"),
    "token": ("T", "end one access token, by its jti"),
    "credential": ("D", "end all that an API key authorized, by the digest that explain shows"),
}


def add_to(commands: "Subparsers") -> None:
    parser = commands.add_parser(
        "revoke",
        help="end tokens through a running replica",
        description="--user with --client: this app of this person.",
    )
    for name, (metavar, text) in _SUBJECTS.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=f"{text}; - reads it from standard input")
    parser.add_argument("--everything", action="store_true", help="end all that was ever authorized")
    parser.add_argument("--url", help="the replica (default: TOKENSVC_ISSUER)")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.set_defaults(run=run, usage_error=parser.error)


def run(options: argparse.Namespace) -> None:
    answer = ask(options.url, "POST", "/admin/revoke", _body(options))
    if options.json:
        print_json(answer)
        return
    say(f"revoked: {answer['kind']} {answer['subject']}".rstrip())
    print(answer["not_before"])


def _body(options: argparse.Namespace) -> dict[str, str]:
    given = {name: read_argument(value) for name in _SUBJECTS if (value := getattr(options, name)) is not None}
    if options.everything and not given:
        return {"kind": "everything", "subject": ""}
    if set(given) == {"user", "client"} and not options.everything:
        return {"kind": "user-client", "subject": given["user"], "client": given["client"]}
    if len(given) != 1 or options.everything:
        options.usage_error("name one subject, or --user with --client")
    ((kind, subject),) = given.items()
    return {"kind": kind, "subject": subject}
