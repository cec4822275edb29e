"""The kit against real replicas: what it lets in, and how soon it stops."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.replica import (
    API_KEY,
    INTROSPECTION_TOKEN,
    Client,
    Replica,
    redirect_parameters,
    ring_entry,
    settings,
    tokens,
)
from tests.resource.support import get, protected, run, until
from tokensvc.identity import credential_of
from tokensvc.resource import IntrospectionVerifier, Unavailable
from tokensvc.resource.verifier import LONGEST_TTL

RESOURCE = "https://api.example.com/mcp"
OTHER = "https://other.example.com"
OTHER_SECRET = "introspection-secret-of-another"


def configured(directory: Path, workers: int) -> Replica:
    port = free_port()
    environment = settings(
        "sqlite:///ledger.db",
        port,
        resources=f"{RESOURCE},{OTHER}",
        introspection_tokens=f"{RESOURCE}={INTROSPECTION_TOKEN},{OTHER}={OTHER_SECRET}",
        token_prefix="ov",
    )
    return Replica(environment, port, workers, directory)


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    with configured(tmp_path_factory.mktemp("kit"), workers=2) as running:
        yield running


@asynccontextmanager
async def verifier(replica: Replica, **options: Any) -> AsyncIterator[IntrospectionVerifier]:
    given = {"secret": INTROSPECTION_TOKEN, "resource": RESOURCE, "prefix": "ov"} | options
    found = IntrospectionVerifier(replica.url, **given)
    try:
        yield found
    finally:
        await found.aclose()


async def hear_first(asked: IntrospectionVerifier, token: str) -> None:
    """The token is let in, and the denylist is listened to: from where its first answer ended."""
    assert await asked.verify(token)
    await until(lambda: bool(asked._listening), "it listens")


def test_a_token_of_a_real_sign_in_says_who_signed_in(replica: Replica) -> None:
    issued = Client(replica.url).sign_in()

    async def test() -> None:
        async with verifier(replica) as asked:
            token = await asked.verify(issued.access)
            assert token
            assert (token.account, token.user, token.role, token.aud) == ("acme", "ada", "admin", RESOURCE)
            assert await asked.verify(issued.refresh) is None
            assert await asked.verify(issued.access[:-2] + "AA") is None

    run(test())


def test_a_jwt_is_asked_about_and_ends_like_any_token(replica: Replica) -> None:
    with replica.twin(access_token_format="jwt", signing_keys=ring_entry("s1")) as other:
        client = Client(other.url)
        issued = client.sign_in()
        assert issued.access.startswith("eyJ")

        async def test() -> None:
            async with verifier(replica, url=other.url, ttl=LONGEST_TTL, denylist=True) as asked:
                await hear_first(asked, issued.access)
                app = protected(asked)
                assert (await get(app, token=issued.access)).status_code == 200
                assert (await get(app, token=f"{issued.access[:-8]}AAAAAAAA")).status_code == 401
                await asyncio.to_thread(client.revoke, issued.access)
                deadline = time.monotonic() + 10
                while (await get(app, token=issued.access)).status_code != 401:
                    assert time.monotonic() < deadline, "the revocation is heard"
                    await asyncio.sleep(0.01)

        run(test())


def test_a_token_for_another_resource_is_none_and_a_wrong_secret_is_our_own_fault(replica: Replica) -> None:
    client = Client(replica.url)
    client.register()
    own = client.sign_in().access

    async def test() -> None:
        async with verifier(replica, resource=OTHER, secret=OTHER_SECRET) as other:
            assert await other.verify(own) is None
        async with verifier(replica, secret="wrong-secret") as wrong:
            with pytest.raises(Unavailable, match="answered 401"):
                await wrong.verify(own)

    run(test())


def test_a_secret_of_another_resource_lets_nobody_in(replica: Replica) -> None:
    """The service would find the token active for OTHER, which is not what is configured here."""
    client = Client(replica.url)
    client.register()
    url, page = client.page(resource=OTHER)
    code = redirect_parameters(client.decide(url, page))["code"]
    issued = tokens(client.redeem(code, resource=OTHER))

    async def test() -> None:
        async with verifier(replica, secret=OTHER_SECRET) as misled:
            with pytest.raises(Unavailable, match="another resource"):
                await misled.verify(issued.access)

    run(test())


@pytest.mark.parametrize("how", ["token", "family", "user", "credential"])
def test_a_revocation_ends_what_would_be_kept_for_a_minute(replica: Replica, how: str) -> None:
    client = Client(replica.url)
    issued = client.sign_in()
    facts = client.introspect(issued.access)

    async def gone(asked: IntrospectionVerifier) -> float:
        began = time.monotonic()
        while await asked.verify(issued.access):
            assert time.monotonic() < began + 10, "the revocation is heard"
            await asyncio.sleep(0.01)
        return time.monotonic() - began

    def revoke() -> None:
        if how == "token":
            assert client.revoke(issued.access).status_code == 200
        elif how == "credential":
            digest = credential_of(hashlib.sha256(API_KEY.encode()).hexdigest())
            assert client.admin_revoke("credential", digest).status_code == 200
        else:
            subject = {"family": facts["family"], "user": facts["sub"]}[how]
            assert client.admin_revoke(how, subject).status_code == 200

    async def test() -> float:
        async with verifier(replica, ttl=LONGEST_TTL, denylist=True) as asked:
            await hear_first(asked, issued.access)
            await asyncio.to_thread(revoke)
            return await gone(asked)

    assert run(test()) < 3


def test_nobody_gets_in_by_racing_a_revocation(replica: Replica) -> None:
    """Requests all the time, revoked in their midst: within a moment the last one is let in."""
    client = Client(replica.url)
    issued = client.sign_in()

    async def test() -> None:
        async with verifier(replica, ttl=LONGEST_TTL, denylist=True) as asked:
            app, last, ended = protected(asked), [0.0], asyncio.Event()

            async def hammer() -> None:
                while not ended.is_set():
                    if (await get(app, token=issued.access)).status_code == 200:
                        last[0] = time.monotonic()
                    # A kept answer waits for nothing: without this, nobody else would ever have a turn.
                    await asyncio.sleep(0)

            hammers = [asyncio.create_task(hammer()) for _ in range(4)]
            await until(lambda: last[0] > 0, "it is let in")
            assert (await asyncio.to_thread(client.revoke, issued.refresh)).status_code == 200
            revoked = time.monotonic()
            await until(lambda: time.monotonic() > max(revoked, last[0]) + 2, "nobody was let in for two seconds")
            ended.set()
            await asyncio.gather(*hammers)
            assert last[0] < revoked + 3

    run(test())


def test_it_hears_on_when_the_replica_came_back(tmp_path: Path) -> None:
    async def test(replica: Replica) -> None:
        client = Client(replica.url)
        issued, other = client.sign_in(), client.sign_in()
        async with verifier(replica, ttl=LONGEST_TTL, denylist=True) as asked:
            await hear_first(asked, issued.access)
            await asyncio.to_thread(replica.stop)
            try:
                assert await asked.verify(issued.access), "what is kept counts for its time"
                with pytest.raises(Unavailable):
                    await asked.verify(other.access)
            finally:
                await asyncio.to_thread(replica.start)
            assert await asked.verify(other.access)
            assert (await asyncio.to_thread(client.revoke, other.refresh)).status_code == 200
            began = time.monotonic()
            while await asked.verify(other.access):
                assert time.monotonic() < began + 10, "the revocation is heard"
                await asyncio.sleep(0.01)

    with configured(tmp_path, workers=1) as own:
        run(test(own))


def test_a_burst_after_a_pause_costs_one_question_for_each_token(replica: Replica) -> None:
    client = Client(replica.url)
    tokens_of_all = [client.sign_in().access for _ in range(4)]
    before = len([line for line in replica.settled() if line["event"] == "token inactive"])

    async def test() -> None:
        async with verifier(replica) as asked:
            found = await asyncio.gather(*(asked.verify(token) for token in tokens_of_all * 50))
            assert all(found)
            assert len(asked._cache) == 4
            refused = await asyncio.gather(*(asked.verify("ovat_nothing") for _ in range(50)))
            assert not any(refused)

    run(test())
    after = len([line for line in replica.settled() if line["event"] == "token inactive"])
    assert after == before + 1
