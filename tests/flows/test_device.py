"""A device, a person and several replicas: whichever of them is asked, there is one decision and one grant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import httpx
import pytest

from tests.device import Device, Person
from tests.flows.conftest import Start
from tests.flows.partition import Fleet
from tests.replica import API_KEY, LIMITS, SECONDS, TLS, Client, Replica, api_key_entry, tokens, wait_for

BOB_KEY = "key_for-bob-which-is-long-enough"
KEYS = f"{api_key_entry(API_KEY)},{api_key_entry(BOB_KEY, user='bob')}"


@pytest.fixture(scope="module")
def replicas(start: Start, running: ExitStack) -> tuple[Replica, Replica]:
    """Two with one ledger file."""
    first = start(device_authorization="on", api_keys=KEYS)
    return first, running.enter_context(first.twin())


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet"), changes={"device_authorization": "on", "api_keys": KEYS}) as begun:
        yield begun


def device_at(replica: Replica, **changes: str) -> Device:
    device = Device(Client(replica.url))
    device.register()
    assert device.ask(**changes).status_code == 200
    return device


def person_at(replica: Replica) -> Person:
    return Person(httpx.Client(timeout=SECONDS, verify=TLS, limits=LIMITS), replica.url)


def at_once(*steps: Callable[[], httpx.Response]) -> list[int]:
    with ThreadPoolExecutor(len(steps)) as pool:
        return [answer.status_code for answer in pool.map(lambda step: step(), steps)]


def test_one_offers_another_shows_and_the_first_answers(replicas: tuple[Replica, Replica]) -> None:
    first, second = replicas
    device = device_at(first)
    assert device.outcome(second.url) == "authorization_pending"
    assert person_at(second).allow(device.user_code).status_code == 200
    issued = tokens(device.poll(first.url))
    assert Client(second.url).introspect(issued.access)["sub"] == "acme/ada"


def test_of_many_people_who_allow_at_once_one_is_signed_in(replicas: tuple[Replica, Replica]) -> None:
    """What the others are told is true: the device acts as one person, and that is the one who was told so."""
    device = device_at(replicas[0])
    people = [person_at(replica) for replica in replicas * 2]
    keys = [API_KEY, BOB_KEY, BOB_KEY, API_KEY]
    pages = [person.enter(device.user_code) for person in people]

    def decide(number: int) -> Callable[[], httpx.Response]:
        return lambda: people[number].decide(pages[number], api_key=keys[number])

    answers = at_once(*(decide(number) for number in range(4)))
    told = {key for key, status in zip(keys, answers, strict=True) if status == 200}
    assert Counter(answers) == {200: 2, 400: 2}
    assert len(told) == 1
    user = "ada" if told == {API_KEY} else "bob"
    assert device.client.introspect(tokens(device.poll()).access)["user"] == user


def test_of_many_polls_at_once_one_gets_tokens_and_the_grant_ends(replicas: tuple[Replica, Replica]) -> None:
    device = device_at(replicas[0])
    person_at(replicas[1]).allow(device.user_code)
    places = [replica.url for replica in replicas] * 4
    with ThreadPoolExecutor(len(places)) as pool:
        answers = list(pool.map(device.poll, places))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 400: 7}
    [issued] = [tokens(answer) for answer in answers if answer.status_code == 200]
    assert [Client(replica.url).active(issued.access) for replica in replicas] == [False, False]


def test_what_waits_for_a_person_outlives_a_restart_with_a_file(start: Start) -> None:
    replica = start(device_authorization="on", api_keys=KEYS)
    waiting, allowed = device_at(replica), device_at(replica)
    person_at(replica).allow(allowed.user_code)
    replica.restart()
    assert (waiting.outcome(), allowed.outcome()) == ("authorization_pending", "")
    person_at(replica).allow(waiting.user_code)
    assert waiting.outcome() == ""


def test_each_step_may_go_to_another_replica_of_a_fleet(fleet: Fleet) -> None:
    """Offered on the first, allowed on the second, fetched from the third; until they hear of it, they say to wait."""
    first, second, third = fleet.replicas
    device, person = device_at(first), person_at(second)
    assert device.outcome(third.url) in {"authorization_pending"}
    page = person.open()
    shown = wait_for(lambda: _found(person.enter(device.user_code, page)), "the second has heard of the request", 10)
    assert person.decide(shown).status_code == 200
    seen: list[httpx.Response] = []
    wait_for(lambda: _settled(device, third.url, seen), "the third has heard of the decision", 10)
    assert {answer.json().get("error") for answer in seen[:-1]} <= {"authorization_pending", "slow_down"}
    issued = tokens(seen[-1])
    wait_for(lambda: Client(first.url).active(issued.access), "the token is active on the first", 10)


def test_denial_on_one_replica_is_heard_on_all(fleet: Fleet) -> None:
    device, person = device_at(fleet.replicas[0]), person_at(fleet.replicas[0])
    person.decide(person.enter(device.user_code), "deny")
    for replica in fleet.replicas:
        wait_for(partial(_denied, device, replica.url), "denied everywhere", 10)


def test_two_decisions_on_both_sides_of_a_cut_leave_nobody_signed_in(fleet: Fleet) -> None:
    """Each side believes its own; when they hear of each other, the grant that both are of has ended."""
    one, _, other = fleet.replicas
    device = device_at(one)
    here, there = person_at(one), person_at(other)
    page, entry = here.enter(device.user_code), there.open()
    elsewhere = wait_for(lambda: _found(there.enter(device.user_code, entry)), "the third has heard of it", 10)
    fleet.part(0)
    try:
        assert here.decide(page, api_key=API_KEY).status_code == 200
        assert there.decide(elsewhere, api_key=BOB_KEY).status_code == 200
        issued = [tokens(device.poll(replica.url)).access for replica in (one, other)]
    finally:
        fleet.join()
    clients = Client(one.url), Client(other.url)
    wait_for(lambda: not any(client.active(token) for client in clients for token in issued), "both have ended", 20)


def _found(answer: httpx.Response) -> httpx.Response | None:
    return answer if answer.status_code == 200 else None


def _denied(device: Device, at: str) -> bool:
    return device.outcome(at) == "access_denied"


def _settled(device: Device, at: str, seen: list[httpx.Response]) -> bool:
    seen.append(device.poll(at))
    return seen[-1].status_code == 200
