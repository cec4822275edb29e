"""DPoP proofs beside access tokens that are bound to a key (RFC 9449 §7), each good for one request."""

from __future__ import annotations

from collections import Counter

from tokensvc.dpop import InvalidProof, read
from tokensvc.jose import ALGORITHMS
from tokensvc.resource.service import Unavailable
from tokensvc.resource.token import AccessToken, NotProved

WINDOW = 60
"""Seconds that the clock of a client may be off, and that a proof may be on its way."""
MOST = 100_000
"""Proofs that are remembered of two minutes, 20 MB of them: more come from nobody who means well."""
SHARE = MOST // 5
"""Those of one person, whatever keys they use: 160 requests a second, and nobody can use up what is for all."""


class Proofs:
    """Those that this process has seen. They are remembered for as long as they would be good, or let nobody in.

    Only proofs beside an active token are, so a stranger can fill nothing. Processes do not tell one another: a proof
    counts once in each.
    """

    algorithms = " ".join(ALGORITHMS)

    def __init__(self, most: int = MOST, share: int = SHARE) -> None:
        self._most, self._share = most, share
        self._of_person: Counter[str] = Counter()
        self._seen: set[str] = set()
        self._seen_before: set[str] = set()
        self._turned = float("-inf")

    def check(
        self, token: AccessToken, value: str, proofs: list[str], method: str, url: str, *, epoch: float, now: float
    ) -> None:
        """Whether the request comes from the holder of the key. `value` is the token itself, `url` as clients know it.

        `epoch` is the time, `now` that of a clock that only goes forward, both in seconds. Raises NotProved;
        Unavailable where there is no room to remember it.
        """
        try:
            proof = read(proofs)
            proof.check_request(method, url)
            proof.check_age(int(epoch), WINDOW)
            proof.check_token(value, token.jkt)
        except InvalidProof as error:
            raise NotProved(str(error)) from None
        self._use(proof.use, token.sub, now)

    def _use(self, use: str, person: str, now: float) -> None:
        if now - self._turned > 2 * WINDOW + 1:
            # What was seen before the last turn is older than any proof that is still good.
            gap = now - self._turned > 4 * WINDOW + 2
            self._seen_before, self._seen, self._turned = set() if gap else self._seen, set(), now
            self._of_person.clear()
        if use in self._seen or use in self._seen_before:
            raise NotProved("it was used before")
        if len(self._seen) >= self._most:
            raise Unavailable("more DPoP proofs came than can be remembered", retry_after=WINDOW)
        if self._of_person[person] >= self._share:
            raise Unavailable("more DPoP proofs of one person came than are remembered", retry_after=WINDOW)
        self._of_person[person] += 1
        self._seen.add(use)
