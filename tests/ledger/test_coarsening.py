"""Marks coarsen before a flood of them fills the memory of every replica. What was revoked stays dead."""

import pytest

from tests.ledger.support import DAY, NOW, Driver, Grant
from tokensvc.ledger import Replayed, book, marks
from tokensvc.ledger.book import MOST_TOKENS
from tokensvc.ledger.marks import RETENTION, Mark, Marks

HOUR = 3_600_000


def test_family_ends_with_one_token_more_than_are_marked_one_by_one(ledger: Driver) -> None:
    grant = Grant()
    for generation in range(MOST_TOKENS):
        ledger.mark(marks.token(f"fam.{generation}"), Mark(NOW, NOW + HOUR), NOW)
    ledger.check(grant.access(MOST_TOKENS))
    put = ledger.mark(marks.token(f"fam.{MOST_TOKENS}"), Mark(NOW, NOW + HOUR), NOW)
    assert put.expires >= NOW + RETENTION, "until the last refresh token of the family has expired"
    assert ledger.is_dead(grant.minted)
    for generation in range(100):
        ledger.mark(marks.token(f"fam.{generation}"), Mark(NOW, NOW + HOUR), NOW)
    assert len(ledger.marks(NOW)) <= MOST_TOKENS + 1


def test_tokens_of_other_families_are_not_ended(ledger: Driver) -> None:
    for number in range(5 * MOST_TOKENS):
        ledger.mark(marks.token(f"f{number % 5}.{number}"), Mark(NOW, NOW + HOUR), NOW)
    ledger.mark(marks.token("f0.1000"), Mark(NOW, NOW + HOUR), NOW)
    assert ledger.is_dead(Grant(family="f0").minted)
    ledger.check(Grant(family="f1").minted)


def test_flood_of_revoked_grants_ends_the_app_of_that_person_and_nobody_elses(
    ledger: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "MOST_FINAL", 20)
    grants = [Grant(family=f"f{number}") for number in range(200)]
    app = marks.user_client("acme", "ada", "app")
    for grant in grants:
        ledger.mark(marks.family(grant.family), Mark(NOW, NOW + DAY), NOW, app)
    assert len(ledger.marks(NOW)) == 21
    assert all(ledger.is_dead(grant.minted) for grant in grants)
    ledger.check(Grant(family="other", user="bob").minted)
    ledger.check(Grant(family="later", authorized_at=ledger.lift(grants[0].person, NOW)).minted)


def test_flood_of_replayed_codes_is_bounded_too(ledger: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "MOST_FINAL", 20)
    grants = [Grant(family=f"f{number}") for number in range(30)]
    for grant in grants:
        ledger.advance(grant.step(0), NOW)
    for grant in grants[:21]:
        with pytest.raises(Replayed):
            ledger.advance(grant.step(0), NOW)
    assert len(ledger.marks(NOW)) == 21
    assert all(ledger.is_dead(grant.minted) for grant in grants)


def test_operator_who_names_a_family_ends_that_one_whatever_their_number(
    ledger: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "MOST_FINAL", 0)
    ledger.mark(marks.family("fam"), Mark(NOW, NOW + DAY), NOW)
    assert [*ledger.marks(NOW)] == [marks.family("fam")]


def test_what_has_expired_counts_no_more() -> None:
    table = Marks({marks.token("fam.1"): Mark(NOW, NOW + 1), marks.family("fam"): Mark(NOW, NOW + 2)})
    table.put(marks.token("fam.1"), Mark(NOW, NOW + 1))
    assert (table.final, table.on_tokens("fam")) == (2, 1)
    table.forget(NOW + 1)
    assert (table.final, table.on_tokens("fam")) == (1, 0)
    table.forget(NOW + 2)
    assert table.final == 0
