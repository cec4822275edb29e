"""The subcommands of the command line, a file each: `add_to` declares the arguments, `run` does the work."""

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


class CommandFailed(Exception):
    """What a command could not do, and what would help. Ends it with exit code 1."""


def now() -> int:
    return time.time_ns() // 1_000_000


def read_argument(value: str) -> str:
    """An argument that may be a secret: `-` reads it from standard input, where no process list shows it."""
    return sys.stdin.read().strip() if value == "-" else value


def say(text: str) -> None:
    print(text, file=sys.stderr)


def print_json(data: Any) -> None:
    print(json.dumps(data, ensure_ascii=False, indent=2))


def rfc3339(milliseconds: int) -> str:
    """A time for people, in UTC to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds // 1000))
