"""The verifier by variables: all of it, or none of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.resource.support import ISSUER, RESOURCE, SECRET
from tokensvc.resource import from_environment

WHOLE = {"OAUTH_ISSUER": ISSUER, "OAUTH_INTROSPECTION_TOKEN": SECRET, "OAUTH_RESOURCE": RESOURCE}


def test_what_is_set_counts(tmp_path: Path) -> None:
    verifier = from_environment(WHOLE | {"OAUTH_TOKEN_PREFIX": "ov"})
    assert verifier
    assert (verifier.resource.issuer, verifier.resource.configured) == (ISSUER, RESOURCE)
    assert verifier.recognises("ovat_x")
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    by_file = {"OAUTH_ISSUER": ISSUER, "OAUTH_INTROSPECTION_TOKEN_FILE": str(file)}
    assert from_environment(by_file)


@pytest.mark.parametrize("environment", [{}, {"OAUTH_ISSUER": ""}, {"TOKENSVC_ISSUER": ISSUER}], ids=repr)
def test_without_any_nothing_changes(environment: dict[str, str]) -> None:
    assert from_environment(environment) is None


@pytest.mark.parametrize("missing", ["OAUTH_ISSUER", "OAUTH_INTROSPECTION_TOKEN"])
def test_half_of_it_does_not_start(missing: str) -> None:
    with pytest.raises(ValueError, match="belong together") as raised:
        from_environment({name: value for name, value in WHOLE.items() if name != missing})
    assert SECRET not in str(raised.value)


def test_the_variables_of_the_process_are_read_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_environment() is None
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    assert from_environment(ttl=1)
