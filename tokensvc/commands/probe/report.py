"""What is said of the clients: one row each, then each problem once, with the clients that meet it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tokensvc.commands import print_table
from tokensvc.commands.probe.courier import printable
from tokensvc.commands.probe.findings import Finding

_WIDTH = 80
"""Of the reason in a row; below the table it stands in full."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A client by its name. Where `whole` is false it did not register, and was seen no further than its discovery."""

    client: str
    findings: tuple[Finding, ...]
    whole: bool

    @property
    def obstacles(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.fatal]

    @property
    def word(self) -> str:
        if self.obstacles:
            return "would fail"
        return "would connect" if self.whole else "nothing in its way so far"


def as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "client": verdict.client,
        "verdict": verdict.word,
        "findings": [asdict(finding) for finding in verdict.findings],
    }


def print_report(verdicts: Sequence[Verdict]) -> None:
    print_table([_row(verdict) for verdict in verdicts])
    found = dict.fromkeys(finding for verdict in verdicts for finding in verdict.findings)
    for finding in sorted(found, key=lambda finding: not finding.fatal):
        print(f"\n{_heading(finding)}, {_who(finding, verdicts)}: {finding.problem}\n  → {finding.remedy}")


def _row(verdict: Verdict) -> dict[str, str]:
    first = next(iter(verdict.obstacles), None)
    trap = str(first.trap or "-") if first else ""
    why = printable(first.problem, _WIDTH) if first else ""
    return {"client": verdict.client, "verdict": verdict.word, "trap": trap, "why": why}


def _who(finding: Finding, verdicts: Sequence[Verdict]) -> str:
    others = [verdict.client for verdict in verdicts if finding not in verdict.findings]
    if not others and len(verdicts) > 1:
        return "every client"
    if len(others) < len(verdicts) / 3:
        return f"all but {' and '.join(others)}" if others else verdicts[0].client
    return ", ".join(verdict.client for verdict in verdicts if finding in verdict.findings)


def _heading(finding: Finding) -> str:
    what = f"trap {finding.trap}" if finding.trap else "the standard"
    return what if finding.fatal else f"not in the way: {what}"
