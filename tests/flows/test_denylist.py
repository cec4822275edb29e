"""The feed of revocations and the hook of the host product, as docs/ tells others to use them, over real HTTP."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.flows.conftest import Start
from tests.ports import free_port
from tests.replica import (
    ADMIN_TOKEN,
    INTROSPECTION_TOKEN,
    SECONDS,
    TLS,
    Client,
    Replica,
    changed,
    settings,
    tokens,
    wait_for,
)
from tests.test_readme import blocks
from tokensvc.endpoints.denylist import LONGEST_WAIT, subject_digest
from tokensvc.ledger.marks import KINDS

ROOT = Path(__file__).parents[2]
SECRET = {"Authorization": f"Bearer {INTROSPECTION_TOKEN}"}


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The class of docs/resource-server.md."""
    source, _ = blocks((ROOT / "docs/resource-server.md").read_text(encoding="utf-8"), "python")
    module = ModuleType("cached_introspection")
    exec(compile(source, "resource-server.md", "exec"), module.__dict__)  # noqa: S102  # our own page
    return module


@asynccontextmanager
async def listening(cache: Any) -> AsyncIterator[None]:
    """While its task runs, which has heard the feed once."""
    task = asyncio.create_task(cache.listen())
    await until(lambda: cache._heard > 0 or task.done(), "the feed is heard")
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await cache._http.aclose()


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


def test_the_example_for_resource_servers_keeps_answers_and_drops_those_that_an_entry_is_about(
    pair: tuple[Replica, Replica], example: ModuleType
) -> None:
    """The revocation is written on one replica, and heard from the other."""
    one, other = pair
    ada, bob = Client(one.url), Client(one.url)
    ended, kept = ada.sign_in(), bob.sign_in()
    example.__dict__["SETTLE"] = 0.0
    asked = 0

    async def count(request: httpx.Request) -> None:
        nonlocal asked
        asked += request.url.path == "/introspect"

    async def story() -> None:
        cache = example.CachedIntrospection(other.url, INTROSPECTION_TOKEN)
        cache._http.event_hooks = {"request": [count]}
        async with listening(cache):
            for _ in range(3):
                assert (await cache.introspect(ended.access))["active"]
                assert (await cache.introspect(kept.access))["active"]
            assert asked == 2
            await asyncio.to_thread(ada.revoke, ended.refresh)
            await until(lambda: len(cache._kept) == 1, "the answer is dropped")
            assert not (await cache.introspect(ended.access))["active"]
            assert (await cache.introspect(kept.access))["active"]
            assert asked == 3
            await asyncio.to_thread(ada.admin_revoke, "credential", "AAAAAAAAAAA")
            await until(lambda: not cache._kept, "a kind that it does not know drops all")
            assert (await cache.introspect(kept.access))["active"]

    asyncio.run(story())


def test_the_example_keeps_nothing_right_after_an_entry_about_the_same_nor_while_it_cannot_hear(
    start: Start, example: ModuleType
) -> None:
    client = Client(start("memory://").url)
    issued = client.sign_in()
    example.__dict__["SETTLE"] = 10.0

    async def story() -> None:
        cache = example.CachedIntrospection(client.url, INTROSPECTION_TOKEN)
        facts = await cache.introspect(issued.access)
        assert len(cache._kept) == 1
        cache._drop([entry("family", facts["family"])])
        await cache.introspect(issued.access)
        assert not cache._kept
        cache._dropped.clear()
        cache._drop([entry("family", "another")])
        await cache.introspect(issued.access)
        assert len(cache._kept) == 1
        await asyncio.to_thread(client.revoke, issued.access)
        cache._heard = time.monotonic()
        assert (await cache.introspect(issued.access))["active"]
        cache._heard -= example.SILENCE
        assert not (await cache.introspect(issued.access))["active"]
        await cache._http.aclose()

    asyncio.run(story())


def entry(kind: str, name: str) -> dict[str, Any]:
    """As the feed tells it."""
    return {"kind": kind, "subject_digest": subject_digest((kind, name)), "not_before": 0}


def test_the_table_of_kinds_and_the_example_class_name_subjects_alike(example: ModuleType) -> None:
    """And the answer that the page shows is one about the person of its table."""
    page = (ROOT / "docs/resource-server.md").read_text(encoding="utf-8")
    facts = {"sub": "acme/ada", "client_id": "kU2o8fnEl0pd8T6ZkjLSAg"}
    facts |= {"family": "NmTVbtV7VprB7CO8", "jti": "NmTVbtV7VprB7CO8.1"}
    texts = re.findall(r"^\| `([a-z-]+)` \| `(\1:[^`]*)` \|", page, re.MULTILINE)
    assert {kind for kind, _ in texts} == example.__dict__["KINDS"] == set(KINDS) - {"credential"}
    named = {subject_digest(tuple(re.split(r"[:/]", text.removesuffix(":")))) for _, text in texts}
    assert named == example.subjects(facts)
    assert subject_digest(("user", "acme", "ada")) in page


def test_a_listener_at_one_replica_hears_of_a_revocation_at_another_that_shares_nothing_with_it() -> None:
    """Whether a client revoked it, or a code came twice."""
    ports = [free_port(), free_port()]
    named = ",".join(f"http://127.0.0.1:{port}" for port in ports)
    shared = settings("memory://", ports[0], peers=named)
    with (
        Replica(changed(shared, peers_bootstrap="true"), ports[0]) as one,
        Replica(shared, ports[1]) as other,
    ):
        client = Client(one.url)
        issued = client.sign_in()
        code = client.code()
        twice = tokens(client.redeem(code))
        families = {client.introspect(access)["family"]: access for access in (issued.access, twice.access)}
        ask = partial(httpx.get, f"{other.url}/denylist", headers=SECRET, verify=TLS, timeout=SECONDS)
        cursor = ask().json()["cursor"]
        client.revoke(issued.refresh)
        client.redeem(code)
        expected = {subject_digest(("family", family)) for family in families}
        heard: set[str] = set()
        while not expected <= heard:
            page = ask(params={"since": cursor, "wait": "10"}).json()
            assert page["marks"], "nothing came within ten seconds"
            heard |= {mark["subject_digest"] for mark in page["marks"]}
            cursor = page["cursor"]
        client.url = other.url
        assert not any(client.active(access) for access in families.values())


def test_a_replica_that_leaves_lets_nobody_wait(start: Start) -> None:
    replica = start("memory://")
    cursor = httpx.get(f"{replica.url}/denylist", headers=SECRET, verify=TLS).json()["cursor"]

    async def wait() -> tuple[dict[str, Any], float]:
        async with httpx.AsyncClient(timeout=SECONDS, verify=TLS) as http:
            query = {"since": cursor, "wait": str(LONGEST_WAIT)}
            waiting = asyncio.create_task(http.get(f"{replica.url}/denylist", params=query, headers=SECRET))
            await asyncio.sleep(0.5)
            assert not waiting.done()
            began = time.monotonic()
            replica.process.send_signal(signal.SIGTERM)
            answer: dict[str, Any] = (await waiting).json()
            return answer, time.monotonic() - began

    answer, seconds = asyncio.run(wait())
    assert answer["marks"] == []
    assert seconds < LONGEST_WAIT / 2
    wait_for(lambda: replica.process.poll() is not None, "the replica ends")


@pytest.mark.parametrize("language", ["sh", "python"])
def test_the_examples_for_the_host_product_end_what_they_say(start: Start, tmp_path: Path, language: str) -> None:
    replica = start()
    client = Client(replica.url)
    issued = client.sign_in()
    page = (ROOT / "docs/host-product.md").read_text(encoding="utf-8")
    (source,) = blocks(page, language)
    (tmp_path / "example").write_text(source, encoding="utf-8")
    program = "bash" if language == "sh" else sys.executable
    environment = os.environ | {"URL": replica.url, "ADMIN_TOKEN": ADMIN_TOKEN}
    ran = subprocess.run(
        [program, str(tmp_path / "example")], env=environment, capture_output=True, timeout=SECONDS, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert not client.active(issued.access)
    assert client.active(client.sign_in().access)
