"""HTTP in and out, the same for every endpoint: bodies, parameters, JSON, errors."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from pydantic_core import from_json, to_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tokensvc.errors import (
    InvalidClient,
    InvalidRequest,
    InvalidTarget,
    InvalidToken,
    OAuthError,
    RequestTooLarge,
    TemporarilyUnavailable,
    TooManyRequests,
    UseDpopNonce,
)
from tokensvc.observability import warn

LONGEST_BODY = 65_536
MOST_PARAMETERS = 64
NO_STORE = {"Cache-Control": "no-store"}


class Endpoint:
    """A function of a request as the ASGI application of its route.

    Starlette would wrap it in a handler of exceptions for each route, beside the one around all of them.
    """

    def __init__(self, respond: Callable[[Request], Awaitable[Response]]) -> None:
        self._respond = respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._respond(Request(scope, receive, send))
        await response(scope, receive, send)


class JsonResponse(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return to_json(content)

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """As Starlette's, without looking for what is never given."""
        given = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        length = str(len(self.body)).encode()
        self.raw_headers = [*given, (b"content-length", length), (b"content-type", b"application/json")]


@dataclass(frozen=True, slots=True)
class Parameters:
    """Request parameters, those without a value left out (RFC 6749 §3.1). `repeated` ones hold their first value."""

    values: Mapping[str, str] = field(repr=False)
    repeated: frozenset[str]

    @classmethod
    def parse(cls, text: bytes) -> "Parameters":
        """Read what is form-encoded, strictly in UTF-8. Raises InvalidRequest."""
        try:
            pairs = parse_qsl(text.decode(), keep_blank_values=False, errors="strict", max_num_fields=MOST_PARAMETERS)
        except ValueError:
            raise InvalidRequest("the parameters are not form-encoded UTF-8, or too many") from None
        values = dict(reversed(pairs))
        if len(values) == len(pairs):
            return cls(values, frozenset())
        names = [name for name, _ in pairs]
        return cls(values, frozenset(name for name in values if names.count(name) > 1))

    def check(self) -> Mapping[str, str]:
        """The values, if none is repeated. Raises InvalidRequest; InvalidTarget for several resources (RFC 8707 §2)."""
        if "resource" in self.repeated:
            raise InvalidTarget("tokens are for one resource")
        if self.repeated:
            raise InvalidRequest("a parameter is repeated")
        return self.values


def header(scope: Scope, wanted: bytes) -> str | None:
    """The first header of this name, which is in lower case. Most requests need two or three, and no map of them."""
    for name, value in scope["headers"]:
        if name == wanted:
            text: str = value.decode("latin-1")
            return text
    return None


async def read_body(request: Request, longest: int = LONGEST_BODY) -> bytes:
    """The body, up to the cap that holds whatever the request declared. Raises RequestTooLarge."""
    check_declared(request, longest)
    body, more = await read_part(request, longest + 1)
    if more or len(body) > longest:
        raise RequestTooLarge("the body is too large")
    return body


def check_declared(request: Request, longest: int) -> None:
    """Raises RequestTooLarge for a Content-Length beyond the cap, and for one that is no number."""
    declared = header(request.scope, b"content-length") or "0"
    if not (declared.isascii() and declared.isdigit()) or len(declared) > 9 or int(declared) > longest:
        raise RequestTooLarge("the body is too large")


async def read_part(request: Request, enough: int) -> tuple[bytes, bool]:
    """What comes next of the body, until that is `enough` bytes or a little more; and whether there is a rest."""
    # One buffer that grows: the time is linear and the memory bounded, however small the pieces are that come.
    body, more = bytearray(), True
    while more and len(body) < enough:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body), more


async def read_form(request: Request) -> Parameters:
    """Raises InvalidRequest."""
    if _media_type(request) != "application/x-www-form-urlencoded":
        raise InvalidRequest("the body must be application/x-www-form-urlencoded")
    return Parameters.parse(await read_body(request))


async def read_json(request: Request) -> Any:
    """Raises InvalidRequest. Infinities and lone surrogates are not JSON (RFC 8259 §6, §8.2)."""
    if _media_type(request) != "application/json":
        raise InvalidRequest("the body must be application/json")
    body = await read_body(request)
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        raise InvalidRequest("the body is not JSON") from None


def bearer(authorization: str | None) -> str | None:
    """The credential of a Bearer header (RFC 6750 §2.1)."""
    scheme, _, credential = (authorization or "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else None


async def oauth_error(_request: Request, error: OAuthError) -> Response:
    """The one place where errors become answers (RFC 6749 §5.2)."""
    if isinstance(error, TemporarilyUnavailable):
        warn("unavailable", reason=error.reason)
    if isinstance(error, TooManyRequests):
        warn("too many attempts", reason=error.reason)
    return error_response(error)


def error_response(error: OAuthError) -> Response:
    content = {"error": error.error, "error_description": error.description}
    return JsonResponse(content, error.status, headers=dict(_error_headers(error)))


async def http_error(_request: Request, error: Exception) -> Response:
    """404 and 405 of the router, as JSON: clients probe well-known paths and choke on HTML."""
    status = getattr(error, "status_code", 500)
    name = {404: "not_found", 405: "method_not_allowed"}.get(status, "invalid_request")
    headers = NO_STORE | dict(getattr(error, "headers", None) or {})
    return JsonResponse({"error": name, "error_description": name.replace("_", " ")}, status, headers=headers)


async def disconnected(_request: Request, _error: Exception) -> Response:
    """The client went away while it sent its body: nothing was done, and nobody reads this."""
    return Response(status_code=400)


async def server_error(_request: Request, _error: Exception) -> Response:
    content = {
        "error": "server_error",
        "error_description": "the server failed; the request may be tried again",
    }
    return JsonResponse(content, 500, headers=NO_STORE)


def _error_headers(error: OAuthError) -> Iterable[tuple[str, str]]:
    yield "Cache-Control", "no-store"
    if isinstance(error, TemporarilyUnavailable | TooManyRequests):
        yield "Retry-After", str(error.retry_after)
    if isinstance(error, InvalidClient) and error.basic:
        yield "WWW-Authenticate", 'Basic realm="tokensvc", charset="UTF-8"'
    if isinstance(error, UseDpopNonce):
        yield "DPoP-Nonce", error.nonce
    if isinstance(error, InvalidToken):
        yield "WWW-Authenticate", f'Bearer realm="tokensvc", error="{error.error}"'


def _media_type(request: Request) -> str:
    return (header(request.scope, b"content-type") or "").partition(";")[0].strip().lower()


EXCEPTION_HANDLERS: dict[Any, Any] = {
    OAuthError: oauth_error,
    ClientDisconnect: disconnected,
    404: http_error,
    405: http_error,
    Exception: server_error,
}
