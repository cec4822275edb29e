"""What the doctor finds when it compares what replicas said, and what it advises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tokensvc.commands.doctor.examination import LATELY, Examined, Peer, Replica, Silent, Version
from tokensvc.commands.doctor.findings import TOLERANCE, cautions, find, same_marks
from tokensvc.keyring import CLIENT_KEYS, KEYS, SIGNING_KEYS

NOON = 1_795_262_400_000
K1 = Version(KEYS, "k1", "aa", "active", 0)
K2 = Version(KEYS, "k2", "bb", "staged", NOON)
C1 = Version(CLIENT_KEYS, "c1", "cc", "active", 0)
S1 = Version(SIGNING_KEYS, "s1", "dd", "active", 0)
SETTINGS = {"TOKENSVC_ACCESS_TTL": "1", "TOKENSVC_API_KEYS": "2", "TOKENSVC_LEDGER": "3", "TOKENSVC_PEERS": "4"}


def replica(name: str, **changes: object) -> Replica:
    """One that agrees with every other but for the changes."""
    usual = Replica(
        url=f"http://{name}",
        replica=f"id-{name}",
        version="0.1.0",
        issuer="https://auth.example.com",
        unready="",
        stale=False,
        ahead=0,
        uncertain=5,
        ledger="sqlite",
        marks_since=NOON,
        marks=3,
        marks_digest="dd",
        settings=SETTINGS,
        rings=(K1, C1),
        refused="",
        warnings=(),
        peers=(),
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def fleet(*replicas: Replica) -> list[Replica]:
    """The same, each hearing all others."""
    return [
        replace(one, peers=tuple(Peer(other.url, other.replica, 100) for other in replicas if other is not one))
        for one in replicas
    ]


def problems(*replicas: Replica) -> list[str]:
    return [finding.problem for finding in find(replicas)]


def test_replicas_that_agree_have_no_problem() -> None:
    assert find([replica("a")]) == []
    assert find([replica("a"), replica("b")]) == []
    assert find(fleet(replica("a"), replica("b"), replica("c"))) == []
    assert find([]) == []


def test_replica_that_does_not_answer_is_a_problem_beside_all_others() -> None:
    (first, second) = find([Silent("http://a", "cannot be reached"), replica("b", unready="the clock is behind")])
    assert first.problem == "a cannot be reached"
    assert second.problem == "b is not ready: the clock is behind"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"version": "0.2.0"}, "the versions of tokensvc differ: 0.1.0 on a, c; 0.2.0 on b"),
        (
            {"issuer": "https://b.example"},
            "TOKENSVC_ISSUER differs: https://auth.example.com on a, c; https://b.example on b",
        ),
        ({"settings": SETTINGS | {"TOKENSVC_ACCESS_TTL": "9"}}, "TOKENSVC_ACCESS_TTL differs: a, c | b"),
        ({"settings": SETTINGS | {"TOKENSVC_API_KEYS": "9"}}, "TOKENSVC_API_KEYS differs: a, c | b"),
        ({"stale": True}, "b answers 503 at introspection: its news of the others are too old"),
        ({"refused": "TOKENSVC_KEYS is empty"}, "b refused its files when they changed: TOKENSVC_KEYS is empty"),
        ({"rings": (K1, K2, C1)}, f"k2 of {KEYS} is missing on a, c"),
        ({"rings": (K1, C1, S1)}, f"s1 of {SIGNING_KEYS} is missing on a, c"),
        ({"rings": (replace(K1, fingerprint="ee"), C1)}, f"k1 of {KEYS} is two secrets: a, c | b"),
        (
            {"rings": (replace(K1, activates=NOON), C1)},
            f"k1 of {KEYS} begins to seal at different times: 1970-01-01T00:00:00Z on a, c; 2026-11-21T12:00:00Z on b",
        ),
        (
            {"marks_since": NOON + 1000},
            "what was minted before is refused, but not on all alike: 2026-11-21T12:00:00Z on a, c; "
            "2026-11-21T12:00:01Z on b",
        ),
        ({"ahead": 61_000}, "the clock of b is 61.0 s ahead of the others"),
        ({"ahead": -3_000}, "the clock of b is 3.0 s behind the others"),
    ],
    ids=str,
)
def test_one_that_differs_is_named_with_what_differs(changes: dict[str, object], problem: str) -> None:
    assert problems(*fleet(replica("a"), replica("b", **changes), replica("c"))) == [problem]


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": SETTINGS | {"TOKENSVC_LEDGER": "9", "TOKENSVC_PEERS": "9"}},
        {"settings": {name: value for name, value in SETTINGS.items() if name != "TOKENSVC_ACCESS_TTL"}},
        {"ahead": TOLERANCE},
        {"ahead": TOLERANCE + 400, "uncertain": 500},
        {"marks": 4},
    ],
    ids=str,
)
def test_what_may_rightly_differ_is_no_problem(changes: dict[str, object]) -> None:
    """Where each keeps its ledger, a variable that one version does not know, clocks as exactly as can be told."""
    assert problems(*fleet(replica("a"), replica("b", **changes))) == []


def test_fleet_of_two_is_no_problem_but_a_caution() -> None:
    """The loss of one takes the other's revocations with it, and soon its introspection."""
    (first, second) = fleet(replica("a"), replica("b"))
    silent = replace(first, peers=(Peer("http://b", "", None),))
    listed = replace(first, peers=(*first.peers, Peer(first.url, first.replica, 100)))
    pairs: tuple[list[Examined], ...] = ([first, second], [silent, Silent(second.url, "no answer")], [listed, second])
    for pair in pairs:
        (caution,) = cautions(pair)
        assert "two replicas do not survive the loss of one" in caution
    assert find([first, second]) == []
    assert cautions(fleet(replica("a"), replica("b"), replica("c"))) == []
    assert cautions([replica("a"), replica("b")]) == []


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        ("staged", "add it there before 2026-11-21T12:00:00Z"),
        ("active", "add it there at once"),
        ("retired", "add it there, or drop it everywhere"),
    ],
)
def test_advice_on_a_missing_key_depends_on_its_state(state: str, advice: str) -> None:
    (finding,) = find(fleet(replica("a"), replica("b", rings=(K1, C1, replace(K2, state=state)))))
    assert finding.remedy.startswith(advice)


def test_secrets_are_not_compared_where_the_rings_of_clients_begin_differently() -> None:
    """Their digests are made under a key of that ring."""
    other = replica("b", rings=(K1, replace(C1, fingerprint="ee")), settings=SETTINGS | {"TOKENSVC_API_KEYS": "9"})
    assert problems(*fleet(replica("a"), other)) == [f"c1 of {CLIENT_KEYS} is two secrets: a | b"]


def test_replicas_without_peers_have_to_share_a_ledger() -> None:
    alone = "they have neither peers nor one ledger: a revocation ends tokens on one of them"
    assert problems(replica("a"), replica("b", marks_since=NOON + 1000)) == [alone]
    assert problems(replica("a", ledger="memory"), replica("b", ledger="memory")) == [alone]
    assert problems(replica("a", ledger="memory")) == []


def test_peer_that_is_not_heard_is_named() -> None:
    a, b, c = fleet(replica("a"), replica("b"), replica("c"))
    assert problems(replace(a, peers=a.peers[:1]), b, c) == ["a does not hear c"]
    late = tuple(replace(peer, heard=LATELY + 1) for peer in a.peers)
    assert problems(replace(a, peers=late), b, c) == ["a does not hear b, c"]
    assert problems(replace(a, peers=tuple(replace(peer, heard=None) for peer in a.peers)), b, c) == [
        "a does not hear b, c"
    ]


def test_peer_under_another_address_is_known_by_its_id_and_another_worker_by_its_address() -> None:
    a, b = fleet(replica("a"), replica("b"))
    assert problems(replace(a, peers=(replace(a.peers[0], url="http://10.0.0.7"),)), b) == []
    assert problems(replace(a, peers=(replace(a.peers[0], replica="another worker"),)), b) == []


def test_revocations_that_differ_for_a_second_are_a_problem() -> None:
    before = fleet(replica("a"), replica("b", marks=2, marks_digest="ee"))
    assert not same_marks(before)
    (finding,) = find(before, before)
    assert finding.problem == "the revocations differ, and after a second still do: 3 on a; 2 on b"


def test_revocations_that_were_under_way_are_none() -> None:
    before = fleet(replica("a"), replica("b", marks=2, marks_digest="ee"))
    assert find(fleet(replica("a"), replica("b")), before) == []
    busy = fleet(replica("a", marks=9, marks_digest="ff"), replica("b", marks=8, marks_digest="gg"))
    assert find(busy, before) == []
