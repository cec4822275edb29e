"""Access tokens as JWTs (RFC 9068), which resource servers can verify without asking.

Whoever has such a token can read it. It says what introspection would say, and in up to four more claims what this
server alone needs to judge it there: by marks, which compare milliseconds, and by the credential that authorized it.
"""

import json
from functools import lru_cache
from typing import Any, NamedTuple

from joserfc import jws
from joserfc.errors import JoseError

from tokensvc.errors import InvalidTarget
from tokensvc.jose import Registry
from tokensvc.protocol.resource_indicator import Resources
from tokensvc.tokens import base64url
from tokensvc.tokens.artefact import Unsealable
from tokensvc.tokens.kinds import AccessToken
from tokensvc.tokens.signing_keys import ALGORITHMS, SigningKey, SigningKeys
from tokensvc.tokens.use import Count

LONGEST = 8192
"""In characters. Its names are readable, so each takes up to three times what it takes sealed."""
_PUBLIC = frozenset("fcwosgj")
"""The claims of AccessToken that stand here under their public names. The others keep theirs, of one letter."""
_OPENED_CACHED = 4096
"""What resource servers ask about again and again, about 12 MB of it."""
_REGISTRY = Registry(LONGEST, ALGORITHMS)


class _Opened(NamedTuple):
    token: AccessToken
    uses: Count


class JwtAccessTokens:
    """`resources` are those that a token may be for: its audience is the identifier, as it is configured."""

    def __init__(self, keys: SigningKeys, issuer: str, resources: Resources) -> None:
        self._keys = keys
        self._issuer = issuer
        self._resources = resources
        self._opened = lru_cache(_OPENED_CACHED)(self._open)

    def seal(self, token: AccessToken, now: int) -> str:
        key = self._keys.active(now)
        key.count.seals += 1
        payload = json.dumps(self._payload(token, now), separators=(",", ":"), ensure_ascii=False)
        return jws.serialize_compact(key.protected, payload, key.key, registry=_REGISTRY)

    def unseal(self, value: str, now: int) -> AccessToken:
        opened = self._opened(value)
        opened.uses.opens += 1
        opened.uses.opened = now
        return opened.token

    def key_of(self, value: str) -> SigningKey:
        """The key that a JWT names, for explanations too. Raises Unsealable.

        Its header is compared, not parsed: there is one for each key, so no other algorithm, type, key or extension
        gets any further.
        """
        key = self._keys.by_header.get(value.partition(".")[0]) if len(value) <= LONGEST else None
        if key is None:
            raise Unsealable("a JWT whose header is none that is signed with: its version may have been dropped")
        return key

    def _open(self, value: str) -> _Opened:
        """Nothing but the value, the ring and the settings decides, so what opened may be remembered."""
        key = self.key_of(value)
        try:
            for part in value.split("."):
                base64url.decode(part)
            payload = jws.deserialize_compact(value, key.key, registry=_REGISTRY).payload
            return _Opened(self._token(json.loads(payload)), key.count)
        except (JoseError, ValueError, LookupError, TypeError):
            raise Unsealable("signed by another key, or changed") from None

    def _payload(self, token: AccessToken, now: int) -> dict[str, Any]:
        """RFC 9068 §2.2; the order is for people.

        An authorization may lie ahead by as much as marks may, and libraries refuse what was issued in the future.
        """
        resource = self._resources.sealed(token.resource)
        if resource is None:
            raise ValueError("a token is minted for a resource that is served")
        account, user, role = token.identity
        payload = {
            "iss": self._issuer,
            "sub": token.identity.sub,
            "aud": resource.identifier,
            "client_id": token.client,
            "scope": token.scope,
            "iat": min(token.iat, now) // 1000,
            "exp": token.exp // 1000,
            "jti": token.jti,
            "family": token.family,
            "account": account,
            "user": user,
            "role": role,
        }
        if token.jkt:
            payload["cnf"] = {"jkt": token.jkt}
        private: dict[str, Any] = json.loads(token.to_claims())
        return payload | {name: value for name, value in private.items() if name not in _PUBLIC}

    def _token(self, payload: dict[str, Any]) -> AccessToken:
        """Raises Unsealable, ValueError, LookupError or TypeError for what no release has signed."""
        if payload["iss"] != self._issuer or not isinstance(payload["aud"], str) or not isinstance(payload["jti"], str):
            raise ValueError("another issuer's, or of another shape")
        claims = {name: value for name, value in payload.items() if len(name) == 1}
        claims |= {
            "f": payload["family"],
            "c": payload["client_id"],
            "w": [payload["account"], payload["user"], payload["role"]],
            "o": self._digest(payload["aud"]),
            "s": payload["scope"],
            "g": int(payload["jti"].rpartition(".")[2]),
        }
        if "cnf" in payload:
            claims["j"] = payload["cnf"]["jkt"]
        return AccessToken.from_claims(json.dumps(claims).encode())

    def _digest(self, audience: str) -> str:
        """Empty for a resource that was taken away, which no resource server can be."""
        try:
            return self._resources.find(audience).digest
        except InvalidTarget:
            return ""
