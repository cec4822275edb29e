"""A good request to every endpoint, in a form that can be got wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.fuzz.wire import Headers, chunked, encode, message
from tests.replica import REDIRECT_URI
from tests.signer import ASSERTION_TYPE

FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")
Where = Literal["query", "form", "json"]
FRAMINGS = ("length", "chunked", "bytewise", "bad chunk", "short", "long", "none", "both", "twice", "absurd")


@dataclass(frozen=True)
class Valid:
    """A value that the service was set up with or has issued, by its name in the material of a run."""

    name: str


@dataclass(frozen=True)
class Long:
    """So many characters."""

    size: int


Value = str | bytes | list[str] | Valid | Long


@dataclass(frozen=True)
class Request:
    """`body` stands for the parameters' where it is set; bytes as a value are encoded no further."""

    method: str
    path: str | bytes
    where: Where = "query"
    parameters: tuple[tuple[str, Value], ...] = ()
    headers: tuple[tuple[str, str | bytes | Valid], ...] = ()
    body: bytes | None = None
    framing: str = "length"
    encoding: str = ""

    def data(self, material: Mapping[str, str]) -> bytes:
        """The bytes to send."""
        pairs = [(name, _resolve(value, material)) for name, value in self.parameters]
        target = self.path if isinstance(self.path, bytes) else self.path.encode()
        body = b""
        if self.where == "query":
            target += b"?" + _form(pairs) if pairs else b""
        else:
            body = _form(pairs) if self.where == "form" else _json(pairs)
        if self.encoding:
            body = body.decode("latin-1").encode(self.encoding)
        framing, framed = _frame(body if self.body is None else self.body, self.framing)
        headers = [(name, _resolve(value, material)) for name, value in self.headers]
        return message(self.method, target, (("Host", "127.0.0.1"), *headers, *framing), framed)


BASIC = ("Authorization", Valid("basic"))
INTROSPECTION = ("Authorization", Valid("introspection bearer"))
ADMIN = ("Authorization", Valid("admin bearer"))
PUBLIC = ("client_id", Valid("client_id"))
DEVICE = ("client_id", Valid("device client_id"))

GOOD = {
    "metadata": Request("GET", "/.well-known/oauth-authorization-server"),
    "resource metadata": Request("GET", "/.well-known/oauth-protected-resource"),
    "healthz": Request("GET", "/healthz"),
    "readyz": Request("GET", "/readyz"),
    "jwks": Request("GET", "/jwks.json"),
    "denylist": Request("GET", "/admin/denylist", headers=(ADMIN,)),
    "keys": Request("GET", "/admin/keys", headers=(ADMIN,)),
    "state": Request("GET", "/admin/state", headers=(ADMIN,)),
    "event": Request(
        "POST",
        "/admin/events",
        "json",
        (("event", "user_deleted"), ("account", "nobody"), ("user", "at all")),
        (JSON, ADMIN),
    ),
    # Without `wait`, whose mutants would wait.
    "feed": Request(
        "GET",
        "/denylist",
        parameters=(("since", "AAAAAAAAAAAA.1~BBBBBBBBBBBB.22"),),
        headers=(INTROSPECTION, ("If-None-Match", 'W/"00000000000000000000000000000000"')),
    ),
    "register": Request(
        "POST",
        "/register",
        "json",
        (
            ("redirect_uris", [REDIRECT_URI, "https://app.example/callback"]),
            ("token_endpoint_auth_method", "client_secret_post"),
            ("grant_types", ["authorization_code", "refresh_token"]),
            ("response_types", ["code"]),
            ("client_name", "Fuzz"),
            ("scope", "mcp"),
        ),
        (JSON,),
    ),
    "authorize": Request(
        "GET",
        "/authorize",
        parameters=(
            PUBLIC,
            ("redirect_uri", REDIRECT_URI),
            ("response_type", "code"),
            ("state", "state"),
            ("code_challenge", Valid("challenge")),
            ("code_challenge_method", "S256"),
            ("scope", "mcp"),
            ("resource", Valid("issuer")),
        ),
        headers=(("Cookie", Valid("cookie")),),
    ),
    "push": Request(
        "POST",
        "/par",
        "form",
        (
            PUBLIC,
            ("redirect_uri", REDIRECT_URI),
            ("response_type", "code"),
            ("state", "state"),
            ("code_challenge", Valid("challenge")),
            ("code_challenge_method", "S256"),
            ("resource", Valid("issuer")),
        ),
        (FORM, ("DPoP", Valid("proof for /par"))),
    ),
    "authorize what was pushed": Request(
        "GET",
        "/authorize",
        parameters=(PUBLIC, ("request_uri", Valid("request_uri"))),
        headers=(("Cookie", Valid("cookie")),),
    ),
    "decide": Request(
        "POST",
        "/authorize",
        "form",
        (("request", Valid("request")), ("api_key", Valid("api_key")), ("decision", "allow")),
        (FORM, ("Cookie", Valid("cookie"))),
    ),
    "redeem": Request(
        "POST",
        "/token",
        "form",
        (
            ("grant_type", "authorization_code"),
            PUBLIC,
            ("code", Valid("code")),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", Valid("verifier")),
            ("resource", Valid("issuer")),
        ),
        (FORM,),
    ),
    "refresh": Request(
        "POST",
        "/token",
        "form",
        (("grant_type", "refresh_token"), PUBLIC, ("refresh_token", Valid("refresh_token")), ("scope", "mcp")),
        (FORM,),
    ),
    "refresh with a proof": Request(
        "POST",
        "/token",
        "form",
        (("grant_type", "refresh_token"), PUBLIC, ("refresh_token", Valid("bound refresh_token"))),
        (FORM, ("DPoP", Valid("proof for /token"))),
    ),
    "refresh as a confidential client": Request(
        "POST",
        "/token",
        "form",
        (("grant_type", "refresh_token"), ("refresh_token", Valid("confidential refresh_token"))),
        (FORM, BASIC),
    ),
    "refresh as a client that signs": Request(
        "POST",
        "/token",
        "form",
        (
            ("grant_type", "refresh_token"),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", Valid("client assertion")),
            ("refresh_token", Valid("signer's refresh_token")),
        ),
        (FORM,),
    ),
    "client credentials": Request(
        "POST",
        "/token",
        "form",
        (("grant_type", "client_credentials"), ("scope", "mcp"), ("resource", Valid("issuer"))),
        (FORM, ("Authorization", Valid("machine basic"))),
    ),
    "assertion": Request(
        "POST",
        "/token",
        "form",
        (
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", Valid("assertion")),
            ("scope", "mcp"),
            ("resource", Valid("issuer")),
        ),
        (FORM, ("Authorization", Valid("machine basic"))),
    ),
    "ask for codes": Request(
        "POST",
        "/device_authorization",
        "form",
        (DEVICE, ("scope", "mcp"), ("resource", Valid("issuer"))),
        (FORM,),
    ),
    "poll": Request(
        "POST",
        "/token",
        "form",
        (
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            DEVICE,
            ("device_code", Valid("device_code")),
            ("resource", Valid("issuer")),
        ),
        (FORM,),
    ),
    "open the page for codes": Request("GET", "/device", parameters=(("user_code", Valid("user_code")),)),
    "enter a code": Request(
        "POST",
        "/device",
        "form",
        (("page", Valid("device entry")), ("user_code", Valid("user_code"))),
        (FORM, ("Cookie", Valid("device cookie"))),
    ),
    "decide on a device": Request(
        "POST",
        "/device",
        "form",
        (("page", Valid("device page")), ("api_key", Valid("api_key")), ("decision", "allow")),
        (FORM, ("Cookie", Valid("device cookie"))),
    ),
    "introspect": Request(
        "POST",
        "/introspect",
        "form",
        (("token", Valid("access_token")), ("token_type_hint", "access_token")),
        (FORM, INTROSPECTION),
    ),
    "introspect a JWT": Request("POST", "/introspect", "form", (("token", Valid("assertion")),), (FORM, INTROSPECTION)),
    "revoke": Request(
        "POST",
        "/revoke",
        "form",
        (("token", Valid("refresh_token")), ("token_type_hint", "refresh_token"), PUBLIC),
        (FORM,),
    ),
    "admin revoke": Request(
        "POST", "/admin/revoke", "json", (("kind", "user"), ("subject", "acme/nobody")), (JSON, ADMIN)
    ),
}


def _resolve(value: Value, material: Mapping[str, str]) -> Any:
    if isinstance(value, Long):
        return "x" * value.size
    return material[value.name] if isinstance(value, Valid) else value


def _form(pairs: list[tuple[str, Any]]) -> bytes:
    return encode((name, json.dumps(value) if isinstance(value, list) else value) for name, value in pairs)


def _json(pairs: list[tuple[str, Any]]) -> bytes:
    """An object whose names may come twice, and whose values may be no JSON."""
    members = (
        json.dumps(name).encode() + b":" + (value if isinstance(value, bytes) else json.dumps(value).encode())
        for name, value in pairs
    )
    return b"{" + b",".join(members) + b"}"


def _frame(body: bytes, framing: str) -> tuple[Headers, bytes]:
    """How long the body is, told in one of the ways of FRAMINGS."""
    length = ("Content-Length", str(len(body)))
    transfer = ("Transfer-Encoding", "chunked")
    match framing:
        case "chunked" | "bytewise":
            return (transfer,), chunked(body, 1 if framing == "bytewise" else 100)
        case "bad chunk":
            return (transfer,), b"5;x=y\r\n" + body
        case "short" | "long":
            return (("Content-Length", str(max(len(body) + (7 if framing == "long" else -7), 0))),), body
        case "both":
            return (length, transfer), chunked(body, 100)
        case "twice":
            return (length, ("Content-Length", str(len(body) + 1))), body
        case "absurd":
            return (("Content-Length", "9" * 40),), body
        case _:
            return (length,) if body and framing == "length" else (), body
