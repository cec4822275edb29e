"""An access token that is active, as introspection describes it (RFC 7662 §2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

_TEXTS = ("iss", "aud", "sub", "account", "user", "role", "client_id", "jti", "family")


class NotProved(Exception):
    """A request does not come from the holder of the key that its token is bound to. The text is for its sender."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """Whom a token stands for and what it may do. The token itself is not in it, so that it may stand in a log.

    `sub` is `account/user`, each percent-encoded; `exp` is in seconds since the epoch; `client_id` is the client's
    handle; `jkt` is the thumbprint of the key that it is bound to (RFC 9449 §6.2), empty for a bearer; `claims` is the
    whole answer. It is what Starlette calls a user, too.
    """

    iss: str
    aud: str
    sub: str
    account: str
    user: str
    role: str
    client_id: str
    jti: str
    family: str
    exp: int
    scope: str
    scopes: frozenset[str] = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False, compare=False)
    jkt: str = ""

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> AccessToken:
        """Raises ValueError for an answer that does not say all of it: nobody is let in by guesses."""
        texts = {name: answer.get(name) for name in _TEXTS}
        if not all(isinstance(text, str) and text for text in texts.values()):
            raise ValueError("a name is missing")
        exp, scope = answer.get("exp"), answer.get("scope")
        if type(exp) is not int or not isinstance(scope, str):
            raise ValueError("exp or scope is missing")
        named: dict[str, Any] = texts
        claims, jkt = MappingProxyType(dict(answer)), _thumbprint(answer)
        return cls(exp=exp, scope=scope, scopes=frozenset(scope.split()), claims=claims, jkt=jkt, **named)

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def display_name(self) -> str:
        return self.user

    @property
    def identity(self) -> str:
        return self.sub


def _thumbprint(answer: Mapping[str, Any]) -> str:
    """Raises ValueError where the token is bound in a way that is not known here: as a bearer it would be anyone's."""
    if "cnf" not in answer and answer.get("token_type") != "DPoP":
        return ""
    cnf = answer.get("cnf")
    jkt = cnf.get("jkt") if isinstance(cnf, Mapping) and len(cnf) == 1 else None
    if not isinstance(jkt, str) or not jkt:
        raise ValueError("what the token is bound to is unknown")
    return jkt
