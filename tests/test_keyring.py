"""Key rings: what is refused, which version seals when, and what is derived (RFC 5869)."""

import base64
import hmac
import re
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tokens.examples import entry, secret
from tokensvc.errors import SettingsError
from tokensvc.keyring import KeyRing, KeyVersion, derive, parse_time

NOW = 1_800_000_000_000
KEYS_FOLDER = Path(__file__).parents[1] / "keys"
PAST, FUTURE = "1700000000", "1900000000"


def parse(*entries: str, now: int = NOW) -> KeyRing:
    return KeyRing.parse(",".join(entries), "TOKENSVC_KEYS", now)


def version(kid: str, activates: int = 0) -> KeyVersion:
    return KeyVersion(kid, activates, secrets.token_bytes(32))


# Parsing


def test_entries_keep_their_order_names_times_and_secrets() -> None:
    ring = parse(entry("a"), entry("b-_9", PAST), entry("c", "2030-01-31T12:00:00Z"))
    assert [(v.kid, v.activates) for v in ring.versions] == [
        ("a", 0),
        ("b-_9", 1_700_000_000_000),
        ("c", 1_896_091_200_000),
    ]
    assert ring.get("a") == ring.versions[0]
    assert ring.versions[0].secret == base64.urlsafe_b64decode(secret("a") + "=")
    assert ring.get("z") is None


def test_spaces_line_ends_and_empty_entries_around_commas_are_nothing() -> None:
    text = f"\n {entry('a')} ,\n{entry('b')},\n"
    assert [v.kid for v in KeyRing.parse(text, "TOKENSVC_KEYS", NOW).versions] == ["a", "b"]


@given(st.binary(min_size=32, max_size=32).filter(lambda raw: len(set(raw)) >= 12))
def test_every_random_secret_is_read_back(raw: bytes) -> None:
    text = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    assert parse(f"k={text}").versions[0].secret == raw


REFUSED = {
    "nothing": ("", "is empty"),
    "commas alone": (" , ,", "is empty"),
    "no secret": ("k1", "not kid"),
    "a bare secret": (secret("k1"), "not kid"),
    "no kid": (f"={secret('k1')}", "not kid"),
    "a kid of 17": (f"{'k' * 17}={secret('k1')}", "not kid"),
    "a kid with a dot": (f"k.1={secret('k1')}", "not kid"),
    "a kid with a space": (f"k 1={secret('k1')}", "not kid"),
    "a kid beyond ASCII": (f"ké={secret('k1')}", "not kid"),
    "an entry per line": (f"{entry('k1')}\n{entry('k2')}", "32 bytes"),
    "a secret of 31 bytes": (f"k1={secret('k1')[:-2]}", "32 bytes"),
    "a secret of 33 bytes": (f"k1={secret('k1')}A", "32 bytes"),
    "a secret of 64 bytes": (f"k1={secret('k1')}{secret('k2')}", "32 bytes"),
    "no bytes at all": ("k1=", "32 bytes"),
    "padding": (f"k1={secret('k1')}=", "32 bytes"),
    "hex": (f"k1={'0f' * 32}", "32 bytes"),
    "standard base64": (f"k1={'+/' * 21}A", "32 bytes"),
    "a space inside": (f"k1={secret('k1')[:20]} {secret('k1')[20:]}", "32 bytes"),
    "letters beyond ASCII": (f"k1={secret('k1')[:-1]}é", "32 bytes"),
    "spare bits": (f"k1={secret('k1')[:-1]}{chr(ord(secret('k1')[-1]) + 1)}", "32 bytes"),
    "zeros": (f"k1={'A' * 43}", "not random"),
    "a phrase": (f"k1={base64.urlsafe_b64encode(b'change-me-' * 3 + b'!!').decode().rstrip('=')}", "not random"),
    "a kid twice": (f"{entry('k1')},k1@{PAST}={secret('k2')}", "a kid twice"),
    "staged versions alone": (entry("k1", FUTURE), "active yet"),
    "an empty activation": (f"k1@={secret('k1')}", "no time"),
    "two activations": (f"k1@1@2={secret('k1')}", "no time"),
    "a day without a time": (entry("k1", "2026-01-31"), "no time"),
    "a time without a zone": (entry("k1", "2026-01-31T00:00:00"), "no time"),
    "another zone": (entry("k1", "2026-01-31T00:00:00+02:00"), "no time"),
    "no such day": (entry("k1", "2026-02-30T00:00:00Z"), "no time"),
    "milliseconds": (entry("k1", "1700000000000"), "no time"),
    "a negative time": (entry("k1", "-1"), "no time"),
    "other digits": (entry("k1", "１７"), "no time"),
    "a word": (entry("k1", "now"), "no time"),
}


@pytest.mark.parametrize(("text", "problem"), REFUSED.values(), ids=REFUSED)
def test_refusal_names_variable_problem_and_way_out_and_shows_no_secret(text: str, problem: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        KeyRing.parse(text, "TOKENSVC_CLIENT_KEYS", NOW)
    message = str(refusal.value)
    assert refusal.value.variable == "TOKENSVC_CLIENT_KEYS"
    assert message.startswith("TOKENSVC_CLIENT_KEYS ")
    assert problem in message
    assert any(way in message for way in ("tokensvc keys new", "Give every", "Keep one", "Use RFC 3339"))
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None
    for part in text.replace("\n", "=").replace(",", "=").split("="):
        assert len(part) < 12 or part not in message


def test_one_bad_entry_refuses_the_whole_ring() -> None:
    with pytest.raises(SettingsError, match="secret of k2"):
        parse(entry("k1"), "k2=short", entry("k3"))


def test_secret_never_shows_in_a_repr() -> None:
    ring = parse(entry("k1"))
    shown = f"{ring!r} {ring.versions!r} {ring}"
    assert secret("k1") not in shown
    assert repr(ring.versions[0].secret)[2:-1] not in shown


def test_example_ring_is_refused_and_so_is_every_entry_in_it() -> None:
    lines = (KEYS_FOLDER / "example.env").read_text(encoding="utf-8").splitlines()
    rings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert rings.keys() == {"TOKENSVC_KEYS", "TOKENSVC_CLIENT_KEYS"}
    for variable, text in rings.items():
        for ring in (text, *text.split(",")):
            with pytest.raises(SettingsError, match="not random, like an example's"):
                KeyRing.parse(ring, variable, NOW)


def test_no_ring_that_opens_anything_stands_beside_the_example() -> None:
    for path in KEYS_FOLDER.glob("*.*"):
        for candidate in re.findall(r"=[A-Za-z0-9_-]{43}\b", path.read_text(encoding="utf-8")):
            with pytest.raises(SettingsError):
                parse(f"k1{candidate}")


# Times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1767225600", 1_767_225_600_000),
        ("2026-01-01T00:00:00Z", 1_767_225_600_000),
        ("2026-01-01t00:00:00z", 1_767_225_600_000),
        ("2026-01-01 00:00:00+00:00", 1_767_225_600_000),
        ("2026-01-01T00:00:00-00:00", 1_767_225_600_000),
        ("2026-01-01T00:00:00.001Z", 1_767_225_600_001),
        ("2026-01-01T00:00:00.999999Z", 1_767_225_600_999),
        ("9999-12-31T23:59:59Z", 253_402_300_799_000),
    ],
)
def test_times_are_rfc_3339_in_utc_or_unix_seconds(text: str, expected: int) -> None:
    assert parse_time(text) == expected


@given(st.integers(0, 253_402_300_799))
def test_both_forms_of_a_second_are_the_same_time(seconds: int) -> None:
    rfc3339 = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime("%4Y-%m-%dT%H:%M:%SZ")
    assert parse_time(rfc3339) == seconds * 1000
    if seconds < 10**11:
        assert parse_time(str(seconds)) == seconds * 1000


@given(st.text(max_size=30))
def test_text_that_is_no_time_raises_value_error(text: str) -> None:
    try:
        assert isinstance(parse_time(text), int)
    except ValueError:
        return


# Which version seals


def test_latest_activated_version_seals_wherever_it_stands() -> None:
    ring = parse(entry("new", "1790000000"), entry("old"), entry("older", PAST), entry("next", FUTURE))
    assert ring.active(NOW).kid == "new"


def test_ties_go_to_the_last_listed() -> None:
    assert parse(entry("a"), entry("b"), entry("c")).active(NOW).kid == "c"
    assert parse(entry("c", PAST), entry("b", PAST), entry("a")).active(NOW).kid == "b"


def test_staged_version_takes_over_at_its_millisecond_on_every_replica() -> None:
    ring = parse(entry("old"), entry("next", FUTURE))
    assert ring.active(1_899_999_999_999).kid == "old"
    assert ring.active(1_900_000_000_000).kid == "next"


def test_clock_before_every_activation_seals_with_nothing() -> None:
    with pytest.raises(ValueError, match="active yet"):
        parse(entry("a", PAST)).active(1_000)


def test_states_are_staged_active_and_retired() -> None:
    ring = parse(entry("old"), entry("now", PAST), entry("next", FUTURE))
    assert [ring.state(v, NOW) for v in ring.versions] == ["retired", "active", "staged"]
    assert [ring.state(v, 1_900_000_000_000) for v in ring.versions] == ["retired", "retired", "active"]


rings = st.lists(st.integers(0, 6), min_size=1, max_size=6).map(
    lambda times: KeyRing(tuple(version(f"k{i}", time) for i, time in enumerate(times)))
)


@given(rings, st.integers(0, 7))
def test_active_version_is_the_greatest_by_activation_and_place(ring: KeyRing, now: int) -> None:
    activated = [(v.activates, place, v) for place, v in enumerate(ring.versions) if v.activates <= now]
    if activated:
        assert ring.active(now) is max(activated, key=lambda item: item[:2])[2]


@given(rings, st.integers(0, 7))
def test_states_follow_from_when_a_version_retires(ring: KeyRing, now: int) -> None:
    if not any(v.activates <= now for v in ring.versions):
        return
    for v in ring.versions:
        retired = ring.retired_at(v)
        expected = "staged" if v.activates > now else "active" if retired is None or retired > now else "retired"
        assert ring.state(v, now) == expected


def test_version_retires_when_the_next_takes_over() -> None:
    ring = parse(entry("staged", FUTURE), entry("old"), entry("tie", PAST), entry("now", PAST))
    retired = {v.kid: ring.retired_at(v) for v in ring.versions}
    assert retired == {
        "old": 1_700_000_000_000,
        "tie": 1_700_000_000_000,
        "now": 1_900_000_000_000,
        "staged": None,
    }


# Derivation


@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4), max_size=4), max_size=6
    )
)
def test_different_labels_give_different_keys(uses: list[list[str]]) -> None:
    k1 = version("k1")
    distinct = {tuple(labels) for labels in uses}
    assert len({derive(k1, *labels) for labels in distinct}) == len(distinct)


def test_key_depends_on_secret_and_kid() -> None:
    one = version("k1")
    renamed = KeyVersion("k2", 0, one.secret)
    assert len({derive(one, "seal"), derive(renamed, "seal"), derive(version("k1"), "seal"), one.secret}) == 4


def test_activation_may_change_without_ending_anything() -> None:
    one = version("k1")
    assert derive(one, "seal") == derive(KeyVersion("k1", 5, one.secret), "seal")


def test_derived_key_is_hkdf_sha256_of_the_labels_joined_by_nul() -> None:
    """Worked out by hand from RFC 5869 §2: no salt, one block of output."""
    published = KeyVersion("k1", 0, bytes(range(32)))
    extracted = hmac.digest(bytes(32), published.secret, "sha256")
    expected = hmac.digest(extracted, b"tokensvc 1\0k1\0seal\0tsat\0https://a.example\x0020600\x01", "sha256")
    assert expected.hex() == "444b49eea0ecb89daecfd9e8d082a839d02c07ce9da2a3faf4eb9ecf825585ce"
    assert derive(published, "seal", "tsat", "https://a.example", "20600") == expected
