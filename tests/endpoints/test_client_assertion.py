"""A client's assertion (RFC 7523 §2.2) counts once, and is used up by what it obtains: never by being shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from tests.device import Device, Person
from tests.endpoints.local import ISSUER, NOW, SECOND, Down, Service
from tests.grants.identity_provider import IdentityProvider
from tests.promises import proves
from tests.proofs import Prover, bound
from tests.replica import Client, Tokens, tokens
from tests.signer import Signer
from tokensvc.protocol.client import DEVICE_CODE
from tokensvc.protocol.id_jag import GRANT_TYPE

SIGNER = Signer("app", now=lambda: NOW // SECOND)
PROVIDER = IdentityProvider()
APP = {
    "client_id": "app",
    "redirect_uris": ["http://127.0.0.1:33418/callback"],
    "grant_types": ["authorization_code", "refresh_token", "client_credentials", DEVICE_CODE, GRANT_TYPE],
    "identity": "acme/app/machine",
    "jwks": SIGNER.jwks,
}
SETTINGS: dict[str, object] = {"clients": json.dumps([APP]), "device_authorization": "on"}
MACHINE = {"grant_type": "client_credentials"}


@pytest.fixture(params=["memory", "sqlite"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    ledger = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/ledger.db"}[request.param]
    with Service(SETTINGS | {"ledger": ledger}) as started:
        yield started


@pytest.fixture
def client(service: Service) -> Client:
    return acting(service)


def acting(service: Service) -> Client:
    client = service.client()
    client.client_id = "app"
    return client


def signed() -> dict[str, str]:
    """The parameters of one assertion."""
    return SIGNER.parameters(ISSUER)


def sign_in(client: Client) -> Tokens:
    return tokens(client.redeem(client.code(), **signed()))


def outcome(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("error", "")


def remembered(service: Service) -> int:
    return len(service.run(service.app.state.service.server.ledger.state(service.clock.now)).spent)


REPLAYED = (401, "invalid_client")


def test_requests_that_are_refused_use_nothing_up_and_leave_nothing_behind(service: Service, client: Client) -> None:
    """Whoever publishes a metadata document can sign as many as they like."""
    once = signed()
    for parameters in (once, signed()):
        assert outcome(client.redeem("junk", **parameters)) == (400, "invalid_grant")
        assert outcome(client.refresh("junk", **parameters)) == (400, "invalid_grant")
        assert outcome(client.token(**parameters, grant_type=GRANT_TYPE)) == (400, "unsupported_grant_type")
        assert outcome(client.token(**parameters, **MACHINE, resource="https://x.example")) == (400, "invalid_target")
    assert remembered(service) == 0
    assert client.token(**once, **MACHINE).status_code == 200
    assert remembered(service) == 1
    assert outcome(client.token(**once, **MACHINE)) == REPLAYED


def test_what_has_ended_uses_nothing_up(service: Service, client: Client) -> None:
    issued = sign_in(client)
    assert client.revoke(issued.refresh, **signed()).status_code == 200
    before, once = remembered(service), signed()
    assert outcome(client.refresh(issued.refresh, **once)) == (400, "invalid_grant")
    assert remembered(service) == before
    assert client.token(**once, **MACHINE).status_code == 200


def test_503_uses_nothing_up_so_that_the_same_request_may_come_again(service: Service, client: Client) -> None:
    once, code = signed(), client.code()
    with service.changed(ledger=Down()):
        assert outcome(client.redeem(code, **once)) == (503, "temporarily_unavailable")
    assert client.redeem(code, **once).status_code == 200


def test_identity_provider_whose_keys_cannot_be_had_uses_nothing_up() -> None:
    entry = PROVIDER.entry(jwks=None, jwks_uri="https://127.0.0.1:9/keys")
    with Service(SETTINGS | {"fetch_networks": "127.0.0.0/8", "id_jag_issuers": json.dumps([entry])}) as service:
        form = signed() | {"grant_type": GRANT_TYPE, "assertion": PROVIDER.assertion(client_id="app")}
        for _ in range(2):
            assert outcome(acting(service).token(**form)) == (503, "temporarily_unavailable")
        assert remembered(service) == 0


def test_replayed_one_ends_nothing_and_takes_nothing_along(client: Client) -> None:
    used, issued = signed(), sign_in(client)
    code = client.code()
    tokens(client.token(**used, **MACHINE))
    assert outcome(client.redeem(code, **used)) == REPLAYED
    assert outcome(client.refresh(issued.refresh, **used)) == REPLAYED
    assert outcome(client.revoke(issued.refresh, **used)) == REPLAYED
    assert client.active(issued.access)
    assert client.redeem(code, **signed()).status_code == 200
    assert client.refresh(issued.refresh, **signed()).status_code == 200


def test_replayed_one_with_fresh_proofs_leaves_nothing_behind(service: Service, client: Client) -> None:
    prover = bound(client, Prover(now=NOW // SECOND))
    used = signed()
    tokens(prover.token(**used, **MACHINE))
    before = remembered(service)
    for _ in range(3):
        assert outcome(prover.token(**used, **MACHINE)) == REPLAYED
    assert remembered(service) == before


@pytest.mark.parametrize("grant", ["authorization_code", "refresh_token", "client_credentials"])
def test_of_requests_at_once_with_one_assertion_one_succeeds_and_its_grant_lives(
    service: Service, client: Client, grant: str
) -> None:
    form = {"grant_type": grant, "client_id": "app"} | signed()
    if grant == "authorization_code":
        form |= {"code": client.code(), "code_verifier": client.verifier}
    if grant == "refresh_token":
        form |= {"refresh_token": sign_in(client).refresh}

    async def at_once() -> list[httpx.Response]:
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as http:
            return list(await asyncio.gather(*(http.post("/token", data=form) for _ in range(8))))

    answers = service.run(at_once())
    assert sorted(map(outcome, answers)) == [(200, "")] + [REPLAYED] * 7
    [issued] = [answer.json()["access_token"] for answer in answers if answer.status_code == 200]
    assert client.active(issued)


def test_where_nothing_is_issued_it_is_not_used_up(service: Service, client: Client) -> None:
    """At /par and at /device_authorization: what comes of it needs a person, and another proof of the client."""
    once = signed()
    asked = dict(parse_qsl(urlsplit(client.authorize_url()).query))
    device = Device(client)
    for _ in range(2):
        assert client.http.post("/par", data=asked | once).status_code == 201
        assert device.ask(**once).status_code == 200
    assert remembered(service) == 0
    Person(service.http(), service.issuer).allow(device.user_code)
    assert device.poll(**once).status_code == 200
    assert outcome(client.token(**once, **MACHINE)) == REPLAYED


def test_device_may_poll_by_one_assertion_until_it_gets_tokens(service: Service, client: Client) -> None:
    once, device = signed(), Device(client)
    device.ask(**signed())
    assert outcome(device.poll(**once)) == (400, "authorization_pending")
    Person(service.http(), service.issuer).allow(device.user_code)
    assert device.poll(**once).status_code == 200
    assert outcome(device.poll(**once)) == REPLAYED


def test_revocation_uses_it_up_where_something_is_revoked(service: Service, client: Client) -> None:
    one, other, once = sign_in(client), sign_in(client), signed()
    before = remembered(service)
    assert client.revoke("unknown", **once).status_code == 200
    assert remembered(service) == before
    assert client.revoke(one.refresh, **once).status_code == 200
    assert not client.active(one.access)
    assert outcome(client.revoke(other.refresh, **once)) == REPLAYED
    assert client.active(other.access)


@proves("restart", "memory", "everything ends but registrations")
def test_one_from_before_the_memory_was_lost_is_503_and_the_next_one_counts() -> None:
    """A refusal would make the client register anew."""
    with Service(SETTINGS) as service:
        used = signed()
        tokens(acting(service).token(**used, **MACHINE))
        service.clock.now += 10 * SECOND
        service.app = service.build()
        client = acting(service)
        answer = client.token(**used, **MACHINE)
        assert outcome(answer) == (503, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert client.token(**SIGNER.parameters(ISSUER, iat=NOW // SECOND + 10), **MACHINE).status_code == 200


def test_one_without_iat_is_as_old_as_it_can_be() -> None:
    with Service(SETTINGS) as service:
        client = acting(service)
        within = SIGNER.parameters(ISSUER, iat=None, exp=NOW // SECOND + 299)
        assert outcome(client.token(**within, **MACHINE)) == (503, "temporarily_unavailable")
        later = SIGNER.parameters(ISSUER, iat=None, exp=NOW // SECOND + 300)
        assert client.token(**later, **MACHINE).status_code == 200
