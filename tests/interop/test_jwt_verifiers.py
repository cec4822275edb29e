"""JWT access tokens verified without asking, by libraries that we did not write: PyJWT, and jose on Node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
from jwt import PyJWKClient

from tests.interop import node
from tests.ports import free_port
from tests.replica import Client, Replica, Tokens, ring_entry, settings
from tokensvc.tokens.base64url import decode, encode

RESOURCE = "https://mcp.example.com/mcp"


@dataclass
class Site:
    """A replica that signs by `alg`, a client of it, and what the client was issued."""

    alg: str
    replica: Replica
    client: Client
    issued: Tokens

    def verify(self, token: str, **changes: Any) -> dict[str, Any]:
        """By PyJWT, as its documentation has it. Raises jwt.PyJWTError."""
        key = PyJWKClient(f"{self.replica.url}/jwks.json").get_signing_key_from_jwt(token)
        asked: dict[str, Any] = {"algorithms": [self.alg], "audience": RESOURCE, "issuer": self.replica.url} | changes
        claims: dict[str, Any] = jwt.decode(token, key, options={"require": ["exp", "iat", "sub", "jti"]}, **asked)
        return claims


@pytest.fixture(scope="module", params=["ES256", "EdDSA"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    changes = {
        "access_token_format": "jwt",
        "signing_keys": f"{ring_entry('s1')},{ring_entry('s2', '1')},{ring_entry('s3', '4000000000')}",
        "signing_alg": request.param,
        "resources": RESOURCE,
    }
    port = free_port()
    directory: Path = tmp_path_factory.mktemp("replica")
    with Replica(settings("memory://", port, **changes), port, directory=directory) as replica:
        client = Client(replica.url)
        yield Site(request.param, replica, client, client.sign_in())


@pytest.mark.verifies("PyJWT", "JWT access tokens verified offline")
def test_pyjwt_verifies_what_introspection_says(site: Site) -> None:
    said = site.verify(site.issued.access)
    facts = site.client.introspect(site.issued.access)
    assert {name: said[name] for name in facts.keys() - {"active", "token_type"}} == {
        name: value for name, value in facts.items() if name not in ("active", "token_type")
    }
    header = jwt.get_unverified_header(site.issued.access)
    assert (header["typ"], header["alg"], header["kid"].partition(".")[0]) == ("at+jwt", site.alg, "s2")


@pytest.mark.verifies("PyJWT", "every key of a ring in the set")
def test_pyjwt_finds_every_version_in_the_set(site: Site) -> None:
    keys = PyJWKClient(f"{site.replica.url}/jwks.json").get_signing_keys()
    assert [str(key.key_id).partition(".")[0] for key in keys] == ["s1", "s2", "s3"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"audience": "https://other.example"}, jwt.InvalidAudienceError),
        ({"issuer": "https://other.example"}, jwt.InvalidIssuerError),
        ({"algorithms": ["HS256"]}, jwt.InvalidAlgorithmError),
    ],
    ids=["audience", "issuer", "algorithm"],
)
def test_pyjwt_refuses_for_another_purpose(site: Site, changes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        site.verify(site.issued.access, **changes)


def altered(token: str, **claims: object) -> str:
    header, payload, signature = token.split(".")
    changed = json.dumps(json.loads(decode(payload)) | claims)
    return f"{header}.{encode(changed.encode())}.{signature}"


def test_what_was_changed_is_refused_offline_and_at_introspection(site: Site) -> None:
    forged = altered(site.issued.access, user="eve", sub="acme/eve")
    with pytest.raises(jwt.InvalidSignatureError):
        site.verify(forged)
    assert site.client.introspect(forged) == {"active": False}


def test_revocation_is_heard_of_by_who_asks_alone(site: Site) -> None:
    """What offline verification gives up, so that nobody has to find out."""
    issued = site.client.sign_in()
    site.client.revoke(issued.refresh)
    assert not site.client.active(issued.access)
    assert site.verify(issued.access)["sub"] == "acme/ada"


@pytest.mark.needs("node")
@pytest.mark.verifies("jose", "JWT access tokens verified offline")
def test_jose_verifies_from_the_issuer_alone(site: Site) -> None:
    tokens = {
        "good": site.issued.access,
        "forged": altered(site.issued.access, sub="acme/eve"),
        "refresh": site.issued.refresh,
    }
    found = node.run("offline.mjs", {"issuer": site.replica.url, "audience": RESOURCE, "tokens": tokens})
    assert found["jwksUri"] == f"{site.replica.url}/jwks.json"
    good = found["seen"]["good"]
    assert (good["header"]["typ"], good["header"]["alg"]) == ("at+jwt", site.alg)
    assert (good["payload"]["sub"], good["payload"]["aud"]) == ("acme/ada", RESOURCE)
    assert found["seen"]["forged"] == {"code": "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"}
    assert found["seen"]["refresh"]["code"].startswith("ERR_JW")
