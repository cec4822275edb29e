"""`tokensvc explain`: transcripts, of what a running replica issued."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.commands.transcript import Ran, called, tokensvc
from tests.ports import free_port
from tests.replica import (
    API_KEY,
    INTROSPECTION_TOKEN,
    KNOWN_SECRETS,
    Client,
    Replica,
    Tokens,
    api_key_entry,
    changed,
    hidden_inputs,
    ring_entry,
    settings,
)
from tokensvc import assembly
from tokensvc.commands import now
from tokensvc.commands.explain.opening import KINDS
from tokensvc.protocol.client import DEVICE_CODE
from tokensvc.settings import Settings
from tokensvc.tokens import kinds
from tokensvc.tokens.artefact import Artefact
from tokensvc.tokens.kinds import AccessToken, client_handle

TIME = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"
REMOVED = "no API key, client or issuer stands for it any more"
UNKNOWN = "for no reason that is known here, and revocations were not asked for: see --url"


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    port = free_port()
    directory: Path = tmp_path_factory.mktemp("explain")
    with Replica(settings("memory://", port), port, directory=directory) as started:
        yield started


@pytest.fixture(scope="module")
def client(replica: Replica) -> Client:
    client = Client(replica.url)
    client.register(client_name="Test client")
    return client


@pytest.fixture(scope="module")
def issued(client: Client) -> Tokens:
    return client.sign_in()


def transcript(replica: Replica, *arguments: str, stdin: str | bytes = "", **changes: str) -> Ran:
    return tokensvc("explain", *arguments, stdin=stdin, variables=changed(replica.environment, **changes))


def explain(replica: Replica, *arguments: str, stdin: str | bytes = "", **changes: str) -> Ran:
    return called("explain", *arguments, stdin=stdin, variables=changed(replica.environment, **changes))


def test_access_token_is_described_line_by_line(replica: Replica, client: Client, issued: Tokens) -> None:
    facts = client.introspect(issued.access)
    ran = transcript(replica, issued.access)
    assert (ran.code, ran.err) == (0, "")
    handle = re.escape(client_handle(client.client_id))
    lines = [
        r"kind: access token",
        r"version: k1 of TOKENSVC_KEYS \(active\), sealed on 20\d\d-\d\d-\d\d",
        r"account: acme",
        r"user: ada",
        r"role: admin",
        rf"client: {handle}",
        r"credential: [A-Za-z0-9_-]{11}",
        rf"resource: {re.escape(replica.url)}",
        r"scope: mcp",
        rf"family: {facts['family']}",
        r"generation: 1",
        rf"jti: {re.escape(facts['jti'])}",
        rf"authorized: {TIME}",
        rf"issued: {TIME}",
        rf"expires: {TIME}",
        rf"refused: {UNKNOWN}",
    ]
    assert re.fullmatch("\n".join(lines) + "\n", ran.out)


def test_other_kinds_say_what_they_are(replica: Replica, client: Client, issued: Tokens) -> None:
    refresh = explain(replica, issued.refresh).facts
    assert (refresh["kind"], refresh["generation"], refresh["user"]) == ("refresh token", "1", "ada")
    assert "jti" not in refresh
    code = explain(replica, client.code()).facts
    assert (code["kind"], code["user"], code["refused"]) == ("code", "ada", UNKNOWN)
    assert "generation" not in code


def test_client_id_says_what_was_registered(replica: Replica, client: Client) -> None:
    ran = explain(replica, client.client_id)
    assert (ran.code, ran.err) == (0, "")
    assert (
        ran.out
        == f"""\
kind: client_id
version: c1 of TOKENSVC_CLIENT_KEYS (active)
client: {client_handle(client.client_id)}
name: Test client
token_endpoint_auth_method: none
grant_types: authorization_code
grant_types: refresh_token
redirect_uris: 1, as digests
"""
    )


SIGNING = ring_entry("s1")
JWT = {"access_token_format": "jwt", "signing_keys": SIGNING}


@pytest.fixture(scope="module")
def signed(replica: Replica) -> Iterator[tuple[Client, Tokens]]:
    """What a client of a replica with the same rings got, whose access tokens are JWTs."""
    with replica.twin(**JWT, device_authorization="on") as other:
        client = Client(other.url)
        yield client, client.sign_in()


@pytest.mark.parametrize("token_format", ["jwt", "sealed"])
def test_jwt_is_described_like_an_access_token(
    replica: Replica, signed: tuple[Client, Tokens], token_format: str
) -> None:
    client, issued = signed
    facts = client.introspect(issued.access)
    explained = explain(replica, issued.access, **JWT | {"access_token_format": token_format}).facts
    assert list(explained)[:3] == ["kind", "version", "account"]
    assert explained["kind"] == "access token"
    assert explained["version"] == "s1 of TOKENSVC_SIGNING_KEYS (active), a JWT signed by ES256"
    assert (explained["user"], explained["jti"], explained["refused"]) == ("ada", facts["jti"], UNKNOWN)
    assert explained["resource"] == facts["aud"]


def test_jwt_is_refused_for_the_reasons_of_any_token(replica: Replica, signed: tuple[Client, Tokens]) -> None:
    client, issued = signed
    assert explain(replica, issued.access, **JWT, api_keys="").facts["refused"] == REMOVED
    other = explain(replica, "--json", issued.access, **JWT, resources="https://other.example").json
    assert other["refused"] == ["its resource is not in TOKENSVC_RESOURCES"]
    client.revoke(issued.access)
    marked = explain(replica, issued.access, "--url", client.url, **JWT).facts["refused"]
    assert marked == f"marked by token:{client_facts(issued.access)['jti']}"


def client_facts(jwt: str) -> dict[str, str]:
    payload = jwt.split(".")[1]
    facts: dict[str, str] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return facts


def test_jwt_of_a_version_that_was_dropped_or_of_elsewhere_is_said(
    replica: Replica, signed: tuple[Client, Tokens]
) -> None:
    _, issued = signed
    dropped = explain(replica, issued.access, **JWT | {"signing_keys": ring_entry("s2")})
    assert dropped.err == (
        "tokensvc: this JWT names no key of TOKENSVC_SIGNING_KEYS here, which has s2: its version was dropped, or "
        "it is from elsewhere, or no access token\n"
    )
    damaged = explain(replica, f"{issued.access[:-5]}AAAAA", **JWT)
    assert damaged.err.startswith("tokensvc: this access token does not open: signed by another key, or changed. ")
    assert (dropped.code, damaged.code) == (1, 1)


def test_jwt_where_none_are_signed_is_nothing_of_ours(replica: Replica, signed: tuple[Client, Tokens]) -> None:
    _, issued = signed
    assert "this is nothing that is sealed here" in explain(replica, issued.access).err
    assert "eyJ (access token, as a JWT)" in explain(replica, "x", **JWT).err


def test_requests_on_their_way_are_described_without_what_is_only_theirs(
    replica: Replica, signed: tuple[Client, Tokens]
) -> None:
    client, _ = signed
    handle = client_handle(client.client_id)
    request = {"response_type": "code", "redirect_uri": client.redirect_uri, "state": "state-of-its-own"}
    challenge = {"code_challenge": client.challenge, "code_challenge_method": "S256"}
    form = {"client_id": client.client_id} | request | challenge
    pushed = client.http.post(f"{client.url}/par", data=form).json()["request_uri"]
    device = Client(client.url)
    device.register(redirect_uris=[], grant_types=[DEVICE_CODE])
    asked = device.http.post(f"{client.url}/device_authorization", data={"client_id": device.client_id}).json()
    KNOWN_SECRETS.update({pushed, asked["device_code"], asked["user_code"]})
    _, page = client.page(state="state-of-its-own")
    values = {
        "pushed request": (pushed, handle),
        "authorization request": (hidden_inputs(page.text)["request"], handle),
        "device code": (asked["device_code"], client_handle(device.client_id)),
    }
    for kind, (value, owner) in values.items():
        ran = explain(replica, value)
        assert (ran.code, ran.facts["kind"], ran.facts["client"]) == (0, kind, owner), ran.err
        assert re.fullmatch(TIME, ran.facts["expires"])
        assert ran.facts["refused"] == UNKNOWN
        assert not [secret for secret in ("state-of-its-own", asked["user_code"], value) if secret in ran.out]
    assert explain(replica, pushed).facts["redirect_uri"] == client.redirect_uri


def test_json_has_the_same_facts(replica: Replica, client: Client, issued: Tokens) -> None:
    ran = transcript(replica, "--json", issued.access)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["kind"] == "access token"
    assert ran.json["generation"] == 1
    assert ran.json["refused"] == []
    assert explain(replica, "--json", client.client_id).json["grant_types"] == ["authorization_code", "refresh_token"]


def test_token_comes_from_standard_input(replica: Replica, issued: Tokens) -> None:
    for arguments in (("-",), ()):
        ran = transcript(replica, *arguments, stdin=f"  {issued.access}\n")
        assert (ran.code, ran.facts["kind"]) == (0, "access token")
    ran = explain(replica, stdin=b"\xff\xfe")
    assert (ran.code, ran.err) == (1, "tokensvc: what came from standard input is no text\n")


def test_secrets_are_not_shown(replica: Replica) -> None:
    confidential = Client(replica.url)
    confidential.register(token_endpoint_auth_method="client_secret_basic")
    confidential_code = confidential.code()
    for value in (confidential.client_id, confidential_code, confidential.sign_in().access):
        ran = explain(replica, value)
        assert ran.code == 0
        secrets = (confidential.client_secret, confidential.verifier, API_KEY, INTROSPECTION_TOKEN, value)
        rings = [replica.environment[f"TOKENSVC_{name}"].partition("=")[2] for name in ("KEYS", "CLIENT_KEYS")]
        assert not [secret for secret in (*secrets, *rings) if secret in ran.out + ran.err]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"api_keys": ""}, REMOVED),
        ({"api_keys": api_key_entry(API_KEY, role="viewer")}, "the API key has another account, user or role now"),
        ({"resources": "https://other.example"}, "its resource is not in TOKENSVC_RESOURCES"),
        ({"role_scopes": "admin="}, "its role may have none of its scopes any more"),
    ],
    ids=["key removed", "role changed", "resource", "scopes of the role"],
)
def test_reason_that_the_settings_give_is_told(
    replica: Replica, issued: Tokens, changes: dict[str, str], reason: str
) -> None:
    ran = explain(replica, issued.access, **changes)
    assert (ran.code, ran.facts["refused"]) == (0, reason)


def test_every_reason_is_told(replica: Replica, issued: Tokens) -> None:
    ran = explain(replica, "--json", issued.access, api_keys="", resources="https://other.example")
    assert len(ran.json["refused"]) == 2
    assert explain(replica, issued.access, api_keys="", resources="https://other.example").out.count("refused: ") == 2


def issued_before(environment: Mapping[str, str], token: str, milliseconds: int, lifetime: int) -> str:
    """The token as a replica could have sealed it that long ago."""
    values = {name.removeprefix("TOKENSVC_").lower(): value for name, value in environment.items()}
    sealer = assembly.sealer(Settings.model_validate(values), now())
    opened = sealer.unseal(AccessToken, token, now())
    return sealer.seal(replace(opened, authorized_at=now() - milliseconds, lifetime=lifetime), now())


def test_expired_token_and_one_that_lowered_settings_ended_are_told_with_the_time(
    replica: Replica, issued: Tokens
) -> None:
    expired = issued_before(replica.environment, issued.access, 100_000, 99_000)
    assert re.fullmatch(rf"expired {TIME}", explain(replica, expired).facts["refused"])
    older = issued_before(replica.environment, issued.access, 100_000, 3_600_000)
    lowered = explain(replica, older, access_ttl="60").facts["refused"]
    assert re.fullmatch(rf"older than the lifetime that is set now, which ended it {TIME}", lowered)


def test_marks_are_asked_for_only_with_a_url(replica: Replica, client: Client) -> None:
    issued = client.sign_in()
    family = client.introspect(issued.access)["family"]
    client.revoke(issued.refresh)
    assert explain(replica, issued.access).facts["refused"] == UNKNOWN
    for arguments in (
        (issued.access, "--url", replica.url),
        (issued.access, "--url"),
        ("--url", issued.access),
        (f"--url={replica.url}", issued.access),
    ):
        ran = explain(replica, *arguments)
        assert (ran.code, ran.facts["refused"]) == (0, f"marked by family:{family}")


def test_with_a_url_the_token_is_sent_nowhere(replica: Replica, client: Client) -> None:
    """Only the marks are fetched: the log of the replica knows nothing of it."""
    issued = client.sign_in()
    before = len(replica.lines)
    ran = transcript(replica, issued.access, "--url", replica.url)
    assert ran.facts["refused"] == "for no reason that is known here"
    assert replica.lines[before:] == []


def test_replica_that_does_not_answer_is_said(replica: Replica, issued: Tokens) -> None:
    port = free_port()
    ran = explain(replica, issued.access, "--url", f"http://127.0.0.1:{port}")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"tokensvc: http://127.0.0.1:{port} cannot be reached: ")
    ran = explain(replica, issued.access, "--url", admin_tokens="wrong")
    assert (ran.code, ran.out) == (1, "")
    assert "does not know the first secret" in ran.err


def test_version_that_was_dropped_is_named_beside_those_that_are_there(replica: Replica, issued: Tokens) -> None:
    ran = transcript(replica, issued.access, keys=f"{ring_entry('k2')},{ring_entry('k3')}")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "tokensvc: this access token names the version k1, and TOKENSVC_KEYS here has k2, k3: that version was "
        "dropped, or the token is from elsewhere\n"
    )


def test_version_that_is_staged_or_retired_says_so(replica: Replica, issued: Tokens) -> None:
    ring = f"{replica.environment['TOKENSVC_KEYS']},{ring_entry('k2', '2026-01-01T00:00:00Z')}"
    assert "k1 of TOKENSVC_KEYS (retired)" in explain(replica, issued.access, keys=ring).facts["version"]


@pytest.mark.parametrize(
    "changes",
    [{"keys": ring_entry("k1")}, {"issuer": "https://other.example"}],
    ids=["another secret", "another issuer"],
)
def test_token_of_elsewhere_does_not_open(replica: Replica, issued: Tokens, changes: dict[str, str]) -> None:
    ran = explain(replica, issued.access, **changes)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "tokensvc: this access token does not open: sealed under another key, or changed. It is damaged, or sealed "
        "under another TOKENSVC_ISSUER or a version of the same name with another secret\n"
    )


def test_kind_that_another_prefix_claims_does_not_open(replica: Replica, issued: Tokens) -> None:
    ran = explain(replica, issued.access.replace("tsat_", "tsrt_"))
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("tokensvc: this refresh token does not open: ")


@pytest.mark.parametrize("value", ["", "x", "ovat_x", "eyJhbGciOiJub25lIn0.e30.", API_KEY, "é", "tsxx_y"])
def test_what_is_nothing_of_ours_is_told_by_its_beginning(replica: Replica, value: str) -> None:
    ran = explain(replica, "-", stdin=value)
    assert (ran.code, ran.out) == (1, "")
    assert "begins with one of tsat_ (access token), tsrt_ (refresh token), tsac_ (code), tscl_ (client_id)" in ran.err
    assert len(value) < 2 or value not in ran.err


def test_prefix_of_the_setting_counts(replica: Replica) -> None:
    assert "ovat_ (access token)" in explain(replica, "tsat_x", token_prefix="ov").err


def test_damaged_token_is_said_to_be_damaged(replica: Replica, issued: Tokens) -> None:
    for value in ("tsat_", "tsat_x..a.b.c", "tsat_....", f"tsat_x{issued.access[5:]}"):
        ran = explain(replica, "-", stdin=value)
        assert (ran.code, ran.out) == (1, "")
        assert ran.err == "tokensvc: this access token is damaged, or was not sealed by this service\n"
    assert explain(replica, issued.access[:-3]).err.startswith("tokensvc: this access token does not open: ")


def test_forged_name_of_a_version_cannot_write_to_the_terminal(replica: Replica) -> None:
    header = b'{"alg":"dir","enc":"A256GCM","kid":"\x1b[31mred\x1b[0m.20000"}'
    value = f"tsat_{base64.urlsafe_b64encode(header).decode().rstrip('=')}..AAAA.AAAA.AAAA"
    ran = explain(replica, value)
    assert (ran.code, ran.out) == (1, "")
    assert "\x1b" not in ran.err
    assert "names the version something else" in ran.err


def test_every_kind_that_leaves_the_service_can_be_explained() -> None:
    """Not what replicas tell one another, and not an approval, which waits in the ledger."""
    declared = {kind for kind in vars(kinds).values() if isinstance(kind, type) and issubclass(kind, Artefact)}
    sealed = {kind for kind in declared if hasattr(kind, "kind") and not issubclass(kind, kinds.PeerMessage)}
    assert sealed - {kinds.DeviceApproval} == set(KINDS)
