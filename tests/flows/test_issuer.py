"""The issuer may have a path, and the artefacts a prefix of the operator's own."""

from __future__ import annotations

import re

import pytest

from tests.flows.conftest import Start
from tests.ports import free_port
from tests.replica import Client, Replica, redirect_parameters, refusal, settings, tokens

PATHS = ["/auth", "/a/b.c/~d"]


@pytest.fixture(scope="module", params=PATHS)
def replica(request: pytest.FixtureRequest, start: Start) -> Replica:
    return start("memory://", path=request.param)


@pytest.fixture(scope="module")
def client(replica: Replica) -> Client:
    return Client(replica.url)


def origin(replica: Replica) -> str:
    return f"http://127.0.0.1:{replica.port}"


def path(replica: Replica) -> str:
    return replica.url.removeprefix(origin(replica))


def test_metadata_stands_at_both_places_and_names_what_is_under_the_path(replica: Replica, client: Client) -> None:
    """RFC 8414 §3.1: the path inserted after the well-known name, and appended for clients that put it there."""
    inserted = f"{origin(replica)}/.well-known/oauth-authorization-server{path(replica)}"
    appended = f"{replica.url}/.well-known/oauth-authorization-server"
    documents = [client.http.get(url).json() for url in (inserted, appended)]
    assert documents[0] == documents[1]
    assert documents[0]["issuer"] == replica.url
    endpoints = {name: url for name, url in documents[0].items() if name.endswith("_endpoint")}
    assert set(endpoints.values()) == {
        f"{replica.url}/{name}" for name in ("authorize", "par", "token", "register", "revoke", "introspect")
    }


def test_the_resource_is_the_issuer_and_its_metadata_stands_at_the_root(replica: Replica, client: Client) -> None:
    """RFC 9728 §3.1."""
    url = f"{origin(replica)}/.well-known/oauth-protected-resource{path(replica)}"
    document = client.http.get(url).json()
    assert (document["resource"], document["authorization_servers"]) == (replica.url, [replica.url])


def test_the_whole_flow_works_under_the_path(replica: Replica, client: Client) -> None:
    """Registration, page, cookie, decision, tokens, introspection, refresh, revocation, administration."""
    client.register()
    url, page = client.page()
    answer = redirect_parameters(client.decide(url, page))
    assert answer["iss"] == replica.url
    issued = tokens(client.redeem(answer["code"]))
    facts = client.introspect(issued.access)
    assert (facts["iss"], facts["aud"]) == (replica.url, replica.url)
    following = tokens(client.refresh(issued.refresh, resource=replica.url))
    assert client.revoke(following.refresh).status_code == 200
    assert not client.active(issued.access)
    assert client.admin_revoke("user", "acme/nobody").status_code == 200


@pytest.mark.parametrize("name", ["authorize", "token", "register", "revoke", "introspect", "healthz", "admin/revoke"])
def test_nothing_stands_beside_the_path_and_nothing_redirects(replica: Replica, client: Client, name: str) -> None:
    """JSON 404 at the root and under a doubled path or slash."""
    for url in (
        f"{origin(replica)}/{name}",
        f"{replica.url}{path(replica)}/{name}",
        f"{replica.url}/{name}/",
        f"{replica.url}//{name}",
        f"{origin(replica)}{path(replica).upper()}/{name}",
    ):
        for answer in (client.http.get(url), client.http.post(url)):
            assert answer.status_code == 404, url
            assert answer.json()["error"] == "not_found"


@pytest.mark.parametrize(
    "name", ["openid-configuration", "oauth-authorization-server", "oauth-protected-resource", "jwks.json", ""]
)
def test_unknown_well_known_paths_are_404_in_json(replica: Replica, client: Client, name: str) -> None:
    """There is no OpenID document, and the root has no metadata where the issuer has a path."""
    answer = client.http.get(f"{origin(replica)}/.well-known/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")


def test_health_stands_under_the_path(replica: Replica, client: Client) -> None:
    """Where the balancer's checks find it without knowing more than the issuer."""
    assert client.http.get(f"{replica.url}/healthz").status_code == 200
    assert client.http.get(f"{replica.url}/readyz").status_code == 200


def test_a_prefix_of_the_operator_s_own_stands_before_every_artefact(start: Start) -> None:
    """`ov` makes ovat_, ovrt_, ovac_ and ovcl_; the alphabet and the flow stay the same."""
    client = Client(start("memory://", token_prefix="ov").url)
    client.register()
    code = client.code()
    issued = tokens(client.redeem(code))
    for value, kind in ((client.client_id, "cl"), (code, "ac"), (issued.access, "at"), (issued.refresh, "rt")):
        assert re.fullmatch(rf"ov{kind}_[A-Za-z0-9_.-]+", value)
    assert client.active(tokens(client.refresh(issued.refresh)).access)
    assert not client.active(issued.access.replace("ovat_", "tsat_"))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("issuer", "http://example.com"),
        ("issuer", "https://example.com/auth/"),
        ("issuer", "https://EXAMPLE.com"),
        ("token_prefix", "OV"),
    ],
)
def test_what_clients_could_not_match_is_refused_at_start(variable: str, value: str) -> None:
    """The message names the variable."""
    assert f"TOKENSVC_{variable.upper()} " in refusal(settings("memory://", free_port(), **{variable: value}))
