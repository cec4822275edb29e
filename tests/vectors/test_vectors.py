"""What released versions have sealed opens for ever, here and by the reference."""

import json
from typing import Any

import pytest

from tests.reference import Reference, parse_ring
from tests.vectors.freeze import HERE, write
from tokensvc import __version__
from tokensvc.identity import Identity
from tokensvc.keyring import KeyRing
from tokensvc.tokens.artefact import Artefact
from tokensvc.tokens.kinds import AccessToken, AuthorizationCode, AuthorizationRequest, ClientId, RefreshToken
from tokensvc.tokens.sealer import Sealer

KINDS: dict[str, type[Artefact]] = {
    kind.kind: kind for kind in (AuthorizationCode, AccessToken, RefreshToken, ClientId, AuthorizationRequest)
}
FILES = sorted(HERE.glob("*.json"))
FROZEN: list[dict[str, Any]] = [json.loads(path.read_text(encoding="utf-8")) for path in FILES]
vectors = pytest.mark.parametrize(
    ("frozen", "vector"),
    [
        pytest.param(frozen, vector, id=f"{frozen['release']} {vector['name']}")
        for frozen in FROZEN
        for vector in frozen["vectors"]
    ],
)


def sealer_of(frozen: dict[str, Any]) -> Sealer:
    keys = KeyRing.parse(frozen["keys"], "keys", frozen["now"])
    client_keys = KeyRing.parse(frozen["client_keys"], "client_keys", frozen["now"])
    return Sealer(keys, client_keys, frozen["issuer"], frozen["prefix"])


def reference_of(frozen: dict[str, Any]) -> Reference:
    keys, client_keys = parse_ring(frozen["keys"]), parse_ring(frozen["client_keys"])
    return Reference(keys, client_keys, frozen["issuer"], frozen["prefix"])


def expected(vector: dict[str, Any]) -> Artefact:
    """The fields as they were frozen; one that was added since has its default."""
    fields = vector["fields"]
    if "identity" in fields:
        fields = fields | {"identity": Identity(*fields["identity"])}
    return KINDS[vector["kind"]](**fields)


@vectors
def test_sealer_opens_what_a_release_has_sealed(frozen: dict[str, Any], vector: dict[str, Any]) -> None:
    assert sealer_of(frozen).unseal(KINDS[vector["kind"]], vector["value"], frozen["now"]) == expected(vector)


@vectors
def test_reference_opens_what_a_release_has_sealed(frozen: dict[str, Any], vector: dict[str, Any]) -> None:
    claims = reference_of(frozen).open(vector["kind"], vector["value"], frozen["now"])
    assert claims == vector["claims"].encode()


@vectors
def test_keys_and_client_secrets_are_derived_as_a_release_has_derived_them(
    frozen: dict[str, Any], vector: dict[str, Any]
) -> None:
    sealer = sealer_of(frozen)
    kid, _, day = sealer.version_of(vector["value"]).partition(".")
    assert reference_of(frozen).key("seal", vector["kind"], kid, day).hex() == vector["key"]
    if "client_secret" in vector:
        assert sealer.client_secret(vector["value"]) == vector["client_secret"]


def test_every_kind_of_this_release_is_frozen() -> None:
    latest = next(frozen for frozen in FROZEN if frozen["release"] == __version__)
    assert {vector["kind"] for vector in latest["vectors"]} == KINDS.keys()


def test_frozen_file_is_never_written_again() -> None:
    for path in FILES:
        with pytest.raises(FileExistsError):
            write(path)


def test_public_client_id_is_still_the_one_that_was_frozen() -> None:
    """A client that registers again with the same metadata is the same client, also after an upgrade."""
    for frozen in FROZEN:
        vector = next(vector for vector in frozen["vectors"] if vector["name"] == "public client_id")
        assert sealer_of(frozen).seal(expected(vector), frozen["now"]) == vector["value"]
