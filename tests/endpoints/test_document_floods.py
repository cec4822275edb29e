"""Strangers who name one host after the other: what they have this service ask, and whom they cannot hold up by it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.endpoints.local import Service
from tests.grants.identity_provider import IdentityProvider
from tests.grants.test_jwt_bearer import INVALID, acting, obtain, present, refused, settings
from tests.https_host import HttpsHost, document
from tests.replica import REDIRECT_URI, SECONDS, Client, tokens, wait_for
from tests.signer import Signer
from tokensvc.endpoints.attempts import PER_MINUTE
from tokensvc.outbound import slots
from tokensvc.outbound.fetch import MOST_AT_ONCE
from tokensvc.protocol.jwks import ASK_AGAIN

ATTACKER, OTHER = "203.0.113.7", "203.0.113.8"
NETWORKS: dict[str, object] = {"fetch_networks": "127.0.0.0/8,::1"}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsHost]:
    with HttpsHost(tmp_path_factory.mktemp("host")) as started, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(started.authority))
        yield started


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(NETWORKS) as started:
        yield started


class Silence:
    """Name servers of `*.silent.example` that answer nothing until the end, and how many wait for them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.ended = threading.Event()
        self.waiting = 0
        real = socket.getaddrinfo

        def look_up(name: Any, *rest: Any, **options: Any) -> Any:
            if not str(name).endswith(".silent.example"):
                return real("127.0.0.1" if str(name).endswith(".example") else name, *rest, **options)
            self.waiting += 1
            self.ended.wait(SECONDS)
            raise socket.gaierror("no such host")

        patch.setattr(socket, "getaddrinfo", look_up)

    async def fall_on(self, service: Service) -> list[asyncio.Task[httpx.Response]]:
        """Links to as many hosts there as are resolved at once."""
        http = httpx.AsyncClient(transport=httpx.ASGITransport(service.app, client=(ATTACKER, 1)), trust_env=False)
        urls = [f"https://h{n}.silent.example/app" for n in range(MOST_AT_ONCE)]
        asking = [
            asyncio.create_task(http.get(f"{service.issuer}/authorize", params={"client_id": url})) for url in urls
        ]
        async with asyncio.timeout(SECONDS):
            while self.waiting < MOST_AT_ONCE:  # noqa: ASYNC110  # they wait in threads
                await asyncio.sleep(0.01)
        return asking


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[Silence]:
    monkeypatch.setattr(slots, "PATIENCE", 0.01)
    silence = Silence(monkeypatch)
    yield silence
    silence.ended.set()


def known_as(service: Service, client_id: str, address: str = "127.0.0.1") -> Client:
    client = service.client(address)
    client.client_id = client_id
    return client


def test_strangers_do_not_keep_a_key_alive_that_a_trusted_issuer_took_out(host: HttpsHost, silence: Silence) -> None:
    old, new = IdentityProvider(kid="old"), IdentityProvider(kid="new")
    entry = old.entry(jwks=None, jwks_uri=host.serve("/issuer-keys", document(old.jwks)))
    with Service(settings(entry, **NETWORKS)) as service:
        agent = acting(service)
        obtain(agent, old.assertion())
        host.serve("/issuer-keys", document(new.jwks))
        attack = service.run(silence.fall_on(service))
        assert known_as(service, host.publish("/held-up.json", name="app.example")).page()[1].status_code == 503
        service.clock.now += ASK_AGAIN * 10
        assert refused(present(agent, old.assertion(now=service.clock.now))) == INVALID
        assert obtain(agent, new.assertion(now=service.clock.now)).access
        end(service, attack)


def test_strangers_hold_up_nobody_whom_the_operator_names(host: HttpsHost, silence: Silence) -> None:
    """By host, and by entry."""
    named = host.url("/named.json", "app.example")
    keys = host.url("/keys", "app.example")
    entry = {"client_id": "partner", "redirect_uris": [REDIRECT_URI], "jwks_uri": keys}
    with Service(NETWORKS | {"cimd": f"*,app.example:{host.port}", "clients": json.dumps([entry])}) as service:
        attack = service.run(silence.fall_on(service))
        host.publish("/named.json", name="app.example", token_endpoint_auth_method="private_key_jwt", jwks_uri=keys)
        for client_id in (named, "partner"):
            signer = Signer(client_id, now=lambda: service.clock.now / 1000)
            host.serve("/keys", document(signer.jwks))
            client = known_as(service, client_id)
            assert tokens(client.redeem(client.code(), **signer.parameters(f"{service.issuer}/token"))).access
            service.clock.now += ASK_AGAIN * 10
        end(service, attack)


def end(service: Service, attack: list[asyncio.Task[httpx.Response]]) -> None:
    for task in attack:
        task.cancel()
    service.run(asyncio.wait(attack))


def test_full_house_is_not_held_against_the_host_that_found_it_so(host: HttpsHost, silence: Silence) -> None:
    """It is asked as soon as there is room, and who named it has not failed."""
    with Service(NETWORKS) as service:
        attack = service.run(silence.fall_on(service))
        client = known_as(service, host.publish("/full.json", name="app.example"), OTHER)
        for _ in range(PER_MINUTE + 1):
            assert client.token(grant_type="refresh_token", refresh_token="x").status_code == 503
        assert not host.asked["/full.json"]
        silence.ended.set()
        end(service, attack)
        wait_for(lambda: client.page()[1].status_code == 200, "the page")


def test_address_that_names_hosts_in_vain_is_limited(service: Service, host: HttpsHost) -> None:
    client = known_as(service, host.publish("/known.json"), ATTACKER)
    issued = client.sign_in()
    before = host.asked.total()

    def open_link(number: int) -> httpx.Response:
        return known_as(service, host.url(f"/victim?{number}"), ATTACKER).page()[1]

    assert [open_link(n).status_code for n in range(PER_MINUTE)] == [503] * PER_MINUTE
    limited = open_link(PER_MINUTE)
    assert (limited.status_code, limited.headers["content-type"]) == (429, "text/html; charset=utf-8")
    assert limited.headers["retry-after"]
    assert "cannot be identified" in limited.text
    url = host.url("/victim?token")
    for forms in ({"data": {"client_id": url}}, {"auth": basic(url)}):
        answer = client.http.post("/token", **merge(forms, {"grant_type": "refresh_token"}))
        assert (answer.status_code, answer.json()["error"]) == (429, "temporarily_unavailable")
    assert host.asked.total() == before + PER_MINUTE
    assert open_link(0).status_code == 503, "what failed just now is not asked for again, and so not limited"
    assert tokens(client.refresh(issued.refresh)).access, "what is known is not either"
    assert known_as(service, host.publish("/elsewhere.json"), OTHER).sign_in().access


def basic(client_id: str) -> tuple[str, str]:
    """As RFC 6749 §2.3.1 has it, each character percent-encoded."""
    return "".join(f"%{byte:02x}" for byte in client_id.encode()), "secret"


def merge(forms: dict[str, Any], form: dict[str, str]) -> dict[str, Any]:
    return forms | {"data": form | forms.get("data", {})}


def test_document_that_says_no_counts_too(service: Service, host: HttpsHost) -> None:
    for number in range(PER_MINUTE):
        client = known_as(service, host.publish(f"/no-{number}.json", client_id="https://other.example/a"), ATTACKER)
        assert client.token(grant_type="refresh_token", refresh_token="x").status_code == 401
    client = known_as(service, host.url("/no.json"), ATTACKER)
    assert client.token(grant_type="refresh_token", refresh_token="x").status_code == 429
