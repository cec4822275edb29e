"""Clients that lie, look like another one, or try to run something: it stays text, and the form still works."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Browse
from tests.browser.person import Person, key_field, overflow
from tests.browser.site import Site
from tests.replica import Client, Replica, tokens

pytestmark = pytest.mark.needs("chromium")

CALLBACK = "https://client.example/callback"
PHONE = {"viewport": {"width": 320, "height": 640}}

NAMES = {
    "script": ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    "image": ('"><img src=x onerror=alert(1)>', '"><img src=x onerror=alert(1)>'),
    "picture from elsewhere": ("<img src=//evil.example/a.png>", "<img src=//evil.example/a.png>"),
    "link": ("<a href=https://evil.example>Allow</a>", "<a href=https://evil.example>Allow</a>"),
    "form": ("</form><form action=//evil.example>", "</form><form action=//evil.example>"),
    "handler": ('" autofocus onfocus="alert(1)', '" autofocus onfocus="alert(1)'),
    "style": ("</bdi><style>*{display:none}</style>", "</bdi><style>*{display:none}</style>"),
    "refresh": ("<meta http-equiv=refresh content=0;//evil>", "<meta http-equiv=refresh content=0;//evil>"),
    "template": ("{{ 7*7 }} {% raw %} ${7*7}", "{{ 7*7 }} {% raw %} ${7*7}"),
    "right to left": ("\u202eedualC", "edualC"),
    "zero width": ("Cla\u200bude\u200d\ufeff\u2060", "Claude"),
    "wide": ("W" * 48, "W" * 48),
    "emoji": ("🙂👩\u200d👧🇪🇺", "🙂👩👧🇪🇺"),
    "lines": ("Claude\n\n\tVerified by your bank", "ClaudeVerified by your bank"),
    "nothing to see": ("\u200b\u2800\u3164", ""),
}


@pytest.mark.parametrize(("name", "shown"), NAMES.values(), ids=NAMES.keys())
def test_name_is_only_text(browse: Browse, replica: Replica, web: Site, name: str, shown: str) -> None:
    """Nothing runs, nothing is fetched, nothing is added to the page, it fits a phone, and the form works."""
    person = browse(**PHONE)
    client = Client(replica.url, redirect_uri=CALLBACK)
    client.register(client_name=name)
    page = person.open(client)
    if shown:
        assert page.locator("h1 .name").text_content() == shown
        expect(page.get_by_text("Name not verified")).to_be_visible()
    else:
        expect(page.get_by_role("heading", level=1)).to_have_text("Allow an app without a name to act as you?")
    assert page.locator("form, input, button").count() == 5
    assert page.locator("a, img, script, iframe, svg, object, embed, link, base").count() == 0
    assert page.locator("style").count() == page.locator("meta[name=robots]").count() == 1
    assert overflow(page) == 0
    assert client.active(tokens(client.redeem(person.allow(page))).access)
    assert [visit.host for visit in web.visits] == ["client.example"]


HOSTS = {
    "long": "accounts.google.com." + "login." * 30 + "attacker.example",
    "long label": "a" * 63 + ".example",
    "look-alike": "xn--laude-0ye.ai",
    "look-alike top level": "claude.xn--80ak6aa92e",
    "begins like another": "claude.ai.attacker.example",
    "another port": "claude.ai:8443",
}


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS.keys())
def test_host_is_shown_as_what_it_is(browse: Browse, replica: Replica, web: Site, host: str) -> None:
    """The whole host in ASCII, its end never cut, and it is the one that gets the code."""
    person = browse(**PHONE)
    client = Client(replica.url, redirect_uri=f"https://{host}/callback")
    client.register(client_name="Claude")
    page = person.open(client)
    target = page.locator(".target")
    assert target.text_content() == host
    assert overflow(page) == 0
    assert target.evaluate("element => element.scrollHeight <= element.clientHeight + 1")
    assert person.allow(page)
    assert [visit.host for visit in web.visits] == [host]


ELSEWHERE = [
    "javascript:alert(1)",
    "javascript://client.example/%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:/msgbox",
    "file:///etc/passwd",
    "blob:https://client.example/x",
    "https://claude.ai@evil.example/callback",
    "https://claude.ai\\@evil.example/callback",
    "https://evil.example\t.claude.ai/callback",
    "https://claude.ai%2eevil.example/callback",
    "https://\u0441laude.ai/callback",
    "https:/evil.example/callback",
    "https:evil.example/callback",
    "//evil.example/callback",
    "http://evil.example/callback",
    "http://127.0.0.1.evil.example/callback",
    CALLBACK + "/../other",
    CALLBACK + "?more",
    CALLBACK.replace("client", "CLIENT") + "#" + CALLBACK,
    '"><script>alert(1)</script>',
]


def test_request_cannot_lead_elsewhere(person: Person, replica: Replica, web: Site) -> None:
    """A redirect URI that the client did not register, or that nobody can, gives a page and never a redirect."""
    client = Client(replica.url, redirect_uri=CALLBACK)
    client.register()
    page = person.open(client)
    for redirect_uri in ELSEWHERE:
        response = page.goto(client.authorize_url(redirect_uri=redirect_uri))
        assert response
        assert (response.status, response.request.redirected_from) == (400, None), redirect_uri
        expect(page.get_by_role("heading", level=1)).to_have_text("The app asks to be answered elsewhere")
        assert page.get_by_role("button").or_(page.get_by_role("link")).count() == 0
    assert web.visits == []


@pytest.mark.parametrize(
    "state",
    [
        '"><script>alert(1)</script>',
        "&code=stolen&iss=https://evil.example&error=access_denied",
        "#code=stolen",
        "%0d%0aSet-Cookie: planted=1",
        "; path=/ + % %% %zz é 日本 🙂",
        "x" * 2048,
    ],
    ids=["script", "parameters", "fragment", "header", "unusual", "longest"],
)
def test_state_comes_back_as_it_was(person: Person, replica: Replica, web: Site, state: str) -> None:
    """It neither shows nor runs, adds no parameter to the answer and no header to the response."""
    client = Client(replica.url, redirect_uri=CALLBACK)
    client.register()
    page = person.open(client, state=state)
    assert state not in page.content()
    answer = person.answer(page)
    assert answer.parameters.keys() == {"code", "state", "iss"}
    assert (answer.parameters["state"], answer.parameters["iss"]) == (state, replica.url)
    assert urlsplit(answer.url).fragment == ""
    assert client.active(tokens(client.redeem(answer.parameters["code"])).access)
    assert len(web.visits) == 1
    assert not [cookie for cookie in person.context.cookies() if not cookie["name"].startswith("tokensvc-")]


@pytest.mark.parametrize("state", ["a\r\nSet-Cookie: planted=1", "\u202e", "\u0000"])
def test_state_that_cannot_be_echoed_goes_nowhere(person: Person, replica: Replica, web: Site, state: str) -> None:
    client = Client(replica.url, redirect_uri=CALLBACK)
    client.register()
    page = person.open(client, state=state)
    expect(page.get_by_role("heading", level=1)).to_have_text("This link is damaged")
    assert person.context.cookies() == []
    assert web.visits == []


def test_other_parameters_do_not_show(person: Person, replica: Replica, web: Site) -> None:
    """Whatever a link carries, a page shows only what the service knows."""
    client = Client(replica.url, redirect_uri=CALLBACK)
    client.register()
    page = person.open(client)
    for name in ("scope", "resource", "code_challenge", "response_type", "response_mode", "client_id", "nonsense"):
        page.goto(client.authorize_url(**{name: '"><script>alert(1)</script><img src=//evil.example>'}))
        assert "script>alert" not in page.content()
    assert {visit.host for visit in web.visits} == {"client.example"}


def test_policy_stops_what_would_slip_through(browse: Browse, replica: Replica, web: Site) -> None:
    """Were markup ever let through, its scripts, pictures, frames and styles would do nothing, and it would show."""
    person = browse()
    client = Client(replica.url, redirect_uri=CALLBACK)
    client.register()
    page = person.open(client)
    page.evaluate(
        """() => {
            window.ran = 0
            const add = html => document.querySelector('main').append(
                document.createRange().createContextualFragment(html))
            add('<script>window.ran += 1</script>')
            add('<script src="https://evil.example/a.js"></script>')
            add('<img src="https://evil.example/a.png" onerror="window.ran += 1">')
            add('<iframe src="https://evil.example/"></iframe>')
            add('<link rel="stylesheet" href="https://evil.example/a.css">')
            add('<style>body { display: none }</style>')
            add('<p style="position: fixed">over the page</p>')
            add('<base href="https://evil.example/">')
        }"""
    )
    assert page.evaluate("fetch('https://evil.example/').then(() => 'sent', () => 'blocked')") == "blocked"
    expect(key_field(page)).to_be_visible()
    assert page.evaluate("window.ran") == 0
    assert page.evaluate("document.baseURI") == page.url
    assert page.get_by_text("over the page").evaluate("element => getComputedStyle(element).position") == "static"
    assert web.visits == []
    for directive in ("script-src", "img-src", "frame-src", "style-src", "base-uri", "connect-src"):
        person.hears(page, directive)
    # These were the test's own, and the policy's work.
    person.expected.append("Content Security Policy")
    person.known.add("evil.example")
