"""Mutated JWEs: none is accepted, nothing but Unsealable is raised, and no message holds what was presented.

`MUTATIONS` says how many: a sample by default, a million for a soak.
"""

import base64
import json
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.tokens.examples import ACCESS, EXAMPLES, ISSUER, NOW, PREFIX, entry, reference, ring, sealer
from tokensvc.protocol.jwt_access_token import JwtAccessTokens
from tokensvc.protocol.resource_indicator import Resources
from tokensvc.tokens.artefact import Artefact, Unsealable
from tokensvc.tokens.signing_keys import SigningKeys

MUTATIONS = int(os.environ.get("MUTATIONS", "20000"))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
HOSTILE = "=+/. \n\0é\ud800"
HEADERS: list[dict[str, Any]] = [
    {"alg": "none"},
    {"alg": "A256KW"},
    {"alg": "A256GCMKW", "iv": "AAAAAAAAAAAAAAAA", "tag": "AAAAAAAAAAAAAAAAAAAAAA"},
    {"alg": "PBES2-HS256+A128KW", "p2c": 2**31, "p2s": "AAAA"},
    {"alg": "ECDH-ES", "epk": {"kty": "EC"}},
    {"alg": "RSA-OAEP"},
    {"alg": "DIR"},
    {"alg": None},
    {"alg": ["dir"]},
    {"enc": "A128GCM"},
    {"enc": "A128CBC-HS256"},
    {"enc": "none"},
    {"enc": 256},
    {"zip": "DEF"},
    {"crit": ["exp"]},
    {"crit": []},
    {"b64": False, "crit": ["b64"]},
    {"p2c": 1},
    {"typ": "JWT"},
    {"cty": "JWT"},
    {"jku": "https://attacker.example/keys"},
    {"jwk": {"kty": "oct", "k": "AAAA"}},
    {"x5u": "https://attacker.example"},
    {"kid": ""},
    {"kid": "../../dev/null"},
    {"kid": "' OR 1=1 --"},
    {"kid": "k1\0"},
    {"kid": 1},
    {"kid": None},
    {"kid": ["k1.20600"]},
    {"kid": "k" * 10_000},
    {"kid": "k1.99999999999999999999"},
    {"kid": "k1.-1"},
    {"kid": "ｋ１.２０６００"},
]
SEALER = sealer()
REFERENCE = reference()

ARTEFACTS = tuple(EXAMPLES.values())

Mutation = Callable[[random.Random, str], str]


def test_mutated_jwe_is_never_accepted() -> None:
    rng = random.Random(os.environ.get("MUTATIONS_SEED", "tokensvc"))
    valid = [(artefact, SEALER.seal(artefact, NOW)) for artefact in EXAMPLES.values()]
    messages = set()
    for number in range(MUTATIONS):
        artefact, value = valid[number % len(valid)]
        mutant = rng.choice(WAYS)(rng, value)
        if mutant == value:
            continue
        refusal = refusal_of(artefact, mutant)
        assert refusal is not None, f"{mutant!r} opened"
        assert refusal.__suppress_context__ or refusal.__context__ is None, "a traceback would show its cause"
        messages.add(str(refusal))
    assert len(messages) <= 30, "what is said of a value depends on the value"
    pieces = {value[start : start + 8] for _, value in valid for start in range(len(value) - 8)}
    assert not any(piece in message for message in messages for piece in pieces)


def test_mutated_jwt_is_never_accepted() -> None:
    """A tenth of them: a signature takes longer to verify than a tag."""
    rng = random.Random(os.environ.get("MUTATIONS_SEED", "tokensvc"))
    keys = SigningKeys(ring(entry("s1")), "ES256", ISSUER, PREFIX)
    jwts = JwtAccessTokens(keys, ISSUER, Resources(("https://mcp.example.com/mcp",)))
    valid = [jwts.seal(ACCESS, NOW) for _ in range(4)]
    for number in range(MUTATIONS // 10):
        value = valid[number % len(valid)]
        mutant = rng.choice(WAYS_OF_ANY)(rng, value)
        if rng.randrange(4) == 0:
            # The header stays, so that the rest is looked at.
            mutant = f"{value.partition('.')[0]}.{mutant.partition('.')[2]}"
        if mutant == value:
            continue
        with pytest.raises(Unsealable) as refused:
            jwts.unseal(mutant, NOW)
        assert not any(part[:8] in str(refused.value) for part in value.split("."))


def test_header_of_another_form_is_refused_even_under_the_right_key() -> None:
    """Whoever held the key could write it; nobody who does has reason to, so what differs is an attack or a mistake."""
    for artefact in EXAMPLES.values():
        value = SEALER.seal(artefact, NOW)
        assert SEALER.unseal(type(artefact), resealed(artefact, value, header_of(value)), NOW) == artefact
        for header in other_headers(header_of(value)):
            assert refusal_of(artefact, resealed(artefact, value, header)), f"{header!r} was accepted"


def refusal_of(artefact: Artefact, value: str) -> Unsealable | None:
    try:
        SEALER.unseal(type(artefact), value, NOW)
    except Unsealable as refusal:
        return refusal
    return None


def replace_character(rng: random.Random, value: str) -> str:
    at = rng.randrange(len(value))
    return value[:at] + rng.choice(ALPHABET) + value[at + 1 :]


def insert_hostile(rng: random.Random, value: str) -> str:
    at = rng.randrange(len(value) + 1)
    return value[:at] + rng.choice(HOSTILE) + value[at + rng.randrange(2) :]


def cut(rng: random.Random, value: str) -> str:
    start = rng.randrange(len(value))
    return value[:start] + value[start + rng.randrange(1, 40) :]


def repeat(rng: random.Random, value: str) -> str:
    start = rng.randrange(len(value))
    return value[: start + rng.randrange(1, 40)] + value[start:]


def swap(rng: random.Random, value: str) -> str:
    characters = list(value)
    one, other = rng.randrange(len(value)), rng.randrange(len(value))
    characters[one], characters[other] = characters[other], characters[one]
    return "".join(characters)


def flip_bits(rng: random.Random, value: str) -> str:
    """Bits of nonce, ciphertext or tag, so that it stays good base64url."""
    parts = value.split(".")
    place = rng.randrange(2, 5)
    raw = bytearray(decode(parts[place]))
    for _ in range(rng.choice((1, 1, 2, 8))):
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return ".".join((*parts[:place], encode(bytes(raw)), *parts[place + 1 :]))


def splice(rng: random.Random, value: str) -> str:
    """A part of another good value, of the same kind or of another."""
    parts = value.split(".")
    other = SEALER.seal(rng.choice(ARTEFACTS), NOW).split(".")
    place = rng.randrange(len(parts))
    parts[place] = other[place]
    return ".".join(parts)


def change_header(rng: random.Random, value: str) -> str:
    header = rng.choice(other_headers(header_of(value)))
    prefix, _, rest = value.partition("_")
    return f"{prefix}_{encode(header)}.{rest.partition('.')[2]}"


def insert_encrypted_key(rng: random.Random, value: str) -> str:
    return value.replace("..", f".{encode(rng.randbytes(rng.randrange(1, 40)))}.")


def random_parts(rng: random.Random, value: str) -> str:
    head, _, _ = value.partition("..")
    sizes = (
        (12, rng.randrange(300), 16) if rng.randrange(2) else (rng.randrange(20), rng.randrange(300), rng.randrange(20))
    )
    return ".".join((f"{head}.", *(encode(rng.randbytes(size)) for size in sizes)))


WAYS_OF_ANY: list[Mutation] = [replace_character, insert_hostile, cut, repeat, swap]
WAYS: list[Mutation] = [
    *WAYS_OF_ANY,
    flip_bits,
    splice,
    change_header,
    insert_encrypted_key,
    random_parts,
]


def other_headers(header: bytes) -> list[bytes]:
    """Headers that differ from the one that is sealed with, in what they say or in how they are written."""
    claims: dict[str, Any] = json.loads(header)
    said = [json.dumps(claims | change, separators=(",", ":")).encode() for change in HEADERS]
    kid = claims["kid"].encode()
    written = [
        json.dumps(claims).encode(),
        json.dumps(dict(reversed(claims.items())), separators=(",", ":")).encode(),
        header + b" ",
        b" " + header,
        b"\xef\xbb\xbf" + header,
        header[:-1] + b',"kid":"' + kid + b'"}',
        header[:-1] + b',"kid":"k1"}',
        header[:-1] + b',"alg":"dir"}',
        header.replace(b'{"alg"', b'{"kid":"x","alg"'),
        header.replace(b'"dir"', b'"\\u0064ir"'),
        header.replace(kid[:1], b"\\u%04x" % kid[0], 1),
        header.replace(b'{"alg":"dir",', b"{"),
        header.replace(b',"enc":"A256GCM"', b""),
        header[:-1],
        b"{}",
        b"[]",
        b"",
        b"[" * 50,
        header.decode().encode("utf-16"),
    ]
    return [other for other in (*said, *written) if other != header]


def resealed(artefact: Artefact, value: str, header: bytes) -> str:
    """The same claims under the right key, announced by another header."""
    kid, _, day = json.loads(header_of(value))["kid"].partition(".")
    cipher = AESGCM(REFERENCE.key("seal", artefact.kind, kid, day))
    sealed = cipher.encrypt(bytes(12), artefact.to_claims(), encode(header).encode())
    prefix = value.partition("_")[0]
    return f"{prefix}_{encode(header)}..{encode(bytes(12))}.{encode(sealed[:-16])}.{encode(sealed[-16:])}"


def header_of(value: str) -> bytes:
    return decode(value.partition("_")[2].partition(".")[0])


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
