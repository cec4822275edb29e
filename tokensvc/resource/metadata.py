"""The metadata of a resource server over HTTP (RFC 9728 §3), for clients that are web pages too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.types import Scope, Send

from tokensvc.resource.answers import answer

_SHARED = {"Access-Control-Allow-Origin": "*"}
_CACHED = _SHARED | {"Cache-Control": "public, max-age=300"}
_PREFLIGHT = _SHARED | {
    "Access-Control-Allow-Methods": "GET",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "7200",
}


async def answer_metadata(scope: Scope, send: Send, document: Mapping[str, Any], *, cached: bool) -> None:
    """Not `cached` is what hangs on the headers of the request, and is for nobody else."""
    method = scope["method"]
    if method in ("GET", "HEAD"):
        await answer(send, 200, document, _CACHED if cached else _SHARED | {"Cache-Control": "no-store"})
    elif method == "OPTIONS":
        await answer(send, 204, None, _PREFLIGHT)
    else:
        error = {"error": "method_not_allowed", "error_description": "method not allowed"}
        await answer(send, 405, error, _SHARED | {"Allow": "GET, HEAD, OPTIONS"})
