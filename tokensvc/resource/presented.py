"""Whose token a credential says that it is. Nothing here proves anything: whoever is named is asked."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

_LONGEST = 4096
_LONGEST_JWT = 8192
_TYPES = ("at+jwt", "application/at+jwt")


class Recogniser:
    """Access tokens of one service: sealed ones by their prefix, JWTs (RFC 9068) by their issuer.

    Where the issuer is not known here, every JWT that is an access token is taken for one of the service's, so that
    none of them is ever taken for anything else.
    """

    def __init__(self, prefix: str, issuer: str) -> None:
        self._marker = f"{prefix}at_"
        self._issuer = issuer
        self._legible = re.compile(
            rf"{self._marker}[A-Za-z0-9._-]{{1,{_LONGEST}}}|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"
        )

    def recognises(self, credential: str) -> bool:
        return credential.startswith(self._marker) or (credential.startswith("eyJ") and self._is_ours(credential))

    def may_be_active(self, credential: str) -> bool:
        """Whether it is worth asking about."""
        short = len(credential) <= _LONGEST_JWT
        return short and self._legible.fullmatch(credential) is not None and self.recognises(credential)

    def _is_ours(self, jwt: str) -> bool:
        header, _, rest = jwt.partition(".")
        if self._issuer:
            return _claims(rest.partition(".")[0]).get("iss") == self._issuer
        return str(_claims(header).get("typ")).lower() in _TYPES


def _claims(part: str) -> dict[str, Any]:
    """Empty for what is no JSON object."""
    if len(part) > _LONGEST_JWT:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
