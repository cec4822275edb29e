"""Logs: one structured line for every security decision, to stderr, as JSON.

A line names clients by their handle, grants by their family, requests by their id. Tokens, codes, keys and secrets
have no place in it.
"""

import sys
from contextvars import ContextVar
from typing import Any

import structlog
from pydantic_core import to_json

request_id: ContextVar[str] = ContextVar("request_id", default="")


def configure(level: str = "info") -> None:
    structlog.configure(
        processors=[
            _add_request_id,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )


def log(event: str, **facts: Any) -> None:
    """A decision that went as it should."""
    _logger.info(event, **facts)


def warn(event: str, **facts: Any) -> None:
    """A refusal, or anything else that an operator may have to look at."""
    _logger.warning(event, **facts)


def _add_request_id(_logger: Any, _method: str, event: Any) -> Any:
    if identifier := request_id.get():
        event["request_id"] = identifier
    return event


def _render(_logger: Any, _method: str, event: Any) -> bytes:
    """In ASCII, so that no name brings a line or a control character of its own into the log."""
    return to_json(event, ensure_ascii=True, fallback=str)


_logger: structlog.typing.FilteringBoundLogger = structlog.get_logger("tokensvc")
