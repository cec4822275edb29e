"""What else the TypeScript SDK can: clients that need no person, and tokens that are bound to a key."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.grants.identity_provider import a_second_ahead
from tests.interop import node
from tests.interop.deployment import SECRET as INTROSPECTION
from tests.interop.deployment import Deployment, deployed
from tests.interop.test_machine_clients import CLIENTS, KEY, PROVIDER, SECRET
from tests.replica import API_KEY, KNOWN_SECRETS, Client

pytestmark = pytest.mark.needs("node")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    KNOWN_SECRETS.add(SECRET)
    settings = {"clients": json.dumps(CLIENTS), "id_jag_issuers": json.dumps([PROVIDER.entry()])}
    with deployed(tmp_path_factory.mktemp("mcp"), "memory://", **settings) as started:
        yield started


@pytest.mark.verifies("MCP TypeScript SDK", "client credentials by secret and by key, an assertion (ID-JAG)")
def test_clients_without_a_person_call_a_tool(deployment: Deployment) -> None:
    issuer, server = deployment.replica.url, deployment.server.url
    assertion = PROVIDER.assertion(now=a_second_ahead(), aud=issuer, resource=server, scope="mcp", sub="U7")
    given = {"server": server, "issuer": issuer, "secret": SECRET, "key": KEY.as_dict(private=True)}
    seen = node.run("mcp_machines.mjs", given | {"assertions": [assertion]})
    assert seen["subjects"] == {"secret": "acme/robot", "key": "acme/robot", "assertion": "acme/U7"}
    assert seen["asked"] == [[issuer, server]]
    assert not any("refresh_token" in tokens for tokens in seen["tokens"])


@pytest.mark.verifies("MCP TypeScript SDK", "DPoP: a code and a refresh for bound tokens")
def test_tokens_are_bound_to_the_key_of_the_app(deployment: Deployment) -> None:
    seen = node.run("mcp_dpop.mjs", {"server": deployment.server.url, "apiKey": API_KEY})
    assert (seen["results"], len(seen["asked"])) == (["REDIRECT", "AUTHORIZED", "AUTHORIZED"], 1)
    assert {seen[name]["token_type"] for name in ("first", "second")} == {"DPoP"}
    facts = Client(deployment.replica.url).introspect(seen["second"]["access_token"], INTROSPECTION)
    assert facts["cnf"] == {"jkt": seen["thumbprint"]}
    assert facts["jti"] == f"{facts['family']}.2"
