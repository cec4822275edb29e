"""Every sealed artefact opens in its own place only (fault 5, the kind matrix over HTTP)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

import httpx
import pytest

from tests.device import Device, Person
from tests.flows.conftest import Start
from tests.replica import API_KEY, TLS, Client, Tokens, hidden_inputs, tokens
from tokensvc.protocol.pushed_request import URN

Outcome = tuple[int, str]


@dataclass
class World:
    """A client in the middle of everything: with a page open, a code unused and tokens in hand."""

    client: Client
    code: str
    issued: Tokens
    page_url: str
    page: httpx.Response
    device: Device
    person: Person
    device_page: httpx.Response
    pushed: str

    @property
    def artefacts(self) -> dict[str, str]:
        return {
            "code": self.code,
            "access token": self.issued.access,
            "refresh token": self.issued.refresh,
            "client_id": self.client.client_id,
            "sealed request": hidden_inputs(self.page.text)["request"],
            "pushed request": self.pushed,
            "device code": self.device.answer["device_code"],
            "device page": hidden_inputs(self.device_page.text)["page"],
        }


@pytest.fixture(scope="module")
def world(start: Start) -> World:
    return new_world(start)


def new_world(start: Start) -> World:
    client = Client(start("memory://", device_authorization="on").url)
    device, person = Device(Client(client.url)), Person(httpx.Client(verify=TLS), client.url)
    device.register()
    device.ask()
    device_page = person.enter(device.user_code)
    client.register()
    url, page = client.page()
    issued = tokens(client.redeem(client.code()))
    asked = dict(parse_qsl(client.authorize_url().partition("?")[2]))
    request_uri = client.http.post(f"{client.url}/par", data=asked).json()["request_uri"]
    pushed = request_uri.removeprefix(URN)
    return World(client, client.code(), issued, url, page, device, person, device_page, pushed)


def as_code(world: World, value: str) -> Outcome:
    return error(world.client.redeem(value))


def as_refresh_token(world: World, value: str) -> Outcome:
    return error(world.client.refresh(value))


def at_introspection(world: World, value: str) -> Outcome:
    return 200, str(world.client.introspect(value))


def at_revocation(world: World, value: str) -> Outcome:
    return world.client.revoke(value).status_code, ""


def as_client_id_at_the_token_endpoint(world: World, value: str) -> Outcome:
    return error(world.client.redeem(world.code, client_id=value))


def as_client_id_at_revocation(world: World, value: str) -> Outcome:
    return error(world.client.revoke(world.issued.access, client_id=value))


def as_client_id_at_authorization(world: World, value: str) -> Outcome:
    _, page = world.client.page(client_id=value)
    return page.status_code, "location" if "location" in page.headers else ""


def as_pushed_request(world: World, value: str) -> Outcome:
    _, page = world.client.page(request_uri=f"{URN}{value}")
    return page.status_code, "location" if "location" in page.headers else ""


def as_sealed_request(world: World, value: str) -> Outcome:
    answer = world.client.decide(world.page_url, world.page, request=value)
    return answer.status_code, "location" if "location" in answer.headers else ""


def as_device_code(world: World, value: str) -> Outcome:
    return error(world.device.poll(device_code=value))


def as_device_page(world: World, value: str) -> Outcome:
    form = {"page": value, "user_code": world.device.user_code, "decision": "allow", "api_key": API_KEY}
    return world.person.http.post(f"{world.client.url}/device", data=form).status_code, ""


def as_introspection_secret(world: World, value: str) -> Outcome:
    headers = {"Authorization": f"Bearer {value}"}
    return error(world.client.http.post(f"{world.client.url}/introspect", data={"token": "x"}, headers=headers))


def as_admin_secret(world: World, value: str) -> Outcome:
    headers = {"Authorization": f"Bearer {value}"}
    return error(world.client.http.get(f"{world.client.url}/admin/denylist", headers=headers))


def as_api_key(world: World, value: str) -> Outcome:
    answer = world.client.decide(world.page_url, world.page, api_key=value)
    return answer.status_code, "location" if "location" in answer.headers else ""


PLACES: dict[str, tuple[Callable[[World, str], Outcome], str, Outcome]] = {
    # place: how it is tried, the artefact that belongs there, what every other is answered
    "code": (as_code, "code", (400, "invalid_grant")),
    "refresh_token": (as_refresh_token, "refresh token", (400, "invalid_grant")),
    "token at introspection": (at_introspection, "access token", (200, "{'active': False}")),
    "client_id at the token endpoint": (
        as_client_id_at_the_token_endpoint,
        "client_id",
        (401, "invalid_client"),
    ),
    "client_id at revocation": (as_client_id_at_revocation, "client_id", (401, "invalid_client")),
    "client_id at authorization": (as_client_id_at_authorization, "client_id", (400, "")),
    "sealed request": (as_sealed_request, "sealed request", (400, "")),
    "request_uri": (as_pushed_request, "pushed request", (400, "")),
    "device_code": (as_device_code, "device code", (400, "invalid_grant")),
    "device page": (as_device_page, "device page", (400, "")),
    "introspection secret": (as_introspection_secret, "", (401, "invalid_token")),
    "admin secret": (as_admin_secret, "", (401, "invalid_token")),
    "API key": (as_api_key, "", (401, "")),
}
ARTEFACTS = (
    *("code", "access token", "refresh token", "client_id", "sealed request", "pushed request"),
    *("device code", "device page"),
)
WRONG = [(artefact, place) for place, (_, own, _) in PLACES.items() for artefact in ARTEFACTS if artefact != own]


@pytest.mark.parametrize(("artefact", "place"), WRONG, ids=[f"{artefact} as {place}" for artefact, place in WRONG])
def test_an_artefact_in_the_place_of_another_is_refused(world: World, artefact: str, place: str) -> None:
    """Fault 5. With the answer that anything unknown gets there, and no redirect."""
    attempt, _, refusal = PLACES[place]
    assert attempt(world, world.artefacts[artefact]) == refusal
    assert attempt(world, "unknown") == refusal


@pytest.mark.parametrize("artefact", ["code", "client_id", "sealed request", "device code", "device page"])
def test_revocation_of_what_is_no_token_is_answered_and_changes_nothing(world: World, artefact: str) -> None:
    """Fault 5, where RFC 7009 §2.2 wants 200 for whatever is not a token."""
    assert at_revocation(world, world.artefacts[artefact]) == (200, "")
    assert world.client.active(world.issued.access)


def test_a_prefix_in_place_of_another_makes_no_other_kind(world: World) -> None:
    """Fault 5. What stands before the JWE is a label; the key says the kind."""
    bare = {name: value.partition("_")[2] for name, value in world.artefacts.items()}
    for name in ARTEFACTS:
        if name != "code":
            assert as_code(world, f"tsac_{bare[name]}") == (400, "invalid_grant"), name
        if name != "refresh token":
            assert as_refresh_token(world, f"tsrt_{bare[name]}") == (400, "invalid_grant"), name
        if name != "access token":
            assert at_introspection(world, f"tsat_{bare[name]}") == (200, "{'active': False}"), name
        if name != "client_id":
            assert as_client_id_at_authorization(world, f"tscl_{bare[name]}") == (400, ""), name


def test_after_all_of_that_everything_still_works_in_its_own_place(start: Start) -> None:
    """Fault 5. Being refused elsewhere uses nothing up."""
    world = new_world(start)
    client = world.client
    for artefact, place in WRONG:
        PLACES[place][0](world, world.artefacts[artefact])
    assert world.device.outcome() == "authorization_pending"
    assert client.active(world.issued.access)
    assert client.refresh(world.issued.refresh).status_code == 200
    assert client.redeem(world.code).status_code == 200
    assert client.decide(world.page_url, world.page).status_code == 303
    assert world.person.decide(world.device_page).status_code == 200
    assert world.device.outcome() == ""


def error(answer: httpx.Response) -> Outcome:
    return answer.status_code, "" if answer.status_code == 200 else answer.json()["error"]
