"""Keys that others publish (JWK Set, RFC 7517 §5), for verifying what they sign."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from tokensvc.jose import Key, algorithms_of, public_key
from tokensvc.outbound import Refused, Unfetchable
from tokensvc.outbound.documents import Documents
from tokensvc.outbound.fetch import Outbound, Target

LARGEST = 65_536
"""A document with keys, in bytes."""
KEPT_FOR = 86_400_000
"""Milliseconds for which keys count after their host last stood by them: one that leaked may be taken out meanwhile."""
ASK_AGAIN = 60_000
"""Milliseconds after which a key that nobody knows is looked for anew."""
_MOST_KEYS = 64
_MOST_TRIED = 4


class KeySource(Protocol):
    """Where the keys of one signer are found."""

    async def find(self, kid: str, alg: str, now: int) -> tuple[Key, ...]:
        """The keys that a signature may be of; an empty `kid` is none. Raises Unfetchable where that is not known."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key of a set. `algorithms` are those that it may sign with."""

    kid: str
    algorithms: frozenset[str]
    key: Key = field(repr=False)


@dataclass(frozen=True, slots=True)
class Jwks:
    """The keys of a set that can be used here. What else stands in it is for others (RFC 7517 §5)."""

    keys: tuple[PublicKey, ...]

    @classmethod
    def parse(cls, value: Any) -> "Jwks":
        """Raises ValueError for what is no JWK Set."""
        keys = value.get("keys") if isinstance(value, dict) else None
        if not isinstance(keys, list) or len(keys) > _MOST_KEYS:
            raise ValueError(f"a JWK Set is an object with a list of at most {_MOST_KEYS} keys")
        return cls(tuple(key for key in map(_parse, keys) if key is not None))

    async def find(self, kid: str, alg: str, now: int) -> tuple[Key, ...]:  # noqa: ARG002  # the port's
        return self.choose(kid, alg)

    def choose(self, kid: str, alg: str) -> tuple[Key, ...]:
        """Of the same name, if there is one; else whatever the algorithm takes, and few enough to try them all."""
        fitting = [known for known in self.keys if alg in known.algorithms and (not kid or known.kid == kid)]
        return tuple(known.key for known in fitting) if len(fitting) <= _MOST_TRIED else ()


class RemoteKeys:
    """The keys under a URL. A key that is not among them is looked for again, at most once a minute."""

    def __init__(self, url: str, documents: Documents[Jwks]) -> None:
        self._url = url
        self._documents = documents

    async def find(self, kid: str, alg: str, now: int) -> tuple[Key, ...]:
        try:
            found = (await self._documents.get(self._url, now)).choose(kid, alg)
            return found or (await self._documents.get(self._url, now, now - ASK_AGAIN)).choose(kid, alg)
        except Refused:
            # The host has none any more.
            return ()


class KeyDirectory:
    """Finds the keys of whoever has them inline, or says where they are."""

    def __init__(self, outbound: Outbound) -> None:
        self._documents = Documents(outbound, _read, largest=LARGEST, kept_for=KEPT_FOR, most=128)

    def source(self, jwks: Jwks | None, jwks_uri: str) -> KeySource:
        return jwks if jwks is not None else RemoteKeys(jwks_uri, self._documents)


def check_url(url: str) -> None:
    """Raises ValueError for one that no keys can be read from."""
    try:
        Target.parse(url)
    except Unfetchable as error:
        raise ValueError(f"jwks_uri: {error}") from None


def _read(_url: str, value: Any) -> Jwks:
    """Not refused but no answer where it is no JWK Set: the last good copy stands against a host that is broken."""
    try:
        return Jwks.parse(value)
    except ValueError as error:
        raise Unfetchable(str(error)) from None


def _parse(jwk: Any) -> PublicKey | None:
    """A key that may verify signatures, None for any other."""
    if not isinstance(jwk, dict):
        return None
    kid, use, alg = (jwk.get(name, "") for name in ("kid", "use", "alg"))
    operations = jwk.get("key_ops", ["verify"])
    if not all(isinstance(text, str) for text in (kid, use, alg)) or use not in {"", "sig"} or len(kid) > 256:
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    fitting = frozenset(name for name in algorithms_of(jwk) if alg in {"", name})
    try:
        return PublicKey(kid, fitting, public_key(jwk)) if fitting else None
    except ValueError:
        return None
