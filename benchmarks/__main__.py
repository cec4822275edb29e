"""`python -m benchmarks`: measure everything and print the tables."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks import contests, footprint, kit, marks, report, sealing, traffic
from benchmarks.contestants import Scene
from benchmarks.load import Bounds

PARTS = (*contests.ENDPOINTS, "sealing", "footprint", "marks", "traffic", "kit")
LEGEND = """\
Requests a second and the servers' processor time for each request: medians of rounds in which all take turns.
÷ is how many requests it serves for one of the other's, in the same time and with the same processor time: the median
of the rounds' ratios, more is better. The floor is the first line of a table, the rival the one with NORMAL."""


def main() -> None:
    options = _arguments()
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("the benchmarks pin processes to cores and read /proc, which takes Linux")
    cores = sorted(os.sched_getaffinity(0))
    server_core, load_core = cores[0], cores[-1]
    os.sched_setaffinity(0, {load_core})
    connections, grants = (4, 8) if options.quick else (16, 256)
    bounds = Bounds(options.seconds, requests=1_000_000)
    print(report.environment(server_core, load_core), LEGEND, sep="\n\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="tokensvc-benchmarks-") as directory:
        scene = Scene(Path(directory), server_core, connections, grants)
        if endpoints := [endpoint for endpoint in contests.ENDPOINTS if endpoint in options.only]:
            with contests.prepare(scene, endpoints) as prepared:
                for contest in prepared:
                    _show(report.contest(contests.run(contest, options.rounds, bounds)))
        if "sealing" in options.only:
            _show(report.sealing(sealing.run(options.rounds, times=100 if options.quick else 20_000)))
        if "footprint" in options.only:
            _show(report.footprint(footprint.run(scene, 200 if options.quick else 10_000)))
        if "marks" in options.only:
            sizes = (0, 1_000) if options.quick else (0, 10_000, 1_000_000)
            _show(report.marks(*marks.measure(scene, sizes, options.rounds, bounds)))
        if "traffic" in options.only:
            fleets, rates = ((2,), (20,)) if options.quick else ((3, 10), (0, 20, 100))
            _show(report.traffic(line for replicas in fleets for line in traffic.run(scene, replicas, rates)))
        if "kit" in options.only:
            _show(report.kit(kit.measure(scene, options.rounds, bounds)))


def _show(table: str) -> None:
    print("", table, sep="\n", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round of each: does it all still run?")
    parser.add_argument("--rounds", type=int, help="rounds of every contest (default: 9)")
    parser.add_argument("--seconds", type=float, help="length of a turn (default: 1.5)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="some parts")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 9)
    options.seconds = options.seconds or (0.1 if options.quick else 1.5)
    return options


if __name__ == "__main__":
    main()
