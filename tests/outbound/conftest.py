"""One host for a file's tests, trusted while they run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.https_host import HttpsHost


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsHost]:
    with HttpsHost(tmp_path_factory.mktemp("host")) as started, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(started.authority))
        yield started
