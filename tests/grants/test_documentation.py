"""The examples of docs/grants.md do what it says."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from joserfc.jwk import ECKey

from tests.endpoints.local import ISSUER, Service
from tests.grants.identity_provider import IdentityProvider
from tests.grants.test_client_credentials import hashed
from tests.test_readme import blocks
from tokensvc.protocol.id_jag import GRANT_TYPE, parse_issuers
from tokensvc.protocol.scope import Scopes

PAGE = (Path(__file__).parents[2] / "docs" / "grants.md").read_text(encoding="utf-8")


def test_the_client_of_the_example_gets_a_token_as_it_says() -> None:
    clients = next(block for block in blocks(PAGE, "json") if "client_credentials" in block)
    command = next(block for block in blocks(PAGE, "sh") if "grant_type=client_credentials" in block)
    printed, asked = (shlex.split(line) for line in command.strip().splitlines())
    secret = printed[2]
    assert json.loads(clients)[0]["client_secret_hash"] == hashed(secret)
    name, _, given = asked[asked.index("-u") + 1].partition(":")
    assert given == secret
    with Service({"clients": clients}) as service:
        path = asked[2].removeprefix(ISSUER)
        content = asked[asked.index("-d") + 1]
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = service.http().post(path, content=content, auth=(name, secret), headers=headers)
        assert answer.status_code == 200
        facts = service.client().introspect(answer.json()["access_token"])
        assert (facts["sub"], facts["role"]) == ("acme/nightly-report", "viewer")


def test_the_identity_provider_of_the_example_is_trusted_as_it_says() -> None:
    listed = next(block for block in blocks(PAGE, "json") if "jwks_uri" in block)
    (issuer,) = parse_issuers(listed, ISSUER).values()
    provider = IdentityProvider(issuer.issuer, key=ECKey.generate_key("P-256"))
    [entry] = json.loads(listed)
    del entry["jwks_uri"]
    client = {"client_id": "agent", "client_secret_hash": hashed("pass"), "grant_types": [GRANT_TYPE]}
    settings = {"id_jag_issuers": json.dumps([entry | {"jwks": provider.jwks}]), "clients": json.dumps([client])}
    with Service(dict(settings)) as service:
        assertion = provider.assertion(scope="mcp", email="ada@acme.example", sub="U7")
        form = {"grant_type": GRANT_TYPE, "assertion": assertion}
        answer = service.http().post("/token", data=form, auth=("agent", "pass"))
        facts = service.client().introspect(answer.json()["access_token"])
        assert (facts["sub"], facts["role"]) == ("acme/U7", "viewer")


def test_the_members_of_an_issuer_are_all_explained() -> None:
    table = PAGE.partition("member of `TOKENSVC_ID_JAG_ISSUERS`")[2].partition("\n\n")[0]
    explained = {name for row in table.splitlines() for name in re.findall(r"`([a-z_]+)`", row.partition(" | ")[0])}
    optional = {"jwks_uri", "user_claim", "role_claim", "tenant", "aud_tenant", "public_clients"}
    assert explained == set(IdentityProvider().entry()) | optional


def test_the_roles_of_the_example_may_have_what_it_says() -> None:
    example = next(block for block in blocks(PAGE, "sh") if "TOKENSVC_ROLE_SCOPES" in block)
    values = dict(line.partition("=")[::2] for line in shlex.split(example))
    scopes = Scopes.parse(values["TOKENSVC_SCOPES"], values["TOKENSVC_ROLE_SCOPES"])
    every = "read write admin"
    found = {role: scopes.limit(every, role) for role in ("viewer", "editor", "guest", "owner")}
    assert found == {"viewer": "read", "editor": "read write", "guest": "", "owner": every}
