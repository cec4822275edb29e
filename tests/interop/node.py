"""Scripts of tests/node: each reads what it is given as JSON, and prints what it saw as JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from tests import parts
from tests.replica import KNOWN_SECRETS, SECONDS

SECRET = {"client_secret", "code", "access_token", "refresh_token"}
CLIENT_ID = "tscl_"
"""How a registration begins that is sealed in a client_id. The handle of a client may stand in logs."""


def run(script: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Run a script and return what it saw. No log may hold what it was issued from then on."""
    command = [parts.path("node"), str(parts.NODE_FOLDER / script)]
    ended = subprocess.run(
        command, input=json.dumps(given), capture_output=True, text=True, timeout=2 * SECONDS, check=False
    )
    assert ended.returncode == 0, ended.stderr
    seen: dict[str, Any] = json.loads(ended.stdout)
    _remember(seen)
    return seen


def _remember(seen: object) -> None:
    if isinstance(seen, list):
        for part in seen:
            _remember(part)
    if isinstance(seen, dict):
        for name, part in seen.items():
            if isinstance(part, str) and (name in SECRET or part.startswith(CLIENT_ID)):
                KNOWN_SECRETS.add(part)
            _remember(part)
