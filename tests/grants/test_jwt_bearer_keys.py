"""ID-JAG with keys that are read from the issuer over HTTPS, and with clients that are known by a document."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.endpoints.local import SECOND, Service
from tests.grants.identity_provider import IdentityProvider
from tests.grants.test_jwt_bearer import INVALID, acting, obtain, present, refused, settings
from tests.https_host import HttpsHost, document, hang_up
from tests.signer import Signer
from tokensvc.protocol.id_jag import GRANT_TYPE
from tokensvc.protocol.jwks import ASK_AGAIN


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsHost]:
    with HttpsHost(tmp_path_factory.mktemp("host")) as started, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(started.authority))
        yield started


def trusting(host: HttpsHost, path: str, *, public_clients: bool = False) -> Service:
    """A service that reads the keys of an issuer from there."""
    entry = IdentityProvider().entry(jwks=None, jwks_uri=host.url(path), public_clients=public_clients)
    return Service(settings(entry, fetch_networks="127.0.0.0/8,::1"))


def test_issuer_changes_its_keys_and_what_it_vouched_for_lives_on(host: HttpsHost) -> None:
    old, new = IdentityProvider(kid="old"), IdentityProvider(kid="new")
    host.serve("/rotated", document(old.jwks))
    with trusting(host, "/rotated") as service:
        agent = acting(service)
        issued = obtain(agent, old.assertion())
        host.serve("/rotated", document(new.jwks))
        assert refused(present(agent, new.assertion())) == INVALID, "asked for it less than a minute ago"
        service.clock.now += ASK_AGAIN + 1
        assert agent.active(obtain(agent, new.assertion(now=service.clock.now)).access)
        assert refused(present(agent, old.assertion(now=service.clock.now))) == INVALID
        assert agent.active(issued.access)
        assert host.asked["/rotated"] == 2


def test_issuer_that_is_down_is_no_refusal_and_uses_nothing_up(host: HttpsHost) -> None:
    provider = IdentityProvider()
    host.serve("/down", hang_up)
    with trusting(host, "/down") as service:
        agent, assertion = acting(service), provider.assertion()
        for _ in range(3):
            assert refused(present(agent, assertion)) == (503, "temporarily_unavailable")
        assert host.asked["/down"] == 1, "not asked again for a while"
        host.serve("/down", document(provider.jwks))
        service.clock.now += 31 * SECOND
        assert present(agent, assertion).status_code == 200
        host.serve("/down", hang_up)
        service.clock.now += 3600 * SECOND
        again = provider.assertion(now=service.clock.now)
        assert present(agent, again).status_code == 200, "by the last good copy"


def test_client_with_a_document_signs_for_itself_and_is_bound_to_it(host: HttpsHost) -> None:
    provider = IdentityProvider()
    host.serve("/keys", document(provider.jwks))
    with trusting(host, "/keys") as service:
        client = service.client()
        signer = Signer(host.url("/agent.json"), now=lambda: service.clock.now / 1000)
        client.client_id = host.publish(
            "/agent.json",
            grant_types=["authorization_code", GRANT_TYPE],
            token_endpoint_auth_method="private_key_jwt",
            jwks=signer.jwks,
        )
        assertion = provider.assertion(client_id=client.client_id)
        proof = signer.parameters("https://auth.example.com/token")
        issued = obtain(client, assertion, **proof)
        assert client.introspect(issued.access)["user"] == "U019488227"
        proof = signer.parameters("https://auth.example.com/token")
        assert refused(present(client, provider.assertion(), **proof)) == INVALID, "one of another client"


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted with those", "not trusted with those"])
def test_client_with_a_document_and_no_keys_is_the_issuer_s_to_allow(host: HttpsHost, trusted: bool) -> None:
    provider = IdentityProvider()
    host.serve("/keys", document(provider.jwks))
    with trusting(host, "/keys", public_clients=trusted) as service:
        client = service.client()
        client.client_id = host.publish("/public.json", grant_types=["authorization_code", GRANT_TYPE])
        answer = present(client, provider.assertion(client_id=client.client_id))
        if trusted:
            assert json.loads(answer.text)["scope"] == "read write"
        else:
            assert refused(answer) == (400, "unauthorized_client")
