"""Values that are known to trouble parsers, by the place in a request where they go."""

from __future__ import annotations

from tests.fuzz.requests import GOOD, Valid


def _words(text: str) -> list[str]:
    return text.split()


CANARY = "zQ7<i>"
"""Stands in every invented text, so that an answer or a log that repeats what it was given is found out."""

ISSUED = [
    "client_id",
    "confidential client_id",
    "code",
    "access_token",
    "refresh_token",
    "request",
    "request_uri",
    "bound refresh_token",
    "api_key",
    "family",
]
"""Values of the run's material that are good somewhere else."""

NAMES = [
    *sorted({name for request in GOOD.values() for name, _ in request.parameters}),
    *_words(
        "client_secret error iss jwks jwks_uri nonce password prompt dpop_jkt request_uri response_mode username client"
    ),
    *("", "é", "grant_type ", "GRANT_TYPE", "grant_type[]", "resource[0]", "__proto__"),
]

WORDS = [
    *_words("authorization_code refresh_token client_credentials password implicit code token query fragment"),
    *_words("none client_secret_basic private_key_jwt S256 plain allow deny mcp offline_access null true 0"),
    *_words("everything user account user-client credential client family acme/ada a/b/c %ff/x %00"),
    *("urn:ietf:params:oauth:grant-type:jwt-bearer", "code id_token", "mcp mcp", "https://other.example", "", " "),
    *("javascript:alert(1)", "http://127.0.0.1:1/callback", "https://app.example/callback", "cursor://x/y"),
]
"""Right in some place, wrong in most."""

ENCODED = [
    *b"% %z %zz %0 %ff %c3%28 %ed%a0%80 %f4%90%80%80 %00 \xff\xfe \xe9 \x00 a;b=c + &&& = %25ff %EF%BB%BF".split(b" "),
    b"%0d%0aX-Injected:+1",
]
"""Parameter values as they stand in a query or a form."""

JSONS = [
    *b'null [] {} [1] 1 -1 1e999 -0.0 NaN Infinity true 01 0x10 [,] \'x\' "\\ud800" "\\u0000" ["a",1]'.split(),
    *(b'[["a"]]', b"/*c*/1", b'{"":null}', b'"\n"', b'"\xff"', b"9" * 5000, b"[" * 9000, b'{"a":' * 5000),
]
"""Member values as they stand in JSON; some are none."""

BODIES = [b"", b"{", b"x" * 70_000, b"." * 60_000, b"a=1&" * 65, *ENCODED, *JSONS]

ENCODINGS = ["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7"]

METHODS = [*_words("GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT get QUERY X-Y P\xe9ST"), ""]

SUFFIXES = [
    *b"/ // %00 %ff ;x=y %2f ? ?% #f \xe9 /.. ?a=%ed%a0%80".split(),
    *(b" x", b"?" + b"." * 9000, b"?" + b"a=1&" * 65, b"." * 60_000),
]

PREFIXES = [b"/", b"/.", b"/x/..", b"http://other.example", b"*"]

HEADERS: dict[str, list[str | bytes | Valid | None]] = {
    "Content-Type": [
        *("application/x-www-form-urlencoded; charset=latin-1", "APPLICATION/JSON", "application/json; charset=utf-16"),
        *("application/json, application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"),
        *("", ";", b"\xff\xfe", None),
    ],
    "Authorization": [
        *(None, Valid("basic"), Valid("admin bearer"), Valid("introspection bearer"), b"", b"Basic", b"Basic "),
        *(b"Basic =", b"Basic !!!", b"Basic Og==", b"Basic /////w==", b"Basic Zm9v", b"Basic Zm9vOmJhcg"),
        *(b"Basic Zm9vOg==", b"Basic Zm9vOmJhcg== x", b"basic  Zm9vOmJhcg==", b"BASIC Zm9vOmJhcg==", b"Basic OmJhcg=="),
        *(b"Basic JUZGOiVGRg==", b"Bearer", b"Bearer ", b"Bearer a b", b"bearer  x", b"Bearer \xe9", b"Bearer \xff"),
        *(b"Digest username=x", b"Negotiate AAAA", b"DPoP x", b"Bearer " + b"A" * 9000, b"Basic " + b"QUFB" * 3000),
        CANARY,
    ],
    "DPoP": [
        *(None, Valid("proof for /token"), Valid("proof for /par"), b"", b"..", b"a.b.c", b"\xe9.\xff.", b"x" * 5000),
        # An unsigned one, and one with a header that is deep.
        b"eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6Im5vbmUiLCJqd2siOnsia3R5Ijoib2N0In19.e30.",
        b"W1tb" * 700 + b".e30.AAAA",
    ],
    "Cookie": [
        *(None, "", "zQ7", "=;=;;=", b'tokensvc-a="\\777\\x\xff"'),
        'tokensvc-=x; tokensvc-(=1; tokensvc-"=2; tokensvc- =3; tokensvc-;tokensvc-@=4; tokensvc-,=5',
        "; ".join(f"tokensvc-{number:015x}=zQ7" for number in range(9)),
    ],
    "Origin": ["null", "https://zQ7.example", b"\xff"],
    "Access-Control-Request-Method": ["PUT", "GET", "\xe9"],
    "Access-Control-Request-Headers": ["x\xe9,y", "*"],
    "X-Request-Id": ["ok-1", "no\xff", "x" * 99],
    "X-Forwarded-For": ["", "[::1", "2001:db8::1, 10.0.0.1:x", "\xe9, ,"],
    "X-Forwarded-Proto": ["gopher", "https"],
    "Expect": ["100-continue", "zQ7"],
    "Connection": ["upgrade", "close"],
    "Upgrade": ["websocket", "h2c"],
    "Content-Encoding": ["gzip"],
    "Host": ["", "\xe9"],
    "Accept": ["text/zQ7"],
    "Range": ["bytes=0-1"],
    "X-Large": ["x" * 9000, "x" * 40_000],
    "X-Bad": [b"a\x00b", b"a\r\n b"],
    "Bad Name": ["1"],
}
