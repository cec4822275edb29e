"""Logs: one structured line for every security decision, to stderr, as JSON.

A line names clients by their handle, grants by their family, requests by their id. Tokens, codes, keys and secrets
have no place in it. A log that cannot be written stops no answer: what was decided by then is decided.
"""

import logging
import sys
import traceback
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json

_FRAMES = 12

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


class InternalErrors(logging.Handler):
    """What the server and its libraries say that broke, in lines of the same form.

    An exception is told by its type and the places it came through. Its text may quote the request, and stays out.
    """

    def emit(self, record: logging.LogRecord) -> None:
        lines = record.getMessage().strip().splitlines() or [""]
        # A start that failed has its traceback for a message; there is no request yet that its last line could quote.
        reason = lines[-1] if lines[0].startswith("Traceback") else lines[0]
        facts: dict[str, Any] = {"source": record.name, "reason": reason}
        if record.exc_info and (raised := record.exc_info[1]):
            facts["exception"] = type(raised).__qualname__
            frames = traceback.extract_tb(raised.__traceback__)[-_FRAMES:]
            facts["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        warn("internal error", **facts)


def take_over_logging() -> None:
    """Let no library write lines of its own making: from here on, everything on standard error is JSON."""
    logging.basicConfig(level=logging.WARNING, handlers=[InternalErrors()], force=True)
