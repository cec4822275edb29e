"""The pages as they are in production: an https issuer with a path, TLS ended before the replica."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.person import Person, key_field
from tests.browser.site import Site, tls_context, tls_front
from tests.ports import free_port
from tests.replica import API_KEY, Client, Replica, settings, tokens
from tokensvc.endpoints import cookies

pytestmark = pytest.mark.needs("chromium")

ISSUER = "https://auth.example/tokens"
CALLBACK = "https://client.example/callback"


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    port = free_port()
    variables = settings("memory://", port, issuer=ISSUER)
    with Replica(variables, port, directory=tmp_path_factory.mktemp("replica")) as started:
        yield started


@pytest.fixture(scope="module")
def hosts(replica: Replica, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    name = urlsplit(ISSUER).netloc
    with tls_front(replica.port, tls_context(tmp_path_factory.mktemp("front"), name)) as port:
        yield {name: port}


@pytest.fixture
def client(replica: Replica) -> Client:
    """A client that was registered at the replica itself, and sends people to the issuer."""
    client = Client(replica.url, redirect_uri=CALLBACK)
    client.register(client_name="Claude")
    client.url = ISSUER
    return client


def test_allow_and_deny_work_under_the_issuers_path(
    person: Person, client: Client, replica: Replica, web: Site
) -> None:
    """The form goes back to where it came from, and both answers carry the public issuer."""
    page = person.open(client)
    expect(page.locator("footer")).to_contain_text("operated by auth.example.")
    expect(page.locator("footer")).not_to_contain_text(str(replica.port))
    answer = person.answer(page)
    assert answer.parameters["iss"] == ISSUER
    denied = person.answer(person.open(client), "Deny", key="")
    assert (denied.parameters["error"], denied.parameters["iss"]) == ("access_denied", ISSUER)
    assert {request.url.partition("?")[0] for request in person.requests} == {f"{ISSUER}/authorize", CALLBACK}
    assert API_KEY not in repr(web.visits)
    client.url = replica.url
    assert client.active(tokens(client.redeem(answer.parameters["code"])).access)


def test_cookie_belongs_to_this_host_alone(person: Person, client: Client) -> None:
    """`__Host-`: Secure, for the whole host and no other; no page over http, and no other name, can plant one."""
    page = person.open(client)
    [cookie] = person.context.cookies()
    assert cookie["name"].startswith("__Host-tokensvc-")
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Lax")
    assert (cookie["domain"], cookie["path"]) == ("auth.example", "/")
    plain = cookie["name"].removeprefix("__Host-")
    person.context.clear_cookies()
    person.context.add_cookies([{"name": plain, "value": cookie["value"], "url": ISSUER}])
    assert person.press(page, key=API_KEY).status == 403


def test_wrong_key_and_a_few_tabs(person: Person, client: Client) -> None:
    """The browser takes the deletion of the oldest `__Host-` cookie too, and the pages that are left still work."""
    pages = [person.open(client) for _ in range(cookies.MOST + 1)]
    assert len(person.context.cookies()) == cookies.MOST
    assert person.press(pages[0], key=API_KEY).status == 403
    assert person.press(pages[-1], key="wrong key").status == 401
    expect(key_field(pages[-1])).to_be_focused()
    assert person.allow(pages[-1])
    assert person.allow(pages[1])
