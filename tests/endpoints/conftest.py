"""One service for a file whose tests leave each other alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.endpoints.local import Service


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service() as started:
        yield started
