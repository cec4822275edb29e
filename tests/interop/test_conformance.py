"""The MCP project's own conformance suite: what it asks of an authorization server."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import parts
from tests.interop.person import Person
from tests.ports import free_port
from tests.replica import SECONDS, TLS, Replica, settings

SUITE = parts.NODE_FOLDER / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
REGISTERED = "http://127.0.0.1:3000/callback"
"""The suite's own redirect URI. It listens on another port here, as it may on loopback (RFC 8252 §7.3)."""
CLIENTS = [
    {
        "client_id": "conformance",
        "client_name": "Conformance suite",
        "redirect_uris": [REGISTERED],
        "token_endpoint_auth_method": "none",
    },
]

pytestmark = pytest.mark.needs("node")


@pytest.fixture(scope="module", params=["", "/auth"], ids=["origin", "issuer-with-a-path"])
def replica(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}{request.param}"
    environment = settings("memory://", port, issuer=issuer, clients=json.dumps(CLIENTS))
    with Replica(environment, port, directory=tmp_path_factory.mktemp("replica")) as started:
        yield started


@pytest.mark.verifies("MCP conformance suite", "all scenarios for authorization servers, as a public client")
def test_every_scenario_for_authorization_servers_passes(replica: Replica, tmp_path: Path) -> None:
    """Both in one run: the second takes the metadata that the first has found."""
    results = run(replica.environment["TOKENSVC_ISSUER"], tmp_path)
    assert results.keys() == scenarios()
    checks = [check for scenario in results.values() for check in scenario]
    assert {check["status"] for check in checks} == {"SUCCESS"}, json.dumps(checks, indent=1)


def run(issuer: str, directory: Path) -> dict[str, list[dict[str, Any]]]:
    """Run the suite with a person beside it; the checks of each scenario by its name."""
    options = {"--url": issuer, "--client-id": "conformance", "--resource": issuer}
    given = [part for option in (options | {"--port": str(free_port())}).items() for part in option]
    command = [parts.path("node"), str(SUITE), "authorization", *given, "--output-dir", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=directory) as suite:
        assert suite.stdout
        printed = []
        for line in suite.stdout:
            printed.append(line)
            if line.startswith(f"{issuer}/authorize?"):
                sign_in(line.strip())
        suite.wait(SECONDS)
    assert suite.returncode == 0, "".join(printed)
    saved = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in directory.glob("*/checks.json")}
    # A folder for each scenario, which ends in the time of the run.
    return {re.sub(r"^authorization-server-|-\d{4}-\d\d-\d\dT.*$", "", folder): saved[folder] for folder in saved}


def sign_in(url: str) -> None:
    """Follow a URL that the suite prints, through the form and back to the suite."""
    assert httpx.get(Person().open(url), timeout=SECONDS, verify=TLS).status_code == 200


def scenarios() -> set[str]:
    """The suite's own list."""
    command = [parts.path("node"), str(SUITE), "list", "--authorization"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
    return {line.split()[1] for line in listed.splitlines() if line.startswith("  - ")}
