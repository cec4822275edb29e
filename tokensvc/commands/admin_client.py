"""How commands ask a running replica: its admin endpoint, with the first of TOKENSVC_ADMIN_TOKENS."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tokensvc.commands import CommandFailed

_SECONDS = 10.0


def ask(url: str | None, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """The object that it answers. Raises CommandFailed with what would help."""
    base = _base(url)
    try:
        headers = {"Authorization": f"Bearer {_token()}"}
        response = httpx.request(method, f"{base}{path}", json=body, headers=headers, timeout=_SECONDS)
    except UnicodeEncodeError:
        raise CommandFailed("the secret in TOKENSVC_ADMIN_TOKENS is not ASCII") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CommandFailed(f"{base} cannot be reached: {error}") from None
    return _answer(response, base)


def _answer(response: httpx.Response, base: str) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if response.status_code == 200 and isinstance(answer, dict):
        return answer
    if response.status_code == 401:
        raise CommandFailed(f"{base} does not know the first secret in TOKENSVC_ADMIN_TOKENS: use one of its own")
    if response.status_code == 404:
        raise CommandFailed(f"{base} has no admin endpoint: set TOKENSVC_ADMIN_TOKENS there too, and check the URL")
    description = answer.get("error_description") if isinstance(answer, dict) else None
    raise CommandFailed(f"{base} answered {response.status_code}: {description or 'not as a replica does'}")


def _base(url: str | None) -> str:
    base = (url or os.environ.get("TOKENSVC_ISSUER", "")).rstrip("/")
    if not base:
        raise CommandFailed("which replica? Give --url, or set TOKENSVC_ISSUER")
    if urlsplit(base).scheme not in {"http", "https"}:
        raise CommandFailed("the URL of a replica begins with http:// or https://")
    return base


def _token() -> str:
    path = os.environ.get("TOKENSVC_ADMIN_TOKENS_FILE")
    try:
        tokens = Path(path).read_text(encoding="utf-8") if path else os.environ.get("TOKENSVC_ADMIN_TOKENS", "")
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise CommandFailed(f"TOKENSVC_ADMIN_TOKENS_FILE names {path}, which cannot be read: {what}") from None
    first = tokens.split(",")[0].strip()
    if not first:
        raise CommandFailed("set TOKENSVC_ADMIN_TOKENS to a secret of that replica")
    return first
