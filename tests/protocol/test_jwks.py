"""Published keys: which of a set may verify, and how those under a URL are found."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from tests.signer import Signer, new_key
from tokensvc.outbound import Refused, Unfetchable
from tokensvc.outbound.fetch import Fetched
from tokensvc.protocol.jwks import ASK_AGAIN, KEPT_FOR, Jwks, KeyDirectory

NOW = 1_800_000_000_000
URL = "https://app.example/jwks"
EC, RSA = Signer("app").jwk, Signer("app", "RS256").jwk


def public(key: Any) -> dict[str, Any]:
    return dict(key.as_dict(private=False))


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"])
def test_key_is_found_by_its_name_and_algorithm(alg: str) -> None:
    jwks = Jwks.parse(Signer("app", alg, kid="k").jwks)
    assert len(jwks.choose("k", alg)) == 1
    assert len(jwks.choose("", alg)) == 1
    assert jwks.choose("other", alg) == ()
    assert jwks.choose("k", "ES256" if alg != "ES256" else "RS256") == ()


def test_key_that_names_no_algorithm_takes_those_of_its_kind() -> None:
    jwks = Jwks.parse({"keys": [public(new_key("RS256")), public(new_key("ES256"))]})
    assert [len(jwks.choose("", alg)) for alg in ("RS256", "PS256", "ES256", "ES384", "EdDSA")] == [1, 1, 1, 0, 0]


@pytest.mark.parametrize(
    "jwk",
    [
        "no object",
        {},
        {**EC, "kty": "ec"},
        {**EC, "kty": ["EC"]},
        {**EC, "kid": 1},
        {**EC, "kid": "k" * 257},
        {**EC, "use": "enc"},
        {**EC, "key_ops": ["sign"]},
        {**EC, "key_ops": "verify"},
        {**EC, "alg": "RS256"},
        {**EC, "alg": "ES384"},
        {**EC, "crv": "P-521"},
        {**EC, "crv": "secp256k1"},
        {**EC, "crv": ["P-256"]},
        {**EC, "x": "AA"},
        {**EC, "x": EC["y"], "y": EC["x"]},
        {**EC, "x": 1},
        {name: value for name, value in EC.items() if name != "y"},
        ECKey.generate_key("P-256").as_dict(private=True),
        OctKey.generate_key(256).as_dict(private=True),
        public(OKPKey.generate_key("Ed448")),
        public(OKPKey.generate_key("X25519")),
        {**RSA, "n": "AQAB"},
        {**RSA, "n": RSA["n"][:170]},
        {**RSA, "e": "AQ"},
        {**RSA, "e": RSA["n"]},
        {**RSA, "n": "!"},
        {**RSA, "n": ""},
        {**RSA, "alg": "HS256"},
        {**RSA, "alg": "none"},
    ],
    ids=range(30),
)
def test_key_that_is_of_no_use_is_left_out_and_stops_no_other(jwk: Any) -> None:
    assert len(Jwks.parse({"keys": [jwk, EC]}).keys) == 1


def test_short_rsa_key_is_left_out() -> None:
    with pytest.warns(match="2048"):
        short = public(RSAKey.generate_key(1024))
    assert Jwks.parse({"keys": [short]}).keys == ()


@pytest.mark.parametrize("value", [None, [], {}, {"keys": {}}, {"keys": "x"}, {"keys": [EC] * 65}, EC], ids=range(7))
def test_what_is_no_key_set_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="JWK Set"):
        Jwks.parse(value)


def test_many_keys_of_one_name_are_not_tried_one_by_one() -> None:
    assert len(Jwks.parse({"keys": [EC] * 4}).choose("", "ES256")) == 4
    assert Jwks.parse({"keys": [EC] * 5}).choose("", "ES256") == ()


def test_key_is_not_in_the_repr() -> None:
    assert EC["x"] not in repr(Jwks.parse({"keys": [EC]}))


class Host:
    """In the place of Outbound."""

    def __init__(self, *jwks: dict[str, Any]) -> None:
        self.jwks = list(jwks)
        self.asked = 0
        self.down = False
        self.gone = False

    async def get(self, _url: str, _largest: int, _validators: Mapping[str, str] | None = None) -> Fetched:
        self.asked += 1
        if self.down:
            raise Unfetchable("down")
        if self.gone:
            raise Refused("it is gone")
        return Fetched(json.dumps({"keys": self.jwks}).encode(), {"cache-control": "max-age=3600"})


def test_new_key_is_found_within_a_minute_and_an_unknown_one_asks_no_oftener() -> None:
    host = Host({**EC, "kid": "old"})
    source = KeyDirectory(host).source(None, URL)  # type: ignore[arg-type]

    async def scene() -> None:
        assert len(await source.find("old", "ES256", NOW)) == 1
        host.jwks.append({**EC, "kid": "new"})
        for later in (1, 100, ASK_AGAIN):
            assert await source.find("new", "ES256", NOW + later) == ()
        assert host.asked == 1
        assert len(await source.find("new", "ES256", NOW + ASK_AGAIN + 1)) == 1
        for _ in range(5):
            assert await source.find("unknown", "ES256", NOW + ASK_AGAIN + 2) == ()
        assert host.asked == 2

    asyncio.run(scene())


def test_key_that_is_not_known_is_not_said_to_be_none_while_the_host_is_down() -> None:
    host = Host({**EC, "kid": "old"})
    source = KeyDirectory(host).source(None, URL)  # type: ignore[arg-type]

    async def scene() -> None:
        await source.find("old", "ES256", NOW)
        host.down = True
        with pytest.raises(Unfetchable):
            await source.find("new", "ES256", NOW + ASK_AGAIN + 1)
        assert len(await source.find("old", "ES256", NOW + ASK_AGAIN + 1)) == 1

    asyncio.run(scene())


def test_key_that_leaked_ends_within_a_day_even_where_its_host_cannot_be_asked() -> None:
    host = Host(EC)
    source = KeyDirectory(host).source(None, URL)  # type: ignore[arg-type]

    async def scene() -> None:
        await source.find("one", "ES256", NOW)
        host.down = True
        assert len(await source.find("one", "ES256", NOW + KEPT_FOR - 1)) == 1
        with pytest.raises(Unfetchable):
            await source.find("one", "ES256", NOW + KEPT_FOR)

    assert KEPT_FOR <= 86_400_000
    asyncio.run(scene())


def test_keys_that_are_gone_are_none() -> None:
    host = Host(EC)
    source = KeyDirectory(host).source(None, URL)  # type: ignore[arg-type]

    async def scene() -> None:
        await source.find("one", "ES256", NOW)
        host.gone = True
        assert await source.find("one", "ES256", NOW + 3_600_000) == ()

    asyncio.run(scene())


def test_good_keys_stay_where_the_host_answers_with_something_else() -> None:
    host = Host(EC)
    source = KeyDirectory(host).source(None, URL)  # type: ignore[arg-type]

    async def scene() -> None:
        await source.find("one", "ES256", NOW)
        host.jwks = {"error": "moved"}  # type: ignore[assignment]
        assert len(await source.find("one", "ES256", NOW + 3_600_000)) == 1

    asyncio.run(scene())
