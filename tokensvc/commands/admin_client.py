"""How commands ask a running replica: its admin endpoint, with the first of TOKENSVC_ADMIN_TOKENS."""

import os
from pathlib import Path
from typing import Any

import httpx

from tokensvc.commands import CommandFailed

_SECONDS = 10.0


def ask(url: str | None, method: str, path: str, body: Any = None) -> Any:
    """The answer's JSON. Raises CommandFailed with what would help."""
    base = (url or os.environ.get("TOKENSVC_ISSUER", "")).rstrip("/")
    if not base:
        raise CommandFailed("which replica? Give --url, or set TOKENSVC_ISSUER")
    headers = {"Authorization": f"Bearer {_token()}"}
    try:
        response = httpx.request(method, f"{base}{path}", json=body, headers=headers, timeout=_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CommandFailed(f"{base} cannot be reached: {error}") from None
    if response.status_code == 404:
        raise CommandFailed(f"{base} has no admin endpoint: set TOKENSVC_ADMIN_TOKENS there, and check the URL")
    if response.status_code != 200:
        raise CommandFailed(f"{base} answered {response.status_code}: {_description(response)}")
    return response.json()


def _token() -> str:
    path = os.environ.get("TOKENSVC_ADMIN_TOKENS_FILE")
    tokens = Path(path).read_text(encoding="utf-8") if path else os.environ.get("TOKENSVC_ADMIN_TOKENS", "")
    first = tokens.split(",")[0].strip()
    if not first:
        raise CommandFailed("set TOKENSVC_ADMIN_TOKENS to a secret of that replica")
    return first


def _description(response: httpx.Response) -> str:
    try:
        return str(response.json()["error_description"])
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase
