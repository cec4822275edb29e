"""`tokensvc demo`: it tells its story for real, as the README shows it, and leaves nothing behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import readme
from tests.commands.transcript import environment
from tests.replica import SECONDS, wait_for

LONGEST = 30
"""Seconds that the demo may take."""


@contextmanager
def demo(directory: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """The demo with its files in this directory."""
    command = [sys.executable, "-m", "tokensvc", "demo"]
    variables = environment({"TMPDIR": str(directory), **variables})
    with subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def replicas_in(directory: Path) -> list[int]:
    """The processes whose working directory lies below this one."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink().is_relative_to(directory):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def normalised(told: str) -> str:
    """Without what differs each time: ports, times and lengths."""
    told = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", told)
    return re.sub(r"\d\d:\d\d:\d\d|\d+\.\d s|\d+ (?=ms |seconds|characters)", "N ", told)


@pytest.mark.timeout(240)
def test_the_demo_tells_what_the_readme_shows_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """With settings in its environment that are none of its business."""
    with demo(tmp_path, TOKENSVC_ISSUER="https://auth.example.com", TOKENSVC_STRICT="true") as process:
        told, complaint = process.communicate(timeout=4 * LONGEST)
    assert (process.returncode, complaint) == (0, "")
    shown = readme.generated("demo").removeprefix("```\n").removesuffix("```")
    assert normalised(told) == normalised(shown)
    assert max(map(len, told.splitlines())) <= 110
    assert not list(tmp_path.iterdir())
    assert not replicas_in(tmp_path)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda how: how.name)
def test_a_demo_that_is_ended_early_ends_its_replicas_too(tmp_path: Path, how: signal.Signals) -> None:
    with demo(tmp_path) as process:
        wait_for(lambda: len(replicas_in(tmp_path)) == 3, "the replicas have started")
        process.send_signal(how)
        process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + how
    assert not replicas_in(tmp_path)
    assert not list(tmp_path.iterdir())
