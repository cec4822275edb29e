"""What the matrix combines, what of it cannot be, and a choice of it in which every two values meet.

`make matrix` runs all of them, `make test` the choice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from allpairspy import AllPairs  # type: ignore[import-untyped]

AXES: Mapping[str, tuple[str, ...]] = {
    "grant": ("code", "code-once", "pushed-code", "device", "machine", "id-jag"),
    "method": ("none", "client_secret_basic", "client_secret_post", "private_key_jwt"),
    "registration": ("dynamic", "document", "preregistered"),
    "app": ("loopback", "web", "private-scheme"),
    "ledger": ("memory", "sqlite", "peers"),
    "token_format": ("sealed", "jwt"),
    "proof": ("bearer", "dpop"),
}
"""`code-once` is the code grant of a client that does not refresh; `app` is where the client is sent the answer."""
REDIRECTED = frozenset({"code", "code-once", "pushed-code"})


@dataclass(frozen=True)
class Combination:
    """A value of each axis; empty where none is chosen yet."""

    grant: str = ""
    method: str = ""
    registration: str = ""
    app: str = ""
    ledger: str = ""
    token_format: str = ""
    proof: str = ""

    def __str__(self) -> str:
        return " ".join(getattr(self, name) for name in AXES)

    @property
    def pairs(self) -> Iterator[tuple[str, str]]:
        """Every two of its values, each with the name of its axis."""
        return itertools.combinations((f"{name}={getattr(self, name)}" for name in AXES), 2)

    @property
    def refreshes(self) -> bool:
        return self.grant in {"code", "pushed-code", "device"}


CANNOT_BE: Mapping[str, Callable[[Combination], bool]] = {
    "who registers by itself has a secret or none, and no keys": lambda c: (
        c.registration == "dynamic" and c.method == "private_key_jwt"
    ),
    "a document is there for all to read, and holds no secret": lambda c: (
        c.registration == "document" and c.method in {"client_secret_basic", "client_secret_post"}
    ),
    "a machine is the operator's own": lambda c: c.grant == "machine" and c.registration in {"dynamic", "document"},
    "a machine authenticates": lambda c: c.grant == "machine" and c.method == "none",
    "an identity provider names a client that does not change": lambda c: (
        c.grant == "id-jag" and c.registration == "dynamic"
    ),
    "an identity provider's client authenticates": lambda c: c.grant == "id-jag" and c.method == "none",
    "peers take no assertions of identity providers, which count once": lambda c: (
        c.grant == "id-jag" and c.ledger == "peers"
    ),
    "who is not redirected is no sort of app": lambda c: (
        c.grant in {"device", "machine", "id-jag"} and c.app in {"web", "private-scheme"}
    ),
}
"""Why a combination is left out: of a part of one, each says only what it is sure of."""


def possible(combination: Combination) -> bool:
    return not any(rule(combination) for rule in CANNOT_BE.values())


def whole() -> list[Combination]:
    return [found for found in itertools.starmap(Combination, itertools.product(*AXES.values())) if possible(found)]


def pairwise() -> list[Combination]:
    """Few, among which every two values meet that can."""
    chosen = [Combination(*row) for row in AllPairs(list(AXES.values()), filter_func=_possible_so_far)]
    met = {pair for combination in chosen for pair in combination.pairs}
    # Where rules overlap, the algorithm runs into dead ends, and gives up the pair.
    for combination in whole():
        if not met.issuperset(combination.pairs):
            chosen.append(combination)
            met.update(combination.pairs)
    return chosen


def _possible_so_far(row: Sequence[str]) -> bool:
    return possible(Combination(*row))


assert [field.name for field in fields(Combination)] == list(AXES)
