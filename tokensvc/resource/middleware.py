"""ASGI middleware: lets in who has a token, tells others how to get one, and says who came."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from typing import Any, Literal

from starlette.authentication import AuthCredentials
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokensvc.resource.answers import Refusal, challenge, refuse
from tokensvc.resource.credentials import Credential, credentials_of, values_of
from tokensvc.resource.metadata import answer_metadata
from tokensvc.resource.protected_resource import UnknownOrigin
from tokensvc.resource.service import Unavailable
from tokensvc.resource.token import AccessToken, NotProved
from tokensvc.resource.verifier import IntrospectionVerifier

_SCOPE = re.compile(r"[!#-\[\]-~]+")
_CHALLENGE = b"www-authenticate"
_METADATA_URL = "tokensvc.resource.metadata_url"
_EVERYWHERE = "tokensvc.resource.scopes"
_ALGS = "tokensvc.resource.algs"
_PROVED = "tokensvc.resource.proved"
"""Where a connection's scope says what the middleware found, which OAuth scopes it needs of every token, with which
algorithms the caller may prove its key (empty for a bearer), and for which jti it has."""
_log = logging.getLogger("tokensvc.resource")


class BearerAuth:
    """For the whole application, which finds the AccessToken in `request.user` and its scopes in `request.auth`.

    Every token needs all `scopes`. With `pass_others`, a request without one of the service's tokens goes on untouched
    to a check of the application's own, such as API keys; what that answers with 401 is given the way to a token.
    A token with the service's prefix never goes on unless it is active. One that is bound to a key is no bearer and has
    to come with a proof (RFC 9449 §7); with `dpop="required"` there are no others, and with `"off"` it never goes on. A
    verifier of None switches all of it off.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: IntrospectionVerifier | None,
        *,
        scopes: Sequence[str] = (),
        pass_others: bool = False,
        dpop: Literal["optional", "required", "off"] = "optional",
    ) -> None:
        if not all(_SCOPE.fullmatch(scope) for scope in scopes):
            raise ValueError("a scope is printable ASCII without spaces, quotes and backslashes (RFC 6749 §3.3)")
        if dpop not in ("optional", "required", "off"):
            raise ValueError("dpop is optional, required or off")
        self._app = app
        self._verifier = verifier
        self._scopes = tuple(scopes)
        self._needed = frozenset(scopes)
        self._pass_others = pass_others
        self._dpop = dpop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        verifier = self._verifier
        if verifier is None or scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            # First, so that what nobody can be told the way to is refused before anything else.
            scope[_METADATA_URL] = verifier.resource.metadata_url(scope)
            scope[_EVERYWHERE] = self._scopes
        except UnknownOrigin:
            await refuse(scope, send, Refusal("invalid_request", "the request names no host"))
            return
        if scope["type"] == "http" and verifier.resource.is_metadata(scope):
            document = verifier.resource.metadata(scope, self._scopes) | self._dpop_metadata(verifier)
            await answer_metadata(scope, send, document, cached=bool(verifier.resource.configured))
            return
        credentials = credentials_of(scope)
        scope[_ALGS] = self._algs(verifier, {scheme for scheme, _ in credentials})
        if any(verifier.recognises(value) for _, value in credentials):
            refusal = await self._enter(verifier, scope, credentials)
            await (refuse(scope, send, refusal) if refusal else self._app(scope, receive, send))
        elif self._pass_others:
            await self._app(scope, receive, _with_challenge(send, self._challenge(scope)))
        else:
            await refuse(scope, send, self._stranger(bool(credentials), scope))

    def _dpop_metadata(self, verifier: IntrospectionVerifier) -> dict[str, Any]:
        """RFC 9728 §2."""
        if self._dpop == "off":
            return {}
        algs = {"dpop_signing_alg_values_supported": verifier.proofs.algorithms.split()}
        return algs | ({"dpop_bound_access_tokens_required": True} if self._dpop == "required" else {})

    def _algs(self, verifier: IntrospectionVerifier, schemes: set[str]) -> str:
        """What proofs may be signed with, for whoever has to prove something or tried to."""
        wanted = self._dpop == "required" or (self._dpop == "optional" and "dpop" in schemes)
        return verifier.proofs.algorithms if wanted else ""

    async def _enter(
        self, verifier: IntrospectionVerifier, scope: Scope, credentials: list[Credential]
    ) -> Refusal | None:
        """Why a request with one of the service's tokens may not go on; where it may, the scope says who came."""
        if len(credentials) > 1:
            return Refusal("invalid_request", "the request has several credentials")
        scheme, value = credentials[0]
        try:
            token = await verifier.find(value)
            if token is None:
                return self._invalid(scope)
            refusal = self._check_proof(verifier, scope, scheme, value, token)
        except Unavailable as error:
            return _unavailable(error)
        if refusal is not None:
            return refusal
        if not self._needed <= token.scopes:
            return _insufficient(scope, self._scopes)
        scope["user"], scope["auth"] = token, AuthCredentials(sorted(token.scopes))
        return None

    def _check_proof(
        self, verifier: IntrospectionVerifier, scope: Scope, scheme: str, value: str, token: AccessToken
    ) -> Refusal | None:
        """A token that is bound to a key comes as that, and with a proof; any other as a bearer (RFC 9449 §7.1)."""
        if not token.jkt and scheme == "bearer" and self._dpop != "required":
            return None
        if not token.jkt:
            return self._invalid(scope, "the access token is not bound to a key")
        if self._dpop == "off":
            return self._invalid(scope, "the access token is bound to a key, and no proof of one is taken here")
        scope[_ALGS] = verifier.proofs.algorithms
        if scheme != "dpop":
            return self._invalid(scope, "the access token is bound to a key, and is no bearer")
        if scope.get(_PROVED) == token.jti:
            return None  # To another one of us around this one, and a proof counts once.
        try:
            url = verifier.resource.request_url(scope, token.aud)
            proofs = values_of(scope, b"dpop")
            method = scope.get("method", "GET")  # A websocket begins with one.
            verifier.proofs.check(token, value, proofs, method, url, epoch=time.time(), now=time.monotonic())
        except NotProved as error:
            return self._invalid(scope, f"the DPoP proof is not valid: {error}", "invalid_dpop_proof")
        scope[_PROVED] = token.jti
        return None

    def _stranger(self, has_credential: bool, scope: Scope) -> Refusal:
        """Without a credential there is nothing that could be wrong (RFC 6750 §3.1)."""
        if has_credential:
            return self._invalid(scope)
        return Refusal("", "an access token is needed", self._challenge(scope))

    def _invalid(
        self, scope: Scope, description: str = "the access token is not valid", error: str = "invalid_token"
    ) -> Refusal:
        return Refusal(error, description, self._challenge(scope, error, description))

    def _challenge(self, scope: Scope, error: str = "", description: str = "") -> str:
        return challenge(scope[_METADATA_URL], self._scopes, error, description, scope[_ALGS])


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
    """The caller's token, which has these scopes. HTTPException 401 or 403 with the challenge that says so.

    The challenge names all that the request needs, those of the middleware too: a client that asks for no more than it
    is told must not lose what it had (RFC 6750 §3.1).
    """
    metadata_url = connection.scope.get(_METADATA_URL, "")
    scopes = tuple(dict.fromkeys((*connection.scope.get(_EVERYWHERE, ()), *scopes)))
    token = connection.scope.get("user")
    if not isinstance(token, AccessToken):
        algs = connection.scope.get(_ALGS, "")
        headers = {"WWW-Authenticate": challenge(metadata_url, scopes, algs=algs)} if metadata_url else {}
        raise HTTPException(401, "an access token is needed", headers)
    if not token.scopes.issuperset(scopes):
        refusal = _insufficient(connection.scope, scopes)
        raise HTTPException(refusal.status, refusal.description, refusal.all_headers)
    return token


def _insufficient(scope: Scope, scopes: Sequence[str]) -> Refusal:
    description = "the access token lacks a scope"
    way = challenge(scope.get(_METADATA_URL, ""), scopes, "insufficient_scope", description, scope.get(_ALGS, ""))
    return Refusal("insufficient_scope", description, way)


def _unavailable(error: Unavailable) -> Refusal:
    """Never 401: clients throw their tokens away on it."""
    _log.warning("no answer about a token: %s", error)
    headers = {"Retry-After": str(error.retry_after)}
    return Refusal("temporarily_unavailable", "the access token cannot be checked now", headers=headers)


def _with_challenge(send: Send, value: str) -> Send:
    """Whatever the application's own check answers with 401 says how to get a token, before its other challenges.

    A bare `Bearer` of its own would keep clients from reading on, and goes. What `require` says names the way
    already, with all the scopes that are needed.
    """

    async def challenged(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 401:
            given = [(name.lower(), text) for name, text in message.get("headers", ())]
            if not any(name == _CHALLENGE and b"resource_metadata=" in text for name, text in given):
                others = [(name, text) for name, text in given if not (name == _CHALLENGE and _is_bearer(text))]
                message = {**message, "headers": [(_CHALLENGE, value.encode("ascii")), *others]}
        await send(message)

    return challenged


def _is_bearer(value: bytes) -> bool:
    return value.split(b" ", 1)[0].lower() == b"bearer"
