"""Who may register: TOKENSVC_REGISTRATION."""

from __future__ import annotations

import pytest

from tokensvc.errors import InvalidToken, SettingsError
from tokensvc.protocol.registration_policy import RegistrationPolicy


def test_open_registration_asks_for_nothing() -> None:
    policy = RegistrationPolicy.parse("open")
    assert policy.enabled
    assert not policy.guarded
    for token in (None, "", "whatever"):
        policy.check(token)


def test_closed_registration_is_not_enabled() -> None:
    assert not RegistrationPolicy.parse("off").enabled


def test_guarded_registration_takes_its_token_and_no_other() -> None:
    policy = RegistrationPolicy.parse("token:a:b")
    assert policy.enabled
    assert policy.guarded
    policy.check("a:b")
    for token in (None, "", "a", "token:a:b", "a:b "):
        with pytest.raises(InvalidToken):
            policy.check(token)


def test_token_is_kept_as_a_hash() -> None:
    assert "hunter2" not in repr(RegistrationPolicy.parse("token:hunter2"))


@pytest.mark.parametrize("text", ["", "on", "Open", "token", "token:", "open:x", "off:", "hunter2"])
def test_anything_else_is_refused_unseen(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^TOKENSVC_REGISTRATION .*open, off or token:SECRET") as refusal:
        RegistrationPolicy.parse(text)
    assert "hunter2" not in str(refusal.value)
