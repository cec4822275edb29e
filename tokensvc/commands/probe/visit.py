"""What one client met, in the order of the flow. Nothing here asks, and nothing judges."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tokensvc.commands.probe.clients import KnownClient
from tokensvc.commands.probe.courier import Answer, printable
from tokensvc.commands.probe.discovery import Discovery, Target


@dataclass(frozen=True, slots=True)
class Asked:
    """One authorization request and what it met."""

    redirect_uri: str
    url: str = field(repr=False)
    answer: Answer

    @property
    def error(self) -> str:
        """Why no person could go on from here; empty where one could."""
        answer = self.answer
        if answer.problem or answer.status >= 400:
            return answer.problem or " ".join(filter(None, (f"answers {answer.status}", answer.error)))
        return f"sends the browser back with {printable(self.refusal, 60)}" if self.refusal else ""

    @property
    def refusal(self) -> str:
        """The error code with which the browser was sent back to the client (RFC 6749 §4.1.2.1)."""
        return self.returned("error")

    def returned(self, name: str) -> str:
        """A parameter of the redirect to the client; empty where there is none."""
        location = self.answer.location
        return _query(location).get(name, "") if location.startswith(f"{self.redirect_uri}?") else ""


@dataclass(frozen=True, slots=True)
class Visit:
    """What one client met. What it did not come to is None or empty. `client_id` and whatever was registered may be
    secret, and no repr shows them.

    `relieved`: parameters without which, or with a plain one, the first refused request would have been answered.
    `refused` is the answer to a response_type that does not exist; `stranger_page`, `stranger_token` those to a client
    that does not exist; `token` the one to a code that does not.
    """

    client: KnownClient
    target: Target
    discovery: Discovery
    registration: Answer | None = None
    client_id: str = field(default="", repr=False)
    by_document: bool = False
    asked: tuple[Asked, ...] = ()
    relieved: tuple[str, ...] = ()
    refused: Asked | None = None
    token: Answer | None = None
    stranger_page: Answer | None = None
    stranger_token: Answer | None = None
    preflight: Answer | None = None

    @property
    def is_open(self) -> bool:
        """It begins without a token, and clients look for none."""
        return self.target.challenge is not None and self.target.challenge.status < 300

    @property
    def metadata(self) -> dict[str, Any]:
        return self.discovery.metadata

    @property
    def registered(self) -> dict[str, Any]:
        return (self.registration.document or {}) if self.registration else {}

    @property
    def seconds(self) -> float:
        """Discovery, registration and token together."""
        answers = (*self.discovery.asked, *self.discovery.tried, self.registration, self.token)
        return sum(answer.seconds for answer in answers if answer)


def strings(document: Mapping[str, Any], name: str) -> list[str]:
    """A member that is a list of strings; whatever else it is counts as none."""
    value = document.get(name)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _query(url: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    except ValueError:
        return {}
