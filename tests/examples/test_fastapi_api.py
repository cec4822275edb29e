"""The API with keys that gained OAuth, against a real replica."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.program import EXAMPLES, ROOT, Program, oauth, python
from tests.ports import free_port
from tests.replica import Client, Replica, settings
from tests.test_readme import blocks

KEY = "the-key-of-the-invoices"
PATH = "/invoices"


def api(tmp_path: Path, name: str, environment: dict[str, str], port: int) -> Program:
    command = python("-m", "uvicorn", "--app-dir", str(EXAMPLES), "--port", str(port), f"{name}:app")
    return Program(command, f"http://127.0.0.1:{port}", tmp_path, environment | {"API_KEY": KEY})


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, Replica]]:
    """The API and the replica that it asks; a test that stops the replica starts it again."""
    directory = tmp_path_factory.mktemp("fastapi")
    port, own = free_port(), free_port()
    resource = f"http://127.0.0.1:{own}"
    environment = settings("sqlite:///ledger.db", port, resources=resource)
    with (
        Replica(environment, port, directory=directory) as replica,
        api(directory, "fastapi_api", oauth(replica, resource), own) as served,
    ):
        yield served, replica


def test_keys_go_on_as_before(services: tuple[Program, Replica]) -> None:
    served, _ = services
    assert served.get(PATH, KEY).json() == {"invoices of": "acme/ada"}
    refused = served.get(PATH, "another-key")
    assert (refused.status_code, refused.json()) == (401, {"detail": "an API key is needed"})


def test_a_refusal_says_where_to_get_a_token_and_the_way_leads_there(services: tuple[Program, Replica]) -> None:
    served, replica = services
    challenge = served.get(PATH).headers["www-authenticate"]
    url = f"{served.url}/.well-known/oauth-protected-resource"
    assert challenge == f'Bearer scope="mcp", resource_metadata="{url}"'
    document = served.get("/.well-known/oauth-protected-resource").json()
    assert (document["resource"], document["authorization_servers"]) == (served.url, [replica.url])


def test_a_token_lets_in_until_it_is_revoked(services: tuple[Program, Replica]) -> None:
    served, replica = services
    client = Client(replica.url)
    issued = client.sign_in()
    assert served.get(PATH, issued.access).json() == {"invoices of": "acme/ada"}
    unused = client.sign_in()
    client.revoke(unused.access)
    refused = served.get(PATH, unused.access)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_token")
    assert served.get(PATH, issued.refresh).status_code == 401


def test_without_its_service_new_tokens_are_503_and_keys_go_on(services: tuple[Program, Replica]) -> None:
    served, replica = services
    issued = Client(replica.url).sign_in()
    replica.stop()
    try:
        answer = served.get(PATH, issued.access)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert served.get(PATH, KEY).status_code == 200
    finally:
        replica.start()
    assert served.get(PATH, issued.access).status_code == 200


@pytest.mark.parametrize("name", ["fastapi_api", "fastapi_api_before"])
def test_without_variables_it_is_what_it_was(tmp_path: Path, name: str) -> None:
    with api(tmp_path, name, {}, free_port()) as served:
        assert served.get(PATH, KEY).status_code == 200
        refused = served.get(PATH)
        assert refused.status_code == 401
        assert "www-authenticate" not in refused.headers
        assert served.get("/.well-known/oauth-protected-resource").status_code == 404


def test_the_page_shows_what_changed() -> None:
    names = ("fastapi_api_before.py", "fastapi_api.py")
    before, after = ((EXAMPLES / name).read_text(encoding="utf-8").splitlines() for name in names)
    changed = [line for line in difflib.ndiff(before, after) if line.startswith(("+ ", "- "))]
    changed = [f"{line[0]}{line[2:]}" for line in changed if '"""' not in line and line.strip() != "+"]
    (shown,) = blocks((ROOT / "docs" / "resource-server.md").read_text(encoding="utf-8"), "diff")
    assert [line for line in shown.splitlines() if line.startswith(("+", "-"))] == changed
    assert len(changed) <= 10
