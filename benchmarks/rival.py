"""The rival: the `mcp` SDK's own authorization routes over opaque tokens in SQLite, as one would write it with care.

Tokens are 256 random bits and stored as their SHA-256, in tables with an index for what is looked up: by family, to
revoke, and by expiry, to sweep. A refresh rotates in one transaction, and a used refresh token stays until it expires,
since that is how a replay is noticed. Queries run on the event loop, which is faster than a thread for every one.
Sign-in is left out: the families to refresh are planted.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal

from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    OAuthAuthorizationServerProvider,
    RefreshToken,
    TokenError,
)
from mcp.server.auth.routes import create_auth_routes
from mcp.server.auth.settings import ClientRegistrationOptions
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import AnyHttpUrl
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Synchronous = Literal["NORMAL", "FULL"]

DATABASE = "rival.db"
ISSUER = "http://127.0.0.1:8000"
SECRET = "introspection-secret-of-the-rival"
SCOPES = ["mcp"]
ACCESS_TTL = 3600
REFRESH_TTL = 30 * 86_400

_SCHEMA = """
CREATE TABLE IF NOT EXISTS clients (client_id TEXT PRIMARY KEY, registration TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS access_tokens (
    hash BLOB PRIMARY KEY, family TEXT NOT NULL, client_id TEXT NOT NULL, subject TEXT NOT NULL, scope TEXT NOT NULL,
    issued_at INTEGER NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refresh_tokens (
    hash BLOB PRIMARY KEY, family TEXT NOT NULL, client_id TEXT NOT NULL, subject TEXT NOT NULL, scope TEXT NOT NULL,
    expires_at INTEGER NOT NULL, used_at INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS access_family ON access_tokens (family);
CREATE INDEX IF NOT EXISTS access_expires ON access_tokens (expires_at);
CREATE INDEX IF NOT EXISTS refresh_family ON refresh_tokens (family);
CREATE INDEX IF NOT EXISTS refresh_expires ON refresh_tokens (expires_at);
"""


class FamilyToken(RefreshToken):
    """The SDK's refresh token, with the grant that it comes from."""

    family: str


class Provider(OAuthAuthorizationServerProvider[AuthorizationCode, FamilyToken, AccessToken]):
    def __init__(self, path: Path, synchronous: Synchronous) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute(f"PRAGMA synchronous = {synchronous}")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        self._database.close()

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        query = "SELECT registration FROM clients WHERE client_id = ?"
        row = self._database.execute(query, (client_id,)).fetchone()
        return OAuthClientInformationFull.model_validate_json(row[0]) if row else None

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        values = (client_info.client_id, client_info.model_dump_json(exclude_none=True))
        self._database.execute("INSERT INTO clients VALUES (?, ?)", values)

    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str) -> FamilyToken | None:
        query = "SELECT family, subject, scope, expires_at FROM refresh_tokens WHERE hash = ? AND client_id = ?"
        row = self._database.execute(query, (_hash(refresh_token), client.client_id)).fetchone()
        if row is None:
            return None
        family, subject, scope, expires_at = row
        return FamilyToken(
            token=refresh_token,
            client_id=client.client_id,
            scopes=scope.split(),
            expires_at=expires_at,
            subject=subject,
            family=family,
        )

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: FamilyToken, scopes: list[str]
    ) -> OAuthToken:
        with self._transaction():
            now = int(time.time())
            query = "UPDATE refresh_tokens SET used_at = ? WHERE hash = ? AND used_at IS NULL"
            if self._database.execute(query, (now, _hash(refresh_token.token))).rowcount:
                scope = " ".join(scopes)
                return self._issue(client.client_id, refresh_token.family, refresh_token.subject or "", scope, now)
            self._database.execute("DELETE FROM access_tokens WHERE family = ?", (refresh_token.family,))
            self._database.execute("DELETE FROM refresh_tokens WHERE family = ?", (refresh_token.family,))
        raise TokenError("invalid_grant", "refresh token was used before")

    async def load_access_token(self, token: str) -> AccessToken | None:
        query = "SELECT client_id, subject, scope, expires_at FROM access_tokens WHERE hash = ?"
        row = self._database.execute(query, (_hash(token),)).fetchone()
        if row is None:
            return None
        client_id, subject, scope, expires_at = row
        return AccessToken(
            token=token, client_id=client_id, scopes=scope.split(), expires_at=expires_at, subject=subject
        )

    async def introspect(self, request: Request) -> Response:
        """RFC 7662, which the SDK has no route for: a route as in its example of an authorization server."""
        presented = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(presented.encode(), SECRET.encode()):
            return JSONResponse({"error": "invalid_token"}, 401)
        form = await request.form()
        query = "SELECT family, client_id, subject, scope, issued_at, expires_at FROM access_tokens WHERE hash = ?"
        row = self._database.execute(query, (_hash(str(form.get("token"))),)).fetchone()
        if row is None or row[5] <= time.time():
            return JSONResponse({"active": False}, headers={"Cache-Control": "no-store"})
        family, client_id, subject, scope, issued_at, expires_at = row
        account, user, role = subject.split("/")
        answer = {
            "active": True,
            "iss": ISSUER,
            "sub": f"{account}/{user}",
            "aud": ISSUER,
            "client_id": client_id,
            "scope": scope,
            "token_type": "Bearer",
            "iat": issued_at,
            "exp": expires_at,
            "family": family,
            "account": account,
            "user": user,
            "role": role,
        }
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    def plant(self, client_id: str, families: int) -> list[OAuthToken]:
        """Families as sign-ins would leave them."""
        now = int(time.time())
        with self._transaction():
            return [
                self._issue(client_id, secrets.token_urlsafe(12), "acme/ada/admin", "mcp", now) for _ in range(families)
            ]

    def _issue(self, client_id: str, family: str, subject: str, scope: str, now: int) -> OAuthToken:
        access, refresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self._database.execute(
            "INSERT INTO access_tokens VALUES (?, ?, ?, ?, ?, ?, ?)",
            (_hash(access), family, client_id, subject, scope, now, now + ACCESS_TTL),
        )
        self._database.execute(
            "INSERT INTO refresh_tokens VALUES (?, ?, ?, ?, ?, ?, NULL)",
            (_hash(refresh), family, client_id, subject, scope, now + REFRESH_TTL),
        )
        return OAuthToken(access_token=access, refresh_token=refresh, expires_in=ACCESS_TTL, scope=scope)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        raise NotImplementedError

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        raise NotImplementedError

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        raise NotImplementedError

    async def revoke_token(self, token: AccessToken | FamilyToken) -> None:
        raise NotImplementedError


def application(path: Path, synchronous: Synchronous) -> Starlette:
    provider = Provider(path, synchronous)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        provider.close()

    registration = ClientRegistrationOptions(enabled=True, valid_scopes=SCOPES, default_scopes=SCOPES)
    routes = [
        *create_auth_routes(provider, AnyHttpUrl(ISSUER), client_registration_options=registration),
        Route("/introspect", provider.introspect, methods=["POST"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
