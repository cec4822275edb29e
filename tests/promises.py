"""The table of promises in the README, each cell linked to the tests that prove it.

A test says with `@proves(…)` which claim of which cell it proves. What nobody proves is not promised: a claim without a
test, a test of an unknown claim, and a README that says something else are each a failure in test_promises.py.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).parent.parent

COLUMNS = {
    "memory": "`memory://`, one process",
    "sqlite": "`sqlite://`, one machine, any number of processes and replicas",
    "peers": "peers: any number of machines, no shared storage",
}

PROMISES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "redeem a code": {
        "memory": ("at most once", "a second use ends the grant"),
        "sqlite": ("the same, across processes and replicas", "after a crash too"),
        "peers": (
            "at most once where the news have come, which takes about a second",
            "two at once on two replicas end the grant as soon as they hear of each other",
        ),
    },
    "refresh": {
        "memory": ("inside the grace window a repeat gets the same successor", "outside it, the grant ends"),
        "sqlite": ("the same, across processes", "across replicas", "after a crash too"),
        "peers": (
            "a repeat inside the window gets the same successor, heard of or not",
            "a later one ends the grant on all",
        ),
    },
    "revoke": {
        "memory": ("in force when answered", "who signs in again lives"),
        "sqlite": ("the same, on every replica", "against refreshes under way"),
        "peers": (
            "answered when a peer holds it too",
            "in force on all within a second",
            "503 where no peer took it, and in force here",
        ),
    },
    "introspect": {
        "memory": ("exact",),
        "sqlite": ("exact, in every process",),
        "peers": (
            "as fresh as the news, and 503 where they are older than `TOKENSVC_STALENESS`",
            "one peer that is down stops nobody",
        ),
    },
    "other one-use ids": {
        "memory": ("at most once",),
        "sqlite": ("the same, on every replica",),
        "peers": ("at most once where the news have come",),
    },
    "restart": {
        "memory": ("everything ends but registrations",),
        "sqlite": ("nothing is lost", "a lost or restored file is noticed"),
        "peers": (
            "nothing is lost: a replica is ready once it has asked its peers",
            "all at once too, where they have files",
            "alone, with neither file nor peer, it does not start",
        ),
    },
    "out of reach": {
        "memory": (),
        "sqlite": ("the ledger: 503, and nothing is lost by it",),
        "peers": ("the others: 503 at introspection, and all agree when they are back",),
    },
}
"""What is promised: rows, columns, and the claims of a cell in the order in which they are read."""

Test = TypeVar("Test", bound=Callable[..., object])


def proves(row: str, column: str, claim: str) -> Callable[[Test], Test]:
    """Mark a test as a proof of a claim. A test may have several marks, and a claim several tests."""
    if claim not in PROMISES[row][column]:
        raise LookupError(f"nothing of the kind is promised: {row}, {column}, {claim}")
    return lambda test: test


def proofs() -> dict[tuple[str, str, str], list[str]]:
    """The tests of each claim by (row, column, claim), read from the sources: nothing has to be imported for it."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for claim in _claims(node):
                    found.setdefault(claim, []).append(f"{path.relative_to(ROOT)}::{node.name}")
    return found


def render() -> str:
    """The table, and below it the numbered tests in the order in which the table names them."""
    known, numbers = proofs(), dict[str, int]()
    lines = [_line("", *COLUMNS.values()), _line(*["---"] * (len(COLUMNS) + 1))]
    for row, cells in PROMISES.items():
        texts = []
        for column in COLUMNS:
            tests = {claim: known.get((row, column, claim), []) for claim in cells[column]}
            texts.append("; ".join(f"{claim}{_numbered(tests[claim], numbers)}" for claim in tests))
        lines.append(_line(row, *texts))
    return "\n".join([*lines, "", *(f"{number}. `{test}`" for test, number in numbers.items())])


def _line(*cells: str) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def _numbered(tests: list[str], numbers: dict[str, int]) -> str:
    """References to these tests; one that is new is numbered here."""
    return f"<sup>{' '.join(str(numbers.setdefault(test, len(numbers) + 1)) for test in tests)}</sup>"


def _claims(test: ast.FunctionDef | ast.AsyncFunctionDef) -> list[tuple[str, str, str]]:
    """The marks on a test, in the order in which they are written."""
    calls = [mark for mark in test.decorator_list if isinstance(mark, ast.Call)]
    marks = [call.args for call in calls if isinstance(call.func, ast.Name) and call.func.id == "proves"]
    return [(_text(row), _text(column), _text(claim)) for row, column, claim in marks]


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise TypeError("a mark is written out: three strings")
