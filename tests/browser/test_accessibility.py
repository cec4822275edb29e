"""The page for everyone: by screen reader, by keyboard, on a phone, in the dark, with large letters."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Browse
from tests.browser.person import Person, key_field, overflow
from tests.replica import API_KEY, Client, Replica

pytestmark = pytest.mark.needs("chromium")

REDIRECTS = {
    "https": "https://claude.ai/api/mcp/auth_callback",
    "loopback": "http://localhost:3118/callback",
    "private": "cursor://anysphere.cursor-mcp/oauth/callback",
}
EACH_REDIRECT = pytest.mark.parametrize("redirect_uri", REDIRECTS.values(), ids=REDIRECTS.keys())


def client_of(replica: Replica, redirect_uri: str = REDIRECTS["https"]) -> Client:
    client = Client(replica.url, redirect_uri=redirect_uri)
    client.register(client_name="Claude")
    return client


def test_screen_reader_gets_the_whole_question(person: Person, replica: Replica) -> None:
    """Landmarks, one heading, named facts, a named form, a labelled field and two named buttons, in that order."""
    page = person.open(client_of(replica, REDIRECTS["loopback"]))
    host = replica.url.removeprefix("http://")
    expect(page.locator("body")).to_match_aria_snapshot(f"""
        - banner: "{host}"
        - main:
          - heading "Allow Claude to act as you?" [level=1]
          - paragraph: Name not verified This is only what the app calls itself.
          - term: Sends you back to
          - definition:
            - text: localhost:3118
            - paragraph:
              - strong: This is not a website.
              - text: /Any program on this computer may receive the access/
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
            - text: /this app can act as you/
          - form "Allow Claude to act as you?":
            - text: Your API key
            - textbox "Your API key"
            - paragraph: /The key itself is not given to the app/
            - button "Allow"
            - button "Deny"
        - contentinfo:
          - paragraph: /This page is operated by {re.escape(host)}/
    """)
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page).to_have_title(f"Allow access? · {host}")
    expect(key_field(page)).to_have_accessible_description(re.compile("Checked here by .* not given to the app"))


def test_wrong_key_is_announced_and_leads_back_to_the_field(person: Person, replica: Replica) -> None:
    """The alert, the title, the field's description and the focus all say what is wrong."""
    page = person.open(client_of(replica))
    expect(page.get_by_role("alert")).to_have_count(0)
    person.press(page, key="wrong key")
    expect(page).to_have_title(re.compile("^Error: "))
    expect(page.get_by_role("alert")).to_have_text("This API key is not valid. Check it and try again.")
    field = key_field(page)
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile("^This API key is not valid"))


def test_keyboard_goes_from_the_key_to_allow_to_deny(person: Person, replica: Replica) -> None:
    """Nothing has the focus at first, three stops follow the page's order, each shows it, and there is no trap."""
    page = person.open(client_of(replica))
    stops = [key_field(page), *(page.get_by_role("button", name=name, exact=True) for name in ("Allow", "Deny"))]
    expect(page.locator(":focus")).to_have_count(0)
    for stop in stops:
        page.keyboard.press("Tab")
        expect(stop).to_be_focused()
        outline = stop.evaluate("e => [getComputedStyle(e).outlineStyle, parseFloat(getComputedStyle(e).outlineWidth)]")
        assert outline == ["solid", 3]
    for stop in reversed(stops[:-1]):
        page.keyboard.press("Shift+Tab")
        expect(stop).to_be_focused()
    page.keyboard.type(API_KEY)
    page.keyboard.press("Tab")
    with page.expect_request("https://claude.ai/api/mcp/auth_callback?code=**"):
        page.keyboard.press("Space")


@EACH_REDIRECT
def test_page_fits_a_phone(browse: Browse, replica: Replica, redirect_uri: str) -> None:
    """At 320 pixels nothing lies outside, with the alert and with letters twice as large too; buttons fit a thumb."""
    person = browse(viewport={"width": 320, "height": 568}, has_touch=True, is_mobile=True)
    page = person.open(client_of(replica, redirect_uri))
    fits(page)
    person.press(page, key="wrong key")
    expect(page.get_by_role("alert")).to_be_visible()
    fits(page)
    for name in ("Allow", "Deny"):
        button = page.get_by_role("button", name=name, exact=True)
        box = button.bounding_box()
        assert box
        assert box["height"] >= 44
        assert box["width"] >= 44


def test_error_page_fits_a_phone(browse: Browse, replica: Replica) -> None:
    person = browse(viewport={"width": 320, "height": 568}, has_touch=True, is_mobile=True)
    client = client_of(replica)
    fits(person.open(client, client_id="nobody"))
    fits(person.open(client, redirect_uri="https://evil.example/"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_follows_the_colour_scheme(browse: Browse, replica: Replica, scheme: str) -> None:
    """In the dark the page, its card and its field are dark under light letters, and the other way round."""
    person = browse(color_scheme=scheme)
    page = person.open(client_of(replica))
    dark = scheme == "dark"
    for selector in ("html", "main", "#api_key", "button[value=deny]"):
        assert (brightness(page, selector, "backgroundColor") < 60) is dark, selector
        assert (brightness(page, selector, "color") > 200) is dark, selector
    assert (brightness(page, "button[value=allow]", "backgroundColor") > 200) is dark
    error = person.open(client_of(replica), client_id="nobody")
    assert (brightness(error, "main", "backgroundColor") < 60) is dark
    assert (brightness(error, "h1", "color") > 200) is dark


def test_page_does_without_colours_of_its_own(browse: Browse, replica: Replica) -> None:
    """Where a person's own colours replace the page's, the buttons, the field and the name keep their edges."""
    page = browse(forced_colors="active").open(client_of(replica))
    for selector in ("button[value=allow]", "button[value=deny]", "#api_key", ".name"):
        assert page.locator(selector).evaluate("e => parseFloat(getComputedStyle(e).borderTopWidth)") >= 1, selector


def fits(page: Page) -> None:
    assert overflow(page) == 0
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert overflow(page) == 0
    page.evaluate("document.documentElement.style.fontSize = ''")


def brightness(page: Page, selector: str, what: str) -> float:
    """How bright a computed colour is, from 0 to 255."""
    # At once, not by a transition that a slow machine may still be in.
    page.emulate_media(reduced_motion="reduce")
    colour = page.locator(selector).evaluate("(element, what) => getComputedStyle(element)[what]", what)
    red, green, blue = (float(part) for part in re.findall(r"[\d.]+", colour)[:3])
    return 0.299 * red + 0.587 * green + 0.114 * blue
