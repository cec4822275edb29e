"""What a process remembers of devices, within bounds."""

from __future__ import annotations

import pytest

from tokensvc.grants import devices
from tokensvc.grants.devices import INTERVAL, TOLERANCE, Devices

NOW = 1_800_000_000_000


def test_device_may_ask_at_once_and_then_in_every_interval() -> None:
    known = Devices()
    assert all(known.in_time("one", NOW + count * INTERVAL) for count in range(10))


def test_question_that_is_early_by_no_more_than_the_way_may_take_is_in_time() -> None:
    known = Devices()
    assert known.in_time("one", NOW)
    assert known.in_time("one", NOW + INTERVAL - TOLERANCE)
    assert not known.in_time("one", NOW + 2 * (INTERVAL - TOLERANCE) - 1)


def test_each_early_question_makes_the_interval_longer_by_five_seconds() -> None:
    known, now = Devices(), NOW
    known.in_time("one", now)
    for count in range(1, 6):
        now += count * INTERVAL - TOLERANCE - 1
        assert not known.in_time("one", now), count
    assert known.in_time("one", now + 6 * INTERVAL - TOLERANCE)


def test_devices_do_not_slow_each_other_down() -> None:
    known = Devices()
    assert known.in_time("one", NOW)
    assert known.in_time("other", NOW)


def test_a_flood_of_devices_takes_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was forgotten may ask at once: leniency is what bounded memory costs."""
    monkeypatch.setattr(devices, "MOST_PACES", 3)
    known = Devices()
    for name in ("one", "two", "three", "four"):
        assert known.in_time(name, NOW)
    assert known.in_time("one", NOW)
    assert not known.in_time("four", NOW)


def test_there_is_room_again_when_a_request_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "MOST_REQUESTS", 2)
    known = Devices()
    assert [known.has_room(NOW + 100 + count, NOW) for count in range(3)] == [True, True, False]
    assert not known.has_room(NOW + 200, NOW + 99)
    assert known.has_room(NOW + 200, NOW + 100)
    assert not known.has_room(NOW + 200, NOW + 100)
