"""Runs the command as a person does: in a process of its own, with an environment, and what it printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.replica import SECONDS


@dataclass(frozen=True)
class Ran:
    """The exit code, what went to stdout and what went to stderr."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> dict[str, str]:
        """The lines of stdout, by the name before the colon."""
        return dict(line.split(": ", 1) for line in self.out.splitlines())

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """This one, with these TOKENSVC_ variables alone, and a terminal of the usual width."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOKENSVC_")}
    return inherited | {"COLUMNS": "80"} | dict(variables)


def tokensvc(
    *arguments: str, variables: Mapping[str, str] | None = None, stdin: str | bytes = "", directory: Path | None = None
) -> Ran:
    ran = subprocess.run(
        [sys.executable, "-m", "tokensvc", *arguments],
        env=environment(variables or {}),
        input=stdin if isinstance(stdin, bytes) else stdin.encode(),
        capture_output=True,
        cwd=directory,
        timeout=SECONDS,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode())
