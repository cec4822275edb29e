"""What the README promises is what tests prove."""

from __future__ import annotations

import pytest

from tests import promises, readme

CLAIMS = [
    (row, column, claim) for row, cells in promises.PROMISES.items() for column in cells for claim in cells[column]
]


@pytest.mark.parametrize("claim", CLAIMS, ids=" · ".join)
def test_every_claim_has_a_test_that_proves_it(claim: tuple[str, str, str]) -> None:
    assert promises.proofs().get(claim)


def test_every_mark_is_of_a_claim_that_is_made() -> None:
    assert promises.proofs().keys() <= set(CLAIMS)


def test_a_mark_of_what_is_not_promised_is_an_error() -> None:
    with pytest.raises(LookupError, match="nothing of the kind is promised"):
        promises.proves("restart", "memory", "nothing is lost")


def test_the_readme_has_the_table_that_the_tests_make() -> None:
    """Where this fails, `make readme` writes it anew."""
    assert readme.generated("promises") == promises.render()
