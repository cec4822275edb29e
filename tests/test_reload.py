"""Settings in files are read again: what counts as a change, and that a bad one changes nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from tests.endpoints.local import DAY, ISSUER, NOW, Service
from tests.replica import ADMIN_TOKEN, API_KEY, INTROSPECTION_TOKEN, api_key_entry, ring_entry, tokens
from tokensvc import app, settings
from tokensvc.errors import TemporarilyUnavailable
from tokensvc.reload import Files

KEYS, API_KEYS = "TOKENSVC_KEYS", "TOKENSVC_API_KEYS"
BEARER = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


def write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def swap(path: Path, text: str) -> None:
    """As careful programs write: another file takes the place of the old one."""
    other = path.with_suffix(".new")
    write(other, text)
    other.replace(path)


def settled(files: Files) -> tuple[str, ...] | None:
    """What a change is once it has stood for a look."""
    assert files.look() is None
    return files.look()


class TestFiles:
    @pytest.mark.parametrize("change", [write, swap])
    def test_a_file_that_was_changed_is_news_once(self, tmp_path: Path, change: Callable[[Path, str], None]) -> None:
        path = tmp_path / "keys"
        write(path, "old")
        files = Files({KEYS: path})
        assert files.look() is None
        change(path, "newer")
        assert settled(files) == (KEYS,)
        assert files.look() is None

    def test_the_swap_of_a_link_to_a_directory_is_a_change(self, tmp_path: Path) -> None:
        """As Kubernetes mounts secrets: file → ..data/file, and ..data → the version of the day."""
        for version in ("v1", "v2"):
            (tmp_path / version).mkdir()
            write(tmp_path / version / "keys", version)
        (tmp_path / "..data").symlink_to("v1")
        (tmp_path / "keys").symlink_to("..data/keys")
        files = Files({KEYS: tmp_path / "keys"})
        (tmp_path / "..tmp").symlink_to("v2")
        (tmp_path / "..tmp").replace(tmp_path / "..data")
        assert settled(files) == (KEYS,)

    def test_a_file_that_goes_on_changing_is_waited_for(self, tmp_path: Path) -> None:
        path = tmp_path / "keys"
        write(path, "a")
        files = Files({KEYS: path})
        for text in ("ab", "abc", "abcd"):
            write(path, text)
            assert files.look() is None
        assert files.look() == (KEYS,)

    def test_a_touch_is_no_change(self, tmp_path: Path) -> None:
        path = tmp_path / "keys"
        write(path, "same")
        files = Files({KEYS: path})
        os.utime(path, (1, 1))
        assert settled(files) is None

    def test_all_that_is_not_taken_yet_is_named(self, tmp_path: Path) -> None:
        """A refused file and the one that was changed after it come into force together."""
        paths = {KEYS: tmp_path / "keys", API_KEYS: tmp_path / "api-keys"}
        for path in paths.values():
            write(path, "old")
        files = Files(paths)
        write(paths[KEYS], "refused")
        assert settled(files) == (KEYS,)
        write(paths[API_KEYS], "another")
        assert settled(files) == (API_KEYS, KEYS)
        files.taken()
        write(paths[KEYS], "fine now")
        assert settled(files) == (KEYS,)

    def test_the_old_contents_are_news_after_a_bad_file(self, tmp_path: Path) -> None:
        path = tmp_path / "keys"
        write(path, "old")
        files = Files({KEYS: path})
        write(path, "refused")
        assert settled(files) == (KEYS,)
        write(path, "old")
        assert settled(files) == ()

    def test_a_file_that_is_gone_or_open_to_others_is_news(self, tmp_path: Path) -> None:
        path = tmp_path / "keys"
        write(path, "old")
        files = Files({KEYS: path})
        path.chmod(0o604)
        assert settled(files) == (KEYS,)
        path.unlink()
        assert settled(files) == (KEYS,)

    def test_a_pipe_is_left_to_who_reads_it_for_the_settings(self, tmp_path: Path) -> None:
        """To open it here would wait for its writer, and take what is written."""
        os.mkfifo(tmp_path / "keys", 0o600)
        files = Files({KEYS: tmp_path / "keys"})
        os.utime(tmp_path / "keys", (1, 1))
        assert settled(files) is None

    def test_what_was_not_its_fault_is_tried_again(self, tmp_path: Path) -> None:
        path = tmp_path / "keys"
        write(path, "old")
        files = Files({KEYS: path})
        write(path, "newer")
        assert settled(files) == (KEYS,)
        files.try_again()
        assert files.look() == (KEYS,)


class FromFiles(Service):
    """A service of the environment."""

    def build(self) -> Starlette:
        return app.build(settings.load(), self.clock)


@dataclass
class Deployment:
    """A service whose secrets stand in files, in this process."""

    directory: Path
    monkeypatch: pytest.MonkeyPatch
    texts: dict[str, str] = field(default_factory=dict)

    def start(self, **changes: str) -> Service:
        self.texts = {
            "keys": ring_entry("k1"),
            "client_keys": ring_entry("c1"),
            "api_keys": api_key_entry(API_KEY),
            "introspection_tokens": INTROSPECTION_TOKEN,
            "admin_tokens": ADMIN_TOKEN,
            "denylist": "",
            "clients": "[]",
            "registration": "open",
        } | changes
        self.monkeypatch.setenv("TOKENSVC_ISSUER", ISSUER)
        self.monkeypatch.setenv("TOKENSVC_LEDGER", "memory://")
        for name, text in self.texts.items():
            write(self.directory / name, text)
            self.monkeypatch.setenv(f"TOKENSVC_{name.upper()}_FILE", str(self.directory / name))
        self.files = Files(settings.files(os.environ))
        return FromFiles()

    def change(self, service: Service, **texts: str) -> None:
        for name, text in texts.items():
            swap(self.directory / name, text)
        for _ in range(2):
            service.run(app.reload(service.app, self.files))


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    return Deployment(tmp_path, monkeypatch)


def last_reload(service: Service) -> Any:
    return service.http().get("/admin/state", headers=BEARER).json()["reload"]


def logged(capfd: pytest.CaptureFixture[str], event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def test_a_ring_with_one_more_version_opens_the_old_and_seals_with_the_new(deployment: Deployment) -> None:
    with deployment.start() as service:
        client = service.client()
        before = client.sign_in()
        deployment.change(service, keys=f"{deployment.texts['keys']},{ring_entry('k2')}")
        assert client.active(before.access)
        after = client.sign_in()
        deployment.change(service, keys=deployment.texts["keys"])
        assert client.active(before.access)
        assert not client.active(after.access)


def test_what_was_remembered_goes_on(deployment: Deployment) -> None:
    """The ledger, and the failures that were counted, are not the settings'."""
    with deployment.start() as service:
        client, outside = service.client(), service.http("203.0.113.7")
        revoked = client.sign_in()
        client.revoke(revoked.refresh)
        wrong = {"Authorization": "Bearer wrong"}
        assert [outside.post("/introspect", headers=wrong).status_code for _ in range(30)][-1] == 429
        deployment.change(service, api_keys=f"{deployment.texts['api_keys']},{api_key_entry('other', user='bob')}")
        assert not client.active(revoked.access)
        assert outside.post("/introspect", headers=wrong).status_code == 429


def test_an_api_key_that_is_added_signs_in_and_one_that_is_taken_out_ends_what_it_allowed(
    deployment: Deployment,
) -> None:
    with deployment.start() as service:
        ada, bob = service.client(), service.client()
        bob.api_key = "other"
        issued = ada.sign_in()
        deployment.change(service, api_keys=api_key_entry("other", user="bob"))
        assert bob.active(bob.sign_in().access)
        assert not ada.active(issued.access)


def test_what_a_role_may_have_counts_for_tokens_that_are_out(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENSVC_SCOPES", "read write")
    with deployment.start(role_scopes="") as service:
        client = service.client()
        client.register()
        issued = tokens(client.redeem(client.code(scope="read write")))
        deployment.change(service, role_scopes="admin=read\nviewer=read")
        assert client.introspect(issued.access)["scope"] == "read"
        deployment.change(service, role_scopes="admin=reed")
        assert last_reload(service)["problem"].startswith("TOKENSVC_ROLE_SCOPES ")
        assert client.introspect(issued.access)["scope"] == "read"
        deployment.change(service, role_scopes="admin=")
        assert not client.active(issued.access)
        deployment.change(service, role_scopes="admin=read write")
        assert client.introspect(issued.access)["scope"] == "read write"


def test_a_machine_comes_and_goes_with_its_entry_and_its_tokens_with_it(deployment: Deployment) -> None:
    secret_hash = f"sha256:{hashlib.sha256(b'secret-of-the-machine').hexdigest()}"
    machine = {"client_id": "robot", "client_secret_hash": secret_hash, "identity": "acme/robot/machine"}
    listed = json.dumps([machine | {"grant_types": ["client_credentials"]}])
    with deployment.start() as service:
        client = service.client()
        client.client_id, client.client_secret = "robot", "secret-of-the-machine"
        assert client.token(grant_type="client_credentials").json()["error"] == "unsupported_grant_type"
        deployment.change(service, clients=listed)
        issued = tokens(client.token(grant_type="client_credentials"))
        assert client.active(issued.access)
        deployment.change(service, clients=listed.replace('machine"', 'reader"'))
        assert not client.active(issued.access)
        deployment.change(service, clients=listed)
        assert client.active(issued.access)
        deployment.change(service, clients="[]")
        assert not client.active(issued.access)


def test_marks_of_the_denylist_come_into_force_and_only_grow(deployment: Deployment) -> None:
    with deployment.start() as service:
        client = service.client()
        issued = client.sign_in()
        deployment.change(service, denylist=f"user:acme/ada@{NOW}")
        assert not client.active(issued.access)
        deployment.change(service, denylist="")
        assert not client.active(issued.access)


def test_secrets_of_resource_servers_and_operators_change_with_their_files(deployment: Deployment) -> None:
    with deployment.start() as service:
        deployment.change(service, introspection_tokens="one,two", admin_tokens="three")
        for secret, status in (("one", 200), ("two", 200), (INTROSPECTION_TOKEN, 401)):
            headers = {"Authorization": f"Bearer {secret}"}
            assert service.http().post("/introspect", data={"token": "x"}, headers=headers).status_code == status
        for secret, status in (("three", 200), (ADMIN_TOKEN, 401)):
            headers = {"Authorization": f"Bearer {secret}"}
            assert service.http().get("/admin/state", headers=headers).status_code == status


def test_what_a_setting_mounts_and_advertises_comes_and_goes_with_it(deployment: Deployment) -> None:
    def metadata(service: Service) -> Any:
        return service.http().get("/.well-known/oauth-authorization-server").json()

    with deployment.start() as service:
        assert "registration_endpoint" in metadata(service)
        deployment.change(service, registration="off", admin_tokens="", introspection_tokens="")
        assert not {"registration_endpoint", "introspection_endpoint"} & metadata(service).keys()
        assert service.http().post("/register", json={}).status_code == 404
        assert service.http().get("/admin/state", headers=BEARER).status_code == 404
        deployment.change(service, registration="open", admin_tokens=ADMIN_TOKEN)
        assert "registration_endpoint" in metadata(service)
        assert service.http().get("/admin/state", headers=BEARER).status_code == 200


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("keys", "hunter2"),
        ("keys", ""),
        ("keys", ring_entry("k9", "2099-01-01T00:00:00Z")),
        ("client_keys", "c1=hunter2"),
        ("api_keys", "hunter2=acme/ada/admin"),
        ("denylist", "user:hunter2"),
        ("denylist", f"everything:@{NOW + 60_000}"),
        ("introspection_tokens", "hunter2,hunter2"),
        ("clients", "hunter2"),
        ("registration", "hunter2"),
    ],
    ids=lambda value: value.partition("=")[0].partition("@")[0] or "empty",
)
def test_a_bad_file_changes_nothing_and_is_logged_once(
    deployment: Deployment, capfd: pytest.CaptureFixture[str], name: str, bad: str
) -> None:
    """Whatever good changes stand beside it: all of them or none. The log says which and why, and not what it holds."""
    with deployment.start() as service:
        client = service.client()
        issued = client.sign_in()
        beside = "api_keys" if name != "api_keys" else "registration"
        good = {"api_keys": api_key_entry("other", user="bob"), "registration": "off"}[beside]
        deployment.change(service, **{name: bad, beside: good})
        service.run(app.reload(service.app, deployment.files))
        assert client.active(issued.access)
        assert client.active(client.sign_in().access)
        client.register()
        (refused,) = logged(capfd, "settings refused")
        variables = sorted([f"TOKENSVC_{name.upper()}", f"TOKENSVC_{beside.upper()}"])
        assert refused["changed"] == variables
        assert refused["reason"].startswith(f"TOKENSVC_{name.upper()}")
        assert "hunter2" not in json.dumps(refused)
        assert last_reload(service) == {"at": NOW, "changed": variables, "problem": refused["reason"]}
        deployment.change(service, **{name: deployment.texts[name]})
        assert last_reload(service)["problem"] == ""
        assert not client.active(issued.access) or beside == "registration"


def test_a_file_that_others_may_read_is_refused(deployment: Deployment) -> None:
    with deployment.start() as service:
        (deployment.directory / "keys").chmod(0o604)
        deployment.change(service)
        assert "which others may read" in last_reload(service)["problem"]
        (deployment.directory / "keys").chmod(0o600)
        deployment.change(service)
        assert last_reload(service)["problem"] == ""


def test_settings_are_taken_once_the_ledger_can_be_asked_again(
    deployment: Deployment, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with deployment.start() as service:
        ledger = service.app.state.service.server.ledger

        async def locked(*_arguments: object) -> None:
            raise TemporarilyUnavailable("the ledger cannot be asked", reason="locked")

        with monkeypatch.context() as patched:
            patched.setattr(ledger, "merge", locked)
            deployment.change(service, registration="off")
            deployment.change(service)
            assert service.http().post("/register", json={}).status_code == 400
            assert [line["reason"] for line in logged(capfd, "settings refused")] == ["locked"]
        deployment.change(service)
        assert service.http().post("/register", json={}).status_code == 404
        (taken,) = logged(capfd, "settings reloaded")
        assert taken["changed"] == ["TOKENSVC_REGISTRATION"]


def test_an_unforeseen_failure_stops_no_later_reload(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    with deployment.start() as service:

        def broken() -> object:
            raise RuntimeError("hunter2")

        with monkeypatch.context() as patched:
            patched.setattr(settings, "load", broken)
            deployment.change(service, registration="off")
        assert last_reload(service)["problem"] == "unforeseen RuntimeError"
        deployment.change(service, registration="token:x")
        assert last_reload(service)["problem"] == ""


def test_a_request_under_way_finishes_with_the_settings_it_began_with(deployment: Deployment) -> None:
    with deployment.start() as service:
        client = service.client()
        issued = client.sign_in()
        answered: list[httpx.Response] = []

        async def slowly() -> Any:
            """The body, in whose midst the settings change."""
            yield f"token={issued.access}".encode()
            for _ in range(2):
                await app.reload(service.app, deployment.files)

        async def ask() -> None:
            headers = {
                "Authorization": f"Bearer {INTROSPECTION_TOKEN}",
                "Content-Type": "application/x-www-form-urlencoded",
            }
            transport = httpx.ASGITransport(service.app)
            async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as http:
                answered.append(await http.post("/introspect", content=slowly(), headers=headers))

        swap(deployment.directory / "keys", ring_entry("k2"))
        service.run(ask())
        assert last_reload(service)["changed"] == ["TOKENSVC_KEYS"]
        assert answered[0].json()["active"] is True
        assert not client.active(issued.access)


def test_use_is_counted_on_across_reloads(deployment: Deployment) -> None:
    def seals(service: Service) -> dict[str, int]:
        versions = service.http().get("/admin/keys", headers=BEARER).json()["versions"]
        return {version["kid"]: version["seals"] for version in versions}

    with deployment.start() as service:
        client = service.client()
        client.sign_in()
        before = seals(service)
        deployment.change(service, keys=f"{deployment.texts['keys']},{ring_entry('k2')}")
        assert seals(service) == before | {"k2": 0}
        client.sign_in()
        after = seals(service)
        assert (after["k1"], after["k2"]) == (before["k1"], before["k1"])


def test_rings_that_want_attention_are_logged_at_the_start_and_once_a_day(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: asyncio.Queue[None] = asyncio.Queue(1)
    look = app.reload

    async def counted(*arguments: Any) -> None:
        await look(*arguments)
        await looks.put(None)

    async def some_looks() -> None:
        for _ in range(3):
            await looks.get()

    monkeypatch.setattr(app, "LOOK_EVERY", 0)
    monkeypatch.setattr(app, "reload", counted)
    keys = f"{ring_entry('k1')},{ring_entry('k2', '2026-11-01T00:00:00Z')}"
    with Service({"keys": keys}) as service:
        service.run(some_looks())
        (line,) = logged(capfd, "key ring")
        assert (line["ring"], line["kid"]) == (KEYS, "k1")
        assert line["reason"].startswith("can be dropped since 2026-12-01")
        service.clock.now += DAY
        service.run(some_looks())
        assert len(logged(capfd, "key ring")) == 1


def test_files_are_named_by_the_variable_that_they_stand_for() -> None:
    """Only where a setting may stand in a file at all."""
    names = {"TOKENSVC_KEYS_FILE": "keys", "TOKENSVC_ISSUER_FILE": "issuer", "TOKENSVC_CLIENTS_FILE": ""}
    assert settings.files(names) == {KEYS: Path("keys")}
