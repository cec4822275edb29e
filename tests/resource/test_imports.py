"""The kit stands alone."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json, sys, threading
import tokensvc.resource
print(json.dumps([sorted(sys.modules), threading.active_count()]))
"""
FOREIGN = ("mcp", "joserfc", "jinja2", "pydantic_settings", "uvicorn", "limits", "cryptography", "fastapi")


def test_importing_it_brings_nothing_of_the_service_and_starts_nothing() -> None:
    printed = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    modules, threads = json.loads(printed)
    own = {name for name in modules if name.partition(".")[0] == "tokensvc"}
    assert {name for name in own if not name.startswith("tokensvc.resource")} == {"tokensvc"}
    assert not {name.partition(".")[0] for name in modules} & set(FOREIGN)
    assert threads == 1
