"""`tokensvc revoke`: write a mark through a running replica."""

import argparse

from tokensvc.commands import print_facts, print_json, read_argument, rfc3339, say
from tokensvc.commands.admin_client import ask

_SUBJECTS = {
    "user": ("A/U", "what this user of this account authorized"),
    "account": ("A", "what anyone in this account authorized"),
    "client": ("C", "what anyone authorized this client for; its client_id or its handle"),
    "family": ("F", "one grant, by the family that introspection names"),
    "token": ("T", "one access token, by the jti that introspection names"),
    "credential": ("D", "what one API key authorized, by the credential that `tokensvc explain` shows"),
}
_EPILOG = """\
Name one of them, or --user with --client: this app of this person. A slash, a percent sign or a space inside a
name is percent-encoded. With - for a value it is read from standard input. The replica takes the first secret in
TOKENSVC_ADMIN_TOKENS. Who was signed out may sign in again, unless the API key is out of TOKENSVC_API_KEYS."""


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.description = "End at once, on every replica of the ledger:"
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for name, (metavar, text) in _SUBJECTS.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=text)
    parser.add_argument("--everything", action="store_true", help="all that was ever authorized")
    parser.add_argument("--url", help="the replica to ask (default: TOKENSVC_ISSUER)")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.set_defaults(run=run, usage_error=parser.error)


def run(options: argparse.Namespace) -> None:
    answer = ask(options.url, "POST", "/admin/revoke", _body(options))
    if options.json:
        print_json(answer)
        return
    say(f"What was authorized until {rfc3339(answer['not_before'])} is over.")
    for peer in [url for url, taken in answer.get("peers", {}).items() if not taken]:
        say(f"{peer} has not heard of it yet, and will once it can be reached.")
    print_facts({name: answer[name] for name in ("kind", "subject", "not_before") if answer[name] != ""})


def _body(options: argparse.Namespace) -> dict[str, str]:
    given = {name: value for name in _SUBJECTS if (value := getattr(options, name)) is not None}
    if list(given.values()).count("-") > 1:
        options.usage_error("standard input holds one value: give the other one here")
    if not all(given.values()):
        options.usage_error("a name is empty; to end everything say --everything")
    names = set(given) | ({"everything"} if options.everything else set())
    if len(names) != 1 and names != {"user", "client"}:
        options.usage_error("name one thing to end, or --user with --client")
    values = {name: read_argument(value) for name, value in given.items()}
    if names == {"user", "client"}:
        return {"kind": "user-client", "subject": values["user"], "client": values["client"]}
    (kind,) = names
    return {"kind": kind, "subject": values.get(kind, "")}
