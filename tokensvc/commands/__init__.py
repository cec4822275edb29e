"""The subcommands of the command line, a file each: `add_to` declares the arguments, `run` does the work."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any


class CommandFailed(Exception):
    """What a command could not do, and what would help. Ends it with exit code 1."""


def now() -> int:
    return time.time_ns() // 1_000_000


def read_argument(value: str) -> str:
    """An argument that may be a secret: `-` reads it from standard input, where no process list shows it."""
    if value != "-":
        return value
    if sys.stdin.isatty():
        say("reading from standard input, up to the end of it (Ctrl-D):")
    try:
        return sys.stdin.read().strip()
    except UnicodeDecodeError:
        raise CommandFailed("what came from standard input is no text") from None


def say(text: str) -> None:
    print(text, file=sys.stderr)


def print_json(data: Any) -> None:
    print(json.dumps(data, indent=2))


def print_facts(facts: dict[str, Any]) -> None:
    """One `name: value` a line; several values of one name are several lines."""
    for name, fact in facts.items():
        for value in fact if isinstance(fact, list) else [fact]:
            print(f"{name}: {value}")


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of the same members below their names, each column as wide as it has to be."""
    heads = {head: head.replace("_", " ") for head in rows[0]}
    widths = {head: max(len(str(row[head])) for row in [heads, *rows]) for head in heads}
    for row in [heads, *rows]:
        print("  ".join(str(row[head]).ljust(widths[head]) for head in heads).rstrip())


def rfc3339(milliseconds: int) -> str:
    """A time for people, in UTC to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds // 1000))
