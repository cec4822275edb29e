"""What was measured, as tables that can be pasted into a note."""

from __future__ import annotations

import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from benchmarks.contests import Endpoint, Result
from benchmarks.footprint import Growth
from benchmarks.marks import Measured
from benchmarks.sealing import BARE, Cost
from benchmarks.traffic import Traffic

TITLES: dict[Endpoint, str] = {
    "introspect": "POST /introspect",
    "token": "POST /token, refresh",
    "register": "POST /register",
}
PACKAGES = ("starlette", "uvicorn", "h11", "cryptography", "joserfc", "pydantic", "mcp", "python-multipart")


def environment(server_core: int, load_core: int) -> str:
    shared = ", which they share: the load takes from the servers" if server_core == load_core else ""
    python = f"{platform.python_implementation()} {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return "\n".join(
        [
            f"{python}, {packages}",
            f"{_processor()}, {os.cpu_count()} cores: servers on core {server_core}, load on core {load_core}{shared}",
            f"flushing 4 KiB to disk: {_flush():.0f} µs; load average before: {os.getloadavg()[0]:.2f}",
        ]
    )


def contest(result: Result) -> str:
    entries = [entry.name for entry in result.contest.entries]
    floor, rival = entries[0], result.contest.rival
    ratios = ("÷ floor", "÷ rival")
    head = (TITLES[result.contest.endpoint], "req/s", "(least – most)", *ratios, "CPU µs", *ratios)
    rows = [
        (
            name,
            f"{median(result.rates(name)):,.0f}",
            f"({min(result.rates(name)):,.0f} – {max(result.rates(name)):,.0f})",
            f"{result.throughput(name, floor):.2f}",
            f"{result.throughput(name, rival):.2f}",
            f"{result.cpu(name):,.0f}",
            f"{result.economy(name, floor):.2f}",
            f"{result.economy(name, rival):.2f}",
        )
        for name in entries
    ]
    return _table([head, *rows])


def sealing(costs: Mapping[str, Cost]) -> str:
    head = ("one refresh token", "seal µs", "× bare", "open µs", "× bare")
    bare = costs[BARE]
    rows = [
        (
            name,
            f"{cost.seal:.1f}",
            f"{cost.seal / bare.seal:.1f}",
            f"{cost.unseal:.1f}",
            f"{cost.unseal / bare.unseal:.1f}",
        )
        for name, cost in costs.items()
    ]
    return _table([head, *rows])


def footprint(growths: Iterable[Growth]) -> str:
    head = ("after", "", "memory grew by", "stored")
    rows = [(one.what, one.name, _kibibytes(one.resident), _kibibytes(one.stored)) for one in growths]
    return _table([head, *rows], left=2)


def marks(measured: Sequence[Measured], result: Result) -> str:
    empty = result.contest.entries[0].name
    head = ("introspection, with", "req/s", "÷ first", "CPU µs", "÷ first", "in memory", "ready after")
    rows = [
        (
            one.name,
            f"{median(result.rates(one.name)):,.0f}",
            f"{result.throughput(one.name, empty):.2f}",
            f"{result.cpu(one.name):,.0f}",
            f"{result.economy(one.name, empty):.2f}",
            f"{one.resident / 2**20:,.0f} MiB",
            f"{one.ready:.1f} s",
        )
        for one in measured
    ]
    return _table([head, *rows])


def kit(result: Result) -> str:
    names = [entry.name for entry in result.contest.entries]
    head = ("an endpoint", "req/s", "(least – most)", "÷ bare", "CPU µs", "÷ bare")
    rows = [
        (
            name,
            f"{median(result.rates(name)):,.0f}",
            f"({min(result.rates(name)):,.0f} – {max(result.rates(name)):,.0f})",
            f"{result.throughput(name, names[0]):.2f}",
            f"{result.cpu(name):,.0f}",
            f"{result.economy(name, names[0]):.2f}",
        )
        for name in names
    ]
    return _table([head, *rows])


def traffic(measured: Iterable[Traffic]) -> str:
    head = ("replicas", "changes/s in all", "sent by each, a second", "processor time of each")
    rows = [
        (str(one.replicas), f"{one.changes:.0f}", f"{one.sent / 1024:,.1f} KiB", f"{one.cpu:.1%}") for one in measured
    ]
    return _table([head, *rows])


def _table(rows: Sequence[tuple[str, ...]], left: int = 1) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row: tuple[str, ...]) -> str:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    head, *rest = map(line, rows)
    return "\n".join([head, "─" * max(map(len, (head, *rest))), *rest])


def _kibibytes(size: int) -> str:
    return f"{size / 1024:,.0f} KiB"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _flush() -> float:
    """What a durable commit waits for at least, in microseconds."""
    with tempfile.TemporaryFile() as file:
        began = time.perf_counter()
        for _ in range(50):
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
        return (time.perf_counter() - began) / 50 * 1_000_000
