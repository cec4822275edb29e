"""A device that shows a code, and a person at the page where it is entered (RFC 8628)."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.replica import API_KEY, KNOWN_SECRETS, Client, hidden_inputs
from tokensvc.protocol.client import DEVICE_CODE


@dataclass
class Device:
    """A client that registered for the device code grant alone, and what it was answered last."""

    client: Client
    answer: dict[str, Any] = field(default_factory=dict)

    def register(self, **changes: Any) -> None:
        self.client.register(redirect_uris=[], grant_types=[DEVICE_CODE, "refresh_token"], **changes)

    def ask(self, at: str = "", **changes: str) -> httpx.Response:
        """Ask for codes, at another replica where one is given."""
        form = {"client_id": self.client.client_id} | changes
        answer = self.client.http.post(f"{at or self.client.url}/device_authorization", data=form)
        if answer.status_code == 200:
            self.answer = answer.json()
            KNOWN_SECRETS.update({self.answer["device_code"], self.answer["user_code"]})
        return answer

    @property
    def user_code(self) -> str:
        return str(self.answer["user_code"])

    def poll(self, at: str = "", **changes: str) -> httpx.Response:
        """Ask for tokens, at another replica where one is given."""
        form = {"grant_type": DEVICE_CODE, "device_code": self.answer.get("device_code", "")} | changes
        if at:
            return self.client.http.post(f"{at}/token", data={"client_id": self.client.client_id} | form)
        return self.client.token(**form)

    def outcome(self, at: str = "") -> str:
        """The error that the device polls, empty for tokens."""
        answer = self.poll(at)
        return "" if answer.status_code == 200 else str(answer.json()["error"])


@dataclass
class Person:
    """Somebody with a browser at /device of one replica."""

    http: httpx.Client
    url: str

    def __post_init__(self) -> None:
        weakref.finalize(self, self.http.close)

    def open(self, **parameters: str) -> httpx.Response:
        return self.http.get(f"{self.url}/device", params=parameters)

    def enter(self, code: str, page: httpx.Response | None = None) -> httpx.Response:
        """Enter a code on a page, a new one where none is given."""
        return self.post(page or self.open(), user_code=code)

    def decide(self, page: httpx.Response, decision: str = "allow", api_key: str = API_KEY) -> httpx.Response:
        return self.post(page, decision=decision, api_key=api_key)

    def allow(self, code: str, api_key: str = API_KEY) -> httpx.Response:
        return self.decide(self.enter(code), api_key=api_key)

    def post(self, page: httpx.Response, **form: str) -> httpx.Response:
        hidden = hidden_inputs(page.text)
        KNOWN_SECRETS.update(hidden.values())
        return self.http.post(f"{self.url}/device", data=hidden | form)
