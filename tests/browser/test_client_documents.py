"""The sign-in page of an app that describes itself in a document: whose word that is stands where people look."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Browse
from tests.browser.site import Site
from tests.https_host import HttpsHost
from tests.ports import free_port
from tests.replica import Client, Replica, settings, tokens

pytestmark = pytest.mark.needs("chromium")

CALLBACK = "https://app.example/callback"
NARROW = {"viewport": {"width": 320, "height": 640}}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsHost]:
    with HttpsHost(tmp_path_factory.mktemp("host")) as started:
        yield started


@pytest.fixture(scope="module")
def replica(host: HttpsHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    port = free_port()
    environment = settings("memory://", port, fetch_networks="127.0.0.0/8,::1")
    environment |= {"SSL_CERT_FILE": str(host.authority)}
    with Replica(environment, port, directory=tmp_path_factory.mktemp("replica")) as started:
        yield started


@pytest.mark.parametrize("options", [{}, NARROW], ids=["wide", "narrow"])
def test_page_names_the_host_beside_where_the_answer_goes(
    browse: Browse, replica: Replica, host: HttpsHost, web: Site, options: dict[str, object]
) -> None:
    client_id = host.publish("/client.json", client_name="<b>Claude</b>", redirect_uris=[CALLBACK])
    client = Client(replica.url, client_id=client_id, redirect_uri=CALLBACK)
    person = browse(**options)
    page = person.open(client)
    expect(page.locator(".target")).to_have_text([f"localhost:{host.port}", "app.example"])
    expect(page.get_by_text("Name not verified")).to_be_visible()
    expect(page.get_by_role("heading")).to_contain_text("<b>Claude</b>")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    answer = person.answer(page)
    assert web.visits
    assert client.active(tokens(client.redeem(answer.parameters["code"])).access)
