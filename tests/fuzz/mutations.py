"""Ways to get a request wrong. A plan is a good request and a few of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from tests.fuzz.requests import FRAMINGS, GOOD, Long, Request, Valid, Value, Where

CANARY = "zQ7<i>"
"""Stands in every invented text, so that an answer or a log that repeats what it was given is found out."""


Mutation = Callable[[Request], Request]


@dataclass(frozen=True)
class Change:
    """One parameter changed: which one, counted round, and what its new values are."""

    at: int
    values: tuple[Value, ...]

    def __call__(self, request: Request) -> Request:
        pairs = request.parameters
        if not pairs:
            return request
        at = self.at % len(pairs)
        changed = tuple((pairs[at][0], value) for value in self.values)
        return replace(request, parameters=(*pairs[:at], *changed, *pairs[at + 1 :]))


@dataclass(frozen=True)
class Repeat:
    """One parameter stands twice, the second time with another value or its own."""

    at: int
    value: Value | None

    def __call__(self, request: Request) -> Request:
        if not request.parameters:
            return request
        name, own = request.parameters[self.at % len(request.parameters)]
        return replace(request, parameters=(*request.parameters, (name, own if self.value is None else self.value)))


@dataclass(frozen=True)
class Add:
    name: str
    value: Value

    def __call__(self, request: Request) -> Request:
        return replace(request, parameters=(*request.parameters, (self.name, self.value)))


@dataclass(frozen=True)
class Header:
    """Set a header in place of its like, or beside it; None takes it away."""

    name: str
    value: str | bytes | Valid | None
    beside: bool = False

    def __call__(self, request: Request) -> Request:
        kept = tuple(pair for pair in request.headers if self.beside or pair[0] != self.name)
        return replace(request, headers=kept if self.value is None else (*kept, (self.name, self.value)))


@dataclass(frozen=True)
class Path:
    """Another path, or the request's own between a prefix and a suffix."""

    before: bytes
    after: bytes
    keep: bool = True

    def __call__(self, request: Request) -> Request:
        own = request.path if isinstance(request.path, bytes) else request.path.encode()
        return replace(request, path=self.before + (own if self.keep else b"") + self.after)


@dataclass(frozen=True)
class Set:
    """Another method, place of the parameters, body, framing or encoding."""

    method: str | None = None
    where: Where | None = None
    body: bytes | None = None
    framing: str | None = None
    encoding: str | None = None

    def __call__(self, request: Request) -> Request:
        return Request(
            self.method or request.method,
            request.path,
            self.where or request.where,
            request.parameters,
            request.headers,
            request.body if self.body is None else self.body,
            self.framing or request.framing,
            self.encoding or request.encoding,
        )


@dataclass(frozen=True)
class Plan:
    good: str
    wrong: tuple[Mutation, ...] = ()

    def request(self) -> Request:
        request = GOOD[self.good]
        for mutate in self.wrong:
            request = mutate(request)
        return request


ISSUED = ("client_id", "confidential client_id", "code", "refresh_token", "access_token", "request", "api_key", "family")
NAMES = sorted({name for request in GOOD.values() for name, _ in request.parameters} | {
    "client_secret", "error", "iss", "jwks", "jwks_uri", "nonce", "password", "prompt", "request_uri", "response_mode",
    "username", "client", "token_endpoint_auth_method", "", "é", "grant_type ", "GRANT_TYPE",
})  # fmt: skip
KNOWN = (
    "authorization_code", "refresh_token", "client_credentials", "password", "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "code", "token", "code id_token", "query", "fragment", "form_post", "none", "client_secret_basic", "private_key_jwt",
    "S256", "plain", "allow", "deny", "mcp", "offline_access", "mcp mcp", "https://other.example", "everything", "user",
    "account", "user-client", "credential", "client", "family", "token", "acme/ada", "a/b/c", "%ff/x", "%00", "javascript:alert(1)",
    "http://127.0.0.1:1/callback", "https://app.example/callback", "", " ", "null", "0", "true",
)  # fmt: skip
BROKEN = (
    b"%", b"%z", b"%zz", b"%0", b"%ff", b"%c3%28", b"%ed%a0%80", b"%f4%90%80%80", b"%00", b"\xff\xfe", b"\xe9", b"\x00",
    b"%0d%0aX-Injected:+1", b"a;b=c", b"+", b"&&&", b"=", b"%25ff", b"%EF%BB%BF", b"null", b"[]", b"{}", b"[1]", b"1",
    b"-1", b"1e999", b"-0.0", b"NaN", b"Infinity", b"true", b"9" * 5000, b"[" * 9000, b'{"a":' * 5000, b'"\\ud800"',
    b'"\\u0000"', b'"\xff"', b"'x'", b'["a",1]', b'[["a"]]', b"/*c*/1", b"0x10", b"01", b'{"":null}', b'"\n"', b"[,]",
)  # fmt: skip
AUTHORIZATIONS = (
    b"", b"Basic", b"Basic ", b"Basic =", b"Basic !!!", b"Basic Og==", b"Basic /////w==", b"Basic Zm9v", b"Basic Zm9vOmJhcg",
    b"Basic Zm9vOg==", b"Basic Zm9vOmJhcg== x", b"basic  Zm9vOmJhcg==", b"BASIC Zm9vOmJhcg==", b"Basic OmJhcg==",
    b"Basic JUZGOiVGRg==", b"Bearer", b"Bearer ", b"Bearer a b", b"bearer  x", b"Bearer \xe9", b"Bearer \xff\xfe",
    b"Digest username=x", b"Negotiate AAAA", b"zQ7<i>", b"Bearer " + b"A" * 9000, b"Basic " + b"QUFB" * 3000, b"DPoP x",
)  # fmt: skip
HEADERS = (
    ("Content-Type", "application/x-www-form-urlencoded; charset=latin-1"), ("Content-Type", "APPLICATION/JSON"),
    ("Content-Type", "application/json; charset=utf-16"), ("Content-Type", "multipart/form-data; boundary=x"),
    ("Content-Type", "text/plain"), ("Content-Type", ""), ("Content-Type", ";"), ("Content-Type", b"\xff\xfe"),
    ("Content-Type", None), ("Content-Type", "application/json, application/x-www-form-urlencoded"),
    ("Authorization", None), ("Authorization", Valid("basic")), ("Authorization", Valid("admin bearer")),
    ("Authorization", Valid("introspection bearer")), ("Cookie", None), ("Cookie", ""), ("Cookie", "zQ7"), ("Cookie", "=;=;;="),
    ("Cookie", "tokensvc-=x; tokensvc-(=1; tokensvc-\"=2; tokensvc- =3; tokensvc-;tokensvc-@=4; tokensvc-,=5"),
    ("Cookie", "; ".join(f"tokensvc-{n:015x}=zQ7" for n in range(9))), ("Cookie", b'tokensvc-a="\\777\\x\xff"'),
    ("Origin", "null"), ("Origin", "https://zQ7.example"), ("Origin", b"\xff"), ("Access-Control-Request-Method", "PUT"),
    ("Access-Control-Request-Headers", "x\xe9,y"), ("X-Request-Id", "ok-1"), ("X-Request-Id", "no\xff"), ("X-Request-Id", "x" * 99),
    ("X-Forwarded-For", ""), ("X-Forwarded-For", "[::1"), ("X-Forwarded-For", "2001:db8::1, 10.0.0.1:x"), ("X-Forwarded-For", "\xe9, ,"),
    ("X-Forwarded-Proto", "gopher"), ("X-Forwarded-Proto", "https"), ("Expect", "100-continue"), ("Expect", "zQ7"), ("Host", ""),
    ("Upgrade", "websocket"), ("Connection", "upgrade"), ("Connection", "close"), ("Range", "bytes=0-1"), ("Accept", "text/zQ7"),
    ("X-Large", "x" * 9000), ("X-Huge", "x" * 40_000), ("Content-Encoding", "gzip"), ("Bad Name", "1"), ("X-Bad", b"a\x00b"), ("X-Fold", b"a\r\n b"),
)  # fmt: skip
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "QUERY", "X-Y", "P\xe9ST", "")
PATHS = (
    (b"", b"/"), (b"/", b""), (b"", b"//"), (b"", b"%00"), (b"", b"%ff"), (b"", b";x=y"), (b"/.", b""), (b"/x/..", b""), (b"", b"%2f"),
    (b"http://other.example", b""), (b"", b"?"), (b"", b"?%"), (b"", b"?" + b"." * 9000), (b"", b"?" + b"a=1&" * 65), (b"", b"#f"),
    (b"", b" x"), (b"", b"\xe9"), (b"*", b""), (b"", b"?a=%ed%a0%80"), (b"", b"." * 60_000),
)  # fmt: skip

_invented = st.text(st.characters(), max_size=12).map(lambda text: f"{text}{CANARY}{text}")
_values: st.SearchStrategy[Value] = st.one_of(
    _invented,
    st.sampled_from(KNOWN),
    st.sampled_from(BROKEN),
    st.sampled_from(ISSUED).map(Valid),
    st.sampled_from([64, 512, 2048, 2049, 5000, 17_000, 70_000]).map(Long),
    st.lists(st.one_of(_invented, st.sampled_from(KNOWN)), max_size=10),
    st.binary(max_size=12).map(lambda raw: b"%ff" + raw.replace(b"\n", b"").replace(b"\r", b"").replace(b" ", b"+")),
)
_places = st.integers(0, 9)
_of_parameters: st.SearchStrategy[Mutation] = st.one_of(
    st.builds(Change, _places, st.tuples(_values)),
    st.builds(Change, _places, st.just(())),
    st.builds(Repeat, _places, st.none() | _values),
    st.builds(Add, st.sampled_from(NAMES), _values),
)
_of_the_message: st.SearchStrategy[Mutation] = st.one_of(
    st.sampled_from(AUTHORIZATIONS).map(lambda value: Header("Authorization", value)),
    st.builds(lambda pair, beside: Header(*pair, beside=beside), st.sampled_from(HEADERS), st.booleans()),
    st.sampled_from(PATHS).map(lambda pair: Path(*pair)),
    st.sampled_from(METHODS).map(lambda method: Set(method=method)),
    st.sampled_from(FRAMINGS).map(lambda framing: Set(framing=framing)),
    st.sampled_from(["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7"]).map(lambda name: Set(encoding=name)),
    st.sampled_from(["query", "form", "json"]).map(lambda where: Set(where=where)),
    st.one_of(st.sampled_from([b"", b"{", b"x" * 70_000, b"." * 60_000, b"a=1&" * 65, *BROKEN]), st.binary(max_size=40)).map(
        lambda body: Set(body=body)
    ),
)
_deep = sorted(name for name, request in GOOD.items() if request.parameters)
plans = st.builds(
    Plan,
    st.sampled_from(_deep * 4 + sorted(GOOD.keys() - set(_deep))),
    st.lists(_of_parameters | _of_parameters | _of_the_message, max_size=3).map(tuple),
)
"""Mostly of requests that take parameters, and mostly with these wrong."""
