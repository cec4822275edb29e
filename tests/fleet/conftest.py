"""The figures that the fleet's tests give, which the terminal summary shows (tests/conftest.py)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Figures = Callable[[str], None]


@pytest.fixture
def figures(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Figures:
    """Say a line of figures: to who looks with -s, and to the summary at the end."""

    def say(line: str) -> None:
        name = request.node.name.removeprefix("test_").replace("_", " ")
        print(f"{name}: {line}")
        record_property("figures", f"{name}: {line}")

    return say
