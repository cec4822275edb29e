"""Logs: one line of JSON for a decision, in ASCII, and never in the way of an answer."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tests.replica import SECONDS


def written(program: str) -> list[dict[str, object]]:
    """What a program logs, to the standard error of its own."""
    source = f"from tokensvc.observability import log, request_id, warn\n{program}"
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, timeout=SECONDS, check=True)
    assert ran.stdout == b""
    assert ran.stderr.isascii()
    return [json.loads(line) for line in ran.stderr.splitlines()]


def test_line_has_its_time_level_event_and_facts() -> None:
    issued, refused = written("log('token issued', family='f', generation=2)\nwarn('token refused', reason='expired')")
    moment = datetime.fromisoformat(str(issued.pop("timestamp")))
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)
    assert issued == {"level": "info", "event": "token issued", "family": "f", "generation": 2}
    assert refused.items() >= {"level": "warning", "event": "token refused", "reason": "expired"}.items()


def test_line_names_the_request_while_there_is_one() -> None:
    first, second = written("log('a')\nrequest_id.set('r-1')\nlog('b')")
    assert "request_id" not in first
    assert second["request_id"] == "r-1"


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31mred", "é", "\u2028", "\x00", '"}{"', "\u202e", "😀"])
def test_no_fact_brings_a_line_or_a_control_character_of_its_own(text: str) -> None:
    [line] = written(f"log('x', fact={text!r})")
    assert line["fact"] == text


def test_what_json_has_no_name_for_is_written_as_text() -> None:
    [line] = written("log('x', fact={1, }, error=ValueError('y'), path=__import__('pathlib').Path('z'))")
    assert line["path"] == "z"


@pytest.mark.parametrize("how", ["2>&-", "2>/dev/full", "2> >(exec true)"])
def test_log_that_cannot_be_written_stops_nothing(how: str) -> None:
    """Closed, on a full disk, or into a pipe that nobody reads."""
    program = "from tokensvc.observability import log; [log('x' * 9000) for _ in range(99)]; print('done')"
    ran = subprocess.run(
        ["bash", "-c", f'"$0" -c "$1" {how}', sys.executable, program],
        stdout=subprocess.PIPE,
        timeout=SECONDS,
        check=False,
        text=True,
    )
    assert ran.stdout == "done\n"


def broken(program: str) -> dict[str, object]:
    """The line that a library's complaint becomes."""
    taken = "import logging; from tokensvc.observability import take_over_logging; take_over_logging()"
    [line] = written(f"{taken}\n{program}")
    assert (line["level"], line["event"]) == ("warning", "internal error")
    return line


def test_exception_is_told_by_its_type_and_place_and_not_by_its_text() -> None:
    """Which may quote a token."""
    program = (
        "def f(): raise ValueError('tsat_secret')\ntry: f()\nexcept ValueError: logging.exception('It broke\\nhere')"
    )
    line = broken(program)
    assert (line["source"], line["reason"], line["exception"]) == ("root", "It broke", "ValueError")
    assert [str(frame).rpartition(" ")[2] for frame in line["frames"]] == ["<module>", "f"]  # type: ignore[attr-defined]
    assert "secret" not in str(line)


def test_start_that_failed_is_told_by_the_last_line_of_its_traceback() -> None:
    line = broken(
        "logging.getLogger('uvicorn.error').error('Traceback (most recent call last):\\n  x\\nValueError: y\\n')"
    )
    assert (line["source"], line["reason"]) == ("uvicorn.error", "ValueError: y")
