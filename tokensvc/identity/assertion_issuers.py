"""Issuers whose assertions stand for a person's sign-in (RFC 7523 §2.1): which are trusted, and with what mapping."""

from collections.abc import Iterable

from tokensvc.identity import ISSUER_CHARACTERS, Identity, UnknownCredential


class AssertionIssuers:
    """Removing an issuer, or giving its people another account or role, ends all that it vouched for.

    Its name covers how an assertion becomes an identity, so nothing else has to be compared.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def __bool__(self) -> bool:
        return bool(self._names)

    async def confirm(self, credential: str, identity: Identity, now: int) -> None:  # noqa: ARG002  # the port's
        if credential[:ISSUER_CHARACTERS] not in self._names:
            raise UnknownCredential
