"""Several identity sources as one: whoever knows a credential has the last word on it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from tokensvc.errors import TemporarilyUnavailable
from tokensvc.identity import (
    Identity,
    IdentityEnded,
    SignedIn,
    UnknownCredential,
    credential_of,
    credential_of_client,
    credential_of_subject,
    issuer_name,
)
from tokensvc.identity.sources import Sources
from tokensvc.ledger.marks import parse_subject

ADA = Identity("acme", "ada", "admin")


@dataclass
class Scripted:
    """Answers with what a test says: nothing for a credential that stands."""

    problem: Exception | None = None
    asked: list[str] = field(default_factory=list)

    async def sign_in(self, secret: str, now: int) -> SignedIn | None:  # noqa: ARG002  # the port's
        return SignedIn(ADA, secret)

    async def confirm(self, credential: str, identity: Identity, now: int) -> None:  # noqa: ARG002  # the port's
        self.asked.append(credential)
        if self.problem:
            raise self.problem


def confirm(*sources: Scripted) -> None:
    asyncio.run(Sources(*sources).confirm("credential", ADA, 0))


def test_source_that_knows_nothing_leaves_it_to_the_next() -> None:
    unknown, knowing, spared = Scripted(UnknownCredential()), Scripted(), Scripted(IdentityEnded("never asked"))
    confirm(unknown, knowing, spared)
    assert (unknown.asked, knowing.asked, spared.asked) == (["credential"], ["credential"], [])


@pytest.mark.parametrize("problem", [IdentityEnded("has another role"), TemporarilyUnavailable("cannot be asked")])
def test_what_a_source_says_of_its_own_is_final(problem: Exception) -> None:
    with pytest.raises(type(problem)) as raised:
        confirm(Scripted(UnknownCredential()), Scripted(problem), Scripted())
    assert raised.value is problem


def test_credential_that_nobody_knows_has_ended() -> None:
    with pytest.raises(IdentityEnded, match="stands for it any more"):
        confirm(Scripted(UnknownCredential()), Scripted(UnknownCredential()))


def test_people_sign_in_at_the_first() -> None:
    sources = Sources(Scripted(), Scripted())
    assert asyncio.run(sources.sign_in("secret", 0)) == SignedIn(ADA, "secret")


def test_credentials_of_every_sort_are_apart_and_fit_into_marks() -> None:
    digest = "0" * 64
    issuer = issuer_name("https://idp.example", "acme", "sub", "member", "")
    names = {
        credential_of(digest),
        credential_of_client("robot", digest),
        credential_of_client("robot", "other"),
        credential_of_client("robot-2", digest),
        credential_of_subject(issuer, "U1"),
        credential_of_subject(issuer, "U2"),
        credential_of_subject(issuer_name("https://idp.example", "acme", "sub", "member", "role"), "U1"),
        # Whatever is moved from one part to the next makes another name.
        issuer_name("a", "b", ""),
        issuer_name("a", "", "b"),
        issuer_name("ab", "", ""),
    }
    assert len(names) == 10
    for name in names:
        assert parse_subject("credential", name) == ("credential", name)
