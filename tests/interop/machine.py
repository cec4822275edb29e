"""A person's machine, with published apps on it that print a URL to sign in at, and the person who follows it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread, Timer
from typing import IO

import httpx

from tests import parts
from tests.interop.deployment import Deployment
from tests.interop.person import Person
from tests.replica import SECONDS, TLS

PACKAGES = parts.NODE_FOLDER / "node_modules"
GUIDE = (Path(__file__).parents[2] / "docs" / "connect.md").read_text(encoding="utf-8")
ADDRESS = "https://mcp.example.com/mcp"
"""The MCP server of the guide."""


@dataclass(frozen=True)
class App:
    """One that runs, with all of its pipes."""

    process: subprocess.Popen[str]
    stdin: IO[str]
    stdout: IO[str]
    stderr: IO[str]

    def kill(self) -> None:
        """With whatever it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


@dataclass
class Machine:
    """`home` is the person's directory. Every sign-in is counted."""

    deployment: Deployment
    home: Path
    signed_in: int = 0
    printed: list[str] = field(default_factory=list)

    def run(self, script: str, *arguments: str, **variables: str) -> str:
        """Run an app to its end, signing in where it asks to; what it wrote to standard output."""
        with self.started(script, *arguments, **variables) as app:
            app.stdin.close()
            output = "".join(self._read(app, app.stdout))
            code = app.process.wait(SECONDS)
        assert code == 0, "".join(self.printed)
        return output

    @contextmanager
    def started(self, script: str, *arguments: str, **variables: str) -> Iterator[App]:
        """An app whose standard error is read, and what it says there done. It ends with the context, or at a limit."""
        node = parts.path("node")
        # Without a desktop: the browser is this person.
        inherited = {name: value for name, value in os.environ.items() if "DISPLAY" not in name}
        own = {"HOME": str(self.home), "BROWSER": "true", "PATH": f"{Path(node).parent}:{os.environ['PATH']}"}
        command, environment = [node, str(PACKAGES / script), *arguments], inherited | own | variables
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment, cwd=self.home, process_group=0
        ) as process:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            app = App(process, process.stdin, process.stdout, process.stderr)
            limit = Timer(2 * SECONDS, app.kill)
            talk = Thread(target=lambda: list(self._read(app, app.stderr)), daemon=True)
            limit.start()
            talk.start()
            try:
                yield app
            finally:
                limit.cancel()
                app.kill()
                talk.join(SECONDS)

    def guided(self, command: str) -> list[str]:
        """What the guide gives a command as its arguments, with the address of this deployment's server."""
        line = re.search(rf"^{re.escape(command)} (.*)$", GUIDE, re.MULTILINE)
        assert line, f"the guide has no {command}"
        return shlex.split(line[1].replace(ADDRESS, self.deployment.server.url))

    def _read(self, app: App, stream: IO[str]) -> Iterator[str]:
        """What comes, line by line; the person opens each authorization URL in it. Refused, an app would wait."""
        for line in stream:
            self.printed.append(line)
            if match := re.search(rf"{re.escape(self.deployment.replica.url)}/authorize\?\S+", line):
                self.signed_in += 1
                try:
                    httpx.get(Person().open(match[0]), timeout=SECONDS, verify=TLS).raise_for_status()
                except BaseException:
                    app.kill()
                    raise
            yield line
