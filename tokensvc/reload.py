"""Settings that stand in files are read again while a replica runs. This module knows when, and `app` how.

A look is a stat through symlinks, so a file that is written, replaced by a rename or swapped by Kubernetes' symlink is
seen alike. What has changed counts once it stands unchanged for one look, and only where its contents changed too.
"""

import hashlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LOOK_EVERY = 1.0
"""Seconds between two looks."""

_Stamps = dict[str, tuple[int, ...] | None]


@dataclass(frozen=True, slots=True)
class Reload:
    """The last time that the settings were read again: when (ms since the epoch), which variables, what was wrong.

    `problem` is empty where they were taken, and otherwise says why everything is as it was before.
    """

    at: int
    changed: tuple[str, ...]
    problem: str = ""


class Files:
    """The files that hold settings, by variable. What stands in them when this is made counts as taken."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = dict(paths)
        self._seen = self._tried_stamps = self._stamps()
        self._taken = self._tried = self._contents()

    def look(self) -> tuple[str, ...] | None:
        """The variables whose files hold something else than what was taken, each time they hold something new.

        None where there is nothing new to try. It may be empty: after a bad file, the old contents are news.
        """
        stamps = self._stamps()
        if stamps == self._tried_stamps:
            self._seen = stamps
            return None
        if stamps != self._seen:
            self._seen = stamps
            return None
        contents = self._contents()
        news = contents != self._tried
        self._tried_stamps, self._tried = stamps, contents
        return tuple(sorted(name for name in contents if contents[name] != self._taken[name])) if news else None

    def taken(self) -> None:
        """What was tried last is in force."""
        self._taken = self._tried

    def try_again(self) -> None:
        """What was tried last has not failed by itself: it is news once more."""
        self._tried_stamps, self._tried = {}, {}

    def _stamps(self) -> _Stamps:
        return {name: _stamp(path) for name, path in self._paths.items()}

    def _contents(self) -> dict[str, bytes]:
        return {name: _digest(path) for name, path in self._paths.items()}


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _digest(path: Path) -> bytes:
    """Of the contents and of who else may read them, which is refused; of the error where it cannot be read.

    A pipe, as shells make of `<(command)`, is left to who reads it for the settings: it can be read once.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            return b""
        return hashlib.sha256(b"%d\0" % (mode & (stat.S_IROTH | stat.S_IWOTH)) + path.read_bytes()).digest()
    except OSError as error:
        return f"{error.errno}".encode()
