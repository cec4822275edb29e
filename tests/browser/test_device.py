"""The pages of /device in a browser: for everyone, on a phone, against other websites, whatever the app is called."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Browse
from tests.browser.person import Person, key_field, overflow
from tests.browser.site import Site
from tests.browser.test_hostile_clients import NAMES
from tests.device import Device
from tests.ports import free_port
from tests.replica import API_KEY, Client, Replica, settings

pytestmark = pytest.mark.needs("chromium")

PHONE = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    port = free_port()
    environment = settings("memory://", port, device_authorization="on")
    with Replica(environment, port, directory=tmp_path_factory.mktemp("replica")) as started:
        yield started


@pytest.fixture
def device(replica: Replica) -> Device:
    return new_device(replica, "Television")


def new_device(replica: Replica, name: str) -> Device:
    device = Device(Client(replica.url))
    device.register(client_name=name)
    device.ask()
    return device


def open_page(person: Person, url: str) -> Page:
    page = person.context.new_page()
    page.goto(url)
    return page


def enter(person: Person, page: Page, code: str) -> None:
    page.get_by_label("Code on your device").fill(code)
    person.press(page, "Continue")


def test_person_goes_from_the_code_to_the_decision_and_back_to_the_device(person: Person, device: Device) -> None:
    page = open_page(person, device.answer["verification_uri"])
    enter(person, page, device.user_code.lower().replace("-", " "))
    expect(page.get_by_role("heading", level=1)).to_have_text("Allow Television on another device to act as you?")
    expect(page.get_by_role("main")).to_contain_text(device.user_code)
    person.press(page, "Allow", API_KEY)
    expect(page.get_by_role("heading", level=1)).to_have_text("Allowed")
    assert device.outcome() == ""


def test_complete_link_needs_two_clicks(person: Person, device: Device) -> None:
    page = open_page(person, device.answer["verification_uri_complete"])
    expect(page.get_by_label("Code on your device")).to_have_value(device.user_code)
    expect(key_field(page)).to_have_count(0)
    person.press(page, "Continue")
    assert device.outcome() == "authorization_pending"
    person.press(page, "Deny")
    expect(page.get_by_role("heading", level=1)).to_have_text("Denied")
    assert device.outcome() == "access_denied"


def test_screen_reader_gets_both_questions(person: Person, device: Device, replica: Replica) -> None:
    """Landmarks, one heading, the warning before the field, named forms and labelled fields."""
    page = open_page(person, device.answer["verification_uri"])
    host = replica.url.removeprefix("http://")
    expect(page).to_have_title(f"Connect a device · {host}")
    expect(page.locator("body")).to_match_aria_snapshot(f"""
        - banner: "{host}"
        - main:
          - heading "Connect a device" [level=1]
          - paragraph: /Enter the code that the device shows/
          - paragraph:
            - strong: /Only for a device that you have with you/
            - text: /wants to act as you/
          - form "Connect a device":
            - text: Code on your device
            - textbox "Code on your device"
            - paragraph: /Eight letters/
            - button "Continue"
        - contentinfo:
          - paragraph: /This page is operated by {re.escape(host)}/
    """)
    enter(person, page, device.user_code)
    expect(page).to_have_title(f"Allow a device? · {host}")
    expect(page.locator("body")).to_match_aria_snapshot(f"""
        - banner: "{host}"
        - main:
          - heading "Allow Television on another device to act as you?" [level=1]
          - paragraph: Name not verified This is only what the app calls itself.
          - term: Code on the device
          - definition:
            - text: {device.user_code}
            - paragraph:
              - strong: Look at the device.
              - text: /it shows this code/
          - term: Gets access to
          - definition: {replica.url}
          - term: Permissions
          - definition:
            - list:
              - listitem:
                - code: mcp
                - text: Use the tools of this server on your behalf
          - paragraph:
            - strong: If you allow it,
            - text: /the app on that device can act as you/
          - form "Allow Television on another device to act as you?":
            - text: Your API key
            - textbox "Your API key"
            - paragraph: /The key itself is not given to the app/
            - button "Allow"
            - button "Deny"
        - contentinfo:
          - paragraph: /This page is operated by {re.escape(host)}/
    """)


def test_wrong_code_is_announced_and_leads_back_to_the_field(person: Person, device: Device) -> None:
    page = open_page(person, device.answer["verification_uri"])
    enter(person, page, "BBBB-BBBB")
    expect(page).to_have_title(re.compile("^Error: "))
    expect(page.get_by_role("alert")).to_contain_text("This code is not valid")
    field = page.get_by_label("Code on your device")
    expect(field).to_be_focused()
    expect(field).to_have_accessible_description(re.compile("^This code is not valid"))
    enter(person, page, device.user_code)
    person.press(page, "Allow", "wrong key")
    expect(page.get_by_role("alert")).to_have_text("This API key is not valid. Check it and try again.")
    expect(key_field(page)).to_be_focused()


def test_keyboard_alone_is_enough(person: Person, device: Device) -> None:
    page = open_page(person, device.answer["verification_uri"])
    expect(page.locator(":focus")).to_have_count(0)
    page.keyboard.press("Tab")
    page.keyboard.type(device.user_code)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type(API_KEY)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Allowed")


def test_pages_fit_a_phone(browse: Browse, device: Device) -> None:
    """At 320 pixels nothing lies outside, with letters twice as large too; buttons fit a thumb."""
    person = browse(**PHONE)
    page = open_page(person, device.answer["verification_uri"])
    fits(page, "Continue")
    enter(person, page, "BBBB-BBBB")
    fits(page, "Continue")
    enter(person, page, device.user_code)
    fits(page, "Allow", "Deny")
    person.press(page, "Deny")
    fits(page)


@pytest.mark.parametrize("hostile", ["script", "form", "handler", "right to left", "wide", "nothing to see"])
def test_name_is_only_text(browse: Browse, replica: Replica, hostile: str) -> None:
    """Fault 28. Nothing runs, nothing is fetched, nothing is added to the page, it fits a phone, the form works."""
    name, shown = NAMES[hostile]
    person = browse(**PHONE)
    device = new_device(replica, name)
    page = open_page(person, device.answer["verification_uri"])
    enter(person, page, device.user_code)
    if shown:
        assert page.locator("h1 .name").text_content() == shown
    else:
        expect(page.get_by_role("heading", level=1)).to_contain_text("Allow an app without a name")
    assert page.locator("form, input, button").count() == 5
    assert page.locator("a, img, script, iframe, svg, object, embed, link, base").count() == 0
    assert overflow(page) == 0
    person.press(page, "Allow", API_KEY)
    assert device.outcome() == ""


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["other site", "same site, other port"])
def test_form_of_another_website_decides_nothing(
    person: Person, device: Device, replica: Replica, local: Site, host: str
) -> None:
    """Fault 28. Neither the code nor the decision: with this browser's own pages, stolen, and a right key."""
    page = open_page(person, device.answer["verification_uri"])
    entry = page.locator("input[name=page]").input_value()
    enter(person, page, device.user_code)
    decision = page.locator("input[name=page]").input_value()
    person.known.add(f"{host}:{local.port}")
    for form in ({"page": entry, "user_code": device.user_code}, {"page": decision, "decision": "allow"}):
        inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in form.items())
        key = f'<input name="api_key" value="{API_KEY}">'
        action = f"{replica.url}/device"
        local.page("/attack", f'<form method="post" action="{action}">{inputs}{key}<button>Win</button></form>')
        attack = open_page(person, local.url("/attack", host))
        assert person.press(attack, "Win").status == 403
        expect(attack.get_by_role("heading", level=1)).to_have_text("This is another website")
    assert device.outcome() == "authorization_pending"
    person.press(page, "Allow", API_KEY)
    assert device.outcome() == ""


def fits(page: Page, *buttons: str) -> None:
    assert overflow(page) == 0
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert overflow(page) == 0
    page.evaluate("document.documentElement.style.fontSize = ''")
    for name in buttons:
        box = page.get_by_role("button", name=name, exact=True).bounding_box()
        assert box
        assert min(box["height"], box["width"]) >= 44
