"""For how long an answer is fresh, as its headers say (RFC 9111 §4.2), within bounds of our own."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

SHORTEST = 60_000
"""In milliseconds, even where nothing should be kept: else each request of a client would wait for its host."""
LONGEST = 24 * 3_600_000
USUAL = 5 * 60_000
"""Where the headers say nothing."""

_MAX_AGE = re.compile(r'(?:^|,)\s*max-age\s*=\s*"?([0-9]{1,10})', re.IGNORECASE)
_VALIDATORS = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}
"""The stronger one first."""
_VALIDATOR = re.compile(r"[\x20-\x7E]{1,256}")
_NOT_KEPT = re.compile(r"(?:^|,)\s*no-(?:store|cache)\b", re.IGNORECASE)


def lifetime(headers: Mapping[str, str], now: int) -> int:
    """In milliseconds from now on."""
    return min(max(_said(headers, now), SHORTEST), LONGEST)


def validators(headers: Mapping[str, str]) -> dict[str, str]:
    """What asks whether the answer has changed since (RFC 9110 §13.1), if it can be sent and is worth keeping."""
    for name, asks in _VALIDATORS.items():
        if _VALIDATOR.fullmatch(headers.get(name, "")):
            return {asks: headers[name]}
    return {}


def _said(headers: Mapping[str, str], now: int) -> int:
    control = headers.get("cache-control", "")
    if _NOT_KEPT.search(control):
        return 0
    if found := _MAX_AGE.search(control):
        age = headers.get("age", "0")
        return (int(found[1]) - int(age if age.isdecimal() and len(age) < 10 else 0)) * 1000
    if "expires" not in headers:
        return USUAL
    expires, date = _time(headers["expires"]), _time(headers.get("date", ""))
    # An Expires that is no time is past (§5.3).
    return 0 if expires is None else expires - (now if date is None else date)


def _time(text: str) -> int | None:
    try:
        return int(parsedate_to_datetime(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
