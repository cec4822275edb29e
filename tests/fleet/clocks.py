"""A clock of a replica's own, by libfaketime."""

from __future__ import annotations

import subprocess

from tests import parts
from tests.replica import SECONDS


def off_by(seconds: float) -> dict[str, str]:
    """The variables of a process whose clock is ahead, or with a negative number behind."""
    offset = f"{seconds:+}"
    printed = subprocess.run(
        [parts.path("faketime"), "-f", offset, "env"], capture_output=True, text=True, timeout=SECONDS, check=True
    ).stdout
    library = dict(line.partition("=")[::2] for line in printed.splitlines())["LD_PRELOAD"]
    # Times that are measured, and those of files, stay as they are.
    apart = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
    return {"LD_PRELOAD": library, "FAKETIME": offset} | apart
