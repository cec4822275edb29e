"""What replicas that share no storage say to one another: a question, and its answer."""

import secrets
from dataclasses import dataclass, field

from tokensvc.ledger.algebra import State

PAGE = 2_000
"""How much a message carries, in algebra.weight: about 300 kB."""


@dataclass(frozen=True, slots=True)
class Question:
    """From one replica to another: `news` to take, or a `cursor` for what is new since then, or both.

    `clock` is in milliseconds since the epoch. The nonce binds the answer.
    """

    nonce: str
    replica: str
    clock: int
    news: State | None = None
    cursor: str | None = None
    limit: int = PAGE


@dataclass(frozen=True, slots=True)
class Answer:
    """`accepted` says that the question's news are held here now, `caught_up` that others may begin with what is here.

    `settled` says that the memory was complete at some time, so that only what happened since can be missing in it.

    `news`, `cursor` and `more` are the page that was asked for (ledger.Changes).
    """

    nonce: str
    replica: str
    clock: int
    version: str
    caught_up: bool
    settled: bool = False
    accepted: bool = False
    news: State = field(default_factory=State)
    cursor: str = ""
    more: bool = False


class Unheard(Exception):
    """A peer did not answer, or not as it should. The message is for the log."""


def new_nonce() -> str:
    return secrets.token_urlsafe(16)
