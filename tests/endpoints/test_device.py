"""`/device`: the forms, whose they are, what cannot be guessed, and what a person is told (RFC 8628 §3.3, §5)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.device import Device, Person
from tests.endpoints.local import SECOND, Service
from tests.replica import API_KEY, api_key_entry, hidden_inputs
from tokensvc.endpoints.attempts import PER_MINUTE
from tokensvc.identity import IdentitySource, SignedIn
from tokensvc.ledger import Ledger
from tokensvc.ledger.algebra import Offer
from tokensvc.protocol.resource_indicator import Resources

OTHER_KEY = "key-of-somebody-else-which-is-long"
KEYS = f"{api_key_entry(API_KEY)},{api_key_entry(OTHER_KEY, user='bob')}"
OUTSIDE, OTHER = "203.0.113.7", "203.0.113.8"


@pytest.fixture
def service() -> Iterator[Service]:
    with Service({"device_authorization": "on", "api_keys": KEYS}) as started:
        yield started


@pytest.fixture
def device(service: Service) -> Device:
    device = Device(service.client())
    device.register(client_name="Television")
    device.ask()
    return device


@pytest.fixture
def person(service: Service) -> Person:
    return Person(service.http(), service.issuer)


def is_page(answer: httpx.Response, status: int) -> str:
    """The text of a page that is not stored, frames nowhere and leads nowhere."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "form-action" not in answer.headers["content-security-policy"]
    assert "location" not in answer.headers
    return answer.text


def test_person_sees_who_asks_for_what_and_the_code_to_compare(
    device: Device, person: Person, service: Service
) -> None:
    text = is_page(person.enter(device.user_code), 200)
    for part in ("Television", "Name not verified", device.user_code, service.issuer, ">mcp<", "Look at the device"):
        assert part in text, part


def test_code_may_be_spelled_in_many_ways(device: Device, person: Person) -> None:
    code = device.user_code
    for spelling in (code.lower(), code.replace("-", " "), f" {code}\u200b ", code.replace("-", "")):
        is_page(person.enter(spelling), 200)


def test_opening_the_complete_link_allows_nothing_and_shows_the_code(device: Device, person: Person) -> None:
    """§5.4: the person still confirms the code, then decides."""
    page = person.http.get(device.answer["verification_uri_complete"])
    assert f'value="{device.user_code}"' in is_page(page, 200)
    assert 'name="api_key"' not in page.text
    assert 'name="api_key"' in is_page(person.enter(device.user_code, page), 200)
    assert device.outcome() == "authorization_pending"


def test_link_looks_nothing_up(person: Person) -> None:
    """Whoever tries codes by links learns nothing of them, and nothing is counted."""
    for code in ("BBBB-BBBB", "x", "<script>", "é" * 100, "W" * 2000):
        assert "BBBB" not in is_page(person.open(user_code=code), 200) or code == "BBBB-BBBB"


@pytest.mark.parametrize(
    "query", [b"user_code=%ff", b"user_code=a&user_code=b", b"request=x", b"&".join([b"a=1"] * 65)]
)
def test_link_that_cannot_be_read_is_a_page(service: Service, query: bytes) -> None:
    url = httpx.URL(f"{service.issuer}/device").copy_with(query=query)
    is_page(service.http().get(url), 400)


@pytest.mark.parametrize("code", ["BBBB-BBBB", "", "x", "W" * 65, "\u0422" * 8], ids=ascii)
def test_unknown_code_is_told_on_the_same_page(person: Person, code: str) -> None:
    page = person.enter(code)
    assert "This code is not valid" in is_page(page, 400)
    assert 'role="alert"' in page.text
    assert 'aria-invalid="true"' in page.text


def test_used_code_is_told_as_an_unknown_one(device: Device, person: Person) -> None:
    """One message: whoever guesses learns nothing."""
    unknown = person.enter("BBBB-BBBB").text
    person.allow(device.user_code)
    used = person.enter(device.user_code)
    assert used.status_code == 400
    assert _message(used.text) == _message(unknown)


def test_wrong_key_shows_the_same_page_and_the_right_one_still_works(device: Device, person: Person) -> None:
    page = person.enter(device.user_code)
    for key, told in (("", "Enter your API key"), ("wrong", "This API key is not valid")):
        page = person.decide(page, api_key=key)
        assert told in is_page(page, 401)
        assert device.user_code in page.text
    assert "Go back to the device" in is_page(person.decide(page), 200)
    assert device.outcome() == ""


def test_second_click_of_the_same_person_is_answered_as_the_first(device: Device, person: Person) -> None:
    page = person.enter(device.user_code)
    assert [person.decide(page).status_code for _ in range(3)] == [200] * 3
    assert device.outcome() == ""
    assert person.decide(page).status_code == 200
    assert device.outcome() == "invalid_grant"


def test_second_click_on_deny_is_answered_as_the_first(device: Device, person: Person) -> None:
    page = person.enter(device.user_code)
    assert [person.decide(page, "deny").status_code for _ in range(2)] == [200] * 2


@pytest.mark.parametrize(
    ("first", "then", "key", "outcome"),
    [
        ("allow", "allow", OTHER_KEY, ""),
        ("allow", "deny", API_KEY, ""),
        ("deny", "allow", API_KEY, "access_denied"),
    ],
)
def test_first_decision_stands(
    service: Service, device: Device, person: Person, first: str, then: str, key: str, outcome: str
) -> None:
    other = Person(service.http(), service.issuer)
    page, others = person.enter(device.user_code), other.enter(device.user_code)
    assert person.decide(page, first).status_code == 200
    assert "used or expired" in is_page(other.decide(others, then, key), 400)
    assert device.outcome() == outcome


@pytest.mark.parametrize("decision", ["", "maybe"])
def test_what_is_no_decision_decides_nothing(device: Device, person: Person, decision: str) -> None:
    is_page(person.decide(person.enter(device.user_code), decision), 400)
    assert device.outcome() == "authorization_pending"


def test_form_of_another_browser_is_refused(service: Service, device: Device, person: Person) -> None:
    """Both forms: nobody is led past the code, or signed in as somebody else."""
    entry, decision = person.open(), person.enter(device.user_code)
    thief = Person(service.http(), service.issuer)
    for page in (entry, decision):
        form = {"user_code": device.user_code} if page is entry else {"decision": "allow", "api_key": API_KEY}
        assert "another browser" in is_page(thief.post(page, **form), 403)
    assert device.outcome() == "authorization_pending"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_form_of_another_website_is_refused(device: Device, person: Person, site: str) -> None:
    entry, decision = person.open(), person.enter(device.user_code)
    person.http.headers["Sec-Fetch-Site"] = site
    assert "another website" in is_page(person.enter(device.user_code, entry), 403)
    assert "another website" in is_page(person.decide(decision), 403)
    assert device.outcome() == "authorization_pending"


def test_form_with_another_artefact_in_it_is_refused(service: Service, device: Device, person: Person) -> None:
    """Fault 5."""
    client = service.client()
    client.register()
    _, sign_in = client.page()
    entry = person.open()
    others = {
        "nothing": "",
        "device code": device.answer["device_code"],
        "request of the authorization endpoint": hidden_inputs(sign_in.text)["request"],
        "client_id": client.client_id,
    }
    for name, value in others.items():
        form = {"page": value, "decision": "allow", "api_key": API_KEY, "user_code": device.user_code}
        assert person.http.post("/device", data=form).status_code == 400, name
    form = {"request": hidden_inputs(entry.text)["page"], "api_key": API_KEY, "decision": "allow"}
    assert client.http.post("/authorize", data=form).status_code == 400
    assert device.outcome() == "authorization_pending"


def test_page_expires(service: Service, device: Device, person: Person) -> None:
    entry = person.open()
    service.clock.now += 300 * SECOND
    device.ask()
    page = person.enter(device.user_code, entry)
    service.clock.now += 300 * SECOND
    assert "expired" in is_page(person.enter(device.user_code, entry), 400)
    assert "expired" in is_page(person.decide(page), 400)


def test_resource_that_is_taken_away_meanwhile_is_allowed_to_nobody(
    service: Service, device: Device, person: Person
) -> None:
    page = person.enter(device.user_code)
    with service.changed(resources=Resources(("https://elsewhere.example",))):
        assert "not offered any more" in is_page(person.decide(page), 400)
    assert device.outcome() == "authorization_pending"


def test_brute_force_on_codes_is_limited_and_nobody_else_is_locked_out(service: Service, device: Device) -> None:
    """Fault 26. The right code does not help whoever has tried too many; elsewhere it goes on."""
    guesser, other = (Person(service.http(address), service.issuer) for address in (OUTSIDE, OTHER))
    page = guesser.open()
    for _ in range(PER_MINUTE):
        assert guesser.enter("BBBB-BBBB", page).status_code == 400
    limited = guesser.enter(device.user_code, page)
    assert "too many wrong codes" in is_page(limited, 429)
    assert int(limited.headers["retry-after"]) > 0
    assert other.allow(device.user_code).status_code == 200


def post_at_once(service: Service, person: Person, forms: list[dict[str, str]]) -> list[int]:
    """The answers to so many forms that one browser at OUTSIDE sends at the same moment."""

    async def post() -> list[httpx.Response]:
        transport = httpx.ASGITransport(service.app, client=(OUTSIDE, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url=service.issuer, cookies=person.http.cookies) as http:
            return await asyncio.gather(*(http.post("/device", data=form) for form in forms))

    return [answer.status_code for answer in service.run(post())]


@pytest.mark.parametrize("ledger", ["memory", "sqlite", "slow"])
def test_of_guesses_that_are_made_at_once_none_beyond_the_limit_tells_the_right_one(
    tmp_path: Path, ledger: str
) -> None:
    """Fault 26. Where the ledger is slow, all of them pass the first check; right and wrong are refused alike."""
    url = f"sqlite:///{tmp_path}/ledger.db" if ledger == "sqlite" else "memory://"
    with Service({"device_authorization": "on", "ledger": url}) as service:
        device, person = Device(service.client()), Person(service.http(OUTSIDE), service.issuer)
        device.register()
        device.ask()
        form = hidden_inputs(person.open().text)
        codes = ["BBBB-BBBB"] * (2 * PER_MINUTE)
        codes[-5] = device.user_code
        held = service.app.state.service.server.ledger
        with service.changed(ledger=Slow(held) if ledger == "slow" else held):
            answers = post_at_once(service, person, [form | {"user_code": code} for code in codes])
        assert answers == [400] * PER_MINUTE + [429] * PER_MINUTE
        assert Person(service.http(OTHER), service.issuer).allow(device.user_code).status_code == 200


def test_of_keys_that_are_tried_at_once_none_beyond_the_limit_tells_the_right_one(
    service: Service, device: Device
) -> None:
    """Fault 26, where the source of identities has to be waited for."""
    person = Person(service.http(OUTSIDE), service.issuer)
    form = hidden_inputs(person.enter(device.user_code).text) | {"decision": "allow"}
    keys = ["wrong"] * (2 * PER_MINUTE)
    keys[-5] = API_KEY
    with service.changed(identities=SlowIdentities(service.app.state.service.server.identities)):
        answers = post_at_once(service, person, [form | {"api_key": key} for key in keys])
    assert answers == [401] * PER_MINUTE + [429] * PER_MINUTE
    assert device.outcome() == "authorization_pending"


def test_what_can_be_no_code_is_not_counted_as_a_guess(service: Service, device: Device) -> None:
    person = Person(service.http(OUTSIDE), service.issuer)
    page = person.open()
    for _ in range(2 * PER_MINUTE):
        person.enter("WDJB", page)
    assert person.enter(device.user_code, page).status_code == 200


def test_guesses_are_logged_without_the_code(
    device: Device, person: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    person.enter("WDJB-MJHT")
    person.allow(device.user_code)
    device.poll()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    [refused] = [line for line in lines if line["event"] == "user code refused"]
    assert (refused["level"], refused["address"]) == ("warning", "127.0.0.1")
    [granted] = [line for line in lines if line["event"] == "authorization granted"]
    assert granted["by"] == "device"
    text = json.dumps(lines)
    for secret in ("WDJB", "MJHT", device.user_code[:4], device.answer["device_code"], API_KEY):
        assert secret not in text


def test_polls_that_wait_are_not_logged_as_refusals(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert [device.outcome(), device.outcome()] == ["authorization_pending", "slow_down"]
    assert "token refused" not in capsys.readouterr().err


class SlowIdentities:
    """Identities that take a moment; all else is that of the source they are given."""

    def __init__(self, identities: IdentitySource) -> None:
        self._identities = identities

    async def sign_in(self, secret: str, now: int) -> SignedIn | None:
        await asyncio.sleep(0.05)
        return await self._identities.sign_in(secret, now)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._identities, name)


def _message(text: str) -> str:
    return text.partition('id="problem" role="alert">')[2].partition("<")[0]


class Slow:
    """A ledger that has been asked by many before it answers the first; all else is that of the one it is given."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def offered(self, code: str, now: int) -> Offer | None:
        await asyncio.sleep(0.05)
        return await self._ledger.offered(code, now)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)
