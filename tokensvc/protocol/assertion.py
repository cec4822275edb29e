"""Signed JWT assertions (RFC 7523 §3): what a client authenticates with, and what another issuer grants by."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from joserfc import jws
from joserfc.errors import JoseError
from pydantic_core import from_json

from tokensvc.errors import TemporarilyUnavailable
from tokensvc.jose import ALGORITHMS, Key, Registry
from tokensvc.ledger import Ledger, Spent
from tokensvc.ledger.marks import MAX_AHEAD, Dead, Subject
from tokensvc.outbound import Unfetchable
from tokensvc.protocol.jwks import KeySource
from tokensvc.tokens import base64url
from tokensvc.tokens.kinds import digest

LONGEST = 16_384
"""An assertion, in characters."""
LEEWAY = MAX_AHEAD
"""How far the signer's clock may be off, in milliseconds."""
_REGISTRY: Final = Registry(LONGEST)
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_LONGEST_NAME = 512
_LATEST = 253_402_300_800
"""The year 10000, in seconds: what lies beyond is no time that anybody means."""
_SECOND = 1_000


class BadAssertion(Exception):
    """The text says exactly why, for the log."""


class _Since(NamedTuple):
    """For the ledger to compare with the beginning of its memory; no mark is on an assertion."""

    authorized_at: int
    subjects: tuple[Subject, ...] = ()


@dataclass(frozen=True, slots=True)
class Assertion:
    """What an issuer says of a subject.

    `issued` is the earliest time at which that can have been, `expires` when it counts no more, both in milliseconds.
    """

    issuer: str
    subject: str
    jti: str = field(repr=False)
    issued: int
    expires: int
    claims: dict[str, Any] = field(repr=False)

    async def use_once(self, ledger: Ledger, now: int) -> None:
        """Raises BadAssertion for one that was used before; TemporarilyUnavailable where that cannot be known.

        That is so too for one from before the ledger's memory begins: its signer has to sign another, no more.
        """
        try:
            # Signers say whole seconds: who signs in the one in which the memory began is no stranger to it.
            await ledger.check(_Since(self.issued + _SECOND - 1))
        except Dead as dead:
            description = "nobody knows whether the assertion was used before: sign another"
            raise TemporarilyUnavailable(description, reason=f"assertion: {dead}") from None
        name = "\0".join((self.issuer, self.jti))
        try:
            await ledger.spend(f"jti:{digest(name, 16)}", self.expires, now)
        except Spent:
            raise BadAssertion("replayed") from None


async def verify(
    value: str,
    *,
    keys: KeySource,
    types: Collection[str],
    issuer: str,
    audiences: Collection[str],
    now: int,
    longest_lifetime: int,
    algorithms: Collection[str] = ALGORITHMS,
) -> Assertion:
    """The assertion, if its signature and its claims are right; whether it was used before is not asked yet.

    `types` are the values of `typ` that it may have, in lower case, "" for none. It counts until its `exp`, and no
    longer than `longest_lifetime` (in milliseconds) after its `iat`; without an `iat` it has to end that soon from now.
    Raises BadAssertion; TemporarilyUnavailable where the keys cannot be had.
    """
    header = _header(value)
    kid, alg = header.get("kid", ""), header["alg"]
    if alg not in ALGORITHMS or alg not in algorithms:
        raise BadAssertion("its algorithm is not allowed")
    if _type(header) not in types:
        raise BadAssertion("its typ is another")
    if not isinstance(kid, str) or "crit" in header:
        raise BadAssertion("its header asks for what is not understood")
    try:
        candidates = await keys.find(kid, alg, now)
    except Unfetchable as error:
        raise TemporarilyUnavailable("the keys of the signer cannot be had", reason=f"jwks: {error}") from None
    claims = _claims(value, candidates)
    if claims.get("iss") != issuer:
        raise BadAssertion("its issuer is another")
    _check_audience(claims.get("aud"), audiences)
    issued, expires = _check_times(claims, now, longest_lifetime)
    return Assertion(issuer, _name(claims, "sub"), _name(claims, "jti"), issued, expires, claims)


def claimed_issuer(value: str) -> str:
    """Who it says that it is of, empty for nobody: where to look for keys, and nothing to believe yet.

    Raises BadAssertion.
    """
    _check_form(value)
    issuer = _json(_decoded(value.split(".")[1])).get("iss")
    return issuer if isinstance(issuer, str) else ""


def _check_form(value: str) -> None:
    if len(value) > LONGEST or not _COMPACT.fullmatch(value):
        raise BadAssertion("it is no compact JWS, or too long")


def _header(value: str) -> dict[str, Any]:
    """Its keys, where it has some, are ignored: who signs does not say what with."""
    _check_form(value)
    header = _json(_decoded(value.partition(".")[0]))
    if not isinstance(header.get("alg"), str):
        raise BadAssertion("its header has no algorithm")
    return header


def _type(header: dict[str, Any]) -> str:
    """In lower case and without its prefix (RFC 7515 §4.1.9)."""
    typ = header.get("typ", "")
    if not isinstance(typ, str):
        raise BadAssertion("its typ is no string")
    return typ.lower().removeprefix("application/")


def _claims(value: str, candidates: tuple[Key, ...]) -> dict[str, Any]:
    """The payload, if it is signed with one of these keys."""
    if not candidates:
        raise BadAssertion("no key of the signer fits")
    try:
        signed = jws.extract_compact(value.encode(), registry=_REGISTRY)
        if not any(jws.validate_compact(signed, key, registry=_REGISTRY) for key in candidates):
            raise BadAssertion("its signature is wrong")
    except (JoseError, ValueError, TypeError, KeyError):
        raise BadAssertion("its signature cannot be checked") from None
    return _json(signed.payload)


def _decoded(encoded: str) -> bytes:
    try:
        return base64url.decode(encoded)
    except ValueError:
        raise BadAssertion("it is not base64url") from None


def _json(text: bytes) -> dict[str, Any]:
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        raise BadAssertion("it does not hold JSON") from None
    if not isinstance(value, dict):
        raise BadAssertion("it does not hold a JSON object")
    return value


def _check_audience(claimed: Any, audiences: Collection[str]) -> None:
    """Every audience is this server: one that is also for another could have been taken from there."""
    named = claimed if isinstance(claimed, list) else [claimed]
    if not named or not all(isinstance(name, str) and name in audiences for name in named):
        raise BadAssertion("its audience is another")


def _check_times(claims: dict[str, Any], now: int, longest_lifetime: int) -> tuple[int, int]:
    """When it was issued, at the earliest where it does not say that, and when it counts no more."""
    expires, issued, begins = (_time(claims, name) for name in ("exp", "iat", "nbf"))
    if expires is None:
        raise BadAssertion("it has no exp")
    if max(issued or 0, begins or 0) > now + LEEWAY:
        raise BadAssertion("it is from the future")
    if issued is not None:
        expires = min(expires, issued + longest_lifetime)
    if expires > now + longest_lifetime + LEEWAY:
        raise BadAssertion("it lives for too long")
    if now >= expires + LEEWAY:
        raise BadAssertion("it has expired")
    return expires - longest_lifetime if issued is None else issued, expires + LEEWAY


def _time(claims: dict[str, Any], name: str) -> int | None:
    """In milliseconds; a NumericDate may have a fraction (RFC 7519 §2)."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LATEST:
        raise BadAssertion(f"its {name} is no time")
    return int(value * 1000)


def _name(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME:
        raise BadAssertion(f"it has no {name}, or too long a one")
    return value
