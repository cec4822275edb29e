"""Settings in files, changed under a running service with several processes."""

from __future__ import annotations

from pathlib import Path

from tests.flows.conftest import SQLITE, Start
from tests.replica import API_KEY, Client, Replica, api_key_entry, ring_entry, wait_for


def replace(path: Path, text: str) -> None:
    """In one step, as careful programs write."""
    other = path.with_suffix(".new")
    other.touch(mode=0o600)
    other.write_text(text, encoding="utf-8")
    other.replace(path)


def count(replica: Replica, event: str) -> int:
    return sum(line["event"] == event for line in replica.log)


def test_every_worker_takes_what_was_changed_and_refuses_what_is_bad(start: Start, tmp_path: Path) -> None:
    """Each looks for itself; meanwhile and afterwards all of them open what any of them sealed."""
    keys, api_keys = tmp_path / "keys", tmp_path / "api-keys"
    ring = ring_entry("k1")
    replace(keys, ring)
    replace(api_keys, api_key_entry(API_KEY))
    files = {"keys_file": str(keys), "api_keys_file": str(api_keys)}
    replica = start(SQLITE, workers=2, keys="", api_keys="", **files)
    wait_for(lambda: count(replica, "replica started") == 2, "both workers run")
    ada, bob = Client(replica.url), Client(replica.url, api_key="a-key-of-bob-that-is-new")
    issued = [ada.sign_in() for _ in range(4)]

    replace(keys, "no ring")
    replace(api_keys, f"{api_key_entry(API_KEY)},{api_key_entry(bob.api_key, user='bob')}")
    wait_for(lambda: count(replica, "settings refused") >= 2, "both workers refuse")
    url, page = ada.page()
    assert {ada.decide(url, page, api_key=bob.api_key).status_code for _ in range(8)} == {401}

    replace(keys, f"{ring},{ring_entry('k2')}")
    wait_for(lambda: count(replica, "settings reloaded") >= 2, "both workers take them")
    issued += [bob.sign_in() for _ in range(4)]
    # Connections are kept, and each worker has some of them: so as to ask both, every question has its own.
    assert all(Client(replica.url).active(each.access) for each in issued for _ in range(3))
    assert (count(replica, "settings refused"), count(replica, "settings reloaded")) == (2, 2)
