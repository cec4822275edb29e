"""Logs: one structured line for every security decision, to stderr, as JSON.

A line names clients by their handle, grants by their family, requests by their id. Tokens, codes, keys and secrets
have no place in it. A log that cannot be written stops no answer: what was decided by then is decided.
"""

import sys
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json

request_id: ContextVar[str] = ContextVar("request_id", default="")


def log(event: str, **facts: Any) -> None:
    """A decision that went as it should."""
    _write("info", event, facts)


def warn(event: str, **facts: Any) -> None:
    """A refusal, or anything else that an operator may have to look at."""
    _write("warning", event, facts)


def _write(level: str, event: str, facts: dict[str, Any]) -> None:
    """In ASCII, so that no name brings a line or a control character of its own into the log.

    A line is a tenth of what issuing a token costs, so it takes the shortest way there is.
    """
    line = {"timestamp": datetime.now(UTC), "level": level, "event": event, **facts}
    if identifier := request_id.get():
        line["request_id"] = identifier
    # AttributeError: a program that was started without a standard error has None in its place.
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.buffer.write(to_json(line, ensure_ascii=True, fallback=str) + b"\n")
        sys.stderr.buffer.flush()
