"""The runbooks of keys/README.md, pasted as they stand there, while two replicas run: a drill for each."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from jwt import PyJWKClient, PyJWKClientError

from tests import replica
from tests.flows.partition import Fleet
from tests.flows.wire import Post, pipeline
from tests.ports import free_port
from tests.replica import (
    ADMIN_TOKEN,
    API_KEY,
    INTROSPECTION_TOKEN,
    SECONDS,
    Client,
    Replica,
    refusal,
    ring_entry,
    wait_for,
    wait_until,
)
from tests.test_readme import blocks
from tokensvc.identity import Identity, credential_of
from tokensvc.keyring import KeyRing
from tokensvc.protocol.resource_indicator import Resources
from tokensvc.tokens.kinds import AccessToken, client_handle, new_family
from tokensvc.tokens.sealer import Sealer

PAGE = (Path(__file__).parents[2] / "keys/README.md").read_text(encoding="utf-8")
RUNBOOKS = PAGE.partition("\n# Runbooks\n")[2].partition("\n# ")[0]
FILES = {"keys": "keys", "client_keys": "client-keys", "introspection_tokens": "introspection-tokens"} | {
    "admin_tokens": "admin-tokens"
}
SOON = 8
"""Seconds in which a version is staged, looked at, and activated."""


def runbook(heading: str) -> list[str]:
    """The blocks of commands below a heading."""
    match = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", RUNBOOKS, re.MULTILINE | re.DOTALL)
    assert match, f"keys/README.md has no runbook {heading}"
    return blocks(match[1], "sh")


@dataclass
class Site:
    """Two replicas that mount one directory of secrets and share a ledger, and an operator's shell in it."""

    directory: Path
    replicas: tuple[Replica, Replica]

    def paste(self, *commands: str, **replaced: str) -> str:
        """What the preparation and then these blocks print, none of which fails."""
        ran = self.attempt(*commands, **replaced)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout + ran.stderr

    def attempt(self, *commands: str, **replaced: str) -> subprocess.CompletedProcess[str]:
        """Run the preparation and then these blocks in a shell; what stands on the right of `name=` may be replaced."""
        (preparation,) = blocks(RUNBOOKS.partition("\n## ")[0], "sh")
        script = "".join([preparation, *commands]).replace("cd /etc/tokensvc", f"cd {self.directory}")
        for name, value in {"url": self.replicas[0].url, **replaced}.items():
            script, found = re.subn(rf"^{name}=\S+$", f"{name}={value}", script, flags=re.MULTILINE)
            assert found, name
        command = f'set -euo pipefail\ntokensvc() {{ "{sys.executable}" -m tokensvc "$@"; }}\n{script}'
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TOKENSVC_")}
        # LC_ALL: what the commands print is compared.
        return subprocess.run(
            ["bash", "-c", command],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=environment | {"LC_ALL": "C"},
        )

    @contextmanager
    def taken(self, *variables: str, event: str = "settings reloaded") -> Iterator[None]:
        """Wait until every replica has taken what was changed meanwhile."""
        before = [self._count(each, event) for each in self.replicas]
        yield
        for each, count in zip(self.replicas, before, strict=True):
            wait_for(partial(self._more, each, event, count), f"{event} {variables}")
            assert set(each.logged(event, changed=list(variables))["changed"]) == set(variables)

    def text(self, name: str) -> str:
        return (self.directory / name).read_text(encoding="utf-8").strip()

    def _more(self, one: Replica, event: str, than: int) -> bool:
        return self._count(one, event) > than

    def _count(self, one: Replica, event: str) -> int:
        return sum(line["event"] == event for line in one.log)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with started(tmp_path) as site:
        yield site


@contextmanager
def started(directory: Path, **changes: str) -> Iterator[Site]:
    texts = {
        "keys": ring_entry("k1"),
        "client_keys": ring_entry("c1"),
        "introspection_tokens": INTROSPECTION_TOKEN,
        "admin_tokens": ADMIN_TOKEN,
    }
    for field, name in FILES.items():
        (directory / name).touch(mode=0o600)
        (directory / name).write_text(texts[field] + "\n", encoding="utf-8")
    port = free_port()
    named = {f"{field}_file": str(directory / name) for field, name in FILES.items()}
    environment = replica.settings("sqlite:///tokensvc.db", port, **dict.fromkeys(FILES, ""), **named, **changes)
    first = Replica(environment, port, directory=directory)
    with ExitStack() as running:
        running.enter_context(first)
        yield Site(directory, (first, running.enter_context(first.twin())))


def clients(site: Site) -> tuple[Client, Client]:
    """One client, which either replica may answer."""
    one, other = (Client(each.url) for each in site.replicas)
    one.register()
    other.client_id, other.verifier = one.client_id, one.verifier
    return one, other


def status(site: Site) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {site.text('admin-tokens').split(',')[0]}"}
    answer: dict[str, Any] = httpx.get(f"{site.replicas[0].url}/admin/keys", headers=headers).json()
    return answer


def test_every_runbook_is_drilled() -> None:
    headings = re.findall(r"^## (.+)$", RUNBOOKS, re.MULTILINE)
    assert len(headings) == 10
    for heading in headings:
        assert f"test_{heading.lower().replace(' ', '_')}" in globals(), heading


def test_scheduled_rotation(tmp_path: Path) -> None:
    """Staged, active, retired, dropped; with lifetimes of seconds, so that the day on which it may go is today."""
    lifetimes = dict.fromkeys(("code_ttl", "access_ttl", "refresh_ttl", "refresh_max_ttl"), "10")
    with started(tmp_path, **lifetimes) as site:
        stage, look, drop = runbook("Scheduled rotation")
        one, other = clients(site)
        at = int(time.time()) + SOON
        with site.taken("TOKENSVC_KEYS"):
            site.paste(stage, at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)))
        new = site.text("keys").split(",")[1].partition("@")[0]
        assert re.search(rf"^TOKENSVC_KEYS +{new} +staged ", site.paste(look), re.MULTILINE)
        wait_until(at - 1)
        early = one.sign_in()
        wait_until(at)
        assert other.active(early.access)
        late = replica.tokens(other.refresh(early.refresh))
        assert one.active(late.access)
        wait_for(lambda: status(site)["warnings"], "k1 can be dropped")
        looked = site.paste(look)
        assert re.search(rf"^TOKENSVC_KEYS +{new} +active ", looked, re.MULTILINE)
        assert "k1 of TOKENSVC_KEYS can be dropped" in looked
        lasting = other.sign_in()
        with site.taken("TOKENSVC_KEYS"):
            site.paste(drop)
        assert [version["kid"] for version in status(site)["versions"]] == [new, "c1"]
        assert one.active(lasting.access)
        assert other.refresh(lasting.refresh).status_code == 200


@contextmanager
def signing(directory: Path, **changes: str) -> Iterator[tuple[Site, Verifier]]:
    """A site whose access tokens are JWTs, and a resource server that verifies them without asking."""
    ring = directory / "signing-keys"
    ring.touch(mode=0o600)
    ring.write_text(ring_entry("s1") + "\n", encoding="utf-8")
    with started(directory, access_token_format="jwt", signing_keys_file=str(ring), **changes) as site:
        yield site, Verifier(site.replicas[0].url)


class Verifier(PyJWKClient):
    """PyJWT's, which keeps what it fetched for five minutes; `fetched` is how often it has."""

    def __init__(self, issuer: str) -> None:
        super().__init__(f"{issuer}/jwks.json")
        self.issuer, self.fetched = issuer, 0

    def fetch_data(self) -> Any:
        self.fetched += 1
        return super().fetch_data()

    def kid(self, token: str) -> str:
        """The version that signed a token which is valid."""
        key = self.get_signing_key_from_jwt(token)
        jwt.decode(token, key, algorithms=["ES256"], audience=self.issuer, issuer=self.issuer)
        return str(key.key_id).partition(".")[0]


def test_rotating_the_signing_ring(tmp_path: Path) -> None:
    """Who verifies offline knows the new key before it signs, and asks for nothing at that moment."""
    with signing(tmp_path, access_ttl="3") as (site, verifier):
        stage, look, drop = runbook("Rotating the signing ring")
        one, other = clients(site)
        at = int(time.time()) + SOON - 2
        with site.taken("TOKENSVC_SIGNING_KEYS"):
            site.paste(stage, at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)))
        new = site.text("signing-keys").split(",")[1].partition("@")[0]
        assert re.search(rf"^TOKENSVC_SIGNING_KEYS +{new} +staged +verifies ", site.paste(look), re.MULTILINE)
        wait_until(at - 1)
        early = one.sign_in()
        assert verifier.kid(early.access) == "s1"
        wait_until(at)
        late = replica.tokens(other.refresh(early.refresh))
        assert (verifier.kid(late.access), verifier.kid(early.access), verifier.fetched) == (new, "s1", 1)
        assert all(client.active(token) for client in (one, other) for token in (early.access, late.access))
        wait_for(lambda: status(site)["warnings"], "s1 can be dropped")
        assert "s1 of TOKENSVC_SIGNING_KEYS can be dropped" in site.paste(look)
        with site.taken("TOKENSVC_SIGNING_KEYS"):
            site.paste(drop)
        assert [version["kid"] for version in status(site)["versions"]] == ["k1", "c1", new]
        assert verifier.kid(replica.tokens(one.refresh(late.refresh)).access) == new


def test_signing_ring_leaked(tmp_path: Path) -> None:
    with signing(tmp_path) as (site, verifier):
        one, other = clients(site)
        issued = one.sign_in()
        assert verifier.kid(issued.access) == "s1"
        with site.taken("TOKENSVC_SIGNING_KEYS"):
            site.paste(*runbook("Signing ring leaked"))
        assert not one.active(issued.access)
        assert not other.active(issued.access)
        renewed = replica.tokens(other.refresh(issued.refresh))
        assert one.active(renewed.access)
        # The page says what is left to do.
        assert verifier.kid(issued.access) == "s1"
        restarted = Verifier(verifier.issuer)
        assert restarted.kid(renewed.access) != "s1"
        with pytest.raises(PyJWKClientError):
            restarted.kid(issued.access)


def test_emergency_drop(site: Site) -> None:
    one, other = clients(site)
    issued = one.sign_in()
    with site.taken("TOKENSVC_KEYS"):
        site.paste(*runbook("Emergency drop"))
    for client in (one, other):
        assert not client.active(issued.access)
        assert client.refresh(issued.refresh).json()["error"] == "invalid_grant"
    assert other.active(one.sign_in().access)
    # Not the text alone: a random secret may hold these two letters.
    assert "k1" not in {entry.partition("=")[0] for entry in site.text("keys").split(",")}


def test_ending_everything_now(site: Site) -> None:
    one, other = clients(site)
    issued, code = other.sign_in(), other.code()
    assert "is over" in site.paste(*runbook("Ending everything now"))
    for client in (one, other):
        assert not client.active(issued.access)
        assert client.refresh(issued.refresh).json()["error"] == "invalid_grant"
        assert client.redeem(code).json()["error"] == "invalid_grant"
    assert other.active(one.sign_in().access)


def test_ending_everything_now_among_peers(tmp_path: Path) -> None:
    """503 where the replica that is asked is cut off: it is repeated until another has taken it, and no key dropped."""
    (tmp_path / "admin-tokens").write_text(ADMIN_TOKEN, encoding="utf-8")
    with Fleet(tmp_path) as fleet:
        site = Site(tmp_path, (fleet.replicas[0], fleet.replicas[1]))
        issued = fleet.client(1).sign_in()
        fleet.part(0)
        refused = site.attempt(*runbook("Ending everything now"))
        assert refused.returncode == 1
        assert "no other replica has heard of it yet" in refused.stderr
        assert fleet.client(1).active(issued.access)
        fleet.join()
        wait_for(lambda: site.attempt(*runbook("Ending everything now")).returncode == 0, "a peer has taken it")
        for number in range(len(fleet.replicas)):
            wait_for(partial(_is_over, fleet.client(number), issued.access), "everything has ended everywhere", 5)


def _is_over(client: Client, token: str) -> bool:
    return not client.active(token)


def test_rotating_introspection_and_admin_secrets(site: Site) -> None:
    add, drop, add_operators, drop_operators = runbook("Rotating introspection and admin secrets")
    one, other = clients(site)
    issued = one.sign_in()

    def answers(client: Client, secret: str) -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        return client.http.post(f"{client.url}/introspect", data={"token": issued.access}, headers=headers).status_code

    with site.taken("TOKENSVC_INTROSPECTION_TOKENS"):
        site.paste(add)
    old, new = site.text("introspection-tokens").split(",")
    assert [answers(client, secret) for client in (one, other) for secret in (old, new)] == [200] * 4
    with site.taken("TOKENSVC_INTROSPECTION_TOKENS"):
        site.paste(f"new={new}\n", drop)
    assert [answers(client, secret) for client in (one, other) for secret in (old, new)] == [401, 200] * 2

    with site.taken("TOKENSVC_ADMIN_TOKENS"):
        site.paste(add_operators)
    new, old = site.text("admin-tokens").split(",")
    assert "is over" in site.paste(*runbook("Ending everything now"))
    with site.taken("TOKENSVC_ADMIN_TOKENS"):
        site.paste(f"new={new}\n", drop_operators)
    assert "is over" in site.paste(*runbook("Ending everything now"))
    headers = {"Authorization": f"Bearer {old}"}
    assert httpx.get(f"{site.replicas[1].url}/admin/state", headers=headers).status_code == 401


def test_ring_lost(site: Site) -> None:
    """Who runs goes on; who starts refuses; and a new ring ends all but the registrations."""
    one, other = clients(site)
    issued = one.sign_in()
    with site.taken("TOKENSVC_KEYS", event="settings refused"):
        (site.directory / "keys").unlink()
    assert other.active(issued.access)
    assert "TOKENSVC_KEYS_FILE" in refusal(site.replicas[0].environment)
    with site.taken("TOKENSVC_KEYS"):
        site.paste(*runbook("Ring lost"))
    for client in (one, other):
        assert not client.active(issued.access)
    assert other.active(one.sign_in().access)
    site.replicas[1].restart()
    assert other.active(one.sign_in().access)


def test_ring_leaked(site: Site) -> None:
    """What a thief made with it was good until then, and is not any more."""
    one, other = clients(site)
    issued = one.sign_in()
    token = forged(site, one)
    assert other.introspect(token)["role"] == "admin"
    with site.taken("TOKENSVC_KEYS"):
        site.paste(*runbook("Ring leaked"))
    for client in (one, other):
        assert not client.active(token)
        assert not client.active(issued.access)
    assert other.active(one.sign_in().access)


def test_client_ring_lost(site: Site) -> None:
    """Clients register anew; what they were given before goes on until it expires, without its refreshes."""
    one, other = clients(site)
    issued = one.sign_in()
    with site.taken("TOKENSVC_CLIENT_KEYS"):
        site.paste(*runbook("Client ring lost"))
    answer = one.refresh(issued.refresh)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert other.active(issued.access)
    other.client_id = one.register()["client_id"]
    assert other.active(one.sign_in().access)


def test_ledger_restored_from_a_backup(site: Site) -> None:
    """What was revoked after the backup stays dead, though nothing in the backup says so."""
    (commands,) = runbook("Ledger restored from a backup")
    one, other = clients(site)
    revoked, untouched = one.sign_in(), one.sign_in()
    (site.directory / "backup").mkdir()
    with (
        closing(sqlite3.connect(site.directory / "tokensvc.db")) as ledger,
        closing(sqlite3.connect(site.directory / "backup/tokensvc.db")) as copy,
    ):
        ledger.backup(copy)
    shutil.copy(site.directory / "tokensvc.db-witness", site.directory / "backup")
    other.revoke(revoked.refresh)
    stop, between, start = re.split(r"^(?=cd|systemctl start)", commands, flags=re.MULTILINE)
    assert stop.startswith("systemctl stop ")
    assert start.startswith("systemctl start ")
    for each in site.replicas:
        each.stop()
    site.paste(between.replace("cd /var/lib/tokensvc", f"cd {site.directory}"))
    for each in site.replicas:
        each.start()
    assert any(line["event"] == "ledger restored" for line in site.replicas[0].settled())
    for client in (one, other):
        assert not client.active(revoked.access)
        assert not client.active(untouched.access)
    assert other.active(one.sign_in().access)


def test_a_ring_that_changes_under_load_refuses_nobody(site: Site) -> None:
    """Requests that are under way finish with the ring that they began with."""
    stage, *_ = runbook("Scheduled rotation")
    one, _ = clients(site)
    issued = one.sign_in()
    headers = {"Authorization": f"Bearer {INTROSPECTION_TOKEN}"}
    posts = [Post(f"{each.url}/introspect", {"token": issued.access}, headers) for each in site.replicas]
    at = int(time.time()) + SOON
    asked = 0
    with site.taken("TOKENSVC_KEYS"):
        site.paste(stage, at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)))
        while time.time() < at + 1:
            for post in posts:
                answers = pipeline([post] * 50)
                assert {(answer.status, answer.json["active"]) for answer in answers} == {(200, True)}
                asked += len(answers)
    assert asked > 100


def forged(site: Site, client: Client) -> str:
    """An access token that nobody was given, made with the rings alone."""
    now = time.time_ns() // 1_000_000
    issuer = site.replicas[0].environment["TOKENSVC_ISSUER"]
    rings = [KeyRing.parse(site.text(name), name, now) for name in ("keys", "client-keys")]
    token = AccessToken(
        family=new_family(),
        client=client_handle(client.client_id),
        identity=Identity("acme", "ada", "admin"),
        credential=credential_of(hashlib.sha256(API_KEY.encode()).hexdigest()),
        resource=Resources.parse("", issuer).all[0].digest,
        scope="mcp",
        authorized_at=now,
        generation=1,
    )
    return Sealer(rings[0], rings[1], issuer, "ts").seal(token, now)
