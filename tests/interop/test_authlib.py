"""Authlib's OAuth 2.0 client, as a web application uses it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from authlib.integrations.base_client import OAuthError  # type: ignore[import-untyped]
from authlib.integrations.httpx_client import OAuth2Client  # type: ignore[import-untyped]
from authlib.oauth2.rfc7523 import PrivateKeyJWT  # type: ignore[import-untyped]
from joserfc.jwk import ECKey

from tests.interop.person import Person
from tests.ports import free_port
from tests.replica import INTROSPECTION_TOKEN, KNOWN_SECRETS, REDIRECT_URI, SECONDS, TLS, Replica, settings

KEY = ECKey.generate_key("P-256", {"kid": "first"})
SIGNING = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [KEY.as_dict(private=False)]}}
CLIENTS = [
    SIGNING | {"client_id": "web", "redirect_uris": [REDIRECT_URI]},
    SIGNING | {"client_id": "robot", "grant_types": ["client_credentials"], "identity": "acme/robot/machine"},
]
METHODS = ["none", "client_secret_basic", "client_secret_post"]


@dataclass
class App:
    """A registered application, and the metadata of its authorization server."""

    metadata: dict[str, Any]
    registration: dict[str, Any]

    def client(self, **changes: Any) -> OAuth2Client:
        method = self.registration["token_endpoint_auth_method"]
        options = {
            "token_endpoint_auth_method": method,
            "revocation_endpoint_auth_method": method,
            "redirect_uri": REDIRECT_URI,
            "scope": "mcp",
            "code_challenge_method": "S256",
            "token_endpoint": self.metadata["token_endpoint"],
        } | changes
        # For private_key_jwt it is the key.
        secret = self.registration.get("client_secret")
        client = OAuth2Client(self.registration["client_id"], secret, verify=TLS, timeout=SECONDS, **options)
        client.register_client_auth_method(PrivateKeyJWT(self.metadata["token_endpoint"], alg="ES256"))
        return client

    def sign_in(self, client: OAuth2Client) -> Any:
        """The whole way to tokens."""
        verifier = secrets.token_urlsafe(48)
        url, state = client.create_authorization_url(
            self.metadata["authorization_endpoint"], code_verifier=verifier, resource=self.metadata["issuer"]
        )
        back = Person().open(url)
        return remembered(client.fetch_token(authorization_response=back, state=state, code_verifier=verifier))

    def introspect(self, token: str) -> dict[str, Any]:
        """What a resource server on Authlib is told."""
        with OAuth2Client("resource server", INTROSPECTION_TOKEN, verify=TLS, timeout=SECONDS) as server:
            facts: dict[str, Any] = server.introspect_token(self.metadata["introspection_endpoint"], token=token).json()
        return facts


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    port = free_port()
    environment = settings("memory://", port, clients=json.dumps(CLIENTS))
    with Replica(environment, port, directory=tmp_path_factory.mktemp("replica")) as replica:
        url = f"{replica.url}/.well-known/oauth-authorization-server"
        yield httpx.get(url, verify=TLS, timeout=SECONDS).json()


@pytest.fixture(params=METHODS)
def app(request: pytest.FixtureRequest, metadata: dict[str, Any]) -> App:
    asked = {
        "client_name": "Authlib",
        "redirect_uris": [REDIRECT_URI],
        "token_endpoint_auth_method": request.param,
        "grant_types": ["authorization_code", "refresh_token"],
    }
    answer = httpx.post(metadata["registration_endpoint"], json=asked, verify=TLS, timeout=SECONDS)
    return App(metadata, remembered(answer.json()))


@pytest.mark.verifies("Authlib", "code flow with PKCE, introspection, refreshing, revocation")
def test_authlib_walks_the_whole_way(app: App) -> None:
    with app.client() as client:
        first = app.sign_in(client)
        facts = app.introspect(first["access_token"])
        assert (facts["active"], facts["sub"], facts["aud"]) == (True, "acme/ada", app.metadata["issuer"])
        second = remembered(client.refresh_token())
        assert app.introspect(second["access_token"])["jti"] == f"{facts['family']}.2"
        assert client.revoke_token(app.metadata["revocation_endpoint"], second["refresh_token"]).status_code == 200
        assert app.introspect(second["access_token"]) == {"active": False}
        with pytest.raises(OAuthError, match="invalid_grant"):
            client.refresh_token()


@pytest.mark.verifies("Authlib", "refreshing by itself what has expired")
def test_authlib_refreshes_an_expired_token_before_it_uses_it(app: App) -> None:
    updated: list[str] = []
    with app.client(update_token=lambda token, **_: updated.append(token["access_token"])) as client:
        first = app.sign_in(client)
        # To Authlib it expires within a leeway that is longer than it lives.
        client.leeway = first["expires_in"] + 60
        client.ensure_active_token()
        remembered(client.token)
        assert updated == [client.token["access_token"]] != [first["access_token"]]


@pytest.mark.verifies("Authlib", "private_key_jwt, client credentials by it")
def test_authlib_authenticates_by_a_key(metadata: dict[str, Any]) -> None:
    signing = {"token_endpoint_auth_method": "private_key_jwt", "client_secret": KEY}
    web = App(metadata, signing | {"client_id": "web"})
    with web.client() as client:
        facts = web.introspect(web.sign_in(client)["access_token"])
        assert (facts["active"], facts["sub"]) == (True, "acme/ada")
        assert remembered(client.refresh_token())["refresh_token"]
    robot = App(metadata, signing | {"client_id": "robot"})
    with robot.client(redirect_uri=None) as client:
        issued = remembered(client.fetch_token(grant_type="client_credentials"))
        assert "refresh_token" not in issued
        assert robot.introspect(issued["access_token"])["sub"] == "acme/robot"


def remembered(answer: Any) -> Any:
    """What no log may hold from now on."""
    names = ("access_token", "refresh_token", "client_id", "client_secret")
    KNOWN_SECRETS.update(answer[name] for name in names if name in answer)
    return answer
