"""The settings, as the environment gives them.

This module knows names, simple types and bounds. What has a grammar of its own (rings, API keys, clients, marks) stays
text here and is parsed by the module of that noun when `app` builds the service, before the first request.
"""

import difflib
import hashlib
import hmac
import os
import re
import stat
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tokensvc.errors import SettingsError

PREFIX = "TOKENSVC_"
CEILING = 366 * 86_400
"""The longest lifetime of anything but a client_id, in seconds."""

Seconds = Annotated[int, Field(ge=1, le=CEILING)]
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# What Kubernetes injects for a service called tokensvc; never settings of ours.
_KUBERNETES = re.compile(r"TOKENSVC_(PORT(_.*)?|SERVICE_(HOST|PORT).*)")
# RFC 3986 §2, less what an issuer has no place for: query, fragment, user name.
_URL = re.compile(r"([A-Za-z0-9._~:/\[\]!$&'()*+,;=-]|%[0-9A-F]{2})+")
_DAY = 86_400


class Settings(BaseSettings):
    """One field per variable; the variable is the field's name in capitals behind `TOKENSVC_`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=False
    )

    issuer: str = Field(description="public base URL; https unless loopback")
    keys: SecretStr = Field(description="ring that seals codes and tokens: `kid[@activation]=secret,…`")
    client_keys: SecretStr = Field(description="ring that seals client_ids, same form")
    access_token_format: Literal["sealed", "jwt"] = Field("sealed", description="`sealed`, or `jwt` (RFC 9068)")
    signing_keys: SecretStr = Field(SecretStr(""), description="ring that signs JWTs, same form; needed with `jwt`")
    signing_alg: Literal["ES256", "EdDSA"] = Field("ES256", description="`ES256` or `EdDSA`")
    ledger: str = Field("sqlite:///tokensvc.db", description="`sqlite:///PATH` or `memory://` (one worker)")
    peers: str = Field("", description="base URLs of replicas, or `dns://NAME:PORT`")
    peers_bootstrap: bool = Field(False, description="may begin a new fleet where it finds none")
    staleness: Annotated[int, Field(ge=1, le=3600)] = Field(30, description="seconds that news of peers may be old")
    denylist: SecretStr = Field(SecretStr(""), description="marks: `kind:subject@not_before_ms`")
    identity: Literal["api-keys"] = Field("api-keys", description="how people sign in")
    api_keys: SecretStr = Field(SecretStr(""), description="`sha256:HEX[@activation]=account/user/role`")
    introspection_tokens: SecretStr = Field(SecretStr(""), description="`secret` or `resource=secret`")
    admin_tokens: SecretStr = Field(SecretStr(""), description="secrets for /admin")
    resources: str = Field("", description="resource identifiers (RFC 8707); the issuer when empty")
    scopes: str = Field("mcp", description="space separated, the first is the default")
    role_scopes: SecretStr = Field(SecretStr(""), description="`role=scope scope;role=…`; a role without entry has all")
    clients: SecretStr = Field(SecretStr("[]"), description="JSON list of pre-registered clients")
    id_jag_issuers: SecretStr = Field(SecretStr("[]"), description="JSON list of issuers of ID-JAG assertions")
    registration: SecretStr = Field(SecretStr("open"), description="`open`, `off` or `token:SECRET`")
    device_authorization: Literal["on", "off"] = Field("off", description="sign-in by a code shown on a device")
    cimd: str = Field("*", description="hosts of client metadata documents: `claude.ai`, `*.example.com`, `*`, `off`")
    fetch_networks: str = Field("", description="CIDRs that documents may be read from although they are not public")
    redirect_hosts: str = Field("", description="allowed redirect hosts and schemes; any when empty")
    code_ttl: Seconds = Field(60, description="seconds a code lives")
    access_ttl: Seconds = Field(3600, description="seconds an access token lives")
    refresh_ttl: Seconds = Field(30 * _DAY, description="seconds a refresh token lives unused")
    refresh_max_ttl: Seconds = Field(180 * _DAY, description="seconds after sign-in when refreshing ends")
    refresh_grace: Annotated[int, Field(ge=0, le=600)] = Field(60, description="seconds a repeat is forgiven")
    token_prefix: Annotated[str, Field(pattern=r"^[a-z0-9]{1,8}$")] = Field("ts", description="1 to 8 of a-z0-9")
    limits: Literal["on", "off"] = Field("on", description="rate limits of failed attempts")
    trusted_proxies: str = Field("127.0.0.0/8,::1", description="CIDRs whose X-Forwarded-* are believed")
    strict: bool = Field(False, description="unknown TOKENSVC_ names refuse to start")

    @field_validator("issuer")
    @classmethod
    def _issuer_is_canonical(cls, issuer: str) -> str:
        parts = urlsplit(issuer)
        if (
            not parts.hostname
            or parts.query
            or parts.fragment
            or "@" in parts.netloc
            or issuer.endswith(("/", "?", "#"))
        ):
            raise ValueError("is not a base URL without a trailing slash, query, fragment or user name")
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
            raise ValueError("is not https, which every host but loopback needs")
        if issuer != f"{parts.scheme}://{parts.netloc.lower()}{parts.path}" or not _URL.fullmatch(issuer):
            raise ValueError("is not in canonical form: lower-case scheme and host, the characters of a URL only")
        if parts.netloc.endswith(":") or parts.port == {"https": 443, "http": 80}[parts.scheme]:
            raise ValueError("is not in canonical form: a port is left out where it is the scheme's own")
        if {".", ".."} & set(parts.path.split("/")) or "//" in parts.path:
            raise ValueError("is not in canonical form: its path has segments that clients remove")
        return issuer

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_networks(cls, proxies: str) -> str:
        for network in filter(None, (part.strip() for part in proxies.split(","))):
            try:
                ip_network(network)
            except ValueError:
                raise ValueError("has an entry that is no CIDR, such as 10.0.0.0/8") from None
        return proxies

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # no .env: a secret has one place
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # _FileSource in its place
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, _FileSource(settings_cls), env_settings)


class _FileSource(PydanticBaseSettingsSource):
    """`NAME_FILE` in place of `NAME`, for secrets: the path of a file that only its owner and group may read."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002  # the base class's
        variable = variable_name(field_name)
        path = files(os.environ).get(variable)
        if path is None:
            return None, field_name, False
        if variable in os.environ:
            raise SettingsError(variable, f"is set, and {variable}_FILE too", "Set one of the two")
        return _read_private(path, f"{variable}_FILE"), field_name, False

    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields.items()
        values = {name: self.get_field_value(field, name)[0] for name, field in fields}
        return {name: value for name, value in values.items() if value is not None}


def variable_name(field: str) -> str:
    return PREFIX + field.upper()


def load() -> Settings:
    """The settings of this process's environment. Raises SettingsError naming the variable and the way out."""
    try:
        return Settings()
    except ValidationError as error:
        raise _first_problem(error) from None


def files(environ: Mapping[str, str]) -> dict[str, Path]:
    """The files that hold secrets, by the variable that each stands for."""
    named = {name: environ.get(f"{name}_FILE") for name in map(variable_name, _secrets())}
    return {name: Path(path) for name, path in named.items() if path}


def digests(settings: Settings, key: bytes) -> dict[str, str]:
    """8 bytes of each value, in hex, by variable: equal where two replicas have the same.

    Those of secrets are keyed, since whoever sees a digest could otherwise try what is easily guessed.
    """
    secret = _secrets()
    found = {}
    for field in Settings.model_fields:
        value = getattr(settings, field)
        text = f"{field}\0{value.get_secret_value() if field in secret else value}".encode()
        whole = hmac.digest(key, text, "sha256") if field in secret else hashlib.sha256(text).digest()
        found[variable_name(field)] = whole[:8].hex()
    return found


def unknown_names(environ: Mapping[str, str]) -> dict[str, str]:
    """Every `TOKENSVC_` name that is no setting, with the nearest one that is (or an empty string)."""
    known = {variable_name(name) for name in Settings.model_fields}
    known |= {f"{variable_name(name)}_FILE" for name in _secrets()}
    ours = (name for name in environ if name.upper().startswith(PREFIX) and name not in known)
    return {name: _nearest(name, known) for name in sorted(ours) if not _KUBERNETES.fullmatch(name)}


def _secrets() -> frozenset[str]:
    """The fields that may be given in a file, and are shown nowhere."""
    return frozenset(name for name, field in Settings.model_fields.items() if field.annotation is SecretStr)


def _nearest(name: str, known: set[str]) -> str:
    """Compared behind the prefix, which would make every two names alike. A file is for secrets alone."""
    stems = {variable.removeprefix(PREFIX): variable for variable in known}
    stem = name.upper().removeprefix(PREFIX)
    if (variable := stems.get(stem.removesuffix("_FILE"))) is not None:
        return variable
    matches = difflib.get_close_matches(stem, stems, 1)
    return stems[matches[0]] if matches else ""


def _read_private(path: Path, variable: str) -> str:
    try:
        if path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            raise SettingsError(variable, f"names {path}, which others may read or write", f"Run: chmod o= {path}")
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SettingsError(variable, f"names {path}, which cannot be read: {what}", "Check path and rights") from None


def _first_problem(error: ValidationError) -> SettingsError:
    problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
    field = str(problem["loc"][0]) if problem["loc"] else ""
    description = Settings.model_fields[field].description if field in Settings.model_fields else ""
    if problem["type"] == "missing":
        remedy = f"Set it to its {description}" if field == "issuer" else "Make an entry with `tokensvc keys new`"
        return SettingsError(variable_name(field), "is not set", remedy)
    message = problem["msg"].removeprefix("Value error, ")
    message = message if message.startswith(("is ", "has ")) else f"is refused: {message[:1].lower()}{message[1:]}"
    return SettingsError(variable_name(field), message, f"It is: {description}")
