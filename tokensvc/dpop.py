"""DPoP proofs (RFC 9449 §4): that whoever sends a request holds the private key that its token is bound to.

At the bottom of the layers, beside nothing of ours but what judges keys: the service reads proofs at its endpoints, and
a resource server by the kit. What a proof has to say is here, in the order of §4.3.
"""

import hashlib
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jws import extract_compact, validate_compact

from tokensvc.jose import ALGORITHMS, Key, Registry, algorithms_of, public_key

LONGEST_PROOF = 4_096
"""Characters. With the longest RSA key and a nonce a proof has about 3,700."""
_REGISTRY = Registry(LONGEST_PROOF)
_TYPE = "dpop+jwt"
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
_LONGEST = {"jti": 256, "htm": 32, "htu": 2_048, "nonce": 256, "ath": 64}
_LAST_SECOND = 1 << 40
_PORTS = {"http": ":80", "https": ":443"}
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")


class InvalidProof(Exception):
    """Why a proof proves nothing. The text holds nothing of what was sent, so its sender may read it."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof whose signature is right. What it is a proof of is to be checked.

    `jkt` is the thumbprint of its key (RFC 7638), `iat` is in seconds since the epoch; `nonce` and `ath` are empty
    where the proof has none.
    """

    jkt: str
    jti: str
    htm: str
    htu: str
    iat: int
    nonce: str
    ath: str

    @property
    def use(self) -> str:
        """What is used once (§11.1): the jti, which another key may have chosen too."""
        return _digest(f"{self.jkt} {self.jti}")[:22]

    def check_request(self, method: str, url: str) -> None:
        """The request that it is for, `url` as the server is known by. Raises InvalidProof (§4.3, 8 and 9)."""
        if self.htm != method:
            raise InvalidProof("htm is another method than the request's")
        if _normalised(self.htu) != _normalised(url):
            raise InvalidProof("htu is another URL than the request's")

    def check_age(self, now: int, window: int) -> None:
        """Where no nonce says how fresh it is; both in seconds, clocks may go either way. Raises InvalidProof (11)."""
        if abs(now - self.iat) > window:
            raise InvalidProof(f"iat is more than {window} seconds away from the time here")

    def check_token(self, token: str, jkt: str) -> None:
        """The access token that it comes with, and the key that this is bound to. Raises InvalidProof (12)."""
        if self.ath != _digest(token):
            raise InvalidProof("ath is not the digest of the access token")
        if self.jkt != jkt:
            raise InvalidProof("the access token is bound to another key")


def read(headers: Sequence[str]) -> Proof:
    """The one proof of a request, by all its `DPoP` headers. Raises InvalidProof (§4.3, 1 to 7)."""
    if len(headers) != 1:
        raise InvalidProof("there has to be one DPoP header")
    (value,) = headers
    if len(value) > LONGEST_PROOF or not _COMPACT.fullmatch(value):
        raise InvalidProof("it is not one JWT, or too long")
    try:
        signed = extract_compact(value.encode(), registry=_REGISTRY)
        key = _key(signed.headers())
        if not validate_compact(signed, key, registry=_REGISTRY):
            raise InvalidProof("its signature is wrong")
        return _proof(key.thumbprint(), json.loads(signed.payload))
    except (JoseError, ValueError, RecursionError):
        raise InvalidProof("it is not a JWT that can be read") from None


def is_thumbprint(text: str) -> bool:
    """Whether it has the form of one (RFC 7638 with SHA-256)."""
    return _THUMBPRINT.fullmatch(text) is not None


def _key(header: Any) -> Key:
    """The public key in the header, which its algorithm has to fit. Raises InvalidProof."""
    if not isinstance(header, dict):
        raise InvalidProof("its header is no object")
    algorithm, jwk = header.get("alg"), header.get("jwk")
    if header.get("typ") != _TYPE:
        raise InvalidProof(f"typ is not {_TYPE}")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise InvalidProof("alg is none of those that are supported")
    if "crit" in header or "b64" in header:
        raise InvalidProof("it has a header that has to be understood, and is not")
    if not isinstance(jwk, dict):
        raise InvalidProof("jwk is missing")
    if algorithm not in algorithms_of(jwk):
        raise InvalidProof("jwk is a key of another kind than alg needs")
    try:
        return public_key(jwk)
    except ValueError as error:
        raise InvalidProof(f"jwk {error}") from None


def _proof(jkt: str, claims: Any) -> Proof:
    """Raises InvalidProof (§4.2)."""
    if not isinstance(claims, dict):
        raise InvalidProof("its claims are no object")
    texts = {name: claims.get(name, "") for name in _LONGEST}
    if not all(isinstance(text, str) and len(text) <= _LONGEST[name] for name, text in texts.items()):
        raise InvalidProof("a claim is no text, or too long")
    if not (texts["jti"] and texts["htm"] and texts["htu"]):
        raise InvalidProof("jti, htm or htu is missing")
    iat = claims.get("iat")
    # Some write fractions of a second, which a NumericDate may have (RFC 7519 §2).
    if isinstance(iat, bool) or not isinstance(iat, int | float) or not 0 <= iat <= _LAST_SECOND:
        raise InvalidProof("iat is missing, or no time")
    return Proof(jkt=jkt, iat=int(iat), **texts)


def _normalised(url: str) -> str:
    """Without query and fragment, by syntax and scheme (RFC 3986 §6.2.2 and §6.2.3). Raises InvalidProof."""
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), parts.netloc.lower()
    except ValueError:
        raise InvalidProof("htu is no URL") from None
    path = _ESCAPE.sub(_spelled, parts.path) or "/"
    return f"{scheme}://{host.removesuffix(_PORTS.get(scheme, ':'))}{path}"


def _spelled(escape: re.Match[str]) -> str:
    """What needs no escape without, all others in upper case."""
    character = chr(int(escape[0][1:], 16))
    return character if _UNRESERVED.fullmatch(character) else escape[0].upper()


def _digest(text: str) -> str:
    """SHA-256 in base64url."""
    return urlsafe_b64encode(hashlib.sha256(text.encode(errors="surrogatepass")).digest()).decode().rstrip("=")
