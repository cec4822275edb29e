"""The version before this one, to run beside it: what the fleet of an operator is during an upgrade.

previous.txt names it by a commit or a tag of this repository. As long as no version that can be in a fleet with this
one was released, it says `none`, and the version before is this one under another number: that shows the upgrade, and
not yet that two forms of anything get along. Whoever releases writes the tag into the file.
"""

from __future__ import annotations

import compileall
import re
import shutil
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

from tests.replica import SECONDS

ROOT = Path(__file__).parents[2]
NONE = "none"


def previous() -> str:
    """The commit or tag, or NONE."""
    lines = (Path(__file__).parent / "previous.txt").read_text(encoding="utf-8").splitlines()
    [name] = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return name


def available() -> bool:
    """Whether it can be had: a shallow clone has the history of nothing."""
    return previous() == NONE or _git("cat-file", "-e", f"{previous()}^{{tree}}").returncode == 0


def fetch() -> None:
    """Get it from where this clone came from."""
    _git("fetch", "--depth", "1", "origin", previous())


def previous_sources(directory: Path) -> Path:
    """Its sources below a directory that is made here: a PYTHONPATH. It runs on the dependencies of this version."""
    name = previous()
    directory.mkdir()
    if name == NONE:
        _renumber(directory)
    else:
        with tarfile.open(fileobj=BytesIO(_git("archive", name, "tokensvc").stdout)) as files:
            files.extractall(directory, filter="data")
    # Or every replica would do it anew, where the environment lets none write what it compiled.
    compileall.compile_dir(directory, quiet=1)
    return directory


def _renumber(directory: Path) -> None:
    """This version, under the number of none."""
    shutil.copytree(ROOT / "tokensvc", directory / "tokensvc", ignore=shutil.ignore_patterns("__pycache__"))
    module = directory / "tokensvc" / "__init__.py"
    text, found = re.subn(r'__version__ = ".*"', '__version__ = "0.0.0"', module.read_text(encoding="utf-8"))
    assert found == 1
    module.write_text(text, encoding="utf-8")


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, timeout=2 * SECONDS, check=False)
