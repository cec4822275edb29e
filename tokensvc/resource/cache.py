"""Answers that are kept for a moment, by the digest of their token: whoever reads this memory finds no token in it.

Times are seconds of a clock that only goes forward, except where `epoch` stands.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass

from tokensvc.resource.service import Entry
from tokensvc.resource.token import AccessToken

INACTIVE = 2.0
"""Seconds that a token counts as not active without being asked about again. None ever becomes active that was not,
but for a key that a replica learns of a moment later."""
SETTLE = 5.0
"""Seconds after an entry of the denylist in which answers about its subject are not kept: the replica that gave them
may not have heard of it yet. It has within about a second."""
_KINDS = frozenset({"everything", "account", "user", "user-client", "client", "family", "token"})
"""What an answer tells the names of. An entry of any other kind may be about all of them."""
_MOST_NAMES = 100_000


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer: None for a token that is not active. `names` are those that the denylist would call it by."""

    token: AccessToken | None
    until: float
    names: frozenset[str] = frozenset()


class Cache:
    """At most `most` answers for at most `ttl` seconds, and as many refusals, so that neither crowds out the other."""

    def __init__(self, ttl: float, most: int) -> None:
        self._ttl, self._most = ttl, most
        self._active: dict[bytes, Kept] = {}
        self._inactive: dict[bytes, Kept] = {}
        self._dropped: dict[str, float] = {}
        self._all_dropped = float("-inf")

    def __len__(self) -> int:
        return len(self._active) + len(self._inactive)

    def get(self, key: bytes, now: float) -> Kept | None:
        kept = self._active.get(key) or self._inactive.get(key)
        return kept if kept is not None and now < kept.until else None

    def keep(self, key: bytes, token: AccessToken | None, asked: float, epoch: float) -> None:
        """`asked` is when the question was sent: what the answer says may have ended right after."""
        if token is None:
            self._store(self._inactive, key, Kept(None, asked + min(INACTIVE, self._ttl)))
            return
        names = names_of(token)
        if self._quiet(names, asked - SETTLE):
            self._store(self._active, key, Kept(token, asked + min(self._ttl, token.exp - epoch), names))

    def drop(self, entries: Iterable[Entry], now: float) -> None:
        """Forget the answers that these entries are about."""
        found = tuple(entries)
        gone = {entry.subject_digest for entry in found}
        self._forget_names(now - 2 * SETTLE)
        self._dropped |= dict.fromkeys(gone, now)
        if len(self._dropped) > _MOST_NAMES or any(entry.kind not in _KINDS for entry in found):
            self._all_dropped = now
            self._dropped.clear()
            self._active.clear()
        self._active = {key: kept for key, kept in self._active.items() if kept.names.isdisjoint(gone)}

    def _forget_names(self, until: float) -> None:
        """An answer that is still on its way may be about one of them: from now on, about any."""
        self._all_dropped = max((self._all_dropped, *(at for at in self._dropped.values() if at <= until)))
        self._dropped = {name: at for name, at in self._dropped.items() if at > until}

    def _quiet(self, names: frozenset[str], since: float) -> bool:
        """Whether no entry was about these names since then."""
        return self._all_dropped < since and not any(self._dropped.get(name, since) > since for name in names)

    def _store(self, kind: dict[bytes, Kept], key: bytes, kept: Kept) -> None:
        """The oldest makes room: all are kept for about as long, so it is the next to end."""
        kind.pop(key, None)
        while len(kind) >= self._most:
            del kind[next(iter(kind))]
        kind[key] = kept


def names_of(token: AccessToken) -> frozenset[str]:
    """Every digest by which an entry could mean this token: base64url(SHA-256(`kind:name`)[:16])."""
    texts = (
        "everything:",
        f"account:{token.sub.partition('/')[0]}",
        f"user:{token.sub}",
        f"user-client:{token.sub}/{token.client_id}",
        f"client:{token.client_id}",
        f"family:{token.family}",
        f"token:{token.jti}",
    )
    return frozenset(map(_digest, texts))


def _digest(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:16]).decode().rstrip("=")
