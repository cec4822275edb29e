"""`tokensvc doctor`: compare the replicas of a fleet, and say what to do where they differ."""

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import asdict

from tokensvc.commands import CommandFailed, now, print_json, print_table, rfc3339
from tokensvc.commands.doctor.examination import Examined, Replica, discover, examine
from tokensvc.commands.doctor.findings import Finding, cautions, find, same_marks
from tokensvc.errors import SettingsError

_SETTLING_SECONDS = 1.0
_EPILOG = (
    "Without an address it asks TOKENSVC_ISSUER and the peers that it is told of there. Where that is a balancer "
    "before replicas that have no peers, one of them answers: name them all. Settings that stand in the environment "
    "are checked as well, before anything is started with them. The replicas take the first secret in "
    "TOKENSVC_ADMIN_TOKENS."
)


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Compare keys, settings, revocations, clocks and versions of replicas that should agree, and say what to do "
        "where they do not. Exit code 1 where anything differs or does not answer."
    )
    parser.epilog = _EPILOG
    parser.add_argument("urls", metavar="URL", nargs="*", help="the address of a replica itself, not of its balancer")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run, usage_error=parser.error)


def run(options: argparse.Namespace) -> None:
    if not all(url.startswith(("http://", "https://")) for url in options.urls):
        options.usage_error("the address of a replica begins with http:// or https://")
    issuer = os.environ.get("TOKENSVC_ISSUER", "")
    own = _own_settings() if {"TOKENSVC_KEYS", "TOKENSVC_KEYS_FILE"} & os.environ.keys() else []
    if not options.urls and not issuer and not own:
        raise CommandFailed("which replica? Give its address, or set TOKENSVC_ISSUER")
    examined, findings = _examined(options.urls, issuer)
    findings = [*own, *findings]
    _print_json(examined, findings) if options.json else _print(examined, findings)
    if findings:
        raise CommandFailed("1 problem" if len(findings) == 1 else f"{len(findings)} problems")


def _examined(urls: Sequence[str], issuer: str) -> tuple[list[Examined], list[Finding]]:
    """The replicas as they are, once what is under way among them has had the time to arrive."""
    examined = examine(urls) if urls else discover(issuer) if issuer else []
    if same_marks(examined):
        return examined, find(examined)
    time.sleep(_SETTLING_SECONDS)
    again = examine(one.url for one in examined)
    return again, find(again, earlier=examined)


def _own_settings() -> list[Finding]:
    """What is wrong with the settings of this environment; nothing of theirs is opened."""
    # Here, since it brings along all that the service is made of.
    from tokensvc import app, settings

    try:
        loaded = settings.load()
        app.check_names(loaded)
        app.check(loaded, now())
    except SettingsError as error:
        return [Finding(f"this environment: {error.variable} {error.problem}", error.remedy)]
    return []


def _print(examined: Sequence[Examined], findings: Sequence[Finding]) -> None:
    if examined:
        print_table([_row(one) for one in examined])
    for finding in findings:
        print(f"\n{finding.problem}\n  → {finding.remedy}")
    for warning in cautions(examined):
        print(f"\nto be done some day: {warning}")
    if not findings:
        print("\nAll replicas agree." if len(examined) > 1 else "\nNothing is wrong.")


def _row(one: Examined) -> dict[str, str]:
    heads = ("replica", "version", "ready", "clock", "ledger", "complete since", "marks", "seals with", "hears")
    if not isinstance(one, Replica):
        return dict.fromkeys(heads, "-") | {"replica": one.name, "ready": "no answer"}
    sealing = ", ".join(version.kid for version in one.rings if version.state == "active")
    cells = (
        one.name,
        one.version,
        "no" if one.unready else "yes",
        f"{one.ahead / 1000:+.1f} s",
        one.ledger,
        rfc3339(one.marks_since),
        str(one.marks),
        sealing,
        f"{sum(peer.is_heard for peer in one.peers)} of {len(one.peers)}" if one.peers else "-",
    )
    return dict(zip(heads, cells, strict=True))


def _print_json(examined: Sequence[Examined], findings: Sequence[Finding]) -> None:
    print_json(
        {
            "replicas": [asdict(one) for one in examined],
            "problems": [asdict(finding) for finding in findings],
            "warnings": cautions(examined),
        }
    )
