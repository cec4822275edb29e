"""What every test stands on: which real parts it needs, and how hypothesis runs."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

from tests import parts

# A busy machine exceeds a time limit per example, which says nothing about the code. Under CI, hypothesis's
# own profile makes every run try the same examples.
BASE = hypothesis.settings.get_profile("ci" if os.environ.get("CI") else "default")
hypothesis.settings.register_profile("tokensvc", BASE, deadline=None)
hypothesis.settings.load_profile("tokensvc")

LONGEST = ("fleet", "flows", "commands", "ledger", "browser", "interop")
MEASURED = {"commands"}
COVERAGE = "COVERAGE_PROCESS_CONFIG"
"""By this variable coverage measures the processes that tests start."""
COVERAGE_CONFIG = os.environ.get(COVERAGE)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, so that a misspelt one is an error."""
    known = ", ".join(parts.PARTS)
    config.addinivalue_line("markers", f"needs(*parts): the real programs that a test needs, of {known}")
    config.addinivalue_line("markers", "verifies(client, what): what a test shows of a client that somebody else wrote")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of parts that are not there; under CI, where a green run would hide it, refuse."""
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    missing: set[str] = set()
    for item in items:
        absent = {name for name in _needs(item) if parts.find(name) is None}
        (left_out if absent else kept).append(item)
        missing |= absent
    if missing and os.environ.get("CI"):
        raise pytest.UsageError(f"under CI no part may be missing: {', '.join(sorted(missing))}")
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    # A file goes to one worker as a whole: the longest come first, or one of them would be waited for at the end.
    items[:] = sorted(kept, key=lambda item: _place(item.path))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Replicas run without coverage, which would be half of their work: what runs in this process measures the code.

    But for commands, which nothing else runs.
    """
    if COVERAGE_CONFIG and _folder(item.path) in MEASURED:
        os.environ[COVERAGE] = COVERAGE_CONFIG
    else:
        os.environ.pop(COVERAGE, None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests measured, by the property `figures` of their reports: it comes from other processes too."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    lines = [value for report in reports for name, value in report.user_properties if name == "figures"]
    if lines:
        terminalreporter.section("figures")
        for line in sorted(lines):
            terminalreporter.write_line(line)


def _place(path: Path) -> int:
    """The folders whose tests start many processes, and then the others in their order."""
    return LONGEST.index(folder) if (folder := _folder(path)) in LONGEST else len(LONGEST)


def _folder(path: Path) -> str:
    return path.relative_to(Path(__file__).parent).parts[0]


def _needs(item: pytest.Item) -> set[str]:
    names = {name for marker in item.iter_markers("needs") for name in marker.args}
    unknown = names - parts.PARTS.keys()
    if unknown:
        raise pytest.UsageError(f"{item.nodeid} needs {', '.join(sorted(unknown))}, unknown to tests/parts.py")
    return names
