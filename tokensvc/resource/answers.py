"""What a resource server answers to those that it does not let in (RFC 6750 §3, RFC 9728 §5.1)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Scope, Send

_STATUS = {
    "invalid_request": 400,
    "invalid_token": 401,
    "insufficient_scope": 403,
    "temporarily_unavailable": 503,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """`error` is a code of RFC 6750 §3.1, empty for a request that brought no credential; `challenge` may be empty."""

    error: str
    description: str
    challenge: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        return _STATUS.get(self.error, 401)

    @property
    def all_headers(self) -> dict[str, str]:
        challenged = {"WWW-Authenticate": self.challenge} if self.challenge else {}
        return {"Cache-Control": "no-store", **challenged, **self.headers}

    @property
    def content(self) -> dict[str, str]:
        return {"error": self.error or "invalid_token", "error_description": self.description}


def challenge(
    metadata_url: str, scopes: Sequence[str] = (), error: str = "", description: str = "", algs: str = ""
) -> str:
    """The value of WWW-Authenticate. No part of it holds a quote: all are ours, or were checked when configured.

    With the algorithms of proofs it asks for a token that is bound to a key (RFC 9449 §7.1).
    """
    parts = {
        "error": error,
        "error_description": description,
        "scope": " ".join(scopes),
        "resource_metadata": metadata_url,
        "algs": algs,
    }
    return ("DPoP " if algs else "Bearer ") + ", ".join(f'{name}="{value}"' for name, value in parts.items() if value)


async def refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    """A websocket that is not accepted is closed, which its server answers with 403."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.error})
        return
    await answer(send, refusal.status, refusal.content, refusal.all_headers)


async def answer(send: Send, status: int, content: Any, headers: Mapping[str, str]) -> None:
    """One whole JSON answer; None for no body."""
    body = b"" if content is None else json.dumps(content).encode()
    fields = {"Content-Type": "application/json"} if body else {}
    fields |= {"Content-Length": str(len(body)), **headers}
    raw = [(name.lower().encode(), value.encode("ascii")) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
