"""Settings: every refusal names its variable and the way out, and none shows a value that is secret."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.tokens.examples import entry
from tokensvc import settings
from tokensvc.errors import SettingsError
from tokensvc.settings import CEILING, Settings, variable_name

REQUIRED = {
    "TOKENSVC_ISSUER": "https://auth.example.com",
    "TOKENSVC_KEYS": entry("k1"),
    "TOKENSVC_CLIENT_KEYS": entry("c1"),
}
SECRETS = [name for name, field in Settings.model_fields.items() if field.annotation is SecretStr]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the required variables."""
    for name in list(os.environ):
        if name.upper().startswith("TOKENSVC"):
            monkeypatch.delenv(name)
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)


def refusal(monkeypatch: pytest.MonkeyPatch, variable: str, value: str | None) -> str:
    """What is said when the service is started like this."""
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        settings.load()
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    assert refused.value.variable == variable
    problem, _, way_out = str(refused.value).removeprefix(f"{variable} ").partition(". ")
    assert problem
    assert way_out
    return str(refused.value)


def secret_file(path: Path, text: str = entry("k2"), mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


# What stands without being set


def test_defaults_are_those_of_the_interface() -> None:
    loaded = settings.load()
    assert loaded.issuer == "https://auth.example.com"
    assert loaded.ledger == "sqlite:///tokensvc.db"
    assert loaded.identity == "api-keys"
    assert (loaded.scopes, loaded.token_prefix, loaded.resources) == ("mcp", "ts", "")
    assert (loaded.code_ttl, loaded.access_ttl, loaded.refresh_grace) == (60, 3600, 60)
    assert (loaded.refresh_ttl, loaded.refresh_max_ttl) == (30 * 86_400, 180 * 86_400)
    assert (loaded.limits, loaded.strict) == ("on", False)
    assert loaded.registration.get_secret_value() == "open"


@pytest.mark.parametrize("variable", REQUIRED)
def test_required_variable_that_is_missing_is_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is not set" in refusal(monkeypatch, variable, None)


def test_settings_do_not_change_once_loaded() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings.load().issuer = "https://other.example"  # type: ignore[misc]  # which is what types say too


# The issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "https://a.example",
        "https://a.example:8443",
        "https://a.example/tenant/one",
        "https://a.example/%7Etenant",
        "https://203.0.113.9",
        "https://[2001:db8::1]:8443",
        "http://localhost",
        "http://localhost:8000/path",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
    ],
)
def test_canonical_issuer_is_taken_as_it_is(issuer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSVC_ISSUER", issuer)
    assert settings.load().issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "auth.example.com",
        "https://",
        "https:auth.example.com",
        "https:///path",
        "https://a.example/",
        "https://a.example/path/",
        "https://a.example?",
        "https://a.example?x=1",
        "https://a.example#",
        "https://a.example#x",
        "https://user@a.example",
        "https://user:password@a.example",
        "http://a.example",
        "http://localhost.a.example",
        "http://127.0.0.2:8000",
        "ftp://a.example",
        "HTTPS://a.example",
        "https://A.example",
        "https://é.example",
        "https://a.example/é",
        "https://a.example/a b",
        " https://a.example",
        "https://a.example\n",
        'https://a.example/"',
        "https://a.example/<script>",
        "https://a.example\\path",
        "https://a.example/%zz",
        "https://a.example/%7e",
        "https://a.example:",
        "https://a.example:443",
        "http://localhost:80",
        "https://a.example:99999",
        "https://a.example:port",
        "https://[::1",
        "https://a.example/../b",
        "https://a.example/./b",
        "https://a.example//b",
    ],
)
def test_issuer_that_clients_would_spell_differently_is_refused(issuer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal(monkeypatch, "TOKENSVC_ISSUER", issuer)


# The others


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TOKENSVC_CODE_TTL", "0"),
        ("TOKENSVC_CODE_TTL", "-1"),
        ("TOKENSVC_CODE_TTL", "soon"),
        ("TOKENSVC_CODE_TTL", ""),
        ("TOKENSVC_CODE_TTL", str(CEILING + 1)),
        ("TOKENSVC_ACCESS_TTL", "1.5"),
        ("TOKENSVC_ACCESS_TTL", str(CEILING + 1)),
        ("TOKENSVC_REFRESH_TTL", str(CEILING + 1)),
        ("TOKENSVC_REFRESH_MAX_TTL", str(CEILING + 1)),
        ("TOKENSVC_REFRESH_GRACE", "-1"),
        ("TOKENSVC_REFRESH_GRACE", "601"),
        ("TOKENSVC_TOKEN_PREFIX", ""),
        ("TOKENSVC_TOKEN_PREFIX", "TS"),
        ("TOKENSVC_TOKEN_PREFIX", "t_s"),
        ("TOKENSVC_TOKEN_PREFIX", "ts\n"),
        ("TOKENSVC_TOKEN_PREFIX", "123456789"),
        ("TOKENSVC_LIMITS", "maybe"),
        ("TOKENSVC_STRICT", "maybe"),
        ("TOKENSVC_IDENTITY", "ldap"),
        ("TOKENSVC_TRUSTED_PROXIES", "10.0.0.0/8,proxy"),
    ],
)
def test_value_out_of_bounds_is_refused(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal(monkeypatch, variable, value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TOKENSVC_CODE_TTL", "1"),
        ("TOKENSVC_ACCESS_TTL", str(CEILING)),
        ("TOKENSVC_REFRESH_TTL", str(CEILING)),
        ("TOKENSVC_REFRESH_MAX_TTL", str(CEILING)),
        ("TOKENSVC_REFRESH_GRACE", "0"),
        ("TOKENSVC_REFRESH_GRACE", "600"),
        ("TOKENSVC_TOKEN_PREFIX", "a"),
        ("TOKENSVC_TOKEN_PREFIX", "0123abcd"),
        ("TOKENSVC_LIMITS", "off"),
    ],
)
def test_value_at_a_bound_is_taken(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    loaded = settings.load()
    assert str(getattr(loaded, variable.removeprefix("TOKENSVC_").lower())) == value


# Secrets in files


@pytest.mark.parametrize("name", SECRETS)
def test_every_secret_can_stand_in_a_file(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = secret_file(tmp_path / "secret", f"  {entry('k2')}\n")
    monkeypatch.delenv(variable_name(name), raising=False)
    monkeypatch.setenv(f"{variable_name(name)}_FILE", str(path))
    assert getattr(settings.load(), name).get_secret_value() == entry("k2")


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o606, 0o644, 0o666, 0o444])
def test_file_that_others_may_read_or_write_is_refused(
    mode: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = secret_file(tmp_path / "secret", mode=mode)
    monkeypatch.delenv("TOKENSVC_KEYS")
    assert f"chmod o= {path}" in refusal(monkeypatch, "TOKENSVC_KEYS_FILE", str(path))


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640, 0o660])
def test_file_that_its_owner_and_group_alone_may_read_is_taken(
    mode: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TOKENSVC_KEYS")
    monkeypatch.setenv("TOKENSVC_KEYS_FILE", str(secret_file(tmp_path / "secret", mode=mode)))
    assert settings.load().keys.get_secret_value() == entry("k2")


def test_rights_are_those_of_the_file_behind_a_link(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TOKENSVC_KEYS")
    link = tmp_path / "link"
    link.symlink_to(secret_file(tmp_path / "secret", mode=0o644))
    assert "others may read" in refusal(monkeypatch, "TOKENSVC_KEYS_FILE", str(link))


@pytest.mark.parametrize("name", SECRETS)
def test_variable_and_file_together_are_refused(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = secret_file(tmp_path / "secret")
    monkeypatch.setenv(f"{variable_name(name)}_FILE", str(path))
    assert f"{variable_name(name)}_FILE too" in refusal(monkeypatch, variable_name(name), entry("k3"))


def test_file_that_is_not_there_a_directory_or_no_text_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TOKENSVC_KEYS")
    directory = tmp_path / "directory"
    directory.mkdir(mode=0o700)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    binary.chmod(0o600)
    for path in (tmp_path / "missing", directory, binary):
        assert "cannot be read" in refusal(monkeypatch, "TOKENSVC_KEYS_FILE", str(path))


def test_empty_name_of_a_file_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSVC_KEYS_FILE", "")
    assert settings.load().keys.get_secret_value() == entry("k1")


# Names


def test_unknown_name_is_reported_with_the_nearest_that_is_known() -> None:
    environment = {
        "TOKENSVC_KEY": "",
        "TOKENSVC_ISSUER_URL": "",
        "TOKENSVC_CLIENTKEYS_FILE": "",
        "TOKENSVC_REFRESH_TTTL": "",
        "TOKENSVC_ISSUER_FILE": "",
    }
    assert settings.unknown_names(environment) == {
        "TOKENSVC_CLIENTKEYS_FILE": "TOKENSVC_CLIENT_KEYS_FILE",
        "TOKENSVC_ISSUER_FILE": "TOKENSVC_ISSUER",
        "TOKENSVC_ISSUER_URL": "TOKENSVC_ISSUER",
        "TOKENSVC_KEY": "TOKENSVC_KEYS",
        "TOKENSVC_REFRESH_TTTL": "TOKENSVC_REFRESH_TTL",
    }


def test_every_setting_and_every_secrets_file_is_known() -> None:
    names = [variable_name(name) for name in Settings.model_fields]
    files = [f"{variable_name(name)}_FILE" for name in SECRETS]
    assert settings.unknown_names(dict.fromkeys(names + files, "")) == {}


def test_names_that_kubernetes_injects_for_a_service_called_tokensvc_are_ignored() -> None:
    injected = [
        "TOKENSVC_PORT",
        "TOKENSVC_PORT_8000_TCP",
        "TOKENSVC_PORT_8000_TCP_ADDR",
        "TOKENSVC_SERVICE_HOST",
        "TOKENSVC_SERVICE_PORT",
        "TOKENSVC_SERVICE_PORT_HTTP",
    ]
    assert settings.unknown_names(dict.fromkeys(injected, "tcp://10.0.0.1:8000")) == {}


def test_names_of_others_are_not_looked_at() -> None:
    assert settings.unknown_names({"PATH": "", "TOKENSVCX_KEYS": "", "MY_TOKENSVC_KEYS": ""}) == {}


def test_no_setting_has_a_name_that_kubernetes_injects() -> None:
    assert not [name for name in Settings.model_fields if name.startswith(("port", "service_"))]


# Secrets stay secret


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(variable_name(name), f"hush-{name}")
    loaded = settings.load()
    for shown in (repr(loaded), str(loaded), str(loaded.model_dump()), loaded.model_dump_json()):
        assert "hush" not in shown


@pytest.mark.parametrize(
    "variable",
    [
        "TOKENSVC_ISSUER",
        "TOKENSVC_IDENTITY",
        "TOKENSVC_CODE_TTL",
        "TOKENSVC_REFRESH_GRACE",
        "TOKENSVC_TOKEN_PREFIX",
        "TOKENSVC_LIMITS",
        "TOKENSVC_TRUSTED_PROXIES",
        "TOKENSVC_STRICT",
    ],
)
def test_secret_given_where_another_value_belongs_is_not_shown(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for misplaced in (entry("k9"), "Hush", "sha256:hush=a/b/c", "https://user:hush@a.example"):
        message = refusal(monkeypatch, variable, misplaced)
        assert misplaced not in message
        assert "hush" not in message.lower()


def test_refused_file_is_not_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = secret_file(tmp_path / "secret", mode=0o644)
    monkeypatch.delenv("TOKENSVC_KEYS")
    assert entry("k2") not in refusal(monkeypatch, "TOKENSVC_KEYS_FILE", str(path))
