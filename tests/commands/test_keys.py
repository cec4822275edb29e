"""`tokensvc keys`: transcripts."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from tests.commands.transcript import called, tokensvc
from tests.ports import free_port
from tests.replica import ADMIN_TOKEN, Client, Replica, ring_entry, settings
from tokensvc.commands import now, rfc3339
from tokensvc.keyring import KeyRing

LIFE = 30 * 86_400_000
AHEAD = "2099-12-31T03:00:00Z"


def rings(keys: str, client_keys: str = "", **changes: str) -> dict[str, str]:
    values = {"issuer": "https://a.example", "keys": keys, "client_keys": client_keys or ring_entry("c1")} | changes
    return {f"TOKENSVC_{name.upper()}": value for name, value in values.items()}


def test_new_entry_goes_to_stdout_and_what_to_do_with_it_to_stderr() -> None:
    ran = tokensvc("keys", "new")
    assert ran.code == 0
    assert re.fullmatch(r"k\d{6}[a-z]=[A-Za-z0-9_-]{43}\n", ran.out)
    assert ran.out[1:7] == datetime.now(UTC).strftime("%y%m%d")
    assert ran.err == (
        "It begins to seal as soon as a replica has it: right for a new ring. For a ring in use give --activates a "
        "time after\nthe rollout, since until then replicas without the entry could not open what others seal.\n"
    )


def test_new_entry_with_a_time_is_staged() -> None:
    ran = tokensvc("keys", "new", "--activates", AHEAD, "--kid", "spring_27")
    assert ran.code == 0
    assert re.fullmatch(rf"spring_27@{AHEAD}=[A-Za-z0-9_-]{{43}}\n", ran.out)
    assert ran.err == (
        "Append it to the ring of every replica, beside the entries that are there. "
        f"At {AHEAD} all of them seal with it.\n"
    )


@pytest.mark.parametrize("time", ["1767225600", "2026-01-01T00:00:00Z", "2026-01-01 00:00:00+00:00", "0"])
def test_time_that_is_over_is_taken_with_a_warning(time: str) -> None:
    ran = called("keys", "new", "--activates", time)
    assert ran.code == 0
    assert re.match(r"k(260101|700101)[a-z]@(2026|1970)-01-01T00:00:00Z=", ran.out)
    assert " is over. A replica that has the entry seals with it at once" in ran.err


def test_new_entries_are_good_for_a_ring_and_differ() -> None:
    printed = [called("keys", "new", "--kid", kid).out.strip() for kid in ("a", "b")]
    ring = KeyRing.parse(",".join(printed), "TOKENSVC_KEYS", now())
    assert len({version.secret for version in ring.versions}) == 2


def test_new_entry_as_json_is_all_that_is_said() -> None:
    ran = tokensvc("keys", "new", "--kid", "a", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json.keys() == {"kid", "entry"}
    assert ran.json["entry"].startswith("a=")


def test_status_shows_each_version_of_both_rings_in_its_state() -> None:
    recent = rfc3339(now() - 86_400_000)
    keys = ",".join(
        [
            ring_entry("k1"),
            ring_entry("k2", "2026-01-01T00:00:00Z"),
            ring_entry("k3", recent),
            ring_entry("k4", AHEAD),
        ]
    )
    clients = f"{ring_entry('c1')},{ring_entry('c2', '2026-01-01T00:00:00Z')}"
    ran = tokensvc("keys", "status", variables=rings(keys, clients))
    warning = "k1 of TOKENSVC_KEYS can be dropped since 2026-01-31: what it sealed has expired.\n"
    assert (ran.code, ran.err) == (0, warning)
    retired = rfc3339(now() - 86_400_000 + LIFE)[:13]
    lines = re.sub(rf"{retired}:\d\d:\d\dZ", "RETIRED+30D", ran.out.replace(recent, "RECENT_WITHOUT_SPACE"))
    assert (
        lines
        == """\
ring                  kid  state    use           activates             drop
TOKENSVC_KEYS         k1   retired  opens         always                now, since 2026-01-31T00:00:00Z
TOKENSVC_KEYS         k2   retired  opens         2026-01-01T00:00:00Z  from RETIRED+30D
TOKENSVC_KEYS         k3   active   seals, opens  RECENT_WITHOUT_SPACE  from 2100-01-30T03:00:00Z
TOKENSVC_KEYS         k4   staged   opens         2099-12-31T03:00:00Z  not yet: nothing follows it
TOKENSVC_CLIENT_KEYS  c1   retired  opens         always                ends its clients, who register anew
TOKENSVC_CLIENT_KEYS  c2   active   seals, opens  2026-01-01T00:00:00Z  not yet: nothing follows it
"""
    )


def test_status_shows_the_ring_that_signs_where_there_is_one() -> None:
    recent = rfc3339(now() - 60_000)
    signing = f"{ring_entry('s1')},{ring_entry('s2', recent)},{ring_entry('s3', AHEAD)}"
    ran = called("keys", "status", "--json", variables=rings(ring_entry("k1"), signing_keys=signing))
    rows = [(row["kid"], row["state"], row["use"]) for row in ran.json if row["ring"] == "TOKENSVC_SIGNING_KEYS"]
    assert rows == [
        ("s1", "retired", "verifies"),
        ("s2", "active", "signs, verifies"),
        ("s3", "staged", "verifies"),
    ]
    expired = rfc3339(now() - 60_000 + 3_600_000)
    assert ran.json[2]["drop"][:21] == f"from {expired}"[:21], (
        "an hour after it retired, when access tokens have expired"
    )


def test_status_as_json_has_a_row_for_each_version() -> None:
    ran = tokensvc("keys", "status", "--json", variables=rings(ring_entry("k1")))
    facts = {"state": "active", "use": "seals, opens", "activates": "always", "drop": "not yet: nothing follows it"}
    rows = [{"ring": "TOKENSVC_KEYS", "kid": "k1"} | facts, {"ring": "TOKENSVC_CLIENT_KEYS", "kid": "c1"} | facts]
    assert (ran.code, ran.json) == (0, rows)


@pytest.mark.parametrize(
    ("changes", "days"),
    [
        ({"refresh_ttl": "86400"}, 1),
        ({"refresh_ttl": "3600", "access_ttl": "172800"}, 2),
        ({"clients": '[{"client_id":"a","redirect_uris":["https://a.example/"],"refresh_ttl":8640000}]'}, 100),
    ],
    ids=str,
)
def test_drop_date_counts_with_the_longest_lifetime_of_any_client(changes: dict[str, str], days: int) -> None:
    ring = f"{ring_entry('k1')},{ring_entry('k2', '2026-01-01T00:00:00Z')}"
    ran = called("keys", "status", "--json", variables=rings(ring, **changes))
    expired = rfc3339(1_767_225_600_000 + days * 86_400_000)
    assert ran.json[0]["drop"].endswith(expired)


def test_status_shows_no_secret() -> None:
    ring = ring_entry("k1")
    ran = called("keys", "status", variables=rings(ring))
    assert ring.partition("=")[2] not in ran.out + ran.err


def test_status_of_a_replica_shows_what_each_version_was_used_for() -> None:
    port = free_port()
    ring = f"{ring_entry('k1')},{ring_entry('k2', '2026-01-01T00:00:00Z')}"
    with Replica(settings("memory://", port, keys=ring), port) as replica:
        client = Client(replica.url)
        client.introspect(client.sign_in().access)
        asking = {"TOKENSVC_ISSUER": replica.url, "TOKENSVC_ADMIN_TOKENS": ADMIN_TOKEN}
        ran = tokensvc("keys", "status", "--url", variables=asking)
        table = tokensvc("keys", "status", "--url", replica.url, "--json", variables=asking)
    assert (ran.code, table.code) == (0, 0)
    lines = [re.split(r"  +", line) for line in ran.out.splitlines()]
    assert lines[0] == ["ring", "kid", "state", "use", "activates", "drop", "seals", "opens", "last opened"]
    assert [line[1] for line in lines[1:]] == ["k1", "k2", "c1"]
    assert lines[1][6:] == ["0", "0", "never"]
    # The page, the code, two tokens; the page and the code were opened, and the access token.
    assert lines[2][6:8] == ["4", "3"]
    assert lines[2][8].startswith(rfc3339(now())[:8])
    assert ran.err.splitlines()[0].startswith("Used since ")
    assert "k1 of TOKENSVC_KEYS can be dropped since 2026-01-31" in ran.err
    assert [(row["seals"], row["opens"]) for row in table.json][1] == (4, 3)


def test_status_of_what_is_no_replica_says_so() -> None:
    ran = called("keys", "status", "--url", f"http://127.0.0.1:{free_port()}", variables={"TOKENSVC_ADMIN_TOKENS": "x"})
    assert (ran.code, ran.out) == (1, "")
    assert "cannot be reached" in ran.err


def test_status_of_a_ring_that_is_refused_says_why() -> None:
    ran = tokensvc("keys", "status", variables=rings(ring_entry("k1", AHEAD)))
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == ("tokensvc: TOKENSVC_KEYS has no version that is active yet. Keep one whose activation is past\n")
