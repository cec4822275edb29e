"""ASGI middleware: lets in who has a token, tells others how to get one, and says who came."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from starlette.authentication import AuthCredentials
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokensvc.resource.answers import Refusal, answer, challenge, refuse
from tokensvc.resource.protected_resource import UnknownOrigin
from tokensvc.resource.service import Unavailable
from tokensvc.resource.token import AccessToken
from tokensvc.resource.verifier import IntrospectionVerifier

_SCOPE = re.compile(r"[!#-\[\]-~]+")
_METADATA_URL = "tokensvc.resource.metadata_url"
_SHARED = {"Access-Control-Allow-Origin": "*"}
_CACHED = _SHARED | {"Cache-Control": "public, max-age=300"}
_PREFLIGHT = _SHARED | {
    "Access-Control-Allow-Methods": "GET",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "7200",
}

_log = logging.getLogger("tokensvc.resource")


class BearerAuth:
    """For the whole application, which finds the AccessToken in `request.user` and its scopes in `request.auth`.

    Every token needs all `scopes`. With `pass_others`, a request without one of the service's tokens goes on untouched
    to a check of the application's own, such as API keys; what that answers with 401 is given the way to a token.
    A bearer with the service's prefix never goes on unless it is active. A verifier of None switches all of it off.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: IntrospectionVerifier | None,
        *,
        scopes: Sequence[str] = (),
        pass_others: bool = False,
    ) -> None:
        if not all(_SCOPE.fullmatch(scope) for scope in scopes):
            raise ValueError("a scope is printable ASCII without spaces, quotes and backslashes (RFC 6749 §3.3)")
        self._app = app
        self._verifier = verifier
        self._scopes = tuple(scopes)
        self._needed = frozenset(scopes)
        self._pass_others = pass_others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        verifier = self._verifier
        if verifier is None or scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            # First, so that what nobody can be told the way to is refused before anything else.
            scope[_METADATA_URL] = metadata_url = verifier.resource.metadata_url(scope)
        except UnknownOrigin:
            await refuse(scope, send, Refusal("invalid_request", "the request names no host"))
            return
        if scope["type"] == "http" and scope["path"] == verifier.resource.metadata_path:
            await self._metadata(verifier, scope, send)
            return
        credentials = _bearers(scope)
        if any(map(verifier.recognises, credentials)):
            refusal = await self._enter(verifier, scope, credentials, metadata_url)
            await (refuse(scope, send, refusal) if refusal else self._app(scope, receive, send))
        elif self._pass_others:
            await self._app(scope, receive, _with_challenge(send, challenge(metadata_url, self._scopes)))
        else:
            await refuse(scope, send, self._stranger(bool(credentials), metadata_url))

    async def _enter(
        self, verifier: IntrospectionVerifier, scope: Scope, credentials: list[str], metadata_url: str
    ) -> Refusal | None:
        """Why a request with one of the service's tokens may not go on; where it may, the scope says who came."""
        if len(credentials) > 1:
            return Refusal("invalid_request", "the request has several credentials")
        try:
            token = await verifier.verify(credentials[0])
        except Unavailable as error:
            return _unavailable(error)
        if token is None:
            return self._invalid(metadata_url)
        if not self._needed <= token.scopes:
            return _insufficient(metadata_url, self._scopes)
        scope["user"], scope["auth"] = token, AuthCredentials(sorted(token.scopes))
        return None

    def _stranger(self, has_credential: bool, metadata_url: str) -> Refusal:
        """Without a credential there is nothing that could be wrong (RFC 6750 §3.1)."""
        if has_credential:
            return self._invalid(metadata_url)
        return Refusal("", "an access token is needed", challenge(metadata_url, self._scopes))

    def _invalid(self, metadata_url: str) -> Refusal:
        description = "the access token is not valid"
        way = challenge(metadata_url, self._scopes, "invalid_token", description)
        return Refusal("invalid_token", description, way)

    async def _metadata(self, verifier: IntrospectionVerifier, scope: Scope, send: Send) -> None:
        """RFC 9728 §3, for clients that are web pages too."""
        method = scope["method"]
        if method in ("GET", "HEAD"):
            # What hangs on the headers of a request is for nobody else.
            headers = _CACHED if verifier.resource.configured else _SHARED | {"Cache-Control": "no-store"}
            await answer(send, 200, verifier.resource.metadata(scope, self._scopes), headers)
        elif method == "OPTIONS":
            await answer(send, 204, None, _PREFLIGHT)
        else:
            error = {"error": "method_not_allowed", "error_description": "method not allowed"}
            await answer(send, 405, error, _SHARED | {"Allow": "GET, HEAD, OPTIONS"})


class AnswerUnavailable:
    """Answers 503 where an application let Unavailable through, for one that calls the verifier itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Unavailable as error:
            if started or scope["type"] not in ("http", "websocket"):
                raise
            await refuse(scope, send, _unavailable(error))


def require(connection: HTTPConnection, *scopes: str) -> AccessToken:
    """The caller's token, which has these scopes. HTTPException 401 or 403 with the challenge that says so."""
    metadata_url = connection.scope.get(_METADATA_URL, "")
    token = connection.scope.get("user")
    if not isinstance(token, AccessToken):
        headers = {"WWW-Authenticate": challenge(metadata_url, scopes)} if metadata_url else {}
        raise HTTPException(401, "an access token is needed", headers)
    if not token.scopes.issuperset(scopes):
        refusal = _insufficient(metadata_url, scopes)
        raise HTTPException(refusal.status, refusal.description, refusal.all_headers)
    return token


def _insufficient(metadata_url: str, scopes: Sequence[str]) -> Refusal:
    description = "the access token lacks a scope"
    way = challenge(metadata_url, scopes, "insufficient_scope", description)
    return Refusal("insufficient_scope", description, way)


def _unavailable(error: Unavailable) -> Refusal:
    """Never 401: clients throw their tokens away on it."""
    _log.warning("no answer about a token: %s", error)
    headers = {"Retry-After": str(error.retry_after)}
    return Refusal("temporarily_unavailable", "the access token cannot be checked now", headers=headers)


def _bearers(scope: Scope) -> list[str]:
    """What every Authorization header brings, of a bearer its credential: there should be one (RFC 9110 §5.3)."""
    found = []
    for name, value in scope["headers"]:
        if name == b"authorization":
            parts = value.decode("latin-1").split(None, 1)
            is_bearer = len(parts) == 2 and parts[0].lower() == "bearer"
            found.append(parts[1].strip() if is_bearer else "")
    return found


def _with_challenge(send: Send, value: str) -> Send:
    """Whatever the application's own check answers with 401 says how to get a token, before its other challenges.

    A bare `Bearer` of its own would keep clients from reading on, and goes.
    """

    async def challenged(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 401:
            others = [
                (name, given) for name, given in message.get("headers", ()) if not _is_bearer_challenge(name, given)
            ]
            message = {**message, "headers": [(b"www-authenticate", value.encode("ascii")), *others]}
        await send(message)

    return challenged


def _is_bearer_challenge(name: bytes, value: bytes) -> bool:
    return name.lower() == b"www-authenticate" and value.split(b" ", 1)[0].lower() == b"bearer"
