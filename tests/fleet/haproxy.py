"""HAProxy before any number of replicas, by the file that operators are given: deploy/haproxy.cfg."""

from __future__ import annotations

import csv
import re
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests import parts
from tests.ports import free_port
from tests.replica import SECONDS, wait_for

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "haproxy.cfg"
CHECK_SECONDS = 0.2
DRAIN = 1
"""Seconds that a replica behind it drains: two checks and some more."""


@dataclass
class HAProxy:
    """Made before its replicas, since their issuer is its `url`; started with their ports."""

    directory: Path
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """A line for each request, as it was answered."""
        return (self.directory / "haproxy.log").read_text(encoding="utf-8")

    def start(self, replicas: Sequence[int]) -> HAProxy:
        """Start it before the replicas on these ports, of which at least one is ready."""
        file = self.directory / "haproxy.cfg"
        file.write_text(self._configuration(replicas), encoding="utf-8")
        program = parts.path("haproxy")
        subprocess.run([program, "-c", "-q", "-f", file], check=True, timeout=SECONDS)
        with (self.directory / "haproxy.log").open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen([program, "-db", "-f", file], stdout=log, stderr=log)
        wait_for(self._listens, "HAProxy listens")
        return self

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(SECONDS)

    def tell(self, command: str) -> str:
        """What it answers to a command at its socket, such as `set server tokensvc/r0 state drain`."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self._socket))
            control.sendall(f"{command}\n".encode())
            return control.makefile(encoding="utf-8").read()

    def up(self) -> set[str]:
        """The names of the servers that requests go to."""
        return {server["svname"] for server in self._servers() if server["status"].startswith("UP")}

    def busy(self) -> bool:
        """Whether a server has a request that it has not answered."""
        return any(server["scur"] != "0" for server in self._servers())

    def _servers(self) -> list[dict[str, str]]:
        rows = csv.DictReader(self.tell("show stat").removeprefix("# ").splitlines())
        return [row for row in rows if row["pxname"] == "tokensvc" and row["svname"] != "BACKEND"]

    @property
    def _socket(self) -> Path:
        return self.directory / "haproxy.sock"

    def _listens(self) -> bool:
        assert self._process.poll() is None, self.log
        try:
            socket.create_connection(("127.0.0.1", self.port), SECONDS).close()
        except OSError:
            return False
        return self._socket.exists()

    def _configuration(self, replicas: Sequence[int]) -> str:
        """With other addresses and quicker checks, and without TLS, which the tests have no certificate for."""
        text = CONFIGURATION.read_text(encoding="utf-8")
        for old, new, times in (
            (r"bind :443 .*", f"bind 127.0.0.1:{self.port}", 1),
            (r"^.*(bind :80|redirect scheme).*\n", "", 2),
            (r"^ +server [ab] 127\.0\.0\.1:800[12]\n", "", 2),
            (r"check inter 2s", f"check inter {CHECK_SECONDS * 1000:.0f}ms", 1),
            (r"^global\n", f"global\n    stats socket {self._socket} level admin\n", 1),
        ):
            text, found = re.subn(old, new, text, flags=re.MULTILINE)
            assert found == times, f"deploy/haproxy.cfg has {old!r} {found} times"
        return text + "".join(f"    server r{n} 127.0.0.1:{port}\n" for n, port in enumerate(replicas))
