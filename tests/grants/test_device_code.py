"""The device code grant, with time in the test's hands (RFC 8628 §3.4 and §3.5)."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.device import Device, Person
from tests.endpoints.local import NOW, SECOND, Clock, Down, Service
from tests.proofs import Prover, bound
from tests.replica import API_KEY, Client, api_key_entry, ring_entry, tokens
from tests.signer import Signer
from tests.test_readme import blocks
from tokensvc.grants import devices
from tokensvc.ledger.marks import Mark, account
from tokensvc.protocol.client import DEVICE_CODE

ON: dict[str, object] = {"device_authorization": "on"}
LIFE = 600 * SECOND
DOCUMENTATION = (Path(__file__).parents[2] / "docs" / "grants.md").read_text(encoding="utf-8")
VIEWER_KEY = "key-of-a-viewer-which-is-long-enough"


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(ON | {"api_keys": f"{api_key_entry(API_KEY)},{api_key_entry(VIEWER_KEY, role='viewer')}"}) as started:
        yield started


@pytest.fixture
def device(service: Service) -> Device:
    device = Device(service.client())
    device.register()
    assert device.ask().status_code == 200
    return device


@pytest.fixture
def person(service: Service) -> Person:
    return Person(service.http(), service.issuer)


def test_device_gets_tokens_for_what_the_person_allowed(service: Service, device: Device, person: Person) -> None:
    assert device.outcome() == "authorization_pending"
    service.clock.now += 5 * SECOND
    assert person.allow(device.user_code).status_code == 200
    issued = tokens(device.poll())
    assert issued.response["scope"] == "mcp"
    facts = device.client.introspect(issued.access)
    assert (facts["sub"], facts["role"], facts["active"]) == ("acme/ada", "admin", True)
    assert device.client.active(tokens(device.client.refresh(issued.refresh)).access)


def test_device_that_waits_for_nothing_is_not_slowed_down(device: Device, person: Person) -> None:
    """Tokens are there at once, however early it asks."""
    device.poll()
    person.allow(device.user_code)
    assert device.outcome() == ""


def test_device_that_asks_too_often_is_told_so_and_the_person_may_still_allow_it(
    service: Service, device: Device, person: Person
) -> None:
    assert device.outcome() == "authorization_pending"
    for early in (1, 1, 13):
        service.clock.now += early * SECOND
        assert device.outcome() == "slow_down"
    service.clock.now += 20 * SECOND
    assert device.outcome() == "authorization_pending"
    person.allow(device.user_code)
    assert device.outcome() == ""


def test_device_is_told_of_a_denial(device: Device, person: Person) -> None:
    page = person.decide(person.enter(device.user_code), "deny", api_key="")
    assert (page.status_code, "Denied" in page.text) == (200, True)
    assert [device.outcome(), device.outcome()] == ["access_denied"] * 2


def test_second_redemption_ends_what_the_first_one_brought(device: Device, person: Person) -> None:
    """As with a code. A device that lost the answer begins again."""
    person.allow(device.user_code)
    issued = tokens(device.poll())
    assert device.outcome() == "invalid_grant"
    assert not device.client.active(issued.access)
    assert device.client.refresh(issued.refresh).status_code == 400


def test_code_is_good_to_the_last_millisecond_of_its_life(service: Service, device: Device, person: Person) -> None:
    assert device.answer["expires_in"] * SECOND == LIFE
    service.clock.now = NOW + LIFE - 1
    assert device.outcome() == "authorization_pending"
    assert person.enter(device.user_code).status_code == 200
    service.clock.now = NOW + LIFE
    assert device.outcome() == "expired_token"
    assert person.enter(device.user_code).status_code == 400


def test_what_was_allowed_and_not_fetched_expires_too(service: Service, device: Device, person: Person) -> None:
    person.allow(device.user_code)
    service.clock.now = NOW + LIFE
    assert device.outcome() == "expired_token"


def test_approval_lives_longer_than_a_code_of_the_authorization_endpoint() -> None:
    with Service(ON | {"code_ttl": 1}) as service:
        device, person = Device(service.client()), Person(service.http(), service.issuer)
        device.register()
        device.ask()
        person.allow(device.user_code)
        service.clock.now += LIFE - 1
        assert device.outcome() == ""


def test_memory_that_was_lost_ends_what_waits_for_a_person(service: Service, device: Device) -> None:
    """A restart with the memory ledger: the offer is gone, and the device is told to begin again."""
    with Service(service.values, Clock(NOW + SECOND)) as restarted:
        again = Device(restarted.client(), device.answer)
        again.client.client_id = device.client.client_id
        assert again.outcome() == "expired_token"
        assert Person(restarted.http(), restarted.issuer).enter(device.user_code).status_code == 400


def test_code_of_another_client_is_refused_and_harms_nobody(service: Service, device: Device, person: Person) -> None:
    thief = Device(service.client(), device.answer)
    thief.register(client_name="Thief")
    assert thief.outcome() == "invalid_grant"
    person.allow(device.user_code)
    assert thief.outcome() == "invalid_grant"
    assert device.outcome() == ""


def test_client_without_the_grant_gets_neither_codes_nor_tokens(service: Service, device: Device) -> None:
    client = service.client()
    client.register()
    other = Device(client, device.answer)
    assert other.ask().json()["error"] == "unauthorized_client"
    assert other.outcome() == "unauthorized_client"


@pytest.mark.parametrize("value", ["", "x", "tsdc_x", "." * 9000, "é"], ids=lambda value: ascii(value[:8]))
def test_what_is_no_device_code_is_refused(device: Device, value: str) -> None:
    error = device.poll(device_code=value).json()["error"]
    assert error == ("invalid_grant" if value else "invalid_request")


def test_another_resource_is_an_invalid_target_and_uses_nothing_up(device: Device, person: Person) -> None:
    assert device.ask(resource="https://other.example").json()["error"] == "invalid_target"
    person.allow(device.user_code)
    assert device.poll(resource="https://other.example").json()["error"] == "invalid_target"
    assert device.poll(resource=device.client.url).status_code == 200


def test_scope_is_what_is_known_of_what_was_asked() -> None:
    with Service(ON | {"scopes": "read write"}) as service:
        device, person = Device(service.client()), Person(service.http(), service.issuer)
        device.register()
        for asked, granted in (("write nonsense", "write"), ("", "read"), ("write read", "read write")):
            device.ask(**({"scope": asked} if asked else {}))
            person.allow(device.user_code)
            assert tokens(device.poll()).response["scope"] == granted


def test_role_bounds_what_its_people_can_allow() -> None:
    """Who may have nothing of it is told so, and somebody else may still allow it."""
    keys = f"{api_key_entry(API_KEY)},{api_key_entry(VIEWER_KEY, role='viewer')}"
    roles = {"scopes": "write read", "role_scopes": "viewer=read", "api_keys": keys}
    with Service(ON | roles) as service:
        device, person = Device(service.client()), Person(service.http(), service.issuer)
        device.register()
        device.ask(scope="read write")
        person.allow(device.user_code, VIEWER_KEY)
        assert tokens(device.poll()).response["scope"] == "read"
        device.ask(scope="write")
        page = person.enter(device.user_code)
        refused = person.decide(page, api_key=VIEWER_KEY)
        assert (refused.status_code, "none of these permissions" in refused.text) == (403, True)
        assert device.outcome() == "authorization_pending"
        assert person.decide(refused).status_code == 200
        assert tokens(device.poll()).response["scope"] == "write"


def test_revocation_between_approval_and_redemption_ends_the_approval(device: Device, person: Person) -> None:
    person.allow(device.user_code)
    device.client.admin_revoke("user", "acme/ada")
    assert device.outcome() == "invalid_grant"


def test_who_allows_after_a_revocation_lives(service: Service, device: Device, person: Person) -> None:
    """The authorization lies after every mark, in the same millisecond too."""
    ledger = service.app.state.service.server.ledger
    service.run(ledger.mark(account("acme"), Mark(NOW + 3 * SECOND, NOW + LIFE), NOW))
    person.allow(device.user_code)
    assert device.client.active(tokens(device.poll()).access)


def test_key_that_is_taken_away_takes_the_approval_along(service: Service, device: Device, person: Person) -> None:
    person.allow(device.user_code)
    with Service(service.values | {"api_keys": api_key_entry(VIEWER_KEY)}) as changed:
        changed.share_ledger(service)
        again = Device(changed.client(), device.answer)
        again.client.client_id = device.client.client_id
        assert again.outcome() == "invalid_grant"


def test_ledger_that_cannot_be_asked_is_no_refusal(service: Service, device: Device, person: Person) -> None:
    shown = person.enter(device.user_code)
    entry = person.open()
    with service.changed(ledger=Down()):
        assert [device.poll().status_code, Device(device.client).ask().status_code] == [503, 503]
        pages = [person.decide(shown), person.enter(device.user_code, entry), person.decide(shown, "deny")]
        assert [page.status_code for page in pages] == [503] * 3
        assert all(page.headers["retry-after"] for page in pages)
    assert device.outcome() == "authorization_pending"


def test_two_replicas_with_one_ledger_are_one(service: Service, device: Device) -> None:
    with Service(service.values) as other:
        other.share_ledger(service)
        person = Person(other.http(), other.issuer)
        assert device.outcome() == "authorization_pending"
        person.allow(device.user_code)
        assert device.outcome() == ""


def test_device_with_a_key_gets_tokens_that_are_bound_to_it(device: Device, person: Person) -> None:
    """RFC 9449 §5: to the key that it proves when it fetches them. Polls that have to wait use no proof up."""
    device.client = client = bound(device.client, Prover(now=NOW // SECOND))
    assert device.outcome() == "authorization_pending"
    person.allow(device.user_code)
    issued = tokens(device.poll())
    assert issued.response["token_type"] == "DPoP"
    assert client.introspect(issued.access)["cnf"] == {"jkt": client.prover.jkt}
    stolen = Client(client.url, http=client.http, client_id=client.client_id)
    assert stolen.refresh(issued.refresh).status_code == 400
    assert client.refresh(issued.refresh).status_code == 200


def test_device_that_signs_proves_itself_at_both_endpoints() -> None:
    """RFC 7523 §2.2, to this endpoint or to the issuer. The operator knows the app, and this was it."""
    signer = Signer("robot", now=lambda: NOW // SECOND)
    entry = {"client_id": "robot", "client_name": "Robot", "grant_types": [DEVICE_CODE], "jwks": signer.jwks}
    clients = json.dumps([entry | {"token_endpoint_auth_method": "private_key_jwt"}])
    with Service(ON | {"clients": clients}) as service:
        device, person = Device(service.client()), Person(service.http(), service.issuer)
        device.client.client_id = "robot"
        assert device.ask().status_code == 401
        assert device.ask(**signer.parameters(f"{service.issuer}/device_authorization")).status_code == 200
        page = person.enter(device.user_code)
        assert "Known app" in page.text
        person.decide(page)
        assert device.outcome() == "invalid_client"
        assert device.poll(**signer.parameters(service.issuer)).status_code == 200


def test_the_commands_of_the_documentation_do_what_it_says(service: Service, person: Person) -> None:
    block = "\n".join(block for block in blocks(DOCUMENTATION, "sh") if "device" in block)
    commands = [shlex.split(command) for command in re.split(r"\n(?=curl )", block.replace("\\\n", ""))]
    assert [command[0] for command in commands] == ["curl"] * 3
    known = dict[str, str]()
    for command in commands:
        known |= {name.upper(): str(value) for name, value in _answered(service, command, known).items()}
    assert known["ERROR"] == "authorization_pending"
    assert person.allow(known["USER_CODE"]).status_code == 200


def _answered(service: Service, command: list[str], known: Mapping[str, str]) -> dict[str, Any]:
    """What a curl command is answered, its variables taken from the answers before."""
    pairs = list(pairwise(command))
    url = next(word for word in command if word.startswith(service.issuer))
    sent = [value for option, value in pairs if option in {"-d", "--data-urlencode"}]
    if ("-H", "Content-Type: application/json") in pairs:
        answer = service.http().post(url, json=json.loads(*sent))
    else:
        form = dict(pair.split("=", 1) for pair in sent)
        filled = {name: known[value[1:]] if value.startswith("$") else value for name, value in form.items()}
        answer = service.http().post(url, data=filled)
    content: dict[str, Any] = answer.json()
    return content


@pytest.fixture
def flooded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has room in the ledger any more."""
    monkeypatch.setattr(devices, "MOST_REQUESTS", 0)


@pytest.mark.usefixtures("flooded")
class TestWithoutRoomInTheLedger:
    """The link carries the request, and everything else is as ever."""

    def test_both_links_carry_the_request_and_nothing_is_kept(self, service: Service, device: Device) -> None:
        assert "request=" in device.answer["verification_uri"]
        assert device.answer["verification_uri_complete"].startswith(f"{service.issuer}/device?user_code=")
        assert "request=" in device.answer["verification_uri_complete"]
        assert len(device.answer["verification_uri_complete"]) < 800
        ledger = service.app.state.service.server.ledger
        assert not service.run(ledger.state(NOW)).offers

    @pytest.mark.parametrize("link", ["verification_uri", "verification_uri_complete"])
    def test_person_who_follows_the_link_allows_it(self, device: Device, person: Person, link: str) -> None:
        page = person.http.get(device.answer[link])
        assert (device.user_code in page.text) is (link == "verification_uri_complete")
        assert device.outcome() == "authorization_pending"
        shown = person.enter(device.user_code, page)
        assert device.user_code in shown.text
        assert person.decide(shown).status_code == 200
        assert device.outcome() == ""
        assert device.outcome() == "invalid_grant"

    def test_code_alone_finds_nothing_and_another_code_is_refused(self, device: Device, person: Person) -> None:
        assert person.enter(device.user_code).status_code == 400
        page = person.http.get(device.answer["verification_uri"])
        assert person.enter("BBBB-BBBB", page).status_code == 400

    def test_link_is_decided_once(self, device: Device, person: Person) -> None:
        page = person.enter(device.user_code, person.http.get(device.answer["verification_uri"]))
        assert person.decide(page, api_key=VIEWER_KEY).status_code == 200
        assert person.decide(page, api_key=API_KEY).status_code == 400
        assert device.client.introspect(tokens(device.poll()).access)["role"] == "viewer"

    def test_denial_takes_no_room_either(self, device: Device, person: Person) -> None:
        """Nobody signs in to deny, so a flood of denials must not be kept: the device waits until its code expires."""
        page = person.enter(device.user_code, person.http.get(device.answer["verification_uri"]))
        assert person.decide(page, "deny", api_key="").status_code == 200
        assert device.outcome() == "authorization_pending"

    def test_link_expires(self, service: Service, device: Device, person: Person) -> None:
        page = person.http.get(device.answer["verification_uri"])
        service.clock.now += LIFE
        assert person.http.get(device.answer["verification_uri"]).status_code == 400
        assert person.enter(device.user_code, page).status_code == 400


def test_flood_of_requests_fills_the_ledger_to_a_bound_and_locks_nobody_out(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 25."""
    monkeypatch.setattr(devices, "MOST_REQUESTS", devices.RESERVED + 20)
    device, person = Device(service.client()), Person(service.http(), service.issuer)
    device.register()
    links = ["request=" in device.ask().json()["verification_uri"] for _ in range(50)]
    assert links == [False] * 20 + [True] * 30
    ledger = service.app.state.service.server.ledger
    assert len(service.run(ledger.state(NOW)).offers) == 20
    person.decide(person.enter(device.user_code, person.http.get(device.answer["verification_uri"])))
    assert device.outcome() == ""


def test_flood_from_one_network_leaves_others_their_codes(service: Service) -> None:
    """Fault 25. Elsewhere the code is still enough, at the address that every device shows."""
    flood, device = Device(service.client("2001:db8:0:1::5")), Device(service.client("2001:db8:0:2::5"))
    flood.register()
    device.register()
    links = ["request=" in flood.ask().json()["verification_uri"] for _ in range(devices.MOST_OF_A_NETWORK + 1)]
    assert links == [False] * devices.MOST_OF_A_NETWORK + [True]
    device.ask()
    assert device.answer["verification_uri"] == f"{service.issuer}/device"
    assert Person(service.http(), service.issuer).allow(device.user_code).status_code == 200
    assert device.outcome() == ""


@pytest.mark.parametrize("client_id", ["tv", ""], ids=["known", "of a stranger"])
def test_client_that_the_operator_knows_has_room_when_strangers_have_none(
    client_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "MOST_REQUESTS", devices.RESERVED)
    clients = json.dumps([{"client_id": "tv", "client_name": "Television", "grant_types": [DEVICE_CODE]}])
    with Service(ON | {"clients": clients}) as service:
        device = Device(service.client())
        device.register()
        device.client.client_id = client_id or device.client.client_id
        assert ("request=" in device.ask().json()["verification_uri"]) is not bool(client_id)


@pytest.mark.parametrize("then", ["allow", "deny"])
@pytest.mark.parametrize("fetched", [True, False], ids=["fetched", "not fetched"])
def test_two_decisions_on_two_replicas_are_a_denial_once_they_hear_of_each_other(then: str, fetched: bool) -> None:
    """What was fetched before stays good, unless the device code comes again: its second use ends the grant."""
    keys = f"{api_key_entry(API_KEY)},{api_key_entry(VIEWER_KEY, user='bob')}"
    rings = {"keys": ring_entry("k1"), "client_keys": ring_entry("c1"), "api_keys": keys}
    with Service(ON | rings) as one, Service(ON | rings) as other:
        device = Device(one.client())
        device.register()
        device.ask()
        hear_of_each_other(one, other)
        assert Person(one.http(), one.issuer).allow(device.user_code).status_code == 200
        there = Person(other.http(), other.issuer)
        assert there.decide(there.enter(device.user_code), then, VIEWER_KEY).status_code == 200
        access = tokens(device.poll()).access if fetched else "none"
        hear_of_each_other(one, other)
        assert device.client.active(access) is fetched
        assert device.outcome() == ("invalid_grant" if fetched else "access_denied")
        assert not device.client.active(access)
        assert device.outcome() == "access_denied"


def hear_of_each_other(one: Service, other: Service) -> None:
    ledgers = [service.app.state.service.server.ledger for service in (one, other)]
    news = [replace(one.run(ledger.state(NOW)), continuity=None) for ledger in ledgers]
    for ledger, state in zip(ledgers, reversed(news), strict=True):
        one.run(ledger.merge(state, NOW))


def test_code_that_is_taken_is_drawn_anew(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["BBBBBBBB", "CCCCCCCC", "CCCCCCCC", "DDDDDDDD", "BBBBBBBB", *["CCCCCCCC"] * 4])
    monkeypatch.setattr("tokensvc.grants.device_authorization.new_user_code", lambda: next(drawn))
    device = Device(service.client())
    device.register()
    codes = [device.ask().json()["user_code"] for _ in range(2)]
    assert codes == ["CCCC-CCCC", "DDDD-DDDD"]
    answer = device.ask().json()
    assert (answer["user_code"], "request=" in answer["verification_uri"]) == ("BBBB-BBBB", True)
