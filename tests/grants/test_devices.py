"""What a process remembers of devices, within bounds."""

from __future__ import annotations

from functools import partial

import pytest

from tokensvc.grants import devices
from tokensvc.grants.devices import INTERVAL, MOST_OF_A_NETWORK, MOST_REQUESTS, RESERVED, TOLERANCE, Devices

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
    room = partial(Devices().has_room, network="", known=True)
    assert [room(NOW + 100 + count, NOW) for count in range(3)] == [True, True, False]
    assert not room(NOW + 200, NOW + 99)
    assert room(NOW + 200, NOW + 100)
    assert not room(NOW + 200, NOW + 100)


def test_part_of_the_room_is_for_clients_that_the_operator_knows() -> None:
    strangers, known = (partial(Devices.has_room, network="", known=known) for known in (False, True))
    full = Devices()
    assert sum(strangers(full, NOW + 1, NOW) for _ in range(MOST_REQUESTS)) == MOST_REQUESTS - RESERVED
    assert sum(known(full, NOW + 1, NOW) for _ in range(MOST_REQUESTS)) == RESERVED


@pytest.mark.parametrize("known", [False, True])
def test_network_has_a_share_of_the_room_which_it_has_again_in_time(known: bool) -> None:
    room = partial(Devices().has_room, known=known)
    assert sum(room(NOW + 100 + count, NOW, "flood") for count in range(MOST_REQUESTS)) == MOST_OF_A_NETWORK
    assert room(NOW + 500, NOW, "other")
    assert not room(NOW + 500, NOW + 99, "flood")
    assert room(NOW + 500, NOW + 100, "flood")
    assert not room(NOW + 500, NOW + 100, "flood")


def test_where_networks_cannot_be_told_apart_there_is_one_bound_for_all() -> None:
    room = partial(Devices().has_room, network="", known=False)
    assert all(room(NOW + 1, NOW) for _ in range(2 * MOST_OF_A_NETWORK))


def test_nothing_is_remembered_of_networks_whose_requests_have_expired() -> None:
    known = Devices()
    for count in range(100):
        known.has_room(NOW + 1, NOW, f"network {count}", known=False)
    known.has_room(NOW + 2, NOW + 1, "next", known=False)
    assert [*known._shares] == ["next"]
