"""Ports to listen on that nobody else takes meanwhile.

The system gives its ephemeral ports to whoever asks, a client's connection too: between asking for a free one and
listening on it, another test's server may have it, and be taken for one's own.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import IO

FIRST, BLOCK, BLOCKS = 11_000, 200, 100
"""Below the ephemeral ports of Linux, and above those that browsers and Node refuse to ask (Fetch standard §2.9).

Each process of tests has a block for itself, for as long as it lives.
"""


def free_port() -> int:
    """A port of this process's block that is free now; each comes again after all the others."""
    return next(port for port in _ports() if _is_free(port))


@cache
def _ports() -> Iterator[int]:
    first, _lock = _block()
    return cycle(range(first, first + BLOCK))


@cache
def _block() -> tuple[int, IO[str]]:
    """The first port, and the file whose lock ends with this process."""
    directory = Path(tempfile.gettempdir(), f"tokensvc-test-ports-{os.getuid()}")
    directory.mkdir(exist_ok=True)
    for number in range(BLOCKS):
        lock = (directory / str(number)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
        else:
            return FIRST + number * BLOCK, lock
    raise LookupError("every block of ports is taken")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
