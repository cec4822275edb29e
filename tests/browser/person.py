"""A person at a browser of their own, which notes whatever runs, complains or leaves in there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Locator, Page, Request, Response

from tests.replica import API_KEY, SECONDS, Client, wait_for

# What Chromium says of every page with such a status.
STATUS_NOTE = "Failed to load resource: the server responded with a status of 4"


@dataclass
class Answer:
    """How a decision reached the client: the redirect that the browser followed."""

    url: str
    parameters: dict[str, str]


@dataclass
class Person:
    """One browser context. `known` are the places that it may ask, `expected` what may stand in a complaint."""

    context: BrowserContext
    known: set[str]
    expected: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context.set_default_timeout(SECONDS * 1000)
        self.context.on("dialog", self._dialog)
        self.context.on("console", self._console)
        self.context.on("weberror", lambda error: self.complaints.append(f"error: {error.error}"))
        self.context.on("request", lambda request: self.requests.append(request))

    def open(self, client: Client, **changes: str) -> Page:
        """Follow the client's link in a new tab."""
        self.known.add(place(client.redirect_uri))
        page = self.context.new_page()
        page.goto(client.authorize_url(**changes))
        return page

    def press(self, page: Page, button: str = "Allow", key: str = "") -> Response:
        """Press a button of the sign-in page, the key typed in before, and return what the service answered."""
        if key:
            key_field(page).fill(key)
        with page.expect_response(lambda response: response.request.method == "POST") as posted:
            page.get_by_role("button", name=button, exact=True).click()
        return posted.value

    def answer(self, page: Page, button: str = "Allow", key: str = API_KEY) -> Answer:
        """Decide, and return what the client is told: a GET without the key, after a 303."""
        with page.expect_request(_after_a_post) as sent:
            response = self.press(page, button, key)
        assert response.status == 303, response.status
        assert (sent.value.method, sent.value.post_data) == ("GET", None)
        url = sent.value.url
        if url.startswith("http"):
            page.wait_for_url(url)
        pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
        assert len(dict(pairs)) == len(pairs), f"a parameter is repeated: {url}"
        return Answer(url, dict(pairs))

    def allow(self, page: Page) -> str:
        """Sign in, allow, and return the code."""
        return self.answer(page).parameters["code"]

    def hears(self, page: Page, complaint: str) -> None:
        """Wait for the browser to complain, as a test wants it to."""
        self.expected.append(complaint)
        wait_for(lambda: any(complaint in heard for heard in self._events(page)), complaint)

    def undisturbed(self, secrets: Iterable[str] = (API_KEY,)) -> None:
        """Nothing ran, nothing broke the policy, nobody else was asked, and no secret stood in an address."""
        unexpected = [heard for heard in self.complaints if not any(text in heard for text in self.expected)]
        assert not unexpected, unexpected
        urls = [request.url for request in self.requests]
        elsewhere = {place(url) for url in urls} - self.known
        assert not elsewhere, elsewhere
        telling = [url for url in urls for secret in secrets if secret in unquote_plus(url)]
        assert not telling, telling

    def _events(self, page: Page) -> list[str]:
        page.title()  # asking the page anything lets its events in
        return self.complaints

    def _dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(STATUS_NOTE):
            self.complaints.append(f"console: {message.text}")


def place(url: str) -> str:
    """Host and port, or the private scheme."""
    parts = urlsplit(url)
    return parts.netloc if parts.scheme in {"http", "https"} else f"{parts.scheme}:"


def key_field(page: Page) -> Locator:
    return page.get_by_label("Your API key")


def sealed_request(page: Page) -> str:
    return page.locator("input[name=request]").input_value()


def put_request(page: Page, sealed: str) -> None:
    """Put another sealed request into the form, as someone who can edit the page does."""
    page.locator("input[name=request]").evaluate("(field, sealed) => { field.value = sealed }", sealed)


def overflow(page: Page) -> Any:
    """How many pixels the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def _after_a_post(request: Request) -> bool:
    before = request.redirected_from
    return before is not None and before.method == "POST"
