"""Where settings become adapters and adapters become routes."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path

import pytest

from tests.endpoints.local import ISSUER, NOW, Service
from tests.replica import API_KEY, REDIRECT_URI, api_key_entry, ring_entry, tokens
from tokensvc import app, assembly
from tokensvc.errors import SettingsError, TemporarilyUnavailable
from tokensvc.keyring import KEYS, SIGNING_KEYS
from tokensvc.ledger.algebra import Continuity
from tokensvc.ledger.memory import MemoryLedger
from tokensvc.ledger.peers import PeeredLedger
from tokensvc.settings import Settings

BARE = {"issuer": ISSUER, "keys": ring_entry("k1"), "client_keys": ring_entry("c1"), "ledger": "memory://"}
CLIENT = {"client_id": "app", "redirect_uris": [REDIRECT_URI]}


def load(**changes: object) -> Settings:
    return Settings.model_validate(BARE | changes)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("keys", "hunter2"),
        ("keys", "k1=hunter2"),
        pytest.param("keys", f"{ring_entry('k1')},{ring_entry('k1')}", id="keys-twice"),
        pytest.param("keys", ring_entry("k1", "2099-01-01T00:00:00Z"), id="keys-none-active"),
        ("client_keys", "c1=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ("ledger", "sqlite://relative.db"),
        ("ledger", "postgres:///x"),
        ("ledger", "memory:///x"),
        ("denylist", "hunter2"),
        ("denylist", "user:acme/ada"),
        ("denylist", f"everything:@{NOW + 6000}"),
        ("api_keys", "hunter2=acme/ada/admin"),
        ("api_keys", f"{api_key_entry('k')},{api_key_entry('k', role='viewer')}"),
        ("api_keys", "sha256:" + "0" * 64 + "=acme/ada"),
        ("introspection_tokens", "hunter2,hunter2"),
        ("introspection_tokens", "https://unknown.example=hunter2"),
        ("admin_tokens", "hunter2,hunter2"),
        ("resources", "not-a-uri"),
        ("scopes", 'a"b'),
        ("clients", "hunter2"),
        ("clients", json.dumps([CLIENT, CLIENT])),
        ("registration", "hunter2"),
        ("redirect_hosts", "https://claude.ai"),
    ],
)
def test_setting_that_cannot_be_used_is_refused_by_its_name_with_the_way_out(field: str, value: str) -> None:
    """Before anything is opened, and without a word of what it holds."""
    for build in (
        lambda: app.check(load(**{field: value}), NOW),
        lambda: app.build(load(**{field: value}), lambda: NOW),
    ):
        with pytest.raises(SettingsError) as refusal:
            build()
        assert refusal.value.variable == f"TOKENSVC_{field.upper()}"
        assert re.fullmatch(rf"TOKENSVC_{field.upper()} [^.]+.*\. [A-Z].+", str(refusal.value), re.DOTALL)
        assert "hunter2" not in str(refusal.value)


def test_settings_that_can_be_used_are_checked_without_opening_anything(tmp_path: Path) -> None:
    app.check(load(ledger=f"sqlite:///{tmp_path}/ledger.db"), NOW)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("ledger", "path"),
    [
        ("memory://", None),
        ("sqlite:///relative.db", Path("relative.db")),
        ("sqlite:////var/lib/tokensvc.db", Path("/var/lib/tokensvc.db")),
    ],
)
def test_three_slashes_are_relative_and_four_absolute(ledger: str, path: Path | None) -> None:
    assert assembly.ledger_path(load(ledger=ledger)) == path


def test_memory_ledger_begins_with_the_clock() -> None:
    with Service() as service:
        assert isinstance(service.app.state.service.server.ledger, MemoryLedger)
        state = service.run(service.app.state.service.server.ledger.state(NOW))
        assert state.continuity == Continuity(spent_since=NOW, marks_since=NOW)


def test_sqlite_ledger_is_shared_by_those_that_name_its_file(tmp_path: Path) -> None:
    shared: dict[str, object] = {**BARE, "ledger": f"sqlite:///{tmp_path}/l.db"}
    with Service(shared) as one, Service(shared) as other:
        client, elsewhere = one.client(), other.client()
        issued = client.sign_in()
        assert elsewhere.active(issued.access)
        client.revoke(issued.refresh)
        assert not elsewhere.active(issued.access)


def test_marks_by_configuration_hold_from_the_start() -> None:
    with Service() as before:
        issued = before.client().sign_in()
        denied = before.values | {"denylist": f"user:acme/ada@{NOW}\naccount:x@0"}
        with Service(denied) as service:
            client = service.client()
            assert not client.active(issued.access)
            client.client_id = ""
            assert client.active(client.sign_in().access)


def test_lifetimes_are_in_milliseconds() -> None:
    lifetimes = assembly.lifetimes(load(code_ttl=1, access_ttl=2, refresh_ttl=3, refresh_max_ttl=4))
    assert (lifetimes.code, lifetimes.access, lifetimes.refresh, lifetimes.refresh_max) == (1000, 2000, 3000, 4000)


def test_jwts_without_a_ring_that_signs_refuse_to_start() -> None:
    with pytest.raises(SettingsError, match="TOKENSVC_SIGNING_KEYS is not set, and TOKENSVC_ACCESS_TOKEN_FORMAT=jwt"):
        app.build(load(access_token_format="jwt"))


@pytest.mark.parametrize(
    "ring",
    ["x", "s1=x", f"{ring_entry('s1')},{ring_entry('s1')}", ring_entry("s1", "4000000000")],
    ids=["no entry", "no secret", "a kid twice", "none active yet"],
)
def test_ring_that_signs_is_parsed_as_the_others_in_either_format(ring: str) -> None:
    for token_format in ("jwt", "sealed"):
        with pytest.raises(SettingsError) as refused:
            app.build(load(access_token_format=token_format, signing_keys=ring))
        assert refused.value.variable == SIGNING_KEYS


def test_longest_lifetime_is_that_of_any_client() -> None:
    own = json.dumps([CLIENT | {"access_ttl": 5_000_000}])

    def longest(**changes: object) -> dict[str, int]:
        settings = load(**changes)
        return assembly.longest_lifetimes(settings, assembly.listed(settings).clients)

    assert longest() == {KEYS: 30 * 86_400_000, SIGNING_KEYS: 3_600_000}
    assert longest(clients=own)[KEYS] == 5_000_000_000
    assert longest(refresh_ttl=1, access_ttl=2, code_ttl=3) == {KEYS: 3000, SIGNING_KEYS: 2000}


def test_prefix_is_that_of_every_artefact() -> None:
    with Service({"token_prefix": "ov"}) as service:
        client = service.client()
        assert client.register()["client_id"].startswith("ovcl_")
        code = client.code()
        issued = tokens(client.redeem(code))
        assert code.startswith("ovac_")
        assert issued.access.startswith("ovat_")
        assert issued.refresh.startswith("ovrt_")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("TOKENSVC_ISUER", "Did you mean TOKENSVC_ISSUER?"),
        ("TOKENSVC_QQQQ", "TOKENSVC_QQQQ is no setting of this version."),
    ],
)
def test_unknown_name_is_refused_where_the_operator_is_strict(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")
    app.check_names(load())
    with pytest.raises(SettingsError, match=re.escape(said)):
        app.check_names(load(strict=True))


def test_failure_is_a_500_that_says_nothing_of_it() -> None:
    with Service() as service:
        client = service.client()
        client.register()
        with service.changed(scopes=None):
            with pytest.raises(AttributeError):
                client.page()
            answer = service.failing(client.authorize_url())
        assert (answer.status_code, answer.headers["cache-control"]) == (500, "no-store")
        assert answer.json() == {
            "error": "server_error",
            "error_description": "the server failed; the request may be tried again",
        }


def test_key_that_was_rotated_in_opens_everywhere_before_it_seals_anywhere() -> None:
    old, new = ring_entry("k1"), ring_entry("k2", "2027-06-01T00:00:00Z")
    with Service({"keys": old}) as before, Service(before.values | {"keys": f"{old},{new}"}) as after:
        after.share_ledger(before)
        first = before.client().sign_in()
        client = after.client()
        assert client.active(first.access)
        assert b"k1" in header(client.sign_in().access)
        after.clock.now = 1_811_808_000_000  # 2027-06-01T00:00:00Z
        assert b"k2" in header(client.sign_in().access)


def header(token: str) -> bytes:
    return base64.urlsafe_b64decode(token.partition("_")[2].partition(".")[0] + "==")


def test_clients_of_the_operator_are_there_from_the_start() -> None:
    with Service({"clients": json.dumps([CLIENT | {"client_name": "Known"}]), "registration": "off"}) as service:
        client = service.client()
        client.client_id = "app"
        _, page = client.page()
        assert "Known app" in page.text
        assert client.sign_in().refresh


def test_api_key_that_is_not_active_yet_signs_nobody_in() -> None:
    entry = api_key_entry(API_KEY).replace("=", "@2027-06-01T00:00:00Z=", 1)
    with Service({"api_keys": entry}) as service:
        client = service.client()
        client.register()
        url, page = client.page()
        assert client.decide(url, page).status_code == 401
        service.clock.now = 1_811_808_000_000
        assert client.sign_in().access


@pytest.mark.parametrize(("patient", "asked"), [(False, 0), (True, 3)], ids=["first", "successor"])
def test_successor_serves_once_its_ledger_can_be_asked(
    monkeypatch: pytest.MonkeyPatch, patient: bool, asked: int
) -> None:
    """While others serve. Who starts first listens at once: its peers wait for its answers."""
    asking: list[int] = []

    async def fresh(_ledger: PeeredLedger, now: int) -> None:
        asking.append(now)
        if len(asking) < 3:
            raise TemporarilyUnavailable("not yet")

    monkeypatch.setattr(PeeredLedger, "ready", lambda *_: asyncio.sleep(0))
    monkeypatch.setattr(PeeredLedger, "fresh", fresh)
    assert _begun(patient) == "serving"
    assert len(asking) == asked


def test_successor_that_hears_nobody_serves_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "PATIENCE", 0.2)
    assert _begun(patient=True) == "serving"


def _begun(patient: bool) -> str:
    """A replica whose peers nobody answers for, up to where it would listen."""

    async def begin() -> str:
        application = app.build(load(peers="http://127.0.0.1:9"))
        application.state.patient = patient
        async with application.router.lifespan_context(application):
            return "serving"

    return asyncio.run(begin())
