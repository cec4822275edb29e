"""A program of docs/examples in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx

from tests.replica import INTROSPECTION_TOKEN, KNOWN_SECRETS, SECONDS, TLS, Replica, leaks, wait_for

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"


@dataclass
class Program:
    """Use as a context manager. It is ready once `url` answers anything; its log may hold no secret."""

    command: Sequence[str]
    url: str
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] = field(init=False)
    output: IO[bytes] = field(init=False)

    def __enter__(self) -> Program:
        self.log = self.directory / f"{Path(self.command[-1]).stem}.log"
        self.output = self.log.open("wb")
        # Run from the examples, but not in them: what a program writes stays with the test.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OAUTH_")}
        environment = inherited | dict(self.environment)
        self.process = subprocess.Popen(
            self.command, cwd=self.directory, env=environment, stdout=self.output, stderr=self.output
        )
        try:
            wait_for(self._answers, f"{self.command} answers")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self._end()
        assert not leaks(self.log.read_text(errors="replace"), KNOWN_SECRETS), "a log holds a secret"

    def get(self, path: str = "", token: str = "", **headers: str) -> httpx.Response:
        return self.request("GET", path, token, **headers)

    def request(self, method: str, path: str = "", token: str = "", **headers: str) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given |= {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.request(method, f"{self.url}{path}", headers=given, timeout=SECONDS, verify=TLS)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text(errors="replace")
        try:
            httpx.get(self.url, timeout=5, verify=TLS)
        except httpx.TransportError:
            return False
        return True

    def _end(self) -> None:
        self.process.terminate()
        self.process.wait(SECONDS)
        self.output.close()


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def oauth(replica: Replica, resource: str) -> dict[str, str]:
    """The variables of `tokensvc.resource.from_environment`."""
    return {
        "OAUTH_ISSUER": replica.environment["TOKENSVC_ISSUER"],
        "OAUTH_INTROSPECTION_TOKEN": INTROSPECTION_TOKEN,
        "OAUTH_RESOURCE": resource,
    }
