"""The JWT bearer grant for ID-JAG: whose word is taken, for whom, how often, and what ends what came of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey, OctKey

from tests import replica
from tests.endpoints.local import ISSUER, NOW, SECOND, Down, Service
from tests.grants.identity_provider import IDP, IdentityProvider
from tests.ports import free_port
from tests.promises import proves
from tests.proofs import Prover, bound
from tests.replica import INTROSPECTION_TOKEN, Client, Tokens, ring_entry, tokens
from tokensvc import assembly
from tokensvc.errors import SettingsError
from tokensvc.protocol.id_jag import GRANT_TYPE, PROFILE
from tokensvc.settings import Settings
from tokensvc.tokens.kinds import client_handle

SECRET = "a-secret-that-is-long-enough-for-agents"
OTHER = "https://other.example/mcp"
PROVIDER = IdentityProvider()
HASH = f"sha256:{hashlib.sha256(SECRET.encode()).hexdigest()}"
AGENT = {"client_id": "agent", "client_secret_hash": HASH, "grant_types": [GRANT_TYPE]}
CLIENTS = [AGENT, AGENT | {"client_id": "other-agent"}, {"client_id": "public", "grant_types": [GRANT_TYPE]}]
METADATA = "/.well-known/oauth-authorization-server"


def settings(*issuers: dict[str, Any], **changes: object) -> dict[str, object]:
    listed = json.dumps(issuers or [PROVIDER.entry()])
    return {"id_jag_issuers": listed, "clients": json.dumps(CLIENTS), "scopes": "read write admin"} | changes


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(settings()) as started:
        yield started


@pytest.fixture
def agent(service: Service) -> Client:
    return acting(service)


def acting(service: Service, client_id: str = "agent") -> Client:
    client = service.client()
    client.client_id, client.client_secret = client_id, "" if client_id == "public" else SECRET
    return client


def present(client: Client, assertion: str, **parameters: str) -> httpx.Response:
    return client.token(grant_type=GRANT_TYPE, assertion=assertion, **parameters)


def obtain(client: Client, assertion: str, **parameters: str) -> Tokens:
    return tokens(present(client, assertion, **parameters))


def refused(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()["error"]


INVALID = (400, "invalid_grant")


# What it yields


def test_assertion_yields_an_access_token_for_its_person_and_no_refresh_token(agent: Client) -> None:
    issued = obtain(agent, PROVIDER.assertion())
    assert issued.response.keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert issued.response["scope"] == "read write"
    facts = agent.introspect(issued.access)
    assert facts == facts | {
        "active": True,
        "sub": "acme/U019488227",
        "role": "member",
        "aud": ISSUER,
        "client_id": client_handle("agent"),
        "scope": "read write",
        "exp": NOW // SECOND + 3600,
    }


def test_profile_and_grant_are_advertised_and_accepted_where_an_issuer_is_trusted_alone(service: Service) -> None:
    metadata = service.http().get(METADATA).json()
    assert GRANT_TYPE in metadata["grant_types_supported"]
    assert metadata["authorization_grant_profiles_supported"] == [PROFILE]
    with Service(settings(id_jag_issuers="[]")) as without:
        metadata = without.http().get(METADATA).json()
        assert GRANT_TYPE not in metadata["grant_types_supported"]
        assert "authorization_grant_profiles_supported" not in metadata
        answer = present(acting(without), PROVIDER.assertion())
        assert refused(answer) == (400, "unsupported_grant_type")


@pytest.mark.parametrize(
    ("granted", "asked", "scope"),
    [
        ("read write", "", "read write"),
        ("read write", "write", "write"),
        ("read write", "write admin", "write"),
        ("write unknown", "", "write"),
        (None, "", "read"),
        (None, "read write", "read"),
    ],
)
def test_scope_is_what_is_asked_for_of_what_the_issuer_granted(
    agent: Client, granted: str | None, asked: str, scope: str
) -> None:
    """Where the issuer says nothing, it is the default."""
    assert obtain(agent, PROVIDER.assertion(scope=granted), scope=asked).response["scope"] == scope


@pytest.mark.parametrize(("granted", "asked"), [("read", "write"), ("unknown", ""), ("", ""), (None, "admin")])
def test_nothing_left_of_the_scope_is_an_invalid_scope(agent: Client, granted: str | None, asked: str) -> None:
    assert refused(present(agent, PROVIDER.assertion(scope=granted), scope=asked)) == (400, "invalid_scope")


def test_user_and_role_come_from_the_claims_that_are_set() -> None:
    entry = PROVIDER.entry(user_claim="email", role_claim="role", role="member")
    with Service(settings(entry, role_scopes="viewer=read")) as service:
        agent = acting(service)
        one = agent.introspect(obtain(agent, PROVIDER.assertion(email="ada@acme.example", role="viewer")).access)
        assert (one["user"], one["role"], one["scope"]) == ("ada@acme.example", "viewer", "read")
        one = agent.introspect(obtain(agent, PROVIDER.assertion(email="a/b:c%", role=["owner"])).access)
        assert (one["user"], one["sub"], one["role"]) == ("a/b:c%", "acme/a%2Fb%3Ac%25", "owner")
        one = agent.introspect(obtain(agent, PROVIDER.assertion(email="ada@acme.example")).access)
        assert one["role"] == "member"
        for email in (None, 7, "", "x" * 129, "a\nb"):
            assert refused(present(agent, PROVIDER.assertion(email=email))) == INVALID
        roles: tuple[object, ...] = (["viewer", "owner"], [], {}, "")
        for role in roles:
            assert refused(present(agent, PROVIDER.assertion(email="ada@acme.example", role=role))) == INVALID


def test_people_of_another_tenant_of_the_issuer_are_not_those_of_this_one() -> None:
    """To an issuer with tenants `sub` names a person of one of them; `aud_tenant` says whose they are here."""
    with Service(settings(PROVIDER.entry(tenant="t1", aud_tenant="o1"))) as service:
        agent = acting(service)
        assert agent.introspect(obtain(agent, PROVIDER.assertion(tenant="t1", aud_tenant="o1")).access)["active"]
        others: list[dict[str, Any]] = [{}, {"tenant": "t1"}, {"aud_tenant": "o1"}]
        others += [{"tenant": "t2", "aud_tenant": "o1"}, {"tenant": "t1", "aud_tenant": "o2"}]
        for claims in others:
            assert refused(present(agent, PROVIDER.assertion(**claims))) == INVALID


def test_names_for_the_person_beside_the_one_that_is_set_have_no_say(agent: Client) -> None:
    claims: dict[str, Any] = {"aud_sub": "somebody-else", "sub_id": {"format": "email", "email": "else@acme.example"}}
    facts = agent.introspect(obtain(agent, PROVIDER.assertion(**claims)).access)
    assert facts["sub"] == "acme/U019488227"


def test_resource_may_be_left_out_where_there_is_but_one(agent: Client) -> None:
    issued = obtain(agent, PROVIDER.assertion(resource=None))
    assert agent.introspect(issued.access)["aud"] == ISSUER


def test_token_is_for_the_resource_that_the_assertion_names() -> None:
    both = {
        "resources": f"{ISSUER},{OTHER}",
        "introspection_tokens": f"{ISSUER}={INTROSPECTION_TOKEN},{OTHER}=secret-of-the-other",
    }
    with Service(settings(**both)) as service:
        agent = acting(service)
        for resource in (OTHER, "HTTPS://OTHER.example/mcp", [OTHER]):
            token = obtain(agent, PROVIDER.assertion(resource=resource)).access
            assert agent.introspect(token, "secret-of-the-other")["aud"] == OTHER
            assert not agent.active(token)
        for unclear in (None, [], [ISSUER, OTHER], 7):
            assert refused(present(agent, PROVIDER.assertion(resource=unclear))) == INVALID
        answer = present(agent, PROVIDER.assertion(resource=OTHER), resource=ISSUER)
        assert refused(answer) == (400, "invalid_target")


# What is refused


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere.example"},
        {"iss": f"{IDP}/"},
        {"iss": None},
        {"iss": ISSUER},
        {"aud": "https://elsewhere.example"},
        {"aud": f"{ISSUER}/"},
        {"aud": f"{ISSUER}/token"},
        {"aud": [ISSUER, "https://elsewhere.example"]},
        {"aud": []},
        {"aud": None},
        {"client_id": "other-agent"},
        {"client_id": client_handle("agent")},
        {"client_id": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"jti": None},
        {"jti": ""},
        {"iat": None},
        {"iat": NOW // SECOND + 6},
        {"iat": True},
        {"iat": "now"},
        {"exp": None},
        {"exp": NOW // SECOND - 6},
        {"iat": NOW // SECOND - 3606, "exp": NOW // SECOND + 10**9},
        {"nbf": NOW // SECOND + 60},
        {"resource": "https://elsewhere.example"},
        {"resource": "no uri"},
        {"resource": [ISSUER, ISSUER]},
        {"scope": ["read"]},
        {"authorization_details": []},
        {"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}},
        {"cnf": {"x5t#S256": "x"}},
        {"cnf": "x"},
        {"cnf": {"jkt": ""}},
        {"tenant": "t1"},
        {"aud_tenant": "somebody-else"},
        {"tenant": 7},
    ],
    ids=str,
)
def test_assertion_that_is_wrong_in_one_claim_is_an_invalid_grant(agent: Client, changes: dict[str, Any]) -> None:
    assert refused(present(agent, PROVIDER.assertion(**changes))) == INVALID


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": "at+jwt"},
        {"typ": "dpop+jwt"},
        {"typ": ""},
        {"kid": "another"},
        {"crit": ["exp"]},
    ],
    ids=str,
)
def test_assertion_of_another_type_or_key_is_an_invalid_grant(agent: Client, header: dict[str, Any]) -> None:
    claims = {"iss": IDP, "sub": "U1", "aud": ISSUER, "client_id": "agent", "resource": ISSUER, "jti": "x"}
    times = {"iat": NOW // SECOND, "exp": NOW // SECOND + 300}
    whole = {"alg": "ES256", "typ": "oauth-id-jag+jwt", "kid": PROVIDER.kid} | header
    assert refused(present(agent, raw(whole, claims | times))) == INVALID


def raw(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Signed over whatever header, which a library would refuse to write."""
    signing = b".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    assert PROVIDER.key.private_key
    signature = PROVIDER.key.private_key.sign(signing, ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(signature)
    return (signing + b"." + encoded(r.to_bytes(32) + s.to_bytes(32))).decode()


def encoded(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def test_assertion_that_the_issuer_did_not_sign_is_an_invalid_grant(agent: Client) -> None:
    good = PROVIDER.assertion()
    head, body, signature = good.split(".")
    stranger = replace(PROVIDER, key=ECKey.generate_key("P-256"))
    public = json.dumps(PROVIDER.jwks["keys"][0]).encode()
    confused = IdentityProvider(kid=PROVIDER.kid)
    object.__setattr__(confused, "key", OctKey.import_key(public))
    unsigned = encoded(b'{"alg":"none","typ":"oauth-id-jag+jwt"}').decode()
    forged = [
        stranger.assertion(),
        confused.assertion(header={"alg": "HS256"}),
        f"{unsigned}.{body}.",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{body}",
        good + "x" * 20_000,
        "x",
        "." * 60_000,
        "é.é.é",
    ]
    for assertion in forged:
        assert refused(present(agent, assertion)) == INVALID
    assert present(agent, good).status_code == 200


def test_nothing_that_this_server_makes_is_an_assertion(service: Service, agent: Client) -> None:
    issued = obtain(agent, PROVIDER.assertion())
    person = service.client().sign_in()
    for value in (issued.access, person.access, person.refresh):
        assert refused(present(agent, value)) == INVALID
    signing = {"signing_keys": ring_entry("s1"), "access_token_format": "jwt"}
    with Service(settings(**signing)) as other:
        agent = acting(other)
        assert refused(present(agent, obtain(agent, PROVIDER.assertion()).access)) == INVALID


def test_refusal_says_nothing_of_the_reason(agent: Client) -> None:
    wrong = [PROVIDER.assertion(aud="x"), PROVIDER.assertion(client_id="x"), PROVIDER.assertion(iss="x"), "x"]
    assert len({present(agent, assertion).text for assertion in wrong}) == 1


def test_assertion_for_a_key_is_good_for_who_proves_it_alone(agent: Client) -> None:
    """`cnf` of RFC 7800, as RFC 9449 §6 writes it; without one any key may be bound."""
    prover, thief = (bound(agent, Prover(now=NOW // SECOND)) for _ in range(2))
    assertion = PROVIDER.assertion(cnf={"jkt": prover.prover.jkt})
    assert refused(present(agent, assertion)) == INVALID
    assert refused(present(thief, assertion)) == INVALID
    for issued in (obtain(prover, assertion), obtain(prover, PROVIDER.assertion())):
        assert issued.response["token_type"] == "DPoP"
        assert agent.introspect(issued.access)["cnf"] == {"jkt": prover.prover.jkt}


def test_assertion_is_required(agent: Client) -> None:
    assert refused(agent.token(grant_type=GRANT_TYPE)) == (400, "invalid_request")


def test_client_authenticates_and_has_the_grant(service: Service) -> None:
    agent, public, stranger = acting(service), acting(service, "public"), service.client()
    agent.client_secret = "wrong"
    assert refused(present(agent, PROVIDER.assertion())) == (401, "invalid_client")
    assert refused(present(public, PROVIDER.assertion(client_id="public"))) == (400, "unauthorized_client")
    stranger.register(grant_types=["authorization_code", GRANT_TYPE], token_endpoint_auth_method="client_secret_post")
    answer = present(stranger, PROVIDER.assertion(client_id=stranger.client_id))
    assert refused(answer) == (400, "unauthorized_client")


def test_issuer_may_be_trusted_with_clients_that_have_no_secret() -> None:
    """MCP's extension allows it: their client_id may be a metadata document without keys."""
    with Service(settings(PROVIDER.entry(public_clients=True))) as service:
        public = acting(service, "public")
        assert public.active(obtain(public, PROVIDER.assertion(client_id="public")).access)
        assert refused(present(public, PROVIDER.assertion())) == INVALID


# How often


@proves("other one-use ids", "memory", "at most once")
def test_assertion_counts_once_and_what_came_of_it_lives_on(service: Service, agent: Client) -> None:
    assertion = PROVIDER.assertion()
    issued = obtain(agent, assertion)
    for passed in (0, 299, 5):
        service.clock.now += passed * SECOND
        assert refused(present(agent, assertion)) == INVALID
    assert agent.active(issued.access)


def test_ids_of_two_issuers_are_apart() -> None:
    other = IdentityProvider("https://idp.other.example")
    with Service(settings(PROVIDER.entry(), other.entry(account="other"))) as service:
        agent = acting(service)
        one, two = obtain(agent, PROVIDER.assertion(jti="1")), obtain(agent, other.assertion(jti="1"))
        assert agent.introspect(one.access)["account"] == "acme"
        assert agent.introspect(two.access)["account"] == "other"


def test_refused_request_does_not_use_the_assertion_up(service: Service, agent: Client) -> None:
    assertion = PROVIDER.assertion()
    assert present(agent, assertion, resource=OTHER).status_code == 400
    assert present(agent, assertion, scope="admin").status_code == 400
    assert present(acting(service, "other-agent"), assertion).status_code == 400
    with service.changed(ledger=Down()):
        assert refused(present(agent, assertion)) == (503, "temporarily_unavailable")
    assert present(agent, assertion).status_code == 200


def test_assertion_from_before_the_memory_began_is_refused() -> None:
    """Nobody knows any more whether it was used."""
    with Service(settings()) as service:
        assertion = PROVIDER.assertion()
        obtain(acting(service), assertion)
        service.clock.now += 10 * SECOND
        service.app = service.build()
        assert refused(present(acting(service), assertion)) == INVALID
        assert present(acting(service), PROVIDER.assertion(now=service.clock.now)).status_code == 200


@proves("other one-use ids", "sqlite", "the same, on every replica")
def test_assertion_counts_once_for_replicas_that_share_a_ledger_and_after_a_restart(tmp_path: Path) -> None:
    shared = settings(ledger=f"sqlite:///{tmp_path}/ledger.db", keys=ring_entry("k1"), client_keys=ring_entry("c1"))
    assertion = PROVIDER.assertion(now=NOW + SECOND)
    with Service(shared) as one, Service(shared) as other:
        issued = obtain(acting(one), assertion)
        assert refused(present(acting(other), assertion)) == INVALID
        assert acting(other).active(issued.access)
    with Service(shared) as restarted:
        assert refused(present(acting(restarted), assertion)) == INVALID
        assert acting(restarted).active(issued.access)


def test_of_assertions_presented_at_once_one_counts(agent: Client, service: Service) -> None:
    async def at_once() -> list[httpx.Response]:
        form = {"grant_type": GRANT_TYPE, "assertion": PROVIDER.assertion()}
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url=ISSUER, auth=("agent", SECRET)) as http:
            return list(await asyncio.gather(*(http.post("/token", data=form) for _ in range(16))))

    answers = service.run(at_once())
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 15
    [issued] = [answer.json()["access_token"] for answer in answers if answer.status_code == 200]
    assert agent.active(issued)


def test_trust_in_issuers_does_not_go_together_with_peers(tmp_path: Path) -> None:
    """Two of them could each take the same assertion once."""
    listed = json.dumps([PROVIDER.entry()])
    environment = replica.settings(
        f"sqlite:///{tmp_path}/ledger.db", free_port(), id_jag_issuers=listed, peers="https://peer.example.com"
    )
    said = replica.refusal(environment)
    assert "TOKENSVC_ID_JAG_ISSUERS goes together with TOKENSVC_PEERS" in said
    assert "Let the replicas share one ledger" in said


# What ends it


@pytest.mark.parametrize(
    ("kind", "subject"),
    [("everything", ""), ("account", "acme"), ("user", "acme/U019488227"), ("client", "agent"), ("credential", "")],
    ids=lambda value: value,
)
def test_revocation_ends_the_token_and_every_assertion_from_before(
    service: Service, agent: Client, kind: str, subject: str
) -> None:
    issued, unused = obtain(agent, PROVIDER.assertion()), PROVIDER.assertion()
    credential = service.app.state.service.server.access_tokens.unseal(issued.access, NOW).credential
    named = {"credential": credential, "client": client_handle("agent")}.get(kind, subject)
    assert agent.admin_revoke(kind, named).status_code == 200
    assert not agent.active(issued.access)
    assert refused(present(agent, unused)) == INVALID
    service.clock.now += SECOND
    assert refused(present(agent, unused)) == INVALID
    again = obtain(agent, PROVIDER.assertion(now=service.clock.now))
    assert agent.active(again.access), "whom the issuer vouches for after that is let in again"


def test_revocation_of_one_person_spares_another(service: Service, agent: Client) -> None:
    one, other = obtain(agent, PROVIDER.assertion()), obtain(agent, PROVIDER.assertion(sub="U2"))
    server = service.app.state.service.server
    credential = server.access_tokens.unseal(one.access, NOW).credential
    assert len(credential) == 24
    assert agent.admin_revoke("credential", credential).status_code == 200
    assert (agent.active(one.access), agent.active(other.access)) == (False, True)


@pytest.mark.parametrize(
    ("after", "lives"),
    [
        ([], False),
        ([PROVIDER.entry(account="other")], False),
        ([PROVIDER.entry(role="viewer")], False),
        ([PROVIDER.entry(user_claim="email")], False),
        ([PROVIDER.entry(role_claim="role")], False),
        ([PROVIDER.entry(tenant="t1")], False),
        ([PROVIDER.entry(aud_tenant="o1")], False),
        ([PROVIDER.entry(issuer=f"{IDP}/tenant")], False),
        ([IdentityProvider(kid="idp-2").entry()], True),
        ([PROVIDER.entry(), IdentityProvider("https://idp.other.example").entry()], True),
        ([PROVIDER.entry(public_clients=True)], True),
    ],
    ids=[
        "removed",
        "account",
        "role",
        "user claim",
        "role claim",
        "tenant",
        "aud_tenant",
        "issuer",
        "new keys",
        "one more",
        "public clients",
    ],
)
def test_token_lives_as_long_as_its_issuer_is_trusted_with_the_same_people(
    service: Service, agent: Client, after: list[dict[str, Any]], lives: bool
) -> None:
    issued = obtain(agent, PROVIDER.assertion())
    changed = Settings.model_validate(service.values | {"id_jag_issuers": json.dumps(after)})
    with service.changed(identities=assembly.identities(changed, assembly.listed(changed))):
        assert agent.active(issued.access) is lives


def test_keys_that_cannot_be_had_are_no_refusal() -> None:
    """The host is one that may not be asked; a test of the fetch says what else there is."""
    entry = PROVIDER.entry(jwks=None, jwks_uri="https://localhost:1/keys")
    with Service(settings(entry)) as service:
        answer = present(acting(service), PROVIDER.assertion())
        assert refused(answer) == (503, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        untrusted = present(acting(service), PROVIDER.assertion(iss="https://elsewhere.example"))
        assert refused(untrusted) == INVALID


# How it is configured


UNUSABLE: dict[str, tuple[Any, str]] = {
    "no JSON": ("{", "is not a JSON list"),
    "no list": ({}, "is refused"),
    "no account": ([{"issuer": IDP}], "is refused"),
    "no keys": ([PROVIDER.entry(jwks=None)], "in jwks or under jwks_uri"),
    "keys in two places": ([PROVIDER.entry(jwks_uri="https://a.example/keys")], "in jwks or under jwks_uri"),
    "keys without TLS": ([PROVIDER.entry(jwks=None, jwks_uri="http://a.example/keys")], "jwks_uri"),
    "an empty set": ([PROVIDER.entry(jwks={"keys": []})], "no key that could verify"),
    "a private key": ([PROVIDER.entry(jwks={"keys": [PROVIDER.key.as_dict(private=True)]})], "no key that could"),
    "no set": ([PROVIDER.entry(jwks={})], "JWK Set"),
    "no role": ([PROVIDER.entry(role=None)], "role"),
    "an empty account": ([PROVIDER.entry(account="")], "1 to 128 bytes"),
    "a control character": ([PROVIDER.entry(role="a\nb")], "control characters"),
    "no URL": ([PROVIDER.entry(issuer="idp.example.com")], "issuer"),
    "an unknown member": ([PROVIDER.entry(unknown=1)], "unknown"),
    "twice the same": ([PROVIDER.entry(), PROVIDER.entry(account="other")], "twice"),
    "this server": ([PROVIDER.entry(issuer=ISSUER)], "this server itself"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_list_that_cannot_be_used_is_refused_with_the_way_out(case: str) -> None:
    listed, problem = UNUSABLE[case]
    text = listed if isinstance(listed, str) else json.dumps(listed)
    values = {"issuer": ISSUER, "keys": "x", "client_keys": "x", "id_jag_issuers": text}
    with pytest.raises(SettingsError, match=rf"^TOKENSVC_ID_JAG_ISSUERS .*{problem}.*\. [A-Z]"):
        assembly.listed(Settings.model_validate(values))
