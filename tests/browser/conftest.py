"""A replica, the sites around it and one Chromium for each module; a browser of their own for each person in a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests import parts
from tests.browser.person import Person
from tests.browser.site import Site, tls_context
from tests.ports import free_port
from tests.replica import SECONDS, Replica, settings

Browse = Callable[..., Person]

SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-software-rasterizer",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# A busy machine takes its time, which says nothing about the pages.
expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    port = free_port()
    with Replica(settings("memory://", port), port, directory=tmp_path_factory.mktemp("replica")) as started:
        yield started


@pytest.fixture(scope="module")
def every_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tls_context(tmp_path_factory.mktemp("tls"), "claude.ai", "*.example")) as site:
        yield site


@pytest.fixture(scope="module")
def machine() -> Iterator[Site]:
    with Site() as site:
        yield site


@pytest.fixture
def web(every_site: Site) -> Site:
    """The https site that the browser finds under every name there is: a hosted client, or whom a leak would reach."""
    every_site.forget()
    return every_site


@pytest.fixture
def local(machine: Site) -> Site:
    """An http site of this machine, as 127.0.0.1 and as localhost."""
    machine.forget()
    return machine


@pytest.fixture(scope="module")
def hosts() -> dict[str, int]:
    """Names that lead to another port than `web`; a module may have its own."""
    return {}


@pytest.fixture(scope="module")
def chromium(every_site: Site, hosts: dict[str, int]) -> Iterator[Browser]:
    leads = [*hosts.items(), ("*", every_site.port)]
    rules = [*(f"MAP {name} 127.0.0.1:{port}" for name, port in leads), "EXCLUDE 127.0.0.1", "EXCLUDE localhost"]
    switches = [*SWITCHES, f"--host-resolver-rules={','.join(rules)}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=parts.path("chromium"), args=switches)
        yield browser
        browser.close()


@pytest.fixture
def browse(chromium: Browser, replica: Replica) -> Iterator[Browse]:
    """Make a person with a browser of their own; in the end, nothing may have disturbed any of them."""
    people: list[Person] = []
    service = urlsplit(replica.environment["TOKENSVC_ISSUER"]).netloc
    with ExitStack() as contexts:

        def new(**options: Any) -> Person:
            context = chromium.new_context(ignore_https_errors=True, **options)
            contexts.callback(context.close)
            people.append(Person(context, {service}))
            return people[-1]

        yield new
        for person in people:
            person.undisturbed()


@pytest.fixture
def person(browse: Browse) -> Person:
    return browse()


@pytest.fixture
def stranger(browse: Browse) -> Person:
    """Somebody else, at another browser."""
    return browse()
