"""`GET /admin/keys` and `/admin/state`: what replicas are compared by, and that none of it is a secret."""

from __future__ import annotations

from typing import Any

import pytest

from tests.endpoints.local import NOW, Down, Service
from tests.replica import ADMIN_TOKEN, ring_entry
from tokensvc import __version__
from tokensvc.keyring import KeyRing, fingerprint
from tokensvc.settings import Settings, variable_name

BEARER = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
LATER = "2099-01-01T00:00:00Z"


def ask(service: Service, path: str = "state") -> Any:
    answer = service.http().get(f"/admin/{path}", headers=BEARER)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def twin(service: Service, **changes: object) -> Service:
    """Another replica with the same settings but for these."""
    return Service(service.values | changes)


def test_state_says_what_doctor_compares() -> None:
    with Service() as service:
        service.clock.now += 5
        state = ask(service)
    assert state.keys() == {
        *("version", "replica", "worker", "issuer", "started", "clock", "ledger", "settings", "rings", "reload"),
        *("exchange", "peers"),
    }
    assert (state["version"], state["issuer"]) == (__version__, "https://auth.example.com")
    assert (state["started"], state["clock"], state["reload"]) == (NOW, NOW + 5, None)
    assert (state["exchange"], state["peers"]) == (None, [])
    assert state["ledger"].pop("epoch")
    assert state["settings"].keys() == {variable_name(name) for name in Settings.model_fields}
    assert state["ledger"] == {
        "kind": "memory",
        "spent_since": NOW,
        "marks_since": NOW,
        "families": 0,
        "marks": 0,
        "marks_digest": "0" * 32,
    }


def test_replicas_with_the_same_settings_say_the_same_of_them_and_differ_in_what_is_theirs() -> None:
    with Service() as one, twin(one) as other:
        first, second = ask(one), ask(other)
        assert [first[name] for name in ("settings", "rings")] == [second[name] for name in ("settings", "rings")]
        assert first["replica"] != second["replica"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("admin_tokens", f"{ADMIN_TOKEN},another"), ("api_keys", ""), ("access_ttl", 60), ("resources", "https://a.b/")],
    ids=str,
)
def test_a_setting_that_differs_is_named_by_its_digest_alone(name: str, value: object) -> None:
    with Service() as one, twin(one, **{name: value}) as other:
        first, second = ask(one)["settings"], ask(other)["settings"]
        assert [variable for variable in first if first[variable] != second[variable]] == [variable_name(name)]


def test_a_staged_version_changes_no_digest_but_that_of_its_ring() -> None:
    """So a rollout that has come half way shows one difference and not as many as there are secrets."""
    with Service() as one, twin(one, client_keys=f"{one.values['client_keys']},{ring_entry('c2', LATER)}") as other:
        first, second = ask(one)["settings"], ask(other)["settings"]
        assert [variable for variable in first if first[variable] != second[variable]] == ["TOKENSVC_CLIENT_KEYS"]


def test_digests_of_secrets_are_worth_nothing_without_the_ring() -> None:
    """Equal secrets under different rings have different digests: nothing can be tried from outside."""
    with Service() as one, twin(one, client_keys=ring_entry("c1")) as other:
        first, second = ask(one)["settings"], ask(other)["settings"]
        assert first["TOKENSVC_REGISTRATION"] != second["TOKENSVC_REGISTRATION"]
        assert first["TOKENSVC_SCOPES"] == second["TOKENSVC_SCOPES"]


def test_rings_are_told_apart_by_fingerprints() -> None:
    keys = f"{ring_entry('k1')},{ring_entry('k2', LATER)}"
    with Service({"keys": keys}) as service:
        rings = ask(service)["rings"]
    versions = KeyRing.parse(keys, "TOKENSVC_KEYS", NOW).versions
    assert [(ring["kid"], ring["state"], ring["fingerprint"]) for ring in rings[:2]] == [
        ("k1", "active", fingerprint(versions[0])),
        ("k2", "staged", fingerprint(versions[1])),
    ]
    assert rings[2]["ring"] == "TOKENSVC_CLIENT_KEYS"


def test_the_digest_of_marks_does_not_depend_on_the_order_in_which_they_came() -> None:
    marks = [f"account:acme@{NOW - 3}", f"user:acme/ada@{NOW - 2}", f"everything:@{NOW - 1}"]
    texts = [",".join(marks), ",".join(reversed(marks)), ",".join(marks[:2])]
    digests = []
    for text in texts:
        with Service({"denylist": text}) as service:
            ledger = ask(service)["ledger"]
            assert ledger["marks"] == len(text.split(","))
            digests.append(ledger["marks_digest"])
    assert digests[0] == digests[1] != digests[2]


def test_keys_says_what_each_version_was_used_for_and_since_when() -> None:
    with Service() as service:
        client = service.client()
        service.clock.now += 7
        client.introspect(client.sign_in().access)
        keys = ask(service, "keys")
    assert (keys["since"], keys["longest_lifetime"], keys["warnings"]) == (NOW, 30 * 86_400_000, [])
    tokens, clients = keys["versions"]
    assert (tokens["ring"], tokens["kid"], tokens["state"]) == ("TOKENSVC_KEYS", "k1", "active")
    # The page, the code and two tokens; the page, the code and the access token were opened again.
    assert (tokens["seals"], tokens["opens"], tokens["last_opened"]) == (4, 3, NOW + 7)
    assert (clients["ring"], clients["seals"]) == ("TOKENSVC_CLIENT_KEYS", 1)


def test_keys_warns_of_a_version_that_can_be_dropped() -> None:
    with Service({"keys": f"{ring_entry('k1')},{ring_entry('k2', '2020-01-01T00:00:00Z')}"}) as service:
        warnings = ask(service, "keys")["warnings"]
    assert [(warning["ring"], warning["kid"]) for warning in warnings] == [
        ("TOKENSVC_KEYS", "k1"),
        ("TOKENSVC_KEYS", "k2"),
    ]
    assert warnings[0]["problem"] == "can be dropped since 2020-01-31: what it sealed has expired"
    assert warnings[1]["problem"] == "is the newest, and has sealed since 2020-01-01: add a version"


@pytest.mark.parametrize("path", ["keys", "state"])
def test_neither_is_for_anybody_else_nor_shows_a_secret(path: str) -> None:
    with Service() as service:
        assert service.http().get(f"/admin/{path}").status_code == 401
        text = service.http().get(f"/admin/{path}", headers=BEARER).text
        for name in ("keys", "client_keys", "api_keys", "introspection_tokens", "admin_tokens"):
            assert str(service.values[name]).split("=")[-1] not in text


def test_an_outage_of_the_ledger_is_no_state() -> None:
    with Service() as service, service.changed(ledger=Down()):
        assert service.http().get("/admin/state", headers=BEARER).status_code == 503
