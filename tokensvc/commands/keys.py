"""`tokensvc keys`: make an entry of a key ring, and see in what state the versions of all rings are."""

import argparse
import base64
import re
import secrets
import string
from dataclasses import asdict
from typing import Any

from tokensvc.commands import CommandFailed, now, print_json, print_table, rfc3339, say
from tokensvc.keyring import SIGNING_KEYS, parse_time

_KID = re.compile(r"[A-Za-z0-9_-]{1,16}")
_USES = {"staged": "opens", "active": "seals, opens", "retired": "opens"}
_USES_OF_SIGNING = {"staged": "verifies", "active": "signs, verifies", "retired": "verifies"}
_NOW = """\
It begins to seal as soon as a replica has it: right for a new ring. For a ring in use give --activates a time after
the rollout, since until then replicas without the entry could not open what others seal."""
_STAGED = """\
Append it to the ring of every replica, beside the entries that are there. At {time} all of them seal with it."""
_PAST = """\
{time} is over. A replica that has the entry seals with it at once, and the others could not open that."""


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    new = actions.add_parser(
        "new",
        help="print a new entry for a ring",
        description="Print a new entry for TOKENSVC_KEYS, TOKENSVC_CLIENT_KEYS or TOKENSVC_SIGNING_KEYS, with 32 "
        "random bytes.",
    )
    new.add_argument("--activates", metavar="T", type=_time, help="when it begins to seal: RFC 3339 or Unix seconds")
    new.add_argument("--kid", type=_kid, help="its name, 1 to 16 of A-Z a-z 0-9 _ - (default: k, date, letter)")
    new.add_argument("--json", action="store_true", help="print JSON")
    new.set_defaults(run=run_new)
    status = actions.add_parser(
        "status",
        help="each version's state, use, and when it can be dropped",
        description="Look at the rings in the environment, or at those of a running replica with what each version "
        "has sealed and opened there. A staged version waits for its time and already opens; the active one seals; a "
        "retired one opens what it sealed until that has expired, and can be dropped then.",
    )
    status.add_argument("--url", nargs="?", const="", help="ask this replica (default: TOKENSVC_ISSUER)")
    status.add_argument("--json", action="store_true", help="print JSON")
    status.set_defaults(run=run_status)


def run_new(options: argparse.Namespace) -> None:
    moment = now()
    kid = options.kid or _new_kid(moment if options.activates is None else options.activates)
    entry = new_entry(kid, options.activates)
    if options.json:
        print_json({"kid": kid, "entry": entry})
        return
    say(_advice(options.activates, moment))
    print(entry)


def run_status(options: argparse.Namespace) -> None:
    found = _of_environment() if options.url is None else _of_replica(options.url)
    rows = [_row(version) for version in found["versions"]]
    if options.url is not None:
        rows = [row | _use(version) for row, version in zip(rows, found["versions"], strict=True)]
        say(f"Used since {rfc3339(found['since'])}, in process {found['worker']} of that replica alone.")
    print_json(rows) if options.json else print_table(rows)
    for warning in found["warnings"]:
        say(f"{warning['kid']} of {warning['ring']} {warning['problem']}.")


def _of_environment() -> dict[str, Any]:
    """What /admin/keys would say of the rings here, but for their use."""
    # Here, since they bring along all that the service is made of, which a new key does not need.
    from tokensvc import assembly, settings
    from tokensvc.tokens import ring_report
    from tokensvc.tokens.use import KeyUse

    loaded = settings.load()
    moment = now()
    longest = assembly.longest_lifetimes(loaded, assembly.listed(loaded).clients)
    versions = ring_report.report(assembly.rings(loaded, moment), KeyUse(), longest, moment)
    return {
        "versions": [asdict(version) for version in versions],
        "warnings": [asdict(warning) for warning in ring_report.warnings(versions, moment)],
    }


def _of_replica(url: str) -> dict[str, Any]:
    from tokensvc.commands.admin_client import ask

    answer = ask(url, "GET", "/admin/keys")
    if not {"versions", "warnings", "since", "worker"} <= answer.keys():
        raise CommandFailed("what answered is no replica of this version")
    return answer


def new_entry(kid: str, activates: int | None = None) -> str:
    """`kid[@activation]=secret` with 32 fresh random bytes."""
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    return f"{kid}={secret}" if activates is None else f"{kid}@{rfc3339(activates)}={secret}"


def _new_kid(moment: int) -> str:
    """`k`, the date, and a letter, so that two of one day may stand in one ring."""
    return f"k{rfc3339(moment)[2:10].replace('-', '')}{secrets.choice(string.ascii_lowercase)}"


def _advice(activates: int | None, moment: int) -> str:
    if activates is None:
        return _NOW
    return (_STAGED if activates > moment else _PAST).format(time=rfc3339(activates))


def _row(version: dict[str, Any]) -> dict[str, Any]:
    return {
        "ring": version["ring"],
        "kid": version["kid"],
        "state": version["state"],
        "use": (_USES_OF_SIGNING if version["ring"] == SIGNING_KEYS else _USES)[version["state"]],
        "activates": rfc3339(version["activates"]) if version["activates"] else "always",
        "drop": _drop(version),
    }


def _use(version: dict[str, Any]) -> dict[str, Any]:
    opened = version["last_opened"]
    return {
        "seals": version["seals"],
        "opens": version["opens"],
        "last_opened": "never" if opened is None else rfc3339(opened),
    }


def _drop(version: dict[str, Any]) -> str:
    """A version can go once the last thing that it sealed has expired."""
    if not version["followed"]:
        return "not yet: nothing follows it"
    if version["longest"] is None:
        return "ends its clients, who register anew"
    expired = version["drop_from"]
    if expired is None:
        # Nobody wrote down when its successor came, and it sealed until then.
        return f"{version['longest'] // 86_400_000 + 1} days after its successor was rolled out"
    return f"{'now, since' if expired <= now() else 'from'} {rfc3339(expired)}"


def _kid(text: str) -> str:
    if not _KID.fullmatch(text):
        raise argparse.ArgumentTypeError("a kid is 1 to 16 of A-Z a-z 0-9 _ -")
    return text


def _time(text: str) -> int:
    try:
        return parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
