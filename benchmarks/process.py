"""A server in a process and on a core of its own, and what the kernel says of it (proc(5))."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SECONDS = 60.0


@dataclass
class Server:
    """`python -m` with the given arguments, in a directory that takes its log and whatever it stores."""

    arguments: Sequence[str]
    port: int
    core: int
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    _process: subprocess.Popen[bytes] = field(init=False, repr=False)

    def __enter__(self) -> Server:
        self.directory.mkdir(exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOKENSVC_")}
        here = {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])])}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self.arguments],
                cwd=self.directory,
                env=inherited | here | dict(self.environment),
                stdout=log,
                stderr=log,
            )
        try:
            os.sched_setaffinity(self._process.pid, {self.core})
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(_SECONDS)

    @property
    def cpu(self) -> float:
        """Seconds of processor time that all of its threads have used: clock_getcpuclockid(3), which Python lacks."""
        return time.clock_gettime(~self._process.pid << 3 | 2)

    @property
    def resident(self) -> int:
        """Bytes in memory."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * _PAGE

    @property
    def stored(self) -> int:
        """Bytes in its directory but for the log."""
        return sum(path.stat().st_size for path in self.directory.iterdir() if path.is_file() and path != self._log)

    @property
    def _log(self) -> Path:
        return self.directory / "server.log"

    def _wait(self) -> None:
        deadline = time.monotonic() + _SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.arguments[0]} did not start: {self._log.read_text()}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True
