"""Both MCP SDKs with a Client ID Metadata Document instead of a registration, from a host under a test authority."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import pytest

from tests.https_host import HttpsHost
from tests.interop import node
from tests.interop.deployment import Deployment, deployed
from tests.replica import API_KEY, REDIRECT_URI
from tokensvc.tokens.kinds import client_handle


@pytest.fixture(scope="module")
def client_id(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a published document. Whatever starts meanwhile trusts its host."""
    with HttpsHost(tmp_path_factory.mktemp("host")) as host, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(host.authority))
        yield host.publish("/app/client.json", redirect_uris=[REDIRECT_URI])


@pytest.fixture(scope="module")
def deployment(client_id: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    assert client_id
    with deployed(tmp_path_factory.mktemp("mcp"), "memory://", fetch_networks="127.0.0.0/8") as started:
        yield started


@pytest.mark.needs("node")
@pytest.mark.verifies("MCP TypeScript SDK", "a client metadata document instead of registering")
def test_the_typescript_sdk_comes_with_a_document(deployment: Deployment, client_id: str) -> None:
    given = {"server": deployment.server.url, "apiKey": API_KEY, "method": "none", "document": client_id}
    seen = node.run("mcp_flow.mjs", given)
    assert seen["client"]["client_id"] == client_id
    assert seen["me"] == seen["meAgain"]
    assert (seen["me"]["subject"], seen["me"]["client"]) == ("acme/ada", client_handle(client_id))


@pytest.mark.verifies("MCP Python SDK", "a client metadata document instead of registering")
def test_the_python_sdk_comes_with_a_document(deployment: Deployment, client_id: str) -> None:
    async def story() -> None:
        client = deployment.client(document=client_id)
        async with client.connect() as session:
            me = (await session.call_tool("whoami", {})).structured_content
        assert me is not None
        assert client.registration.client_id == client_id
        assert (me["subject"], me["client"]) == ("acme/ada", client_handle(client_id))

    anyio.run(story)
