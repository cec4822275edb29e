"""What every request passes through: its id, and for clients that are web pages, leave to ask from any origin.

Both hand on what is to be awaited instead of awaiting it, which spares every request as many coroutines.
"""

import re
import secrets
from collections.abc import Awaitable

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
            expose_headers=["WWW-Authenticate", "Retry-After"],
            max_age=7200,
        )

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        path = scope.get("path", "")
        # What no page asked and no cache keeps needs no headers for either.
        shared = "/.well-known/" in path or (path in self._paths and header(scope, b"origin") is not None)
        return (self._cors if shared else self._app)(scope, receive, send)


class RequestId:
    """Give every request an id, the balancer's own where it sends one, for the log and the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        given = header(scope, b"x-request-id") or ""
        identifier = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        request_id.set(identifier)

        def tagged(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-request-id", identifier.encode()))
            return send(message)

        return self._app(scope, receive, tagged)
