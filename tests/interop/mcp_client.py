"""The MCP client of the Python SDK, with its own OAuth, and a person at a browser for its redirects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

import httpx
import httpx2
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from tests.replica import API_KEY, KNOWN_SECRETS, REDIRECT_URI, SECONDS, TLS, hidden_inputs, redirect_parameters

AuthMethod = Literal["none", "client_secret_basic", "client_secret_post"]


@dataclass
class Person:
    """Fills in the sign-in page as a browser does: opens it, keeps its cookie, posts its form."""

    decision: Literal["allow", "deny"] = "allow"
    api_key: str = API_KEY
    asked: list[str] = field(default_factory=list)
    """Every authorization URL that was opened."""
    answer: dict[str, str] = field(default_factory=dict)

    async def open(self, url: str) -> None:
        self.asked.append(url)
        async with httpx.AsyncClient(timeout=SECONDS, verify=TLS) as browser:
            page = await browser.get(url)
            assert page.status_code == 200, page.text
            form = hidden_inputs(page.text) | {"api_key": self.api_key, "decision": self.decision}
            answer = await browser.post(url, data=form)
        assert answer.status_code == 303, answer.text
        self.answer = redirect_parameters(answer)
        KNOWN_SECRETS.add(self.answer.get("code", API_KEY))

    async def return_to_client(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult(
            code=self.answer.get("code", ""), state=self.answer.get("state"), iss=self.answer.get("iss")
        )


@dataclass
class Storage:
    """What a client keeps, in memory."""

    tokens: OAuthToken | None = None
    registration: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        KNOWN_SECRETS.update({tokens.access_token, tokens.refresh_token or tokens.access_token})
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.registration

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.registration = client_info


@dataclass
class SdkClient:
    """One installation of an app that is built on the SDK."""

    server_url: str
    method: AuthMethod | None = "none"
    person: Person = field(default_factory=Person)
    storage: Storage = field(default_factory=Storage)
    document: str | None = None
    """The URL of its client metadata document, if it has one."""
    provider: OAuthClientProvider = field(init=False)

    def __post_init__(self) -> None:
        metadata = OAuthClientMetadata.model_validate(
            {
                "client_name": "SDK client",
                "redirect_uris": [REDIRECT_URI],
                "token_endpoint_auth_method": self.method,
            }
        )
        self.provider = OAuthClientProvider(
            self.server_url,
            metadata,
            self.storage,
            self.person.open,
            self.person.return_to_client,
            client_metadata_url=self.document,
        )

    @property
    def tokens(self) -> OAuthToken:
        assert self.storage.tokens is not None
        return self.storage.tokens

    @property
    def registration(self) -> OAuthClientInformationFull:
        assert self.storage.registration is not None
        return self.storage.registration

    @asynccontextmanager
    async def connect(self, mode: Literal["auto", "legacy"] = "auto") -> AsyncIterator[Client]:
        async with (
            httpx2.AsyncClient(auth=self.provider, timeout=SECONDS, verify=TLS) as http,
            Client(streamable_http_client(self.server_url, http_client=http), mode=mode) as client,
        ):
            yield client
