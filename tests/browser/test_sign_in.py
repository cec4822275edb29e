"""Signing in: every kind of redirect, every decision, and what people do to a page while they decide."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Browse
from tests.browser.person import Person, key_field, put_request, sealed_request
from tests.browser.site import Site
from tests.replica import API_KEY, Client, Replica, tokens, wait_for
from tokensvc.endpoints import cookies
from tokensvc.keyring import KeyRing
from tokensvc.tokens.kinds import AuthorizationRequest
from tokensvc.tokens.sealer import Sealer

pytestmark = pytest.mark.needs("chromium")

CLAUDE = "https://claude.ai/api/mcp/auth_callback"
CURSOR = "cursor://anysphere.cursor-mcp/oauth/callback"
STATE = "af0ifjsldkj/+="
NO_SCRIPTS = {"java_script_enabled": False}


@pytest.fixture
def claude(replica: Replica) -> Client:
    """A hosted client, registered."""
    client = Client(replica.url, redirect_uri=CLAUDE)
    client.register(client_name="Claude")
    return client


@pytest.mark.parametrize("options", [{}, NO_SCRIPTS], ids=["with scripts", "without scripts"])
def test_allow_takes_the_code_to_a_hosted_client(
    browse: Browse, claude: Client, web: Site, options: dict[str, bool]
) -> None:
    """The client's site gets code, state and iss by GET; the page needs no JavaScript and sends no Referer on."""
    person = browse(**options)
    page = person.open(claude)
    expect(page.locator(".target")).to_have_text("claude.ai")
    expect(page.get_by_text("This is not a website.")).to_have_count(0)
    answer = person.answer(page)
    assert (answer.parameters["state"], answer.parameters["iss"]) == (STATE, claude.url)
    expect(page).to_have_title("Connected")
    [visit] = web.visits
    assert (visit.method, visit.host, visit.body) == ("GET", "claude.ai", b"")
    assert CLAUDE + visit.target.removeprefix("/api/mcp/auth_callback") == answer.url
    assert not {"referer", "origin", "cookie"} & visit.headers.keys()
    assert API_KEY not in repr(visit)
    assert claude.active(tokens(claude.redeem(answer.parameters["code"])).access)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_allow_takes_the_code_to_a_program_on_this_machine(
    person: Person, replica: Replica, local: Site, host: str
) -> None:
    """A loopback redirect reaches the port that the program opened just now, after a warning."""
    client = Client(replica.url, redirect_uri=f"http://{host}/callback")
    client.register()
    client.redirect_uri = local.url("/callback", host)
    page = person.open(client)
    expect(page.locator(".target")).to_have_text(f"{host}:{local.port}")
    expect(page.get_by_text("Any program on this computer may receive the access.")).to_be_visible()
    answer = person.answer(page)
    assert (answer.parameters["state"], answer.parameters["iss"]) == (STATE, replica.url)
    [visit] = local.visits
    assert (visit.method, visit.host, visit.body) == ("GET", f"{host}:{local.port}", b"")
    assert not {"referer", "origin"} & visit.headers.keys()
    assert API_KEY not in repr(visit)
    assert client.active(tokens(client.redeem(answer.parameters["code"])).access)


@pytest.mark.parametrize("options", [{}, NO_SCRIPTS], ids=["with scripts", "without scripts"])
def test_allow_takes_the_code_to_an_app_by_its_private_scheme(
    browse: Browse, replica: Replica, options: dict[str, bool]
) -> None:
    """The browser is sent to the app's link, which names no website; the page says what that means."""
    person = browse(**options)
    client = Client(replica.url, redirect_uri=CURSOR)
    client.register(client_name="Cursor")
    page = person.open(client)
    expect(page.locator(".target")).to_have_text("cursor:")
    expect(page.get_by_text("The access goes to an app on this device that claims cursor: links")).to_be_visible()
    answer = person.answer(page)
    assert answer.url.startswith(f"{CURSOR}?code=")
    assert (answer.parameters["state"], answer.parameters["iss"]) == (STATE, replica.url)
    assert client.active(tokens(client.redeem(answer.parameters["code"])).access)


def test_allow_works_again_while_the_page_still_stands(person: Person, replica: Replica) -> None:
    """A private scheme leaves the page where it is: who missed the browser's question can press Allow once more."""
    client = Client(replica.url, redirect_uri=CURSOR)
    client.register(client_name="Cursor")
    page = person.open(client)
    first = person.allow(page)
    with page.expect_request(f"{CURSOR}?code=**") as sent:
        # Not by the mouse: the browser's question whether to open the app lies over the page.
        page.get_by_role("button", name="Allow", exact=True).dispatch_event("click")
    second = dict(parse_qsl(urlsplit(sent.value.url).query))["code"]
    assert first != second
    assert client.active(tokens(client.redeem(second)).access)


def test_second_click_while_the_client_is_slow_still_reaches_it(person: Person, claude: Client, web: Site) -> None:
    """Impatience ends at the client, not at an error page."""
    page = person.open(claude)
    web.open.clear()
    key_field(page).fill(API_KEY)
    box = page.get_by_role("button", name="Allow", exact=True).bounding_box()
    assert box
    page.mouse.click(box["x"] + 5, box["y"] + 5)
    wait_for(lambda: web.visits, "the client is asked")
    page.mouse.click(box["x"] + 5, box["y"] + 5)
    wait_for(lambda: len(web.visits) > 1, "the client is asked again")
    web.open.set()
    expect(page).to_have_title("Connected")
    expect(page).to_have_url(re.compile(re.escape(f"{CLAUDE}?code=")))


@pytest.mark.parametrize("options", [{}, NO_SCRIPTS], ids=["with scripts", "without scripts"])
def test_deny_needs_no_key_and_tells_the_client(
    browse: Browse, claude: Client, web: Site, options: dict[str, bool]
) -> None:
    """An empty required field does not hold Deny up; the answer carries access_denied, state and iss."""
    person = browse(**options)
    answer = person.answer(person.open(claude), "Deny", key="")
    assert answer.parameters.keys() == {"error", "error_description", "state", "iss"}
    assert answer.parameters["error"] == "access_denied"
    assert (answer.parameters["state"], answer.parameters["iss"]) == (STATE, claude.url)
    [visit] = web.visits
    assert visit.method == "GET"
    assert "referer" not in visit.headers


def test_a_typed_key_does_not_travel_with_deny(person: Person, claude: Client, web: Site) -> None:
    """Who changes their mind after typing gives the key to nobody but the service."""
    answer = person.answer(person.open(claude), "Deny", key=API_KEY)
    assert answer.parameters["error"] == "access_denied"
    assert API_KEY not in repr(web.visits)


@pytest.mark.parametrize("options", [{}, NO_SCRIPTS], ids=["with scripts", "without scripts"])
def test_wrong_key_then_right_key_on_the_same_page(
    browse: Browse, claude: Client, replica: Replica, options: dict[str, bool]
) -> None:
    """The page comes back with status 401 and an empty field, and goes on from there."""
    person = browse(**options)
    page = person.open(claude)
    response = person.press(page, key="wrong-key")
    assert response.status == 401
    expect(page.get_by_role("alert")).to_have_text("This API key is not valid. Check it and try again.")
    expect(key_field(page)).to_have_value("")
    expect(page.locator(".target")).to_have_text("claude.ai")
    assert "wrong-key" not in page.content()
    replica.logged("sign-in refused", request_id=response.header_value("x-request-id"))
    assert person.press(page, key="another wrong key").status == 401
    code = person.allow(page)
    assert tokens(claude.redeem(code)).access


def test_enter_in_the_key_field_allows(person: Person, claude: Client, web: Site) -> None:
    page = person.open(claude)
    key_field(page).fill(API_KEY)
    key_field(page).press("Enter")
    page.wait_for_url(f"{CLAUDE}?code=**")
    assert len(web.visits) == 1


def test_allow_without_a_key_stays_on_the_page(person: Person, claude: Client, web: Site) -> None:
    """The browser asks for the key before anything is sent."""
    page = person.open(claude)
    page.get_by_role("button", name="Allow", exact=True).click()
    expect(key_field(page)).to_be_focused()
    assert [request.method for request in person.requests] == ["GET"]
    assert web.visits == []
    assert person.allow(page)


def test_expired_request_is_told_so_and_allows_nothing(
    person: Person, claude: Client, replica: Replica, web: Site
) -> None:
    """A page that was open for too long answers 400, even with the right key, and says what to do."""
    page = person.open(claude)
    put_request(page, expired(sealed_request(page), replica))
    response = person.press(page, key=API_KEY)
    assert response.status == 400
    expect(page.get_by_role("heading", level=1)).to_have_text("This page has expired")
    expect(page.get_by_text("Go back to the app and connect again.")).to_be_visible()
    replica.logged("authorization refused", request_id=response.header_value("x-request-id"))
    assert web.visits == []


def test_two_tabs_complete_side_by_side(person: Person, claude: Client, replica: Replica, local: Site) -> None:
    """Each tab has its own request and cookie, so the order of deciding does not matter."""
    other = Client(replica.url, redirect_uri=local.url("/callback"))
    other.register(client_name="Another app")
    first, second = person.open(claude), person.open(other)
    code_of_second = person.allow(second)
    code_of_first = person.allow(first)
    assert claude.active(tokens(claude.redeem(code_of_first)).access)
    assert other.active(tokens(other.redeem(code_of_second)).access)


def test_beyond_the_most_tabs_the_oldest_gives_way(person: Person, claude: Client, web: Site) -> None:
    """A browser holds a few requests: the newest ones work, the oldest is refused and says what to do."""
    pages = [person.open(claude) for _ in range(cookies.MOST + 2)]
    assert len(person.context.cookies()) == cookies.MOST
    for gone in pages[:2]:
        assert person.press(gone, key=API_KEY).status == 403
        expect(gone.get_by_text("Go back to the app and connect again.")).to_be_visible()
    assert web.visits == []
    for page in (pages[-1], *pages[2:-1]):
        assert person.allow(page)


def test_back_after_allow_asks_anew(person: Person, claude: Client) -> None:
    """Nothing of the page is kept: going back shows a new request with an empty field, which can be allowed too."""
    page = person.open(claude)
    before = sealed_request(page)
    first = person.allow(page)
    page.go_back()
    expect(key_field(page)).to_have_value("")
    assert sealed_request(page) != before
    assert [request.method for request in person.requests].count("POST") == 1
    assert person.allow(page) != first


def test_reload_changes_nothing(person: Person, claude: Client) -> None:
    page = person.open(claude)
    page.reload()
    page.reload()
    assert tokens(claude.redeem(person.allow(page))).access


def test_cookie_is_the_browsers_alone(person: Person, claude: Client) -> None:
    """No script reads it, no other site sends it, and it does not outlive the request."""
    page = person.open(claude)
    [cookie] = person.context.cookies()
    assert re.fullmatch(r"tokensvc-[0-9a-f]+", cookie["name"])
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")
    assert 0 < cookie["expires"] - float(page.evaluate("Date.now() / 1000")) <= 600
    assert page.evaluate("document.cookie") == ""


def test_error_that_needs_no_person_goes_straight_to_the_client(person: Person, claude: Client, web: Site) -> None:
    """A request that the client got wrong is answered to it, with state and iss, without a page or a cookie."""
    page = person.open(claude, response_type="token")
    page.wait_for_url(f"{CLAUDE}?error=unsupported_response_type**")
    [visit] = web.visits
    assert "code=" not in visit.target
    assert person.context.cookies() == []


def expired(sealed: str, replica: Replica) -> str:
    """The same request, sealed as if its time were over."""
    now = time.time_ns() // 1_000_000
    keys, client_keys = (
        KeyRing.parse(replica.environment[name], name, now) for name in ("TOKENSVC_KEYS", "TOKENSVC_CLIENT_KEYS")
    )
    sealer = Sealer(keys, client_keys, replica.url, "ts")
    request = sealer.unseal(AuthorizationRequest, sealed, now)
    return sealer.seal(replace(request, exp=now - 1), now)
