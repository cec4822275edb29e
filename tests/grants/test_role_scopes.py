"""What a role may have bounds every grant: at sign-in, at each refresh and at each introspection, as it is set now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.endpoints.local import SECOND, Service
from tests.replica import API_KEY, Client, api_key_entry, redirect_parameters, tokens
from tokensvc.protocol.scope import Scopes

OFFERED = "read write admin"
VIEWER_KEY = "key_for-bob-who-only-looks-at-things"
KEYS = f"{api_key_entry(API_KEY)},{api_key_entry(VIEWER_KEY, user='bob', role='viewer')}"


@pytest.fixture
def service() -> Iterator[Service]:
    with Service({"scopes": OFFERED, "role_scopes": "viewer=read;guest=", "api_keys": KEYS}) as started:
        yield started


@pytest.fixture
def viewer(service: Service) -> Client:
    client = service.client()
    client.api_key = VIEWER_KEY
    client.register()
    return client


@contextmanager
def roles(service: Service, text: str) -> Iterator[None]:
    """Meanwhile the roles may have something else, as after the file was read again."""
    with service.changed(scopes=Scopes.parse(OFFERED, text)):
        yield


def test_person_gets_no_more_than_their_role_may_have_and_the_client_is_told(viewer: Client) -> None:
    issued = tokens(viewer.redeem(viewer.code(scope="read write")))
    assert issued.response["scope"] == "read"
    assert viewer.introspect(issued.access)["scope"] == "read"
    assert tokens(viewer.refresh(issued.refresh, scope="read write")).response["scope"] == "read"


def test_role_without_an_entry_gets_what_it_allows(service: Service) -> None:
    client = service.client()
    client.register()
    assert tokens(client.redeem(client.code(scope="read admin"))).response["scope"] == "read admin"


def test_role_that_may_have_nothing_of_it_is_denied_at_the_client(viewer: Client) -> None:
    url, page = viewer.page(scope="write admin")
    answer = viewer.decide(url, page)
    assert answer.status_code == 303
    told = redirect_parameters(answer)
    assert (told["error"], told["state"], told["iss"]) == ("access_denied", "af0ifjsldkj/+=", viewer.url)
    assert "code" not in told


def test_narrower_role_counts_at_the_next_introspection_and_refresh(service: Service, viewer: Client) -> None:
    with roles(service, "viewer=read write"):
        issued = tokens(viewer.redeem(viewer.code(scope="read write")))
        assert viewer.introspect(issued.access)["scope"] == "read write"
    assert viewer.introspect(issued.access)["scope"] == "read"
    narrowed = tokens(viewer.refresh(issued.refresh))
    assert narrowed.response["scope"] == "read"
    with roles(service, "viewer=read write admin"):
        widened = tokens(viewer.refresh(narrowed.refresh))
        assert widened.response["scope"] == "read write", "what was allowed comes back, and no more than that"


def test_role_that_lost_everything_has_dead_tokens_until_it_has_something_again(
    service: Service, viewer: Client
) -> None:
    issued = tokens(viewer.redeem(viewer.code(scope="read")))
    code = viewer.code(scope="read")
    with roles(service, "viewer=admin"):
        assert viewer.introspect(issued.access) == {"active": False}
        for answer in (viewer.refresh(issued.refresh), viewer.redeem(code)):
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert viewer.active(issued.access)
    assert viewer.refresh(issued.refresh).status_code == 200
    assert viewer.redeem(code).status_code == 200


def test_refusal_uses_nothing_up(service: Service, viewer: Client) -> None:
    """Nor does it end the family, however late the same refresh token comes again."""
    issued = tokens(viewer.redeem(viewer.code(scope="read")))
    with roles(service, "viewer="):
        assert viewer.refresh(issued.refresh).status_code == 400
    service.clock.now += 700 * SECOND
    assert viewer.refresh(issued.refresh).status_code == 200


def test_machine_of_a_role_that_may_have_nothing_of_it_is_told_so() -> None:
    machine = {
        "client_id": "robot",
        "client_secret_hash": "sha256:d74ff0ee8da3b9806b18c877dbf29bbde50b5bd8e4dad7a3a725000feb82e8f1",
        "grant_types": ["client_credentials"],
        "identity": "acme/robot/viewer",
    }
    settings: dict[str, object] = {"scopes": OFFERED, "role_scopes": "viewer=read", "clients": json.dumps([machine])}
    with Service(settings) as service:
        client = service.client()
        client.client_id, client.client_secret = "robot", "pass"
        granted = client.token(grant_type="client_credentials", scope="read write")
        assert tokens(granted).response["scope"] == "read"
        refused = client.token(grant_type="client_credentials", scope="write")
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")
