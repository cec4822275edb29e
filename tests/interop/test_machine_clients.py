"""The Python SDK's clients that need no person: client credentials, and an identity provider's assertions (ID-JAG)."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from joserfc.jwk import ECKey
from mcp import Client as McpClient
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider
from mcp.client.streamable_http import streamable_http_client

from tests.grants.identity_provider import IdentityProvider, a_second_ahead
from tests.interop.deployment import Deployment, deployed
from tests.interop.mcp_client import Storage
from tests.replica import KNOWN_SECRETS, SECONDS, TLS
from tokensvc.protocol.id_jag import GRANT_TYPE

SECRET = "a-secret-that-is-long-enough-for-robots"
KEY = ECKey.generate_key("P-256")
PROVIDER = IdentityProvider()
HASH = f"sha256:{hashlib.sha256(SECRET.encode()).hexdigest()}"
ROBOT = {"grant_types": ["client_credentials"], "identity": "acme/robot/machine"}
CLIENTS = [
    ROBOT | {"client_id": "robot", "client_secret_hash": HASH},
    ROBOT
    | {
        "client_id": "signing-robot",
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [KEY.as_dict(private=False)]},
    },
    {"client_id": "agent", "client_secret_hash": HASH, "grant_types": [GRANT_TYPE]},
]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    KNOWN_SECRETS.add(SECRET)
    settings = {"clients": json.dumps(CLIENTS), "id_jag_issuers": json.dumps([PROVIDER.entry()])}
    with deployed(tmp_path_factory.mktemp("machines"), "memory://", **settings) as started:
        yield started


@asynccontextmanager
async def connected(deployment: Deployment, auth: httpx2.Auth) -> AsyncIterator[McpClient]:
    url = deployment.server.url
    async with (
        httpx2.AsyncClient(auth=auth, timeout=SECONDS, verify=TLS) as http,
        McpClient(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


def subject(deployment: Deployment, auth: httpx2.Auth) -> str:
    """Whom the protected MCP server takes the client for."""

    async def ask() -> str:
        async with connected(deployment, auth) as session:
            answer = (await session.call_tool("whoami", {})).structured_content
            assert answer is not None
            return str(answer["subject"])

    return asyncio.run(ask())


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@pytest.mark.verifies("MCP Python SDK", "client credentials by secret")
def test_the_sdk_s_client_credentials_with_a_secret(deployment: Deployment, method: str) -> None:
    storage = Storage()
    auth = ClientCredentialsOAuthProvider(
        deployment.server.url,
        storage,
        client_id="robot",
        client_secret=SECRET,
        token_endpoint_auth_method="client_secret_basic" if method == "client_secret_basic" else "client_secret_post",
        issuer=deployment.replica.url,
    )
    assert subject(deployment, auth) == "acme/robot"
    assert storage.tokens is not None
    assert storage.tokens.refresh_token is None


@pytest.mark.verifies("MCP Python SDK", "client credentials by key")
def test_the_sdk_s_client_credentials_with_a_key(deployment: Deployment) -> None:
    signing = SignedJWTParameters(
        issuer="signing-robot",
        subject="signing-robot",
        signing_key=KEY.as_pem(private=True).decode(),
        signing_algorithm="ES256",
    )
    auth = PrivateKeyJWTOAuthProvider(
        deployment.server.url,
        Storage(),
        client_id="signing-robot",
        assertion_provider=signing.create_assertion_provider(),
        issuer=deployment.replica.url,
    )
    assert subject(deployment, auth) == "acme/robot"


@pytest.mark.verifies("MCP Python SDK", "an enterprise's assertion (ID-JAG)")
def test_the_sdk_s_enterprise_managed_authorization(deployment: Deployment) -> None:
    """An assertion per token, for the resource that the SDK names."""
    asked: list[tuple[str, str]] = []
    storage = Storage()

    async def issue(audience: str, resource: str) -> str:
        asked.append((audience, resource))
        return PROVIDER.assertion(now=a_second_ahead(), aud=audience, resource=resource, scope="mcp", sub="U7")

    auth = IdentityAssertionOAuthProvider(
        deployment.server.url,
        storage,
        client_id="agent",
        client_secret=SECRET,
        issuer=deployment.replica.url,
        assertion_provider=issue,
    )
    assert subject(deployment, auth) == "acme/U7"
    assert asked == [(deployment.replica.url, deployment.server.url)]
    assert storage.tokens is not None
    assert storage.tokens.refresh_token is None
