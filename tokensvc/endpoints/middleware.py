"""What every request passes through: its id, and for clients that are web pages, leave to ask from any origin."""

import re
import secrets

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokensvc.endpoints.http import header
from tokensvc.observability import request_id

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Cors:
    """For clients that are web pages: any origin may ask these paths, none with cookies.

    Unknown well-known paths are among them, since a client that probes for metadata has to see the 404.
    """

    def __init__(self, app: ASGIApp, paths: frozenset[str]) -> None:
        self._app = app
        self._paths = paths
        self._cors = CORSMiddleware(
            app,
            allow_origins=["*"],
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["WWW-Authenticate", "Retry-After", "DPoP-Nonce"],
            max_age=7200,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        # What no page asked and no cache keeps needs no headers for either.
        shared = "/.well-known/" in path or (path in self._paths and header(scope, b"origin") is not None)
        await (self._cors if shared else self._app)(scope, receive, send)


class RequestId:
    """Give every request an id, the balancer's own where it sends one, for the log and the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = header(scope, b"x-request-id") or ""
        identifier = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        request_id.set(identifier)

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-request-id", identifier.encode()))
            await send(message)

        await self._app(scope, receive, tagged)
