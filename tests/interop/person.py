"""A person at a browser who follows an authorization URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import httpx

from tests.replica import API_KEY, KNOWN_SECRETS, SECONDS, TLS, hidden_inputs


@dataclass(frozen=True)
class Person:
    decision: Literal["allow", "deny"] = "allow"

    def open(self, url: str) -> str:
        """Sign in and decide; the URL that the browser is sent back to."""
        with httpx.Client(timeout=SECONDS, verify=TLS) as browser:
            page = browser.get(url)
            assert page.status_code == 200, page.text
            form = hidden_inputs(page.text) | {"api_key": API_KEY, "decision": self.decision}
            answer = browser.post(url, data=form)
        assert answer.status_code == 303, answer.text
        back = answer.headers["location"]
        KNOWN_SECRETS.add(httpx.URL(back).params.get("code", API_KEY))
        return back
