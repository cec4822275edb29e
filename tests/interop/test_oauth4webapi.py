"""oauth4webapi on Node, which checks every answer by the letter of the standards; the scripts are in tests/node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.interop import node
from tests.ports import free_port
from tests.replica import API_KEY, INTROSPECTION_TOKEN, Replica, settings
from tokensvc.tokens.kinds import client_handle

pytestmark = pytest.mark.needs("node")
REFUSED = "ResponseBodyError"
CHALLENGED = "WWWAuthenticateChallengeError"
ANSWERED_WITH_AN_ERROR = "AuthorizationResponseError"


@dataclass
class Site:
    issuer: str
    resource: str

    def run(self, script: str, **changes: str) -> dict[str, Any]:
        """Run a script of tests/node against this issuer, and return what it saw."""
        given = {
            "issuer": self.issuer,
            "resource": self.resource,
            "apiKey": API_KEY,
            "introspectionToken": INTROSPECTION_TOKEN,
        }
        return node.run(script, given | changes)


@pytest.fixture(
    scope="module",
    params=[("memory://", "", ""), ("sqlite:///ledger.db", "/auth", "/mcp")],
    ids=["origin", "issuer-and-resource-with-a-path"],
)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    ledger, path, resource_path = request.param
    port = free_port()
    issuer = f"http://127.0.0.1:{port}{path}"
    environment = settings(ledger, port, issuer=issuer, resources=f"{issuer}{resource_path}")
    with Replica(environment, port, directory=tmp_path_factory.mktemp("replica")):
        yield Site(issuer, f"{issuer}{resource_path}")


@pytest.fixture(scope="module")
def refusals(site: Site) -> dict[str, Any]:
    return site.run("refusals.mjs")


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
@pytest.mark.verifies("oauth4webapi", "discovery, registration, code flow with PKCE")
def test_a_strict_client_walks_the_whole_way(site: Site, method: str) -> None:
    seen = site.run("flow.mjs", method=method)
    assert seen["as"]["issuer"] == site.issuer
    assert seen["protectedResource"]["resource"] == site.resource
    assert seen["protectedResource"]["authorization_servers"] == [site.issuer]
    assert seen["client"]["token_endpoint_auth_method"] == method
    assert seen["client"].get("client_secret_expires_at") == (None if method == "none" else 0)
    assert seen["callback"].keys() == {"code", "state", "iss"}
    assert (seen["callback"]["state"], seen["callback"]["iss"]) == (seen["state"], site.issuer)


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
@pytest.mark.verifies("oauth4webapi", "introspection, refreshing, revocation")
def test_introspection_refresh_and_revocation_are_what_the_library_takes_for_conforming(
    site: Site, method: str
) -> None:
    seen = site.run("flow.mjs", method=method)
    facts = seen["facts"]
    assert facts == seen["factsByBearer"]
    assert facts["active"] is True
    assert (facts["iss"], facts["aud"], facts["sub"]) == (site.issuer, site.resource, "acme/ada")
    assert facts["client_id"] == client_handle(seen["client"]["client_id"])
    assert facts["exp"] - facts["iat"] == seen["first"]["expires_in"] == 3600
    assert seen["refreshed"] == [f"{facts['family']}.2"] * 2
    assert seen["afterAccess"] == seen["afterRefresh"] == {"active": False}
    assert seen["refreshAfterRevocation"]["error"] == "invalid_grant"


@pytest.mark.verifies("oauth4webapi", "mixed-up answers noticed")
def test_the_issuer_lets_the_library_notice_a_mixed_up_answer(refusals: dict[str, Any]) -> None:
    for answer in ("foreignIssuer", "missingIssuer", "foreignState"):
        assert refusals[answer]["code"] == "OAUTH_INVALID_RESPONSE", answer


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("denied", "access_denied"),
        ("foreignResource", "invalid_target"),
        ("withoutPkce", "invalid_request"),
        ("tokenResponseType", "unsupported_response_type"),
    ],
)
def test_errors_at_the_authorization_endpoint_come_back_with_issuer_and_state(
    refusals: dict[str, Any], case: str, error: str
) -> None:
    # The library reads `error` only after `iss` and `state` were right.
    assert (refusals[case]["thrown"], refusals[case]["error"]) == (ANSWERED_WITH_AN_ERROR, error)


@pytest.mark.parametrize(
    ("case", "status", "error"),
    [
        ("foreignVerifier", 400, "invalid_grant"),
        ("replayedCode", 400, "invalid_grant"),
        ("refreshAfterReplay", 400, "invalid_grant"),
        ("foreignRefreshToken", 400, "invalid_grant"),
        ("client_secret_post", 401, "invalid_client"),
        ("unknownClient", 401, "invalid_client"),
        ("redirectUri", 400, "invalid_redirect_uri"),
        ("authMethod", 400, "invalid_client_metadata"),
    ],
)
@pytest.mark.verifies("oauth4webapi", "refusals")
def test_refusals_carry_the_code_of_the_standard(refusals: dict[str, Any], case: str, status: int, error: str) -> None:
    seen = refusals[case]
    assert (seen["thrown"], seen["status"], seen["error"]) == (REFUSED, status, error)


@pytest.mark.parametrize(("case", "scheme"), [("client_secret_basic", "basic"), ("introspectionSecret", "bearer")])
def test_a_wrong_secret_in_a_header_is_challenged_in_its_scheme(
    refusals: dict[str, Any], case: str, scheme: str
) -> None:
    seen = refusals[case]
    assert (seen["thrown"], seen["status"]) == (CHALLENGED, 401)
    assert [challenge["scheme"] for challenge in seen["challenges"]] == [scheme]


def test_a_replayed_code_ends_the_tokens_that_its_first_use_brought(refusals: dict[str, Any]) -> None:
    assert refusals["afterReplay"] == {"active": False}


@pytest.mark.parametrize("case", ["openid", "foreignDiscovery", "foreignResourceDiscovery"])
def test_the_library_finds_no_metadata_where_there_is_none(refusals: dict[str, Any], case: str) -> None:
    assert refusals[case]["code"] == "OAUTH_RESPONSE_IS_NOT_CONFORM"
