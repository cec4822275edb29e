"""Whoever ends the demo early, by Ctrl-C or a signal, ends all that it has started."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ends_cleanly() -> Iterator[None]:
    """A signal is an exception here, so that whatever was entered is left again."""
    earlier = {ending: signal.signal(ending, _end) for ending in _ENDINGS}
    try:
        yield
    finally:
        for ending, handler in earlier.items():
            signal.signal(ending, handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """A signal that comes meanwhile counts afterwards: nothing is lost between being started and being known."""
    came: list[int] = []
    earlier = {ending: signal.signal(ending, lambda number, _frame: came.append(number)) for ending in _ENDINGS}
    try:
        yield
    finally:
        for ending, handler in earlier.items():
            signal.signal(ending, handler)
        for number in came:
            signal.raise_signal(number)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    for ending in _ENDINGS:
        # A second one would disturb the ending itself.
        signal.signal(ending, signal.SIG_IGN)
    raise SystemExit(128 + number)
