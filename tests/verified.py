"""The table of docs/verified-clients.md: clients that somebody else wrote, and what a run has shown of them.

A test says with `@pytest.mark.verifies(client, what)` which client it drives, and what it shows. `make readme`
runs these tests, all of them, and writes the table once all have passed: the versions that it ran, and the day. A
table that names another version than the lock, or that claims what no test shows, is a failure in test_verified.py.
"""

from __future__ import annotations

import ast
import datetime
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from tokensvc.commands.probe.clients import ALL

ROOT = Path(__file__).parent.parent
NODE = ROOT / "tests" / "node"
PYTHON_LOCK = ROOT / "tests" / "requirements.lock"


@dataclass(frozen=True)
class Verified:
    """A client that somebody else wrote, by the package that the tests install."""

    package: str
    registry: Literal["npm", "PyPI"]

    @property
    def installed(self) -> str:
        """The version that a run drives."""
        if self.registry == "PyPI":
            return importlib.metadata.version(self.package)
        return str(_json(NODE / "node_modules" / self.package / "package.json")["version"])

    @property
    def locked(self) -> str:
        """The version that `make test` installs."""
        if self.registry == "PyPI":
            found = re.search(rf"^{self.package}==(\S+)", PYTHON_LOCK.read_text(encoding="utf-8"), re.MULTILINE)
            assert found, f"{self.package} is not locked"
            return found[1]
        return str(_json(NODE / "package-lock.json")["packages"][f"node_modules/{self.package}"]["version"])


CLIENTS: Mapping[str, Verified] = {
    "MCP Python SDK": Verified("mcp", "PyPI"),
    "MCP TypeScript SDK": Verified("@modelcontextprotocol/client", "npm"),
    "MCP conformance suite": Verified("@modelcontextprotocol/conformance", "npm"),
    "MCP Inspector": Verified("@modelcontextprotocol/inspector", "npm"),
    "mcp-remote": Verified("mcp-remote", "npm"),
    "Codex": Verified("@openai/codex", "npm"),
    "oauth4webapi": Verified("oauth4webapi", "npm"),
    "openid-client": Verified("openid-client", "npm"),
    "Authlib": Verified("authlib", "PyPI"),
    "PyJWT": Verified("pyjwt", "PyPI"),
    "jose": Verified("jose", "npm"),
}

HABITS = "known habits"
"""What stands in a mark for apps that no test can run: what they are known to send is sent the same way."""
APPS = [known.name for known in ALL if known.name not in CLIENTS]


@dataclass(frozen=True)
class Claim:
    """What a test shows of a client."""

    client: str
    what: str
    test: str


@cache
def claims() -> tuple[Claim, ...]:
    """Every mark, read from the sources in their order: nothing has to be imported for it."""
    found: list[Claim] = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        if "mark.verifies(" not in source:
            continue
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                test = f"{path.relative_to(ROOT)}::{node.name}"
                found += [Claim(client, what, test) for client, what in _marks(node)]
    return tuple(found)


def render(versions: Mapping[str, str], day: datetime.date) -> str:
    """Both tables, and below them the numbered tests in the order in which the tables name them."""
    numbers: dict[str, int] = {}
    clients = ["| client | package | version | day | what the tests show |", "| --- | --- | --- | --- | --- |"]
    for name, client in CLIENTS.items():
        package = f"`{client.package}` ({client.registry})"
        clients.append(f"| {name} | {package} | {versions[name]} | {day.isoformat()} | {_shown(name, numbers)} |")
    apps = ["| app, by its known habits | day | what the tests show |", "| --- | --- | --- |"]
    apps += [f"| {name} | {day.isoformat()} | {_shown(HABITS, numbers)} |" for name in APPS]
    return "\n".join([*clients, "", *apps, "", *(f"{number}. `{test}`" for test, number in numbers.items())])


def run() -> dict[str, str]:
    """Run every test that verifies a client; the versions that it drove. Fails where one fails, or was not run."""
    tests = {claim.test for claim in claims()}
    files = sorted({test.partition("::")[0] for test in tests})
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-m", "verifies", *files]
    # Under CI no test is left out whose part is missing.
    ended = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"CI": "true"}, stdout=subprocess.PIPE, text=True, check=False
    )
    passed = set(re.findall(r"^PASSED ([^\[\s]+)", ended.stdout, re.MULTILINE))
    missing = tests - passed
    if ended.returncode != 0 or missing:
        raise SystemExit(f"{ended.stdout}\nnot verified: {', '.join(sorted(missing)) or 'see above'}")
    return {name: client.installed for name, client in CLIENTS.items()}


def _shown(client: str, numbers: dict[str, int]) -> str:
    """What is claimed of a client, each with the number of its test; one that is new is numbered here."""
    return "; ".join(
        f"{claim.what}<sup>{numbers.setdefault(claim.test, len(numbers) + 1)}</sup>"
        for claim in claims()
        if claim.client == client
    )


def _marks(test: ast.FunctionDef | ast.AsyncFunctionDef) -> list[tuple[str, str]]:
    calls = [mark for mark in test.decorator_list if isinstance(mark, ast.Call)]
    marks = [call.args for call in calls if ast.unparse(call.func) == "pytest.mark.verifies"]
    return [(ast.literal_eval(client), ast.literal_eval(what)) for client, what in marks]


def _json(path: Path) -> dict[str, dict[str, dict[str, str]]]:
    content: dict[str, dict[str, dict[str, str]]] = json.loads(path.read_text(encoding="utf-8"))
    return content
