"""DPoP and pushed requests by oauth4webapi on Node, from the request to the protected API (RFC 9449, RFC 9126)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.program import EXAMPLES, ROOT, Program, oauth, python
from tests.interop import node
from tests.ports import free_port
from tests.replica import API_KEY, INTROSPECTION_TOKEN, Client, Replica, settings
from tests.test_readme import blocks
from tokensvc.protocol.client import Lifetimes
from tokensvc.protocol.preregistered import parse_clients

PAGE = ROOT / "docs" / "sender-constrained-tokens.md"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Replica, Program]]:
    """A replica, and the API of the guide that it protects."""
    directory: Path = tmp_path_factory.mktemp("bound")
    port, own = free_port(), free_port()
    resource = f"http://127.0.0.1:{own}"
    environment = settings("memory://", port, issuer=f"http://127.0.0.1:{port}/auth", resources=resource)
    command = python("-m", "uvicorn", "--app-dir", str(EXAMPLES), "--port", str(own), "fastapi_api:app")
    with (
        Replica(environment, port, directory=directory) as replica,
        Program(command, resource, directory, oauth(replica, resource) | {"API_KEY": "a-key-of-the-api"}) as api,
    ):
        yield replica, api


@pytest.mark.needs("node")
@pytest.mark.parametrize(
    ("method", "alg", "push"),
    [
        ("none", "ES256", True),
        ("none", "Ed25519", False),
        ("client_secret_basic", "RS256", True),
        ("client_secret_post", "PS256", False),
    ],
    ids=lambda value: {True: "pushed", False: "in the browser"}.get(value, value),
)
@pytest.mark.verifies("oauth4webapi", "PAR and DPoP")
def test_client_with_a_key_goes_the_whole_way_and_a_thief_without_it_does_not(
    site: tuple[Replica, Program], method: str, alg: str, push: bool
) -> None:
    replica, api = site
    seen = node.run(
        "bound.mjs",
        {
            "issuer": replica.url,
            "resource": api.url,
            "path": "/invoices",
            "apiKey": API_KEY,
            "introspectionToken": INTROSPECTION_TOKEN,
            "method": method,
            "alg": alg,
            "push": push,
        },
    )
    assert alg in seen["as"]["dpop_signing_alg_values_supported"]
    assert alg in seen["protectedResource"]["dpop_signing_alg_values_supported"]
    assert seen["nonces"] == 2, "each key is told a nonce once, and that is good for what comes after"
    # The library has token types in lower case.
    assert seen["first"]["token_type"] == seen["second"]["token_type"] == "dpop"
    assert (seen["facts"]["cnf"], seen["facts"]["token_type"]) == ({"jkt": seen["jkt"]}, "DPoP")
    assert seen["stolenCode"]["error"] == "invalid_grant"
    if method == "none":
        assert seen["stolenRefreshToken"]["error"] == "invalid_grant"
        assert seen["bareRefreshToken"]["error"] == "invalid_dpop_proof"
    assert seen["withTheKey"] == 200
    assert seen["withAnotherKey"]["status"] == 401
    assert [challenge["scheme"] for challenge in seen["withAnotherKey"]["challenges"]] == ["dpop"]
    assert seen["asBearer"] == 401


def test_the_page_pushes_a_request_as_it_says(site: tuple[Replica, Program]) -> None:
    replica, _ = site
    client = Client(replica.url)
    client.register()
    (command,) = blocks(PAGE.read_text(encoding="utf-8"), "sh")
    known = {"CLIENT_ID": client.client_id, "CHALLENGE": client.challenge}
    shown = subprocess.run(
        ["bash", "-c", command.replace("https://auth.example.com", replica.url)],
        env=os.environ | known,
        capture_output=True,
        check=True,
    )
    answer = json.loads(shown.stdout)
    assert answer["expires_in"] == 90
    assert client.page(request_uri=answer["request_uri"])[1].status_code == 200


def test_the_entry_of_a_client_on_the_page_is_accepted() -> None:
    entry = next(block for block in blocks(PAGE.read_text(encoding="utf-8"), "json") if "client_id" in block)
    (client,) = parse_clients(entry, Lifetimes(1, 1, 1, 1)).values()
    assert client.dpop_bound_access_tokens
    assert client.require_pushed_authorization_requests
