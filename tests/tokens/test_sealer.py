"""The sealer: what it opens, what it refuses, and what JOSE libraries make of what it writes (RFC 7516)."""

import base64
import hmac
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import claims_of
from tests.tokens.examples import (
    ACCESS,
    CLIENT_KEYS,
    CONFIDENTIAL,
    EXAMPLES,
    ISSUER,
    KEYS,
    KINDS,
    NOW,
    PUBLIC,
    REFRESH,
    REQUEST,
    artefacts,
    entry,
    reference,
    ring,
    sealer,
)
from tokensvc import keyring
from tokensvc.keyring import KeyVersion
from tokensvc.tokens import sealer as sealer_module
from tokensvc.tokens.artefact import Artefact, Unsealable
from tokensvc.tokens.kinds import AccessToken, AuthorizationRequest, ClientId, RefreshToken
from tokensvc.tokens.sealer import DAY, OLDEST, Sealer

SEALER = sealer()
REFERENCE = reference()
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
SPARE_BITS = {2: 4, 3: 2}

examples = pytest.mark.parametrize("artefact", EXAMPLES.values(), ids=EXAMPLES)
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
confusions = pytest.mark.parametrize(
    ("artefact", "kind"),
    [
        pytest.param(artefact, kind, id=f"{name} as {kind.kind}")
        for (name, artefact), kind in product(EXAMPLES.items(), KINDS)
        if not isinstance(artefact, kind)
    ],
)


@pytest.fixture
def derived(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of every key that the sealer derives from here on."""
    labels: list[str] = []

    def derive(version: KeyVersion, *uses: str) -> bytes:
        labels.append("/".join((version.kid, *uses)))
        return keyring.derive(version, *uses)

    monkeypatch.setattr(sealer_module, "derive", derive)
    return labels


def header_of(value: str) -> dict[str, str]:
    header: dict[str, str] = json.loads(decode(value.partition("_")[2].partition(".")[0]))
    return header


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


# What it writes, and who opens that


@given(artefacts(), st.integers(min_value=0, max_value=10**13))
def test_every_kind_comes_back_as_it_was_sealed(artefact: Artefact, now: int) -> None:
    opener = Sealer(ring(KEYS), ring(CLIENT_KEYS), ISSUER, "ts")
    sealed_at = now + 1_700_000_000_000
    assert opener.unseal(type(artefact), SEALER.seal(artefact, sealed_at), sealed_at) == artefact


@given(artefacts())
def test_joserfc_opens_what_the_sealer_seals(artefact: Artefact) -> None:
    claims = REFERENCE.open(artefact.kind, SEALER.seal(artefact, NOW), NOW)
    assert claims == artefact.to_claims()


@given(artefacts(), st.sampled_from(["k1", "k2"]))
def test_sealer_opens_what_joserfc_seals(artefact: Artefact, kid: str) -> None:
    version = "c1" if isinstance(artefact, ClientId) else kid
    value = REFERENCE.seal(artefact.kind, version, artefact.to_claims(), NOW)
    assert SEALER.unseal(type(artefact), value, NOW) == artefact


@examples
def test_header_is_byte_for_byte_the_one_that_joserfc_writes(artefact: Artefact) -> None:
    kid = "c1" if isinstance(artefact, ClientId) else "k2"
    theirs = REFERENCE.seal(artefact.kind, kid, b"{}", NOW)
    assert SEALER.seal(artefact, NOW).partition("..")[0] == theirs.partition("..")[0]


@examples
def test_value_is_its_prefix_and_a_compact_jwe_of_url_safe_characters(artefact: Artefact) -> None:
    value = SEALER.seal(artefact, NOW)
    day = "" if isinstance(artefact, ClientId) else r"\.20600"
    assert re.fullmatch(rf"ts{artefact.kind}_[\w-]+\.\.[\w-]{{16}}\.[\w-]+\.[\w-]{{22}}", value, re.ASCII)
    assert re.fullmatch(rf"(k2|c1){day}", SEALER.version_of(value))
    assert header_of(value) == {"alg": "dir", "enc": "A256GCM", "kid": SEALER.version_of(value)}


def test_sealing_twice_gives_two_values() -> None:
    assert len({SEALER.seal(ACCESS, NOW) for _ in range(100)}) == 100


# The kind is the type check


@confusions
def test_artefact_in_the_place_of_another_kind_is_refused(artefact: Artefact, kind: type[Artefact]) -> None:
    value = SEALER.seal(artefact, NOW)
    renamed = value.replace(f"ts{artefact.kind}_", f"ts{kind.kind}_")
    for attempt in (value, renamed):
        with pytest.raises(Unsealable):
            SEALER.unseal(kind, attempt, NOW)


@confusions
def test_one_secret_in_both_rings_still_separates_the_kinds(artefact: Artefact, kind: type[Artefact]) -> None:
    shared = sealer(keys=entry("k1"), client_keys=entry("k1"))
    value = shared.seal(artefact, NOW).replace(f"ts{artefact.kind}_", f"ts{kind.kind}_")
    with pytest.raises(Unsealable):
        shared.unseal(kind, value, NOW)


# Whose it is


@examples
def test_another_issuers_artefact_is_refused(artefact: Artefact) -> None:
    value = sealer(issuer="https://staging.example.com").seal(artefact, NOW)
    with pytest.raises(Unsealable, match="another key"):
        SEALER.unseal(type(artefact), value, NOW)


@examples
def test_change_of_prefix_ends_every_artefact_even_one_that_is_renamed(artefact: Artefact) -> None:
    value = sealer(prefix="ov").seal(artefact, NOW)
    for attempt in (value, "ts" + value.removeprefix("ov")):
        with pytest.raises(Unsealable):
            SEALER.unseal(type(artefact), attempt, NOW)


def test_what_cannot_open_is_refused_before_any_key_derivation(derived: list[str]) -> None:
    elsewhere = sealer(keys=entry("k9"), client_keys=entry("c9"))
    cases: list[tuple[Artefact, str]] = [
        (ACCESS, sealer(prefix="ov").seal(ACCESS, NOW)),
        (ACCESS, SEALER.seal(REFRESH, NOW)),
        *((artefact, elsewhere.seal(artefact, NOW)) for artefact in EXAMPLES.values()),
        *((ACCESS, SEALER.seal(ACCESS, NOW + days * DAY)) for days in (2, 3, 400, -OLDEST - 1, -1000)),
        (ACCESS, with_kid(SEALER.seal(ACCESS, NOW), "k2")),
        (ACCESS, with_kid(SEALER.seal(ACCESS, NOW), "k2.")),
        (ACCESS, with_kid(SEALER.seal(ACCESS, NOW), "k2.020600")),
        (ACCESS, with_kid(SEALER.seal(ACCESS, NOW), "k2.+20600")),
        (ACCESS, with_kid(SEALER.seal(ACCESS, NOW), "k2.20600.1")),
        (ACCESS, with_kid(SEALER.seal(ACCESS, NOW), "k2.2060O")),
        (ACCESS, with_kid(SEALER.seal(ACCESS, NOW), "k2." + "9" * 40)),
        (PUBLIC, with_kid(SEALER.seal(PUBLIC, NOW), "c1.20600")),
        (PUBLIC, with_kid(SEALER.seal(PUBLIC, NOW), "c1.")),
        (PUBLIC, with_kid(SEALER.seal(PUBLIC, NOW), "k1")),
    ]
    derived.clear()
    fresh = sealer()
    for artefact, value in cases:
        with pytest.raises(Unsealable):
            fresh.unseal(type(artefact), value, NOW)
    with pytest.raises(Unsealable):
        fresh.client_secret(elsewhere.seal(CONFIDENTIAL, NOW))
    assert derived == []
    fresh.unseal(AccessToken, SEALER.seal(ACCESS, NOW), NOW)
    assert derived == ["k2/seal/tsat/https://auth.example.com/20600"]


def with_kid(value: str, kid: str) -> str:
    prefix, _, compact = value.partition("_")
    header = encode(json.dumps(header_of(value) | {"kid": kid}, separators=(",", ":")).encode())
    return f"{prefix}_{header}.{compact.partition('.')[2]}"


@pytest.mark.parametrize("age", [0, 1, 30, OLDEST])
def test_token_opens_on_every_day_that_a_lifetime_can_reach(age: int) -> None:
    assert sealer().unseal(AccessToken, SEALER.seal(ACCESS, NOW - age * DAY), NOW) == ACCESS


def test_token_of_a_replica_whose_clock_is_past_midnight_opens() -> None:
    assert sealer().unseal(AccessToken, SEALER.seal(ACCESS, NOW + DAY), NOW) == ACCESS


def test_beginning_tells_what_need_not_be_read_further() -> None:
    opener, value = sealer(), SEALER.seal(ACCESS, NOW)
    head = value.partition("..")[0]
    for start in (value, value[:170], f"{head}..", f"{head}..x y"):
        opener.check_start(AccessToken, start, NOW)
    for start in ("", "x" * 70_000, "..", head[:-1], head.replace("at_", "rt_"), sealer(entry("k9")).seal(ACCESS, NOW)):
        with pytest.raises(Unsealable):
            opener.check_start(AccessToken, start, NOW)
    with pytest.raises(Unsealable, match="day"):
        opener.check_start(AccessToken, value, NOW + (OLDEST + 1) * DAY)


def test_refused_day_stays_refused_after_the_key_of_that_day_was_used() -> None:
    opener = sealer()
    value = SEALER.seal(ACCESS, NOW)
    opener.unseal(AccessToken, value, NOW)
    with pytest.raises(Unsealable, match="day"):
        opener.unseal(AccessToken, value, NOW + (OLDEST + 1) * DAY)


# The life of a version


@examples
def test_staged_version_unseals_and_does_not_seal(artefact: Artefact) -> None:
    staged = f"{KEYS},{entry('k3', '1900000000')}"
    staged_clients = f"{CLIENT_KEYS},{entry('c3', '1900000000')}"
    early, late = sealer(staged, staged_clients), 1_900_000_000_000
    assert SEALER.version_of(early.seal(artefact, late - 1)).partition(".")[0] in {"k2", "c1"}
    assert SEALER.version_of(early.seal(artefact, late)).partition(".")[0] in {"k3", "c3"}
    ahead = sealer(f"{KEYS},{entry('k3')}", f"{CLIENT_KEYS},{entry('c3')}").seal(artefact, NOW)
    assert early.unseal(type(artefact), ahead, NOW) == artefact


@examples
def test_retired_version_unseals_until_it_is_dropped(artefact: Artefact) -> None:
    old = sealer(entry("k1"), entry("c1")).seal(artefact, NOW)
    rotated = sealer(f"{entry('k1')},{entry('k2', '1700000000')}", f"{entry('c1')},{entry('c2', '1700000000')}")
    assert rotated.unseal(type(artefact), old, NOW) == artefact
    assert SEALER.version_of(rotated.seal(artefact, NOW)).partition(".")[0] in {"k2", "c2"}
    dropped = sealer(entry("k2"), entry("c2"))
    with pytest.raises(Unsealable, match="not in the ring"):
        dropped.unseal(type(artefact), old, NOW)


def test_client_ids_and_their_secrets_survive_a_dropped_token_key() -> None:
    after = sealer(keys=entry("k9"))
    for client in (PUBLIC, CONFIDENTIAL):
        client_id = SEALER.seal(client, NOW)
        assert after.unseal(ClientId, client_id, NOW) == client
        assert after.client_secret(client_id) == SEALER.client_secret(client_id)
    with pytest.raises(Unsealable):
        after.unseal(RefreshToken, SEALER.seal(REFRESH, NOW), NOW)


def test_client_id_opens_a_century_later() -> None:
    assert sealer().unseal(ClientId, SEALER.seal(PUBLIC, NOW), NOW + 36_525 * DAY) == PUBLIC


def test_entry_carried_over_from_the_token_ring_opens_no_token_in_the_client_ring() -> None:
    carried = sealer(keys=entry("k9"), client_keys=f"{entry('c1')},{entry('k2')}")
    with pytest.raises(Unsealable):
        carried.unseal(AccessToken, SEALER.seal(ACCESS, NOW), NOW)


# client_ids and their secrets


@given(st.integers(min_value=0, max_value=10**12))
def test_same_public_registration_gives_the_same_client_id_on_every_replica(later: int) -> None:
    assert sealer().seal(PUBLIC, NOW + later) == SEALER.seal(PUBLIC, NOW)


def test_other_registrations_and_other_versions_give_other_client_ids() -> None:
    variants = [
        PUBLIC,
        replace(PUBLIC, name="Cursor"),
        replace(PUBLIC, redirects="x" * 22),
        replace(PUBLIC, grants="a"),
    ]
    rotated = sealer(client_keys=f"{entry('c1')},{entry('c2', '1700000000')}")
    values = [
        by.seal(client, NOW) for by in (SEALER, rotated, sealer(issuer="https://b.example")) for client in variants
    ]
    assert len({value.split(".")[2] for value in values}) == len(values)


def test_nonce_of_a_client_id_is_a_mac_of_its_claims() -> None:
    nonce_key = REFERENCE.key("nonce", "cl", "c1")
    expected = hmac.digest(nonce_key, PUBLIC.to_claims(), "sha256")[:12]
    assert SEALER.seal(PUBLIC, NOW).split(".")[2] == encode(expected)


def test_confidential_clients_that_register_alike_have_client_ids_and_secrets_of_their_own() -> None:
    client_ids = [SEALER.seal(CONFIDENTIAL, NOW) for _ in range(100)]
    assert len(set(client_ids)) == len({SEALER.client_secret(client_id) for client_id in client_ids}) == 100


def test_client_secret_follows_from_the_client_id_and_its_version() -> None:
    client_id = SEALER.seal(CONFIDENTIAL, NOW)
    expected = encode(hmac.digest(REFERENCE.key("secret", "cl", "c1"), client_id.encode(), "sha256"))
    rotated = sealer(client_keys=f"{entry('c1')},{entry('c2', '1700000000')}")
    assert SEALER.client_secret(client_id) == rotated.client_secret(client_id) == expected
    assert len(expected) == 43


@pytest.mark.parametrize("value", ["", "my-app", "tscl_", "tscl_.....", "é", "tsat_" + "e" * 40])
def test_what_is_no_client_id_has_no_secret(value: str) -> None:
    with pytest.raises(Unsealable):
        SEALER.client_secret(value)


@pytest.mark.parametrize("value", ["", "_", "tsat", "tsat_", "tsat_..", "é_é.", "tsat_" + "e" * 100_000, "tsat_eyJ9."])
def test_what_is_not_sealed_announces_no_version(value: str) -> None:
    with pytest.raises(Unsealable):
        SEALER.version_of(value)


# One spelling


def respellings(value: str) -> Iterator[str]:
    """Other texts that a lenient decoder takes for the same JWE."""
    parts = value.split(".")
    for place, part in enumerate(parts):
        body = part.partition("_")[2] if place == 0 else part
        lead = part.removesuffix(body)
        for spelt in respelt(body):
            yield ".".join((*parts[:place], lead + spelt, *parts[place + 1 :]))
    head, nonce, sealed, tag = value.rsplit(".", 3)
    joined = decode(sealed) + decode(tag)
    for size in {0, 1, 8, 12, 15, 17, 19, len(joined)} - {16}:
        yield ".".join((head, nonce, encode(joined[: len(joined) - size]), encode(joined[len(joined) - size :])))
    joined = decode(nonce) + decode(sealed)
    for size in (0, 8, 11, 13, 15, len(joined)):
        yield ".".join((head, encode(joined[:size]), encode(joined[size:]), tag))
    for junk in (" ", "\n", "\r\n", "\t", "\0", ".", "=", "\ufeff"):
        yield value + junk
        yield junk + value
    yield value.upper()
    yield value.replace("_", "__", 1)
    yield value.replace("..", "...")
    yield value.replace("..", ".")


def respelt(body: str) -> Iterator[str]:
    spare = SPARE_BITS.get(len(body) % 4, 0)
    position = ALPHABET.index(body[-1]) if body else 0
    for bits in range(1, 1 << spare):
        yield body[:-1] + ALPHABET[position | bits]
    for padding in ("=", "==", "===", "A", "A==="):
        yield body + padding
    for junk in ("=", "\n", " ", "!", "~", ".", "====", "\r\n\r\n", "!!!!"):
        yield body[:4] + junk + body[4:]
        yield junk + body
    if "-" in body or "_" in body[4:]:
        yield body.replace("-", "+").replace("_", "/")


@given(artefacts())
def test_value_has_one_spelling(artefact: Artefact) -> None:
    value = SEALER.seal(artefact, NOW)
    for respelling in set(respellings(value)) - {value}:
        with pytest.raises(Unsealable):
            SEALER.unseal(type(artefact), respelling, NOW)


def test_lenient_decoder_takes_many_of_the_other_spellings_for_the_same_jwe() -> None:
    """Or the test above would prove nothing."""
    value = SEALER.seal(ACCESS, NOW)
    assert sum(lenient(respelling) == lenient(value) for respelling in set(respellings(value)) - {value}) > 30


def lenient(value: str) -> list[bytes] | None:
    try:
        return [base64.b64decode(f"{part}==", altchars=b"-_") for part in value.partition("_")[2].split(".")]
    except ValueError:
        return None


# Caps


@kinds
@pytest.mark.parametrize(
    "junk",
    ["." * 60_000, "A" * 1_000_000, "é" * 1_000_000, "W1tb" * 250_000 + "...."],
    ids=["dots", "a megabyte", "a megabyte of é", "deep JSON"],
)
def test_oversized_input_is_refused_without_being_looked_at(kind: type[Artefact], junk: str) -> None:
    for value in (junk, f"ts{kind.kind}_{junk}"):
        with pytest.raises(Unsealable, match="longer"):
            SEALER.unseal(kind, Unread(value), NOW)


class Unread(str):
    """Tells its length, and fails the test when anything else is asked of it."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"{name} of an oversized value was used")


@kinds
def test_dots_up_to_the_cap_are_refused(kind: type[Artefact]) -> None:
    for value in (f"ts{kind.kind}_".ljust(kind.longest, "."), "." * kind.longest, f"ts{kind.kind}_eyJ......"):
        with pytest.raises(Unsealable):
            SEALER.unseal(kind, value, NOW)


def test_longest_request_in_flight_opens() -> None:
    longest = replace(
        REQUEST,
        client_name='"' * 48,
        redirect_uri="https://a.example/" + "a" * 1006,
        state="\U0001f511" * 2048,
        scope=" ".join(["a-rather-long-scope-value"] * 20),
    )
    assert SEALER.unseal(AuthorizationRequest, SEALER.seal(longest, NOW), NOW) == longest


# Releases beside one another


def test_claim_that_a_later_release_added_is_ignored() -> None:
    later = claims_of(ACCESS.to_claims()) | {"zz": {"deep": [1, None, "x"]}}
    assert SEALER.unseal(AccessToken, reseal("at", later), NOW) == ACCESS


def test_claim_with_a_default_may_be_missing() -> None:
    first = replace(ACCESS, issued_after=0, generation=0)
    claims = claims_of(first.to_claims())
    assert "i" not in claims
    assert "g" not in claims
    assert SEALER.unseal(AccessToken, reseal("at", claims), NOW) == first


@pytest.mark.parametrize("name", ["f", "c", "w", "d", "o", "s", "t"])
def test_missing_claim_without_a_default_is_unsealable(name: str) -> None:
    claims = claims_of(ACCESS.to_claims())
    del claims[name]
    with pytest.raises(Unsealable):
        SEALER.unseal(AccessToken, reseal("at", claims), NOW)


@pytest.mark.parametrize(
    "changed",
    [
        {"f": 1},
        {"t": "1780000000000"},
        {"t": 1.5},
        {"g": True},
        {"g": None},
        {"w": "abc"},
        {"w": ["acme", "ada"]},
        {"w": ["acme", "ada", "admin", "more"]},
        {"w": ["acme", "ada", None]},
    ],
)
def test_claim_of_another_type_is_unsealable(changed: dict[str, object]) -> None:
    with pytest.raises(Unsealable):
        SEALER.unseal(AccessToken, reseal("at", claims_of(ACCESS.to_claims()) | changed), NOW)


@pytest.mark.parametrize(
    "claims", [b"", b"{", b"[]", b"null", b"\xff", b'"f"', b"[" * 2000, b"{}{}", b'{"f":"\xed\xa0\x80"}']
)
@kinds
def test_claims_that_no_release_writes_are_unsealable(kind: type[Artefact], claims: bytes) -> None:
    value = REFERENCE.seal(kind.kind, "c1" if kind is ClientId else "k1", claims, NOW)
    with pytest.raises(Unsealable):
        SEALER.unseal(kind, value, NOW)


def reseal(kind: str, claims: dict[str, object]) -> str:
    return REFERENCE.seal(kind, "k1", json.dumps(claims).encode(), NOW)
