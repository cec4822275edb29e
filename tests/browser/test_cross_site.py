"""Other websites, and other browsers: none of them gets a decision that a person did not make on the page."""

from __future__ import annotations

import html
from collections.abc import Mapping

import pytest
from playwright.sync_api import Page, Response, expect

from tests.browser.person import Person, key_field, put_request, sealed_request
from tests.browser.site import Site
from tests.replica import API_KEY, Client, Replica, hidden_inputs

pytestmark = pytest.mark.needs("chromium")

CALLBACK = "https://client.example/callback"
NEIGHBOURS = pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["other site", "same site, other port"])


@pytest.fixture
def client(replica: Replica) -> Client:
    client = Client(replica.url, redirect_uri=CALLBACK)
    client.register()
    return client


@NEIGHBOURS
@pytest.mark.parametrize("decision", ["allow", "deny"])
def test_form_of_another_website_decides_nothing(
    person: Person, client: Client, replica: Replica, web: Site, local: Site, host: str, decision: str
) -> None:
    """Not even with this browser's own request, stolen, and a right key: 403, and the person's own page still works."""
    page = person.open(client)
    stolen = {"request": sealed_request(page), "api_key": API_KEY, "decision": decision}
    refused(posted_from(local, host, person, client.authorize_url(), stolen), replica)
    assert web.visits == []
    assert person.allow(page)


@NEIGHBOURS
def test_nobody_is_signed_in_as_the_attacker(
    person: Person, client: Client, replica: Replica, web: Site, local: Site, host: str
) -> None:
    """An attacker's own request and key, posted in another browser, do not connect that person's client to them."""
    url, page = client.page()
    own = hidden_inputs(page.text) | {"api_key": API_KEY, "decision": "allow"}
    refused(posted_from(local, host, person, url, own), replica)
    assert web.visits == []


def test_a_planted_cookie_does_not_help(
    person: Person, client: Client, replica: Replica, web: Site, local: Site
) -> None:
    """Another port of this host can set cookies for it, so the cookie alone would not keep its form out."""
    url, page = client.page()
    [(name, value)] = page.cookies.items()
    own = hidden_inputs(page.text) | {"api_key": API_KEY, "decision": "allow"}
    attack = f"<script>document.cookie = '{name}={value}; path=/'</script>"
    refused(posted_from(local, "127.0.0.1", person, url, own, attack), replica)
    assert [cookie["name"] for cookie in person.context.cookies()] == [name]
    assert web.visits == []


def test_request_of_one_browser_is_refused_in_another(
    person: Person, stranger: Person, client: Client, replica: Replica, web: Site
) -> None:
    """Who got hold of a sealed request, and even has a page of their own open, cannot decide on it."""
    page, theirs = person.open(client), stranger.open(client)
    put_request(theirs, sealed_request(page))
    refused(stranger.press(theirs, key=API_KEY), replica)
    expect(theirs.get_by_text("The decision did not come from the browser that the page was shown in")).to_be_visible()
    assert web.visits == []
    assert person.allow(page)


def test_request_of_one_tab_is_decided_by_its_own_cookie(
    person: Person, stranger: Person, client: Client, replica: Replica, web: Site
) -> None:
    """The other person's cookie under the right name has the wrong value."""
    page, theirs = person.open(client), stranger.open(client)
    [mine], [other] = person.context.cookies(), stranger.context.cookies()
    stranger.context.add_cookies([{**other, "name": mine["name"]}])  # type: ignore[typeddict-item]
    put_request(theirs, sealed_request(page))
    refused(stranger.press(theirs, key=API_KEY), replica)
    assert web.visits == []


@NEIGHBOURS
def test_page_cannot_be_framed(person: Person, client: Client, local: Site, host: str) -> None:
    """Nothing to click through to: neither another site nor another port may put the page under its own."""
    url = html.escape(client.authorize_url())
    frames = (f'<iframe src="{url}"></iframe>', f'<embed src="{url}">', f'<object data="{url}"></object>')
    local.page("/attack", "".join(frames))
    page = visit(person, local.url("/attack", host))
    framed = [request for request in person.requests if request.url.startswith(client.url)]
    assert len(framed) == len(frames)
    person.hears(page, "frame-ancestors")
    assert not [inner.url for inner in page.frames if inner.url.startswith(client.url)]


@NEIGHBOURS
def test_page_cannot_be_read_by_a_script(person: Person, client: Client, local: Site, host: str) -> None:
    """The sealed request stays out of reach of other origins, with the browser's cookies and without."""
    local.page("/attack", "")
    page = visit(person, local.url("/attack", host))
    for credentials in ("include", "omit"):
        read = page.evaluate(
            """([url, credentials]) => fetch(url, {credentials}).then(answer => answer.text(), () => 'refused')""",
            [client.authorize_url(), credentials],
        )
        assert read == "refused"
    person.hears(page, "blocked by CORS policy")
    person.expected.append("net::ERR_FAILED")


def test_popup_of_a_web_client_works_and_stays_closed_to_it(person: Person, client: Client, local: Site) -> None:
    """A web client opens the page in a window of its own and waits: it sees nothing of it until it comes back."""
    client = Client(client.url, redirect_uri=local.url("/callback"))
    client.register()
    local.page("/app", "<h1>An app</h1>")
    app = visit(person, local.url("/app"))
    person.known.add(f"127.0.0.1:{local.port}")
    with app.expect_popup() as opened:
        app.evaluate("url => { window.popup = window.open(url, '', 'popup') }", client.authorize_url())
    popup = opened.value
    expect(key_field(popup)).to_be_visible()
    assert (
        app.evaluate("(() => { try { return window.popup.document.title } catch { return 'closed' } })()") == "closed"
    )
    code = person.allow(popup)
    assert code in app.evaluate("window.popup.location.href")


def posted_from(site: Site, host: str, person: Person, url: str, form: Mapping[str, str], before: str = "") -> Response:
    """Open a page of the site that posts the form by itself, and return what the service answered."""
    inputs = "".join(f'<input name="{name}" value="{html.escape(value)}">' for name, value in form.items())
    action = html.escape(url)
    site.page(
        "/attack",
        f'{before}<form method="post" action="{action}">{inputs}</form><script>document.forms[0].submit()</script>',
    )
    page = person.context.new_page()
    person.known.add(f"{host}:{site.port}")
    with page.expect_response(lambda response: response.request.method == "POST") as posted:
        page.goto(site.url("/attack", host))
    expect(page.get_by_role("heading", name="What to do next")).to_be_visible()
    return posted.value


def visit(person: Person, url: str) -> Page:
    person.known.add(url.split("/")[2])
    page = person.context.new_page()
    page.goto(url)
    return page


def refused(response: Response, replica: Replica) -> None:
    """A 403 page, and the log says that this very request was refused."""
    assert response.status == 403
    headers = response.headers
    assert "location" not in headers
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    replica.logged("authorization refused", request_id=headers["x-request-id"])
