"""Nothing is approved but by the person who saw the page, by a click on it (fault 28, what HTTP shows of it).

tests/browser/ has the part that takes a browser.
"""

from __future__ import annotations

import re

import httpx
import pytest

from tests.flows.conftest import Start
from tests.replica import (
    ADMIN_TOKEN,
    API_KEY,
    INTROSPECTION_TOKEN,
    Client,
    Replica,
    hidden_inputs,
    redirect_parameters,
    tokens,
)

HOSTILE_NAMES = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title><svg onload=alert(1)>",
    "' autofocus onfocus='alert(1)",
    "{{ 7*7 }}{% raw %}",
    "Claude\u202egnp.exe",
    "a" * 10_000,
    "&lt;b&gt;",
]
HOSTILE_REDIRECTS = [
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    "blob:https://example.com/x",
    "http://example.com/callback",
    "http://127.0.0.1.example.com/callback",
    "http://localhost@example.com/callback",
    "https://example.com@evil.example.com/callback",
    "https://example.com/callback#fragment",
    "https://example.com\\@evil.example.com/callback",
    "https:///callback",
    "//example.com/callback",
    "/callback",
    "https://example.com/\r\nSet-Cookie: a=b",
    "https://example.com/<script>",
    "intent://example.com#Intent;end",
    "",
]


@pytest.fixture(scope="module")
def replica(start: Start) -> Replica:
    return start("memory://")


@pytest.fixture
def client(replica: Replica) -> Client:
    registered = Client(replica.url)
    registered.register()
    return registered


def approved(replica: Replica) -> int:
    """How many grants the service has logged."""
    return sum(line["event"] == "authorization granted" for line in replica.settled())


def test_a_decision_without_the_cookie_of_the_page_is_forbidden(replica: Replica, client: Client) -> None:
    """Fault 28. A form that another site posts brings no cookie, even with a key and all that the page held."""
    before = approved(replica)
    url, page = client.page()
    client.http.cookies.clear()
    for decision in ("allow", "deny"):
        answer = client.decide(url, page, decision)
        assert (answer.status_code, answer.headers.get("location")) == (403, None)
    assert approved(replica) == before


def test_a_decision_with_the_cookie_of_another_browser_is_forbidden(replica: Replica, client: Client) -> None:
    """Fault 28. An attacker's own page, posted by a victim's browser, which has cookies of its own pages."""
    attacker = Client(replica.url, client_id=client.client_id)
    url, page = attacker.page()
    client.page()
    answer = client.decide(url, page)
    assert (answer.status_code, answer.headers.get("location")) == (403, None)


def test_a_decision_with_a_changed_cookie_is_forbidden(client: Client) -> None:
    """Fault 28."""
    url, page = client.page()
    cookies = {cookie.name: f"{cookie.value}x" for cookie in client.http.cookies.jar}
    client.http.cookies.clear()
    client.http.cookies.update(cookies)
    assert client.decide(url, page).status_code == 403


def test_two_tabs_do_not_disturb_one_another(client: Client) -> None:
    """Fault 28. Each page has a cookie of its own, and the older of two can be allowed last."""
    first, second = client.page(state="one"), client.page(state="two")
    assert redirect_parameters(client.decide(*second))["state"] == "two"
    assert redirect_parameters(client.decide(*first))["state"] == "one"


def test_a_second_click_on_allow_is_a_grant_of_its_own(client: Client) -> None:
    """A double click, or the way back, spoils nothing: whichever of the two answers the browser follows is good."""
    url, page = client.page()
    codes = [redirect_parameters(client.decide(url, page))["code"] for _ in range(2)]
    issued = [tokens(client.redeem(code)) for code in codes]
    families = {client.introspect(each.access)["family"] for each in issued}
    assert len(families) == 2


@pytest.mark.parametrize("extra", [{"decision": "allow", "api_key": API_KEY}, {"prompt": "none"}, {"request": "x"}])
def test_asking_for_the_page_approves_nothing_whatever_the_link_says(
    replica: Replica, client: Client, extra: dict[str, str]
) -> None:
    """Fault 28. GET has no side effects."""
    before = approved(replica)
    answer = client.http.get(client.authorize_url(**extra))
    assert "code=" not in answer.headers.get("location", "")
    assert approved(replica) == before


@pytest.mark.parametrize("decision", ["", "Allow", "ALLOW", "yes", "allow deny"])
def test_anything_but_a_click_on_allow_or_deny_is_no_decision(client: Client, decision: str) -> None:
    """Fault 28. The key alone, as when a form is sent by Enter elsewhere, approves nothing."""
    url, page = client.page()
    answer = client.decide(url, page, decision)
    assert (answer.status_code, answer.headers.get("location")) == (400, None)


def test_two_decisions_at_once_are_none(client: Client) -> None:
    """Fault 28."""
    url, page = client.page()
    form = {**hidden_inputs(page.text), "api_key": API_KEY, "decision": ["deny", "allow"]}
    answer = client.http.post(url, data=form)
    assert (answer.status_code, answer.headers.get("location")) == (400, None)


def test_the_decision_counts_for_what_the_page_showed_and_not_for_the_link(client: Client) -> None:
    """Fault 28. Changing the URL that the form is posted to changes nothing: the request is sealed."""
    _, page = client.page(state="shown")
    other = client.authorize_url(state="other", redirect_uri="https://evil.example.com/", client_id="stranger")
    answer = client.decide(other, page)
    assert answer.headers["location"].startswith(f"{client.redirect_uri}?")
    assert redirect_parameters(answer)["state"] == "shown"


def test_a_wrong_key_shows_the_page_again_and_a_right_one_then_goes_on(client: Client) -> None:
    """The page of a 401 is the same page."""
    url, page = client.page()
    again = client.decide(url, page, api_key="wrong")
    assert (again.status_code, again.headers.get("location")) == (401, None)
    assert hidden_inputs(again.text).keys() == hidden_inputs(page.text).keys()
    assert "wrong" not in re.findall(r'value="([^"]*)"', again.text)
    assert client.redeem(redirect_parameters(client.decide(url, again))["code"]).status_code == 200


def test_every_page_may_run_nothing_and_be_framed_by_nobody(client: Client) -> None:
    """Fault 28. The page, the same after a wrong key, and errors; without the directive that would kill Allow."""
    url, page = client.page()
    pages = [
        page,
        client.decide(url, page, api_key="wrong"),
        client.decide(url, page, "neither"),
        client.decide(url, page, request="x"),
        client.page(client_id="stranger")[1],
        client.page(redirect_uri="https://evil.example.com/")[1],
    ]
    client.http.cookies.clear()
    pages.append(client.decide(url, page))
    assert [answer.status_code for answer in pages] == [200, 401, 400, 400, 400, 400, 403]
    for answer in pages:
        policy = {part.strip().split(" ")[0]: part for part in answer.headers["content-security-policy"].split(";")}
        assert policy["default-src"] == "default-src 'none'"
        assert policy["frame-ancestors"].strip() == "frame-ancestors 'none'"
        assert not {"script-src", "form-action"} & policy.keys()
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_client_name_is_shown_as_text(replica: Replica, name: str) -> None:
    """Fault 28. It brings no tag, attribute or reordering into the page, and the redirect host still stands there."""
    plain, hostile = Client(replica.url), Client(replica.url)
    plain.register()
    hostile.register(client_name=name)
    shapes = [re.findall(r"<[a-z/][^>]*>", client.page()[1].text) for client in (plain, hostile)]
    assert [sealed_out(tag) for tag in shapes[0]] == [sealed_out(tag) for tag in shapes[1]]
    page = hostile.page()[1]
    assert "127.0.0.1:33418" in page.text
    assert "\u202e" not in page.text
    assert len(page.text) < 20_000


def sealed_out(tag: str) -> str:
    """A tag without what differs between two requests."""
    return re.sub(r'value="[^"]{40,}"', "", tag)


@pytest.mark.parametrize("redirect_uri", HOSTILE_REDIRECTS)
def test_a_hostile_redirect_uri_is_neither_registered_nor_redirected_to(client: Client, redirect_uri: str) -> None:
    """Fault 28. At registration an error, at authorization a page."""
    metadata = {"redirect_uris": [client.redirect_uri, redirect_uri]}
    answer = client.http.post(f"{client.url}/register", json=metadata)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_redirect_uri")
    _, page = client.page(redirect_uri=redirect_uri)
    assert (page.status_code, page.headers.get("location")) == (400, None)


@pytest.mark.parametrize("path", ["/authorize", "/introspect", "/admin/revoke", "/admin/denylist", "/healthz"])
def test_no_other_site_may_read_what_is_not_for_web_clients(client: Client, path: str) -> None:
    """Fault 28. Neither the answer itself nor a preflight for it."""
    origin = {"Origin": "https://evil.example.com"}
    preflight = origin | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    secrets = {"/introspect": INTROSPECTION_TOKEN, "/admin/revoke": ADMIN_TOKEN, "/admin/denylist": ADMIN_TOKEN}
    headers = origin | {"Authorization": f"Bearer {secrets.get(path, 'none')}"}
    answers = [
        client.http.options(f"{client.url}{path}", headers=preflight),
        client.http.get(f"{client.url}{path}", headers=headers),
        client.http.post(f"{client.url}{path}", headers=headers, data={"token": "x"}),
    ]
    assert not [answer for answer in answers if "access-control-allow-origin" in answer.headers]


@pytest.mark.parametrize("path", ["/token", "/register", "/.well-known/oauth-authorization-server", "/.well-known/x"])
def test_web_clients_may_read_what_is_for_them_without_credentials(client: Client, path: str) -> None:
    """CORS where clients need it: any origin, no cookies, and the challenge exposed."""
    answer = client.http.get(f"{client.url}{path}", headers={"Origin": "https://inspector.example.com"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    assert "www-authenticate" in answer.headers["access-control-expose-headers"].lower()


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(client: Client) -> None:
    """Fault 28. Its value is 128 random bits, it dies with the request, and it names no host."""
    _, page = client.page()
    [cookie] = page.headers.get_list("set-cookie")
    attributes = {part.strip().split("=")[0].lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite", "max-age", "path"} <= attributes
    assert "domain" not in attributes
    assert "samesite=lax" in cookie.lower()


def test_an_allowed_redirect_is_a_303_that_takes_no_form_along(client: Client) -> None:
    """RFC 9700 §4.12: a 307 would send the API key on to the client."""
    for decision in ("allow", "deny"):
        answer = client.decide(*client.page(), decision)
        assert answer.status_code == 303
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert API_KEY not in answer.headers["location"]


def test_a_request_older_than_its_key_or_foreign_is_an_error_page(client: Client) -> None:
    """Fault 28. What was not sealed here is not decided here."""
    url, page = client.page()
    answer = client.decide(url, page, request="")
    assert (answer.status_code, answer.headers.get("location")) == (400, None)
    assert client.http.post(url, content=b"\xff", headers={"Content-Type": "text/plain"}).status_code == 400
    assert tokens(client.redeem(redirect_parameters(client.decide(url, page))["code"])).access


def test_a_browser_with_many_open_requests_keeps_the_latest(client: Client) -> None:
    """At most a few cookies; the oldest page has to be opened anew, and says so."""
    pages = [client.page(state=str(number)) for number in range(8)]
    assert len([cookie for cookie in client.http.cookies.jar if cookie.name.startswith("tokensvc-")]) <= 4
    assert client.decide(*pages[0]).status_code == 403
    assert client.decide(*pages[-1]).status_code == 303
    assert isinstance(pages[0][1], httpx.Response)
