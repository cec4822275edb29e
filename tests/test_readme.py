"""The walk-through of the README works as it stands there, pasted into a shell beside `make run`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from tests.ports import free_port
from tests.replica import SECONDS, wait_for

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
PRINTED_ISSUER = "http://127.0.0.1:8000"
"""What `make run` says without a PORT, and the walk-through begins with."""


def section(heading: str) -> str:
    """The text below a heading of the README, up to the next one."""
    match = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert match, f"the README has no section {heading}"
    return match[1]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clone")


@pytest.fixture(scope="module")
def announced(directory: Path) -> Iterator[dict[str, str]]:
    """What the replica of `make run` prints, by the name before the colon."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOKENSVC_")}
    command = [sys.executable, "-m", "tokensvc", "serve", "--development", "keys", "--port", str(port)]
    with (
        (directory / "printed").open("w+", encoding="utf-8") as printed,
        (directory / "log").open("w", encoding="utf-8") as log,
        subprocess.Popen(command, stdout=printed, stderr=log, cwd=directory, env=environment) as process,
    ):
        try:
            wait_for(lambda: _ready(port, process, directory), "the replica is ready")
            lines = Path(directory / "printed").read_text(encoding="utf-8").splitlines()
            yield dict(line.split(": ", 1) for line in lines)
        finally:
            process.terminate()
            process.wait(SECONDS)


def _ready(port: int, process: subprocess.Popen[bytes], directory: Path) -> bool:
    if process.poll() is not None:
        raise AssertionError("the replica ended: " + (directory / "log").read_text(encoding="utf-8"))
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_what_a_run_prints_is_what_the_readme_says(announced: dict[str, str]) -> None:
    assert {"issuer", "api_key", "introspection_token", "next"} <= announced.keys()


def test_the_walk_through_works_when_pasted(announced: dict[str, str], directory: Path) -> None:
    pasted = blocks(section("Walk through it with curl"), "sh")
    assert len(pasted) == 8
    assert PRINTED_ISSUER in pasted[0]
    script = "".join(pasted).replace(PRINTED_ISSUER, announced["issuer"])
    command = ["bash", "-c", f"set -euo pipefail\n{script}"]
    ran = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=SECONDS * 2, check=False)
    assert ran.returncode == 0, ran.stderr
    client_id, url, location, *answers = ran.stdout.splitlines()

    assert client_id.startswith("tscl_")
    assert client_id in url
    answer = dict(parse_qsl(urlsplit(location).query))
    assert answer.keys() == {"code", "state", "iss"}
    assert (answer["state"], answer["iss"]) == ("af0ifjsldkj", announced["issuer"])
    first, facts, second, last = map(json.loads, answers)
    assert first.keys() == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    assert facts["active"] is True
    (example,) = blocks(section("Ask about a token"), "json")
    assert list(facts) == list(json.loads(example)), "the README shows the members of this answer"
    assert (facts["iss"], facts["sub"]) == (announced["issuer"], "demo/ada")
    assert second["refresh_token"] != first["refresh_token"]
    assert last == {"active": False}


def test_the_walk_through_leaves_nothing_secret_in_the_log(announced: dict[str, str], directory: Path) -> None:
    log = (directory / "log").read_text(encoding="utf-8")
    assert "token issued" in log
    for secret in (announced["api_key"], announced["introspection_token"], "tsat_", "tsrt_", "tsac_"):
        assert secret not in log
