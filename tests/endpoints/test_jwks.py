"""`GET /jwks.json`, and JWT access tokens at the endpoints that judge them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.endpoints.local import ISSUER, NOW, SECOND, Service
from tests.replica import ADMIN_TOKEN, API_KEY, INTROSPECTION_TOKEN, Client, api_key_entry, ring_entry, tokens
from tokensvc.tokens.base64url import decode, encode
from tokensvc.tokens.signing_keys import SigningKeys

SEALED: dict[str, object] = {
    "keys": ring_entry("k1"),
    "client_keys": ring_entry("c1"),
    "signing_keys": ring_entry("s1"),
}
JWT = SEALED | {"access_token_format": "jwt"}
ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
METADATA = "/.well-known/oauth-authorization-server"


def claims(jwt: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(decode(jwt.split(".")[1]))
    return found


def header(jwt: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(decode(jwt.partition(".")[0]))
    return found


@pytest.fixture
def client() -> Any:
    with Service(dict(JWT)) as service:
        client = service.client()
        client.register()
        yield client


def test_keys_are_public_cached_and_advertised(client: Client) -> None:
    answer = client.http.get("/jwks.json")
    (jwk,) = answer.json()["keys"]
    assert (jwk["use"], jwk["alg"], jwk["kty"], "d" in jwk) == ("sig", "ES256", "EC", False)
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert client.http.get(METADATA).json()["jwks_uri"] == f"{ISSUER}/jwks.json"
    assert header(client.sign_in().access)["kid"] == jwk["kid"]


def test_without_a_ring_that_signs_there_is_no_trace_of_it() -> None:
    with Service() as service:
        http = service.http()
        assert http.get("/jwks.json").status_code == 404
        assert "jwks_uri" not in http.get(METADATA).json()
        assert "TOKENSVC_SIGNING_KEYS" not in service.client().http.get("/admin/keys", headers=ADMIN).text


@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
def test_a_jwt_says_what_introspection_says(alg: str) -> None:
    with Service(JWT | {"signing_alg": alg}) as service:
        client = service.client()
        issued = client.sign_in()
        facts = client.introspect(issued.access)
        said = claims(issued.access)
        assert facts.pop("active") is True
        assert facts.pop("token_type") == "Bearer"
        assert {name: said[name] for name in facts} == facts
        assert said.keys() - facts.keys() == {"d", "t"}
        assert (said["exp"] - said["iat"], issued.response["expires_in"]) == (3600, 3600)
        assert not issued.refresh.startswith("eyJ")
        assert {entry["alg"] for entry in client.http.get("/jwks.json").json()["keys"]} == {alg}


def test_refresh_mints_the_same_head_again_as_another_jwt(client: Client) -> None:
    issued = client.sign_in()
    one, same = (tokens(client.refresh(issued.refresh)) for _ in range(2))
    assert claims(one.access)["jti"] == claims(same.access)["jti"] != claims(issued.access)["jti"]
    assert client.active(one.access)
    assert client.active(issued.access)


def test_revocation_ends_it_alone_or_with_its_family(client: Client) -> None:
    issued = client.sign_in()
    second = tokens(client.refresh(issued.refresh))
    assert client.revoke(issued.access).status_code == 200
    assert (client.active(issued.access), client.active(second.access)) == (False, True)
    client.revoke(second.refresh)
    assert not client.active(second.access)


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("everything", ""),
        ("account", "acme"),
        ("user", "acme/ada"),
        ("client", "{client_id}"),
        ("family", "{family}"),
        ("token", "{jti}"),
        ("credential", "{d}"),
    ],
)
def test_every_sort_of_mark_ends_it_at_introspection(client: Client, kind: str, subject: str) -> None:
    issued = client.sign_in()
    answer = client.admin_revoke(kind, subject.format(**claims(issued.access)))
    assert answer.status_code == 200, answer.text
    assert not client.active(issued.access)


def test_signing_in_within_the_millisecond_of_a_mark_is_a_new_beginning(client: Client) -> None:
    """Fault 19: seconds, which a JWT has, would tell the two apart too late."""
    old = client.sign_in()
    client.admin_revoke("user", "acme/ada")
    new = client.sign_in()
    assert (client.active(old.access), client.active(new.access)) == (False, True)
    assert claims(new.access)["t"] > claims(old.access)["t"]
    assert claims(new.access)["iat"] == claims(old.access)["iat"]


@pytest.mark.parametrize("changed", [{"api_keys": ""}, {"api_keys": api_key_entry(API_KEY, role="viewer")}], ids=str)
def test_credential_that_is_gone_or_stands_for_another_ends_it(changed: dict[str, object]) -> None:
    with Service(dict(JWT)) as service, Service(JWT | changed) as later:
        issued = service.client().sign_in()
        later.share_ledger(service)
        assert later.client().introspect(issued.access) == {"active": False}


def test_expires_to_the_millisecond_and_by_the_present_setting() -> None:
    with Service(dict(JWT)) as service, Service(JWT | {"access_ttl": 60}) as lowered:
        lowered.share_ledger(service)
        issued = service.client().sign_in()
        for each, lifetime in ((lowered, 60), (service, 3_600)):
            each.clock.now = NOW + lifetime * SECOND - 1
            assert each.client().active(issued.access)
            each.clock.now += 1
            assert not each.client().active(issued.access)


def test_is_active_at_its_own_resource_alone() -> None:
    here, there = "https://a.example", "https://b.example"
    secrets = f"{here}=secret-of-a,{there}=secret-of-b"
    with Service(JWT | {"resources": f"{here},{there}", "introspection_tokens": secrets}) as service:
        client = service.client()
        client.register()
        issued = tokens(client.redeem(client.code(resource=there)))
        assert claims(issued.access)["aud"] == there
        assert client.introspect(issued.access, "secret-of-b")["aud"] == there
        assert client.introspect(issued.access, "secret-of-a") == {"active": False}


@pytest.mark.parametrize(("before", "after"), [(SEALED, JWT), (JWT, SEALED)], ids=["to jwt", "back"])
def test_changing_the_format_ends_nothing(before: dict[str, object], after: dict[str, object]) -> None:
    with Service(dict(before)) as first, Service(dict(after)) as second:
        second.share_ledger(first)
        client = first.client()
        issued = client.sign_in()
        client.http = second.http()
        assert client.active(issued.access)
        renewed = tokens(client.refresh(issued.refresh))
        assert renewed.access.startswith("eyJ") is (after is JWT)
        assert issued.access.startswith("eyJ") is (before is JWT)
        assert client.revoke(issued.access).status_code == 200
        assert (client.active(issued.access), client.active(renewed.access)) == (False, True)


def test_changing_the_algorithm_ends_nothing_where_it_is_asked_about() -> None:
    with Service(dict(JWT)) as first, Service(JWT | {"signing_alg": "EdDSA"}) as second:
        second.share_ledger(first)
        client = first.client()
        issued = client.sign_in()
        client.http = second.http()
        assert client.active(issued.access)


def test_without_the_ring_a_jwt_is_no_token() -> None:
    with Service(dict(JWT)) as first, Service({"keys": JWT["keys"], "client_keys": JWT["client_keys"]}) as second:
        second.share_ledger(first)
        issued = first.client().sign_in()
        assert second.client().introspect(issued.access) == {"active": False}


def test_hostile_jwts_are_inactive_and_no_more() -> None:
    """Each says that it is a token that is active, and is not what was signed."""
    with Service(dict(JWT)) as service:
        client = service.client()
        issued = client.sign_in()
        for name, value in hostile(issued.access, service).items():
            answer = client.http.post(
                "/introspect",
                data={"token": value},
                headers={"Authorization": f"Bearer {INTROSPECTION_TOKEN}"},
            )
            assert (answer.status_code, answer.text) == (200, '{"active":false}'), name
            assert client.revoke(value).status_code == 200, name
        assert client.active(issued.access)


def hostile(jwt: str, service: Service) -> dict[str, str]:
    head, body, signature = jwt.split(".")
    signing: SigningKeys = service.app.state.service.signing
    foreign = SigningKeys(signing.ring, "ES256", "https://evil.example", "ts").active(NOW)

    def part(of: object) -> str:
        return encode(json.dumps(of, separators=(",", ":")).encode())

    def with_header(**changes: object) -> str:
        return f"{part(header(jwt) | changes)}.{body}.{signature}"

    def with_claims(**changes: object) -> str:
        return f"{head}.{part(claims(jwt) | changes)}.{signature}"

    return {
        "none": f"{part(header(jwt) | {'alg': 'none'})}.{body}.",
        "none, signed": with_header(alg="none"),
        "hs256": with_header(alg="HS256"),
        "typ": with_header(typ="JWT"),
        "kid": with_header(kid="s2.AAAAAAAAAAA"),
        "kid of another issuer": with_header(kid=foreign.kid),
        "crit": with_header(crit=["x"], x=1),
        "jwk": with_header(jwk=foreign.public),
        "iss": with_claims(iss="https://evil.example"),
        "aud": with_claims(aud="https://evil.example"),
        "another person": with_claims(user="eve", sub="acme/eve"),
        "longer": with_claims(exp=2**40),
        "no signature": f"{head}.{body}.",
        "unsigned": f"{head}.{body}",
        "wrapped": f"{jwt}.{jwt}",
        "sealed prefix": f"tsat_{jwt}",
    }


def test_ring_and_its_use_stand_among_the_others(client: Client) -> None:
    client.active(client.sign_in().access)
    versions = client.http.get("/admin/keys", headers=ADMIN).json()["versions"]
    (signing,) = [version for version in versions if version["ring"] == "TOKENSVC_SIGNING_KEYS"]
    assert (signing["kid"], signing["state"], signing["seals"], signing["opens"]) == ("s1", "active", 1, 1)
    assert signing["longest"] == 3_600 * SECOND
    rings = client.http.get("/admin/state", headers=ADMIN).json()["rings"]
    assert "TOKENSVC_SIGNING_KEYS" in {version["ring"] for version in rings}


def test_nothing_but_get_is_answered(client: Client) -> None:
    answers = [client.http.post("/jwks.json"), client.http.delete("/jwks.json")]
    assert [answer.status_code for answer in answers] == [405, 405]
