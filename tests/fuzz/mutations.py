"""Ways to get a request wrong. A plan is a good request and a few of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from tests.fuzz import hostile
from tests.fuzz.hostile import CANARY
from tests.fuzz.requests import FRAMINGS, GOOD, Long, Request, Valid, Value, Where

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
    """The request's own path between a prefix and a suffix."""

    before: bytes
    after: bytes

    def __call__(self, request: Request) -> Request:
        own = request.path if isinstance(request.path, bytes) else request.path.encode()
        return replace(request, path=self.before + own + self.after)


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


_invented = st.text(st.characters(), max_size=12).map(lambda text: f"{text}{CANARY}{text}")
_values: st.SearchStrategy[Value] = st.one_of(
    _invented,
    st.sampled_from(hostile.WORDS),
    st.sampled_from(hostile.ENCODED + hostile.JSONS),
    st.sampled_from(hostile.ISSUED).map(Valid),
    st.sampled_from([64, 512, 2048, 2049, 5000, 17_000, 70_000]).map(Long),
    st.lists(st.one_of(_invented, st.sampled_from(hostile.WORDS)), max_size=10),
    st.binary(max_size=12).map(lambda raw: b"%ff" + bytes(byte for byte in raw if byte not in b"\r\n ")),
)
_places = st.integers(0, 9)
_wheres: list[Where] = ["query", "form", "json"]
_of_parameters: st.SearchStrategy[Mutation] = st.one_of(
    st.builds(Change, _places, st.tuples(_values)),
    st.builds(Change, _places, st.just(())),
    st.builds(Repeat, _places, st.none() | _values),
    st.builds(Add, st.sampled_from(hostile.NAMES), _values),
)
_headers = [(name, value) for name, values in hostile.HEADERS.items() for value in values]
_of_the_message: st.SearchStrategy[Mutation] = st.one_of(
    st.sampled_from(hostile.HEADERS["Authorization"]).map(lambda value: Header("Authorization", value)),
    st.builds(lambda header, beside: Header(header[0], header[1], beside), st.sampled_from(_headers), st.booleans()),
    st.sampled_from(hostile.SUFFIXES).map(lambda suffix: Path(b"", suffix)),
    st.sampled_from(hostile.PREFIXES).map(lambda prefix: Path(prefix, b"")),
    st.sampled_from(hostile.METHODS).map(lambda method: Set(method=method)),
    st.sampled_from(FRAMINGS).map(lambda framing: Set(framing=framing)),
    st.sampled_from(hostile.ENCODINGS).map(lambda encoding: Set(encoding=encoding)),
    st.sampled_from(_wheres).map(lambda where: Set(where=where)),
    st.one_of(st.sampled_from(hostile.BODIES), st.binary(max_size=40)).map(lambda body: Set(body=body)),
)
_deep = sorted(name for name, request in GOOD.items() if request.parameters)
plans = st.builds(
    Plan,
    st.sampled_from(_deep * 4 + sorted(GOOD.keys() - set(_deep))),
    st.lists(_of_parameters | _of_parameters | _of_the_message, max_size=3).map(tuple),
)
"""Mostly of requests that take parameters, and mostly with these wrong."""
