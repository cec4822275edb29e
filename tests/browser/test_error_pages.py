"""Error pages: the status for programs, and for people what happened and what to do; nothing reaches the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Response, expect

from tests.browser.person import Person, put_request
from tests.browser.site import Site
from tests.replica import API_KEY, Client, Replica

pytestmark = pytest.mark.needs("chromium")

CALLBACK = "https://client.example/callback"
AGAIN = "Go back to the app and connect again."
ANEW = "Remove this server in the app and add it again, so that the app registers anew."
DAMAGED = "This link is damaged"
ELSEWHERE = "The app asks to be answered elsewhere"
UNKNOWN = "This app is not registered here"
OF_ANOTHER_SERVER = "tscl_eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwia2lkIjoiYzkifQ..AAAAAAAAAAAAAAAA.AAAA.AAAA"
# What the link is given or has added, then heading, message and way out of the page that it leads to.
LINKS: list[tuple[dict[str, str], str, str, str, str]] = [
    ({"client_id": "nobody"}, "", UNKNOWN, "does not know", ANEW),
    ({"client_id": OF_ANOTHER_SERVER}, "", UNKNOWN, "does not know", ANEW),
    ({"client_id": ""}, "", DAMAGED, "client_id is missing", AGAIN),
    ({}, "&client_id=another", DAMAGED, "a parameter twice", AGAIN),
    ({"redirect_uri": "https://evil.example/callback"}, "", ELSEWHERE, "not one that the app registered", AGAIN),
    ({"redirect_uri": ""}, "", DAMAGED, "redirect_uri is missing", AGAIN),
    ({}, "&redirect_uri=https%3A%2F%2Fevil.example%2F", DAMAGED, "a parameter twice", AGAIN),
    ({}, "&state=another", DAMAGED, "a parameter twice", AGAIN),
    ({"state": "x" * 2049}, "", DAMAGED, "state is longer than 2048 characters", AGAIN),
    ({}, "&scope=%ff", DAMAGED, "cannot be read", AGAIN),
]


@pytest.fixture
def client(replica: Replica) -> Client:
    client = Client(replica.url, redirect_uri=CALLBACK)
    client.register()
    return client


@pytest.fixture(autouse=True)
def _nothing_reaches_the_client(web: Site) -> Iterator[None]:
    yield
    assert web.visits == []


def test_link_that_leads_to_no_client(person: Person, client: Client) -> None:
    """Where the answer would go is not known, so there is no redirect: 400 and a page, without a cookie."""
    page = person.context.new_page()
    for changes, more, heading, message, way_out in LINKS:
        shows(page, page.goto(client.authorize_url(**changes) + more), 400, heading, message, way_out)
    assert person.context.cookies() == []


def test_without_cookies_the_page_says_to_allow_them(person: Person, client: Client, replica: Replica) -> None:
    page = person.open(client)
    person.context.clear_cookies()
    response = person.press(page, key=API_KEY)
    hint = f"Allow cookies for this site. {AGAIN}"
    shows(page, response, 403, "This is another browser", "nothing was allowed", hint)
    replica.logged("authorization refused", request_id=response.headers["x-request-id"])


@pytest.mark.parametrize("sealed", ["", "nonsense", "tsrq_eyJhbGciOiJub25lIn0..AAAA.AAAA.AAAA"])
def test_request_that_nobody_sealed(person: Person, client: Client, sealed: str) -> None:
    page = person.open(client)
    put_request(page, sealed)
    response = person.press(page, key=API_KEY)
    shows(page, response, 400, "This page is no longer valid", "cannot be opened any more", AGAIN)


def test_client_id_is_no_request(person: Person, client: Client) -> None:
    """Another kind that the service sealed does not stand in for the request."""
    page = person.open(client)
    put_request(page, client.client_id)
    response = person.press(page, key=API_KEY)
    shows(page, response, 400, "This page is no longer valid", "cannot be opened any more", AGAIN)


def test_form_without_a_decision(person: Person, client: Client) -> None:
    """A form that was sent by something other than its buttons allows nothing."""
    page = person.open(client)
    page.get_by_label("Your API key").fill(API_KEY)
    with page.expect_response(lambda response: response.request.method == "POST") as posted:
        page.locator("form").evaluate("form => form.submit()")
    shows(page, posted.value, 400, "That was not a decision", "without Allow or Deny", AGAIN)


def test_decision_that_is_none_of_the_two(person: Person, client: Client) -> None:
    page = person.open(client)
    page.locator("button[value=allow]").evaluate("button => { button.value = 'perhaps' }")
    response = person.press(page, key=API_KEY)
    shows(page, response, 400, "That was not a decision", "without Allow or Deny", AGAIN)


def test_form_of_another_encoding(person: Person, client: Client) -> None:
    page = person.open(client)
    page.locator("form").evaluate("form => { form.enctype = 'multipart/form-data' }")
    response = person.press(page, key=API_KEY)
    shows(page, response, 400, "This form is damaged", "cannot be read", AGAIN)


def shows(page: Page, response: Response | None, status: int, heading: str, message: str, way_out: str) -> None:
    """The page says what happened, what to do next and the status; it stands alone and is protected like any other."""
    assert response
    assert (response.status, response.request.redirected_from) == (status, None)
    headers = response.headers
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert (headers["x-frame-options"], headers["cache-control"]) == ("DENY", "no-store")
    assert headers["referrer-policy"] == "no-referrer"
    expect(page).to_have_title(heading)
    expect(page.get_by_role("heading", level=1)).to_have_text(heading)
    main = page.get_by_role("main")
    expect(main).to_contain_text(message)
    expect(main.get_by_role("heading", name="What to do next").locator("+ p")).to_have_text(way_out)
    expect(main).to_contain_text(f"Error {status}")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    assert page.locator("form, a, button, input, script, img").count() == 0
    assert API_KEY not in page.content()
