"""docs/wire-format.md says what the code does: its tables, its numbers, and its example, which runs."""

import base64
import json
import re
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import pytest

from tests.reference import claims_of, parse_ring
from tests.tokens.examples import (
    ACCESS,
    CLIENT_KEYS,
    CODE,
    EXAMPLES,
    ISSUER,
    KEYS,
    KINDS,
    NOW,
    PUBLIC,
    entry,
    ring,
    sealer,
)
from tests.tokens.test_sizes import FRESH, OLD, REDIRECTS, TRIPLE, client_id, confidential, size
from tokensvc.tokens import base64url
from tokensvc.tokens.artefact import Artefact
from tokensvc.tokens.kinds import ClientId
from tokensvc.tokens.sealer import OLDEST
from tokensvc.tokens.signing_keys import ALGORITHMS, SigningKeys

PAGE = (Path(__file__).parents[2] / "docs" / "wire-format.md").read_text(encoding="utf-8")
VS_CODE = "Visual Studio Code"


def rows(*head: str) -> list[list[str]]:
    """The rows of all tables with this head."""
    tables = re.findall(rf"\| {re.escape(' | '.join(head))} \|\n\|[- |]+\|\n((?:\|.*\|\n)+)", PAGE)
    return [[cell.strip() for cell in row[1:-1].split("|")] for table in tables for row in table.splitlines()]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_page_has_every_claim_of_the_kind_with_its_default(kind: type[Artefact]) -> None:
    said = {
        field.strip("`"): (claim.strip("`"), default)
        for names, claim, field, _, default in rows("kind", "claim", "field", "meaning", "default")
        if kind.kind in words(names)
    }
    assert said == {field.name: (field.metadata["alias"], written(field.default)) for field in fields(kind)}


def written(default: object) -> str:
    if default is MISSING:
        return ""
    return json.dumps(default) if isinstance(default, int) else f"`{default}`" if default else "empty"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_page_has_the_ring_the_day_and_the_cap_of_the_kind(kind: type[Artefact]) -> None:
    said = {row[0]: row[2:] for row in rows("kind", "artefact", "ring", "day", "longest, in characters")}
    ring, day = ("`TOKENSVC_CLIENT_KEYS`", "no") if kind is ClientId else ("`TOKENSVC_KEYS`", "yes")
    assert said[f"`{kind.kind}`"] == [ring, day, str(kind.longest)]


def test_page_has_the_window_of_days() -> None:
    assert f"at most {OLDEST} days ago" in PAGE


def test_page_has_the_sizes_within_a_handful() -> None:
    said = {row[0]: [int(number) for number in re.findall(r"\d+", row[1])] for row in rows("artefact", "characters")}
    actual = {
        "client_id, one redirect URI, no secret": [size(client_id("mcp-remote", REDIRECTS["mcp-remote"]))],
        "client_id, three redirect URIs and a secret": [size(confidential(client_id(VS_CODE, REDIRECTS[VS_CODE])))],
        "code": [size(replace(CODE, identity=TRIPLE, lifetime=60_000))],
        "access token": [size(FRESH[0]), size(OLD[0])],
        "refresh token": [size(FRESH[1]), size(OLD[1])],
    }
    assert said.keys() == actual.keys()
    for artefact, sizes in actual.items():
        assert sizes == pytest.approx(said[artefact], abs=6), artefact


@pytest.mark.parametrize("artefact", EXAMPLES.values(), ids=EXAMPLES)
def test_example_of_the_page_opens_every_kind(artefact: Artefact) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(example, namespace)  # noqa: S102  # it is our own page
    ring = parse_ring(CLIENT_KEYS if isinstance(artefact, ClientId) else KEYS)
    claims = namespace["open_value"](sealer().seal(artefact, NOW), ring, ISSUER)
    assert claims == claims_of(artefact.to_claims())


def test_header_of_the_page_is_the_one_on_the_wire() -> None:
    header, _ = re.findall(r'^\{"alg".*\}$', PAGE, re.MULTILINE)
    for artefact in (ACCESS, PUBLIC):
        value = sealer().seal(artefact, NOW)
        announced = sealer().version_of(value)
        encoded = value.partition("_")[2].partition(".")[0]
        assert base64.urlsafe_b64decode(encoded + "==").decode() == header.replace("KID.DAY", announced)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_header_of_a_jwt_on_the_page_is_the_one_on_the_wire(alg: str) -> None:
    _, header = re.findall(r'^\{"alg".*\}$', PAGE, re.MULTILINE)
    key = SigningKeys(ring(entry("s1")), alg, ISSUER, "ts").active(NOW)
    thumb = key.key.thumbprint()[:11]
    assert base64url.decode(key.header).decode() == header.replace("ALG", alg).replace("KID.THUMB", f"s1.{thumb}")
