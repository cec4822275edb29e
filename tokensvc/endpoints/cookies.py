"""The cookie that binds a request in flight to one browser: one for each request, so that two tabs do not collide.

It stays when the person has decided: a second click, while the client is slow or its app did not open, must not fail.
"""

import hmac
import re
import secrets

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.tokens.kinds import digest

MOST = 4
"""How many requests a browser may have open; the oldest ones make room."""
_PREFIX = "tokensvc-"
_NAME = re.compile(r"[0-9a-f]{15}")


def new(now: int) -> tuple[str, str]:
    """A name, which sorts by age, and a value that nobody can guess."""
    return f"{now:011x}{secrets.token_hex(2)}", secrets.token_urlsafe(16)


def put(request: Request, response: Response, name: str, value: str, max_age: int) -> None:
    """Set the cookie, and drop the oldest ones of ours."""
    secure = _secure(request)
    prefix = _name(request, "")
    # What merely begins like ours may hold characters that no cookie can be set with.
    ours = sorted(c for c in request.cookies if c.startswith(prefix) and _NAME.fullmatch(c[len(prefix) :]))
    for cookie in ours[: len(ours) - MOST + 1] if len(ours) >= MOST else []:
        response.delete_cookie(cookie, secure=secure, httponly=True)
    response.set_cookie(_name(request, name), value, max_age, secure=secure, httponly=True, samesite="lax")


def holds(request: Request, name: str, expected: str) -> bool:
    """Whether the browser has the cookie whose digest was sealed."""
    return hmac.compare_digest(digest(request.cookies.get(_name(request, name), ""), 16), expected)


def _secure(request: Request) -> bool:
    """By the issuer, not by the connection: behind a balancer that ends TLS the browser speaks https all the same."""
    issuer: str = request.app.state.service.server.issuer
    return issuer.startswith("https:")


def _name(request: Request, name: str) -> str:
    """`__Host-` keeps other hosts of the same domain from planting one (RFC 6265bis §4.1.3.2)."""
    return f"{'__Host-' if _secure(request) else ''}{_PREFIX}{name}"
