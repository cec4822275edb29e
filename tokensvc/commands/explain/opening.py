"""What a value is, and what it opens to."""

import re
from dataclasses import dataclass

from tokensvc import assembly
from tokensvc.commands import CommandFailed, rfc3339
from tokensvc.keyring import CLIENT_KEYS, KEYS, SIGNING_KEYS, KeyRing
from tokensvc.protocol.jwt_access_token import JwtAccessTokens
from tokensvc.settings import Settings
from tokensvc.tokens.access_tokens import JSON
from tokensvc.tokens.artefact import Artefact, Unsealable
from tokensvc.tokens.kinds import (
    AccessToken,
    AuthorizationCode,
    AuthorizationRequest,
    ClientId,
    DeviceCode,
    DevicePage,
    DeviceRequest,
    PushedRequest,
    RefreshToken,
)

KINDS: dict[type[Artefact], str] = {
    AccessToken: "access token",
    RefreshToken: "refresh token",
    AuthorizationCode: "code",
    ClientId: "client_id",
    DeviceCode: "device code",
    PushedRequest: "pushed request",
    AuthorizationRequest: "authorization request",
    DeviceRequest: "device request",
    DevicePage: "device page",
}
"""Whatever leaves the service, by what people call it."""
_REQUEST_URI = "urn:ietf:params:oauth:request_uri:"
_KID = re.compile(r"[A-Za-z0-9_-]{1,16}")


@dataclass(frozen=True, slots=True)
class Opened:
    """`version` says which version of which ring made it, and when."""

    name: str
    version: str
    artefact: Artefact


def open_value(value: str, loaded: Settings, moment: int) -> Opened:
    """Raises CommandFailed for what is nothing of ours, or cannot be opened here."""
    jwts = assembly.jwt_access_tokens(loaded, moment)
    if jwts and value.startswith(JSON):
        return _open_jwt(value, jwts, loaded, moment)
    value = value.removeprefix(_REQUEST_URI)
    kind = _kind(value, loaded, signed=jwts is not None)
    version = _version(kind, value, loaded, moment)
    try:
        artefact = assembly.sealer(loaded, moment).unseal(kind, value, moment)
    except Unsealable as error:
        raise _closed(KINDS[kind], error) from None
    return Opened(KINDS[kind], version, artefact)


def _open_jwt(value: str, jwts: JwtAccessTokens, loaded: Settings, moment: int) -> Opened:
    ring = assembly.rings(loaded, moment)[SIGNING_KEYS]
    try:
        key = jwts.key_of(value)
    except Unsealable:
        raise CommandFailed(
            f"this JWT names no key of {SIGNING_KEYS} here, which has {_versions(ring)}: its version was dropped, or "
            "it is from elsewhere, or no access token"
        ) from None
    try:
        token = jwts.unseal(value, moment)
    except Unsealable as error:
        raise _closed("access token", error) from None
    state = ring.state(key.version, moment)
    return Opened("access token", f"{key.version.kid} of {SIGNING_KEYS} ({state}), a JWT signed by {key.alg}", token)


def _kind(value: str, loaded: Settings, *, signed: bool) -> type[Artefact]:
    for kind in KINDS:
        if value.startswith(f"{loaded.token_prefix}{kind.kind}_"):
            return kind
    prefixes = ", ".join(f"{loaded.token_prefix}{kind.kind}_ ({name})" for kind, name in KINDS.items())
    prefixes += f", {JSON} (access token, as a JWT)" if signed else ""
    given = "this is nothing that is sealed here" if value else "there is no token"
    raise CommandFailed(f"{given}: what is begins with one of {prefixes}; the first letters are TOKENSVC_TOKEN_PREFIX")


def _version(kind: type[Artefact], value: str, loaded: Settings, moment: int) -> str:
    """Which version of which ring sealed it, and on which day. CommandFailed where that one is not there."""
    variable = CLIENT_KEYS if kind is ClientId else KEYS
    ring = assembly.rings(loaded, moment)[variable]
    try:
        kid, _, day = assembly.sealer(loaded, moment).version_of(value).partition(".")
    except Unsealable:
        raise CommandFailed(f"this {KINDS[kind]} is damaged, or was not sealed by this service") from None
    version = ring.get(kid)
    if version is None:
        # Whoever made the token wrote the kid: only what could be one is shown.
        name = kid if _KID.fullmatch(kid) else "something else"
        raise CommandFailed(
            f"this {KINDS[kind]} names the version {name}, and {variable} here has {_versions(ring)}: "
            "that version was dropped, or the token is from elsewhere"
        )
    sealed = f", sealed on {rfc3339(int(day) * 86_400_000)[:10]}" if day else ""
    return f"{kid} of {variable} ({ring.state(version, moment)}){sealed}"


def _versions(ring: KeyRing) -> str:
    return ", ".join(version.kid for version in ring.versions)


def _closed(name: str, error: Unsealable) -> CommandFailed:
    return CommandFailed(
        f"this {name} does not open: {error}. It is damaged, or sealed under another TOKENSVC_ISSUER or a version of "
        "the same name with another secret"
    )
