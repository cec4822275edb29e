"""What is forged, oversized or deep is refused early, quietly and without a trace of it in the log.

Faults 22 (mutated JWEs) and 23 (huge headers, dots without end, deep JSON; the worst state behind nginx's default
buffers). tests/tokens/test_mutations.py tries many more mutations on the sealer itself.
"""

from __future__ import annotations

import base64
import json
import random
import re
import socket
import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from string import ascii_letters, digits
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from tests.flows.balancer import Balancer
from tests.flows.conftest import LONG_KEY, Start
from tests.flows.wire import connect, read_answer
from tests.proofs import bound
from tests.replica import ADMIN_TOKEN, INTROSPECTION_TOKEN, TLS, Client, Replica, hidden_inputs

MUTATIONS = 500
"""Of each artefact, in each place."""
NGINX_BUFFER = 4096
"""What nginx gives an answer's headers where nobody configured anything else, on machines with pages of 4 KB."""
ALPHABET = ascii_letters + digits + "-_"

HEADERS: list[dict[str, object]] = [
    {"alg": "none"},
    {"alg": "none", "enc": "none"},
    {"alg": "dir", "enc": "A128GCM"},
    {"alg": "dir", "enc": "A128CBC-HS256"},
    {"alg": "A256KW"},
    {"alg": "RSA-OAEP"},
    {"alg": "ECDH-ES", "epk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}},
    {"alg": "PBES2-HS256+A128KW", "p2s": "AAAAAAAA", "p2c": 2_000_000_000},
    {"zip": "DEF"},
    {"crit": ["exp"], "exp": 1},
    {"crit": ["b64"], "b64": False},
    {"kid": "../../../etc/passwd"},
    {"kid": None},
    {"kid": 1},
    {"kid": ["k1"]},
    {"kid": "k" * 1000},
    {"jku": "http://127.0.0.1:1/keys"},
    {"jwk": {"kty": "oct", "k": "AAAA"}},
    {"x5u": "http://127.0.0.1:1/x5u"},
    {"cty": "JWE"},
    {"typ": "JWT"},
]


@pytest.fixture(scope="module")
def replica(start: Start) -> Replica:
    """Without limits, which a fast machine's mutations of a confidential client_id would exceed."""
    return start("memory://", limits="off")


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def forged_headers(value: str) -> Iterator[str]:
    """The artefact with other headers before it: changed, reordered, spaced, repeated, or none at all."""
    prefix, _, jwe = value.partition("_")
    header, rest = jwe.split(".", 1)
    known = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    documents = [json.dumps(known | change, separators=(",", ":")).encode() for change in HEADERS]
    documents += [json.dumps(known).encode(), json.dumps(dict(reversed(known.items()))).encode(), b"{}", b"", b"null"]
    documents += [b"[" * 5000, b"\xff\xfe", json.dumps(known, separators=(",", ":"))[:-1].encode() + b',"kid":"k2"}']
    return (f"{prefix}_{encode(document)}.{rest}" for document in documents)


def misshapen(value: str) -> Iterator[str]:
    """The artefact with parts left out, added, swapped, padded or spelt differently."""
    prefix, _, jwe = value.partition("_")
    parts = jwe.split(".")
    for index in range(len(parts)):
        yield f"{prefix}_{'.'.join(parts[:index] + parts[index + 1 :])}"
        yield f"{prefix}_{'.'.join([*parts[:index], '', *parts[index:]])}"
        yield f"{prefix}_{'.'.join([*parts[:index], parts[index] + '=', *parts[index + 1 :]])}"
        yield f"{prefix}_{'.'.join([*parts[:index], parts[index] + 'A', *parts[index + 1 :]])}"
        yield f"{prefix}_{'.'.join([*parts[:index], '!' + parts[index][1:], *parts[index + 1 :]])}"
    yield from (jwe, f"{prefix}_", prefix, f"{prefix}_{prefix}_{jwe}", value + ".", value * 2, "." + value)
    yield from (f" {value}x", f"{value}\n", f"{value}\0", f"{value}é", value.upper(), value.swapcase(), value[:-1])
    yield from (value.replace("-", "+").replace("_", "/"), value.replace(".", "\N{FULLWIDTH FULL STOP}"))


def altered(value: str, chance: random.Random) -> Iterator[str]:
    """The artefact with characters changed, dropped, doubled or moved, anywhere."""
    while True:
        place = chance.randrange(len(value))
        other = chance.choice(ALPHABET)
        yield chance.choice(
            [
                value[:place] + other + value[place + 1 :],
                value[:place] + value[place + 1 :],
                value[:place] + other + value[place:],
                value[:place] + value[place:][::-1],
                value[place:] + value[:place],
                value[:place],
            ]
        )


def mutations(value: str) -> list[str]:
    """Always the same number, and never the artefact itself."""
    chance = random.Random(f"{MUTATIONS} of a {len(value)}")
    every = chain(forged_headers(value), misshapen(value), altered(value, chance))
    return list(islice((mutated for mutated in every if mutated.strip() not in {"", value}), MUTATIONS))


def quiet(replica: Replica) -> bool:
    """Whether no line holds anything as long as a part of a token: names are 22 characters at most."""
    replica.settled()
    return not [line for line in replica.lines if re.search(r"[A-Za-z0-9_-]{30,}|ts(at|rt|ac|cl|rq)_", line)]


def test_no_mutation_of_an_access_token_is_active(replica: Replica) -> None:
    """Fault 22, at /introspect and /revoke."""
    client = Client(replica.url)
    issued = client.sign_in()
    headers = {"Authorization": f"Bearer {INTROSPECTION_TOKEN}"}
    for mutated in mutations(issued.access):
        answer = client.http.post(f"{client.url}/introspect", data={"token": mutated}, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"active": False}), mutated
        assert client.revoke(mutated).status_code == 200, mutated
    assert client.active(issued.access)
    assert quiet(replica)


def test_no_mutation_of_a_refresh_token_or_code_is_good(replica: Replica) -> None:
    """Fault 22, at /token and /revoke; and the real ones are unused afterwards."""
    client = Client(replica.url)
    issued, code = client.sign_in(), client.code()
    attempts: list[tuple[str, Callable[[str], httpx.Response]]] = [
        (issued.refresh, client.refresh),
        (code, client.redeem),
    ]
    for value, attempt in attempts:
        for mutated in mutations(value):
            answer = attempt(mutated)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant"), mutated
    for mutated in mutations(issued.refresh)[:100]:
        assert client.revoke(mutated).status_code == 200, mutated
    assert client.redeem(code).status_code == 200
    assert client.refresh(issued.refresh).status_code == 200
    assert quiet(replica)


def test_no_mutation_of_a_client_id_is_a_client(replica: Replica) -> None:
    """Fault 22, at /token and /authorize. A client's own secret goes with no other client_id either."""
    client = Client(replica.url)
    client.register(token_endpoint_auth_method="client_secret_post")
    for mutated in mutations(client.client_id):
        answer = client.refresh("x", client_id=mutated)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), mutated
    for mutated in mutations(client.client_id)[:100]:
        _, page = client.page(client_id=mutated)
        assert (page.status_code, page.headers.get("location")) == (400, None), mutated
    assert client.refresh("x").json()["error"] == "invalid_grant"
    assert quiet(replica)


def test_no_mutation_of_a_sealed_request_is_granted(replica: Replica) -> None:
    """Fault 22, at POST /authorize, with a good cookie and a good API key."""
    client = Client(replica.url)
    client.register()
    url, page = client.page()
    for mutated in mutations(hidden_inputs(page.text)["request"]):
        answer = client.decide(url, page, request=mutated)
        assert (answer.status_code, answer.headers.get("location")) == (400, None), mutated
    assert client.decide(url, page).status_code == 303
    assert quiet(replica)


def test_a_header_of_a_megabyte_is_refused_before_it_has_arrived(replica: Replica) -> None:
    """Fault 23. The service stops reading, whether the header is a field, a cookie or the request line."""
    filler = b"x" * 1_000_000
    for head in (
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Filler: ",
        b"GET /authorize?state=",
        b"GET /healthz HTTP/1.1\r\n",
    ):
        with connect("127.0.0.1", replica.port) as connection:
            sent = 0
            try:
                connection.sendall(head)
                while sent < len(filler):
                    sent += connection.send(filler[sent : sent + 16_384])
                connection.shutdown(socket.SHUT_WR)
                status = read_answer(connection.makefile("rb")).status
            except ConnectionError:
                # Closed while this side was still sending, its answer lost with the connection.
                status = 400
            assert status in {400, 431}
    assert httpx.get(f"{replica.url}/healthz", verify=TLS).status_code == 200


@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke", "/authorize", "/register", "/admin/revoke"])
def test_a_body_of_a_megabyte_is_refused_whether_announced_or_not(replica: Replica, path: str) -> None:
    """Fault 23. By its length before any of it has come, and without a length once it is too long."""
    kind = "application/json" if path in {"/register", "/admin/revoke"} else "application/x-www-form-urlencoded"
    secret = ADMIN_TOKEN if path == "/admin/revoke" else INTROSPECTION_TOKEN
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nAuthorization: Bearer {secret}\r\n"
    with connect("127.0.0.1", replica.port) as connection:
        connection.sendall(f"{head}Content-Length: 1000000\r\n\r\n".encode())
        assert read_answer(connection.makefile("rb")).status == 413
    with connect("127.0.0.1", replica.port) as connection:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        connection.sendall(b"8000\r\n" + b"x" * 0x8000 + b"\r\n8001\r\n" + b"x" * 0x8001 + b"\r\n")
        assert read_answer(connection.makefile("rb")).status == 413


def test_dots_without_end_are_refused_as_anything_else_is(replica: Replica) -> None:
    """Fault 23. 60,000 of them, in every place where an artefact may stand, in no time."""
    client = Client(replica.url)
    issued = client.sign_in()
    url, page = client.page()
    dots = "." * 60_000
    began = time.monotonic()
    for value in (dots, f"tsat_{dots}", issued.access + dots):
        assert client.introspect(value) == {"active": False}
        assert client.refresh(value).json()["error"] == "invalid_grant"
        assert client.redeem(value).json()["error"] == "invalid_grant"
        assert client.revoke(value).status_code == 200
        assert client.refresh("x", client_id=value).status_code == 401
        assert client.decide(url, page, request=value).status_code == 400
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("document", ["[" * 60_000, '{"a":' * 10_000, '{"redirect_uris":' + "[" * 50_000, "1" * 60_000])
def test_deep_json_is_refused_and_the_service_lives(replica: Replica, document: str) -> None:
    """Fault 23. At registration and at the operators' endpoint."""
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{replica.url}/register", content=document, headers=headers, verify=TLS)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")
    headers["Authorization"] = f"Bearer {ADMIN_TOKEN}"
    answer = httpx.post(f"{replica.url}/admin/revoke", content=document, headers=headers, verify=TLS)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


STATES = {
    "letters": "x" * 2048,
    "base64": "".join(random.Random(1).choices(ascii_letters + digits + "+/", k=2046)) + "==",
    "any printable": "".join(random.Random(2).choices([chr(code) for code in range(0x20, 0x7F)], k=2048)),
}


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_the_longest_state_and_a_code_pass_nginx_with_its_default_buffers(
    balanced: tuple[Balancer, Replica, Replica], state: str
) -> None:
    """Fault 23. The longest identity that is ordinary, and the state comes back exactly."""
    client = balanced[0].client()
    client.api_key = LONG_KEY
    client.redirect_uri = "https://chatgpt.com/connector/oauth/" + "a" * 40
    client.register()
    url, page = client.page(state=state)
    assert page.status_code == 200, page.text
    answer = client.decide(url, page)
    assert answer.status_code == 303, answer.text
    parameters = dict(parse_qsl(urlsplit(answer.headers["location"]).query, strict_parsing=True))
    assert parameters["state"] == state
    assert len(answer.headers["location"]) < 3900
    assert header_bytes(answer) < NGINX_BUFFER
    assert client.redeem(parameters["code"]).status_code == 200
    denied = client.decide(*client.page(state=state), "deny")
    assert dict(parse_qsl(urlsplit(denied.headers["location"]).query))["state"] == state


@pytest.mark.needs("nginx")
def test_a_pushed_request_with_the_longest_state_and_a_key_passes_nginx_too(
    balanced: tuple[Balancer, Replica, Replica],
) -> None:
    """Fault 23. The request is longest in the URL of the page, the code where it is bound to a key."""
    client = bound(balanced[0].client())
    client.api_key = LONG_KEY
    client.redirect_uri = "https://chatgpt.com/connector/oauth/" + "a" * 40
    client.register()
    asked = dict(parse_qsl(client.authorize_url(state=STATES["any printable"]).partition("?")[2]))
    client.push(**asked)  # For the nonce.
    url, page = client.page(request_uri=client.push(**asked).json()["request_uri"])
    assert page.status_code == 200, page.text
    answer = client.decide(url, page)
    assert answer.status_code == 303, answer.text
    parameters = dict(parse_qsl(urlsplit(answer.headers["location"]).query, strict_parsing=True))
    assert parameters["state"] == STATES["any printable"]
    assert header_bytes(answer) < NGINX_BUFFER
    assert client.redeem(parameters["code"]).status_code == 200


def test_a_state_of_more_than_2048_characters_is_refused(replica: Replica) -> None:
    """Fault 23. With a page: an answer without the state would not be the client's."""
    client = Client(replica.url)
    client.register()
    _, page = client.page(state="x" * 2049)
    assert (page.status_code, page.headers.get("location")) == (400, None)


def header_bytes(answer: httpx.Response) -> int:
    """The size of an answer's status line and headers, as nginx has to hold them."""
    lines = [b"HTTP/1.1 303 See Other", *(name + b": " + value for name, value in answer.headers.raw), b""]
    return len(b"\r\n".join(lines)) + 2
