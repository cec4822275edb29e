"""Runs the command as a person does: with an environment and a standard input, and what it printed and left with."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.replica import SECONDS
from tokensvc.cli import main


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
    """In a process of its own."""
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


def called(*arguments: str, variables: Mapping[str, str] | None = None, stdin: str | bytes = "") -> Ran:
    """The same in this process, for the many variations of what a transcript has shown."""
    given = io.TextIOWrapper(io.BytesIO(stdin if isinstance(stdin, bytes) else stdin.encode()), encoding="utf-8")
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(io.StringIO()) as out,
        redirect_stderr(io.StringIO()) as err,
    ):
        for name in os.environ.keys() - environment({}).keys():
            patch.delenv(name)
        for name, value in environment(variables or {}).items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdin", given)
        try:
            code = main(arguments)
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
    return Ran(code, out.getvalue(), err.getvalue())
