"""Rings, a sealer and artefacts of every kind, for the tests of this folder."""

import base64
import hashlib
from dataclasses import fields
from typing import Any, get_type_hints

from hypothesis import strategies as st

from tests.reference import Reference, parse_ring
from tokensvc.identity import Identity
from tokensvc.keyring import KeyRing
from tokensvc.tokens.artefact import Artefact
from tokensvc.tokens.kinds import (
    AccessToken,
    AuthorizationCode,
    AuthorizationRequest,
    ClientId,
    DeviceApproval,
    DeviceCode,
    DevicePage,
    DeviceRequest,
    PushedRequest,
    RefreshToken,
    client_handle,
    digest,
)
from tokensvc.tokens.sealer import DAY, Sealer

ISSUER = "https://auth.example.com"
PREFIX = "ts"
NOW = 20_600 * DAY + 45_296_789


def secret(name: str) -> str:
    """32 bytes that look random and are the same in every run."""
    return base64.urlsafe_b64encode(hashlib.sha256(name.encode()).digest()).decode().rstrip("=")


def entry(kid: str, activation: str = "") -> str:
    """A ring entry; one kid has one secret wherever it stands."""
    return f"{kid}@{activation}={secret(kid)}" if activation else f"{kid}={secret(kid)}"


def ring(*entries: str, now: int = NOW) -> KeyRing:
    return KeyRing.parse(",".join(entries), "TOKENSVC_KEYS", now)


KEYS = f"{entry('k1')},{entry('k2', '1700000000')}"
CLIENT_KEYS = entry("c1")


def sealer(keys: str = KEYS, client_keys: str = CLIENT_KEYS, issuer: str = ISSUER, prefix: str = PREFIX) -> Sealer:
    return Sealer(ring(keys), ring(client_keys), issuer, prefix)


def reference(
    keys: str = KEYS, client_keys: str = CLIENT_KEYS, issuer: str = ISSUER, prefix: str = PREFIX
) -> Reference:
    return Reference(parse_ring(keys), parse_ring(client_keys), issuer, prefix)


_GRANT: dict[str, Any] = {
    "family": "Zm9vYmFyYmF6cXV4",
    "client": client_handle("a client"),
    "identity": Identity("acme", "ada@example.com", "admin"),
    "credential": digest("a credential", 8),
    "resource": digest("https://mcp.example.com/mcp", 8),
    "scope": "mcp",
    "authorized_at": NOW,
    "lifetime": 3_600_000,
}
CODE = AuthorizationCode(**_GRANT, redirect=digest("https://a", 16), code_challenge=digest("verifier", 32))
ACCESS = AccessToken(**_GRANT, issued_after=12_345, generation=3)
REFRESH = RefreshToken(**_GRANT, issued_after=12_345, generation=3)
PUBLIC = ClientId(redirects=digest("https://a", 16), name="Claude")
CONFIDENTIAL = ClientId(redirects=digest("https://a", 16), name="Claude", method="b")
REQUEST = AuthorizationRequest(
    name="Zm9vYmFyYmF6cXV4",
    browser=digest("cookie", 16),
    client=client_handle("a client"),
    client_name="Claude",
    verified=False,
    redirect_uri="https://claude.ai/api/mcp/auth_callback",
    state="xyz",
    code_challenge=digest("verifier", 32),
    resource=digest("https://mcp.example.com/mcp", 8),
    scope="mcp",
    exp=NOW + 600_000,
)
PUSHED = PushedRequest(
    name="Zm9vYmFyYmF6cXV4",
    client=client_handle("a client"),
    redirect_uri="https://claude.ai/api/mcp/auth_callback",
    state="xyz",
    code_challenge=digest("verifier", 32),
    resource=digest("https://mcp.example.com/mcp", 8),
    scope="mcp",
    exp=NOW + 90_000,
)
DEVICE_CODE = DeviceCode("Zm9vYmFyYmF6cXV4", client_handle("a client"), offer="WDJBMJHT", authorized_at=NOW)
DEVICE_REQUEST = DeviceRequest(
    family="Zm9vYmFyYmF6cXV4",
    offer="WDJBMJHT",
    user_code="WDJBMJHT",
    client=client_handle("a client"),
    client_name="Television",
    verified=False,
    resource=digest("https://mcp.example.com/mcp", 8),
    scope="mcp",
    exp=NOW + 600_000,
)
DEVICE_PAGE = DevicePage(name="Zm9vYmFyYmF6cXV4", browser=digest("cookie", 16), exp=NOW + 600_000)
DEVICE_APPROVAL = DeviceApproval(**_GRANT)
EXAMPLES: dict[str, Artefact] = {
    "code": CODE,
    "access token": ACCESS,
    "refresh token": REFRESH,
    "public client_id": PUBLIC,
    "confidential client_id": CONFIDENTIAL,
    "request": REQUEST,
    "pushed request": PUSHED,
    "device code": DEVICE_CODE,
    "device request": DEVICE_REQUEST,
    "device page": DEVICE_PAGE,
    "device approval": DEVICE_APPROVAL,
}
KINDS: tuple[type[Artefact], ...] = (
    AuthorizationCode,
    AccessToken,
    RefreshToken,
    ClientId,
    AuthorizationRequest,
    PushedRequest,
    DeviceCode,
    DeviceRequest,
    DevicePage,
    DeviceApproval,
)

_texts = st.text(max_size=40)
_short = st.text('abc-_"é', max_size=22)
_values: dict[Any, st.SearchStrategy[Any]] = {
    str: _texts,
    str | None: st.none() | _texts,
    int: st.integers(min_value=-(2**63), max_value=2**63),
    bool: st.booleans(),
    Identity: st.builds(Identity, _texts, _texts, _texts),
    DeviceRequest | None: st.just(None) | st.just(DEVICE_REQUEST),
}


def artefacts() -> st.SearchStrategy[Artefact]:
    """Every kind, with whatever its fields can hold (and short enough for the cap of client_ids, which is low)."""
    return st.one_of(*(_artefacts(kind) for kind in KINDS))


def _artefacts(kind: type[Artefact]) -> st.SearchStrategy[Artefact]:
    types = get_type_hints(kind)
    values = {str: _short} if kind is ClientId else _values
    return st.builds(kind, **{field.name: values[types[field.name]] for field in fields(kind)})
