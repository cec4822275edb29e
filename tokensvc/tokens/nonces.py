"""Nonces for DPoP proofs (RFC 9449 §8), which nobody stores: a MAC of the minute that they are from.

Every replica gives the same one, and takes those of any version of the ring that it has.
"""

import hmac
from functools import lru_cache

from tokensvc.keyring import KeyRing, KeyVersion, derive
from tokensvc.ledger.marks import MAX_AHEAD
from tokensvc.tokens.base64url import encode

WINDOW = 60_000
"""Milliseconds in which the same nonce is given. It is taken in those, and in as many after them."""
LIFETIME = 2 * WINDOW + MAX_AHEAD
"""Milliseconds after which none is taken any more that is taken now, whose clock ever is off within bounds."""
_BYTES = 12


class Nonces:
    def __init__(self, keys: KeyRing, issuer: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._nonce = lru_cache(8 * max(len(keys.versions), 1))(self._make)

    def current(self, now: int) -> str:
        return self._nonce(self._keys.active(now), now // WINDOW)

    def is_fresh(self, nonce: str, now: int) -> bool:
        """Whether it was given in this window or the one before, or by a replica whose clock is ahead within bounds."""
        windows = range((now - WINDOW) // WINDOW, (now + MAX_AHEAD) // WINDOW + 1)
        # Whoever asks is given one, so there is nothing to learn from how long this takes.
        return nonce in {self._nonce(version, window) for version in self._keys.versions for window in windows}

    def _make(self, version: KeyVersion, window: int) -> str:
        key = derive(version, "dpop nonce", self._issuer)
        return encode(hmac.digest(key, str(window).encode(), "sha256")[:_BYTES])
