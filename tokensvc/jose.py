"""What others sign, and with which keys (JWS and JWK, RFC 7515 and 7517): one judgement for the whole project.

At the bottom of the layers, beside nothing of ours: proofs of a key, assertions and published key sets are all judged
here. What is cryptography is joserfc's.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode

ALGORITHMS: Final[Mapping[str, tuple[str, str]]] = {
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "Ed25519": ("OKP", "Ed25519"),
    "EdDSA": ("OKP", "Ed25519"),
    "RS256": ("RSA", ""),
    "PS256": ("RSA", ""),
}
"""Asymmetric ones alone, each with the key type and curve that it takes (RFC 7518 §3.1, RFC 9864 §2, RFC 8037 §3.1)."""
Key = RSAKey | ECKey | OKPKey

_CLASSES: Final[Mapping[str, type[Key]]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_MEMBERS = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x")}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_RSA_BITS = range(2048, 8193)
# A longer exponent makes checking one signature as slow as making hundreds.
_EXPONENT_BITS = range(2, 34)
_LONGEST_SIGNATURE = 2_048
"""Characters of base64url. One with the longest RSA key has 1,366."""


class Registry(JWSRegistry):
    """These algorithms and no others; the header and the payload have at most `longest` characters of base64url."""

    max_signature_length = _LONGEST_SIGNATURE

    def __init__(self, longest: int, algorithms: Collection[str] = ALGORITHMS) -> None:
        super().__init__(algorithms=algorithms, strict_check_header=False)
        self.max_header_length = self.max_payload_length = longest

    def get_alg(self, name: str) -> JWSAlgModel:
        """The library warns of EdDSA, the older name of Ed25519 (RFC 9864), at every use, and most still write it.

        The two are the same with the one curve that `public_key` lets in.
        """
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError("not supported")
        return self.algorithms["Ed25519" if name == "EdDSA" else name]


def algorithms_of(jwk: Mapping[str, Any]) -> frozenset[str]:
    """What a key of its type and on its curve may sign with: nothing, where that is none of ours."""
    kind = (jwk.get("kty"), jwk.get("crv") if jwk.get("kty") != "RSA" else "")
    return frozenset(name for name, takes in ALGORITHMS.items() if takes == kind)


def public_key(jwk: Mapping[str, Any]) -> Key:
    """The key that a JWK describes (RFC 7518 §6, RFC 8037 §2). What else stands in it has no say.

    Raises ValueError for one that no signature should be checked with; the text holds nothing of it.
    """
    if not algorithms_of(jwk):
        raise ValueError("is a key of no kind that is supported")
    # With its private part it proves nothing any more.
    if _PRIVATE & jwk.keys():
        raise ValueError("is no public key")
    kty = jwk["kty"]
    members: dict[str, Any] = {name: jwk.get(name) for name in _MEMBERS[kty]}
    if not all(isinstance(value, str) for value in members.values()):
        raise ValueError("lacks a part of the key")
    # Before it is imported: the library would write a warning of a short one to standard error.
    if kty == "RSA" and not (_bits(members["n"]) in _RSA_BITS and _bits(members["e"]) in _EXPONENT_BITS):
        raise ValueError("is an RSA key of an unusual size")
    try:
        return _CLASSES[kty].import_key(members)
    except (JoseError, ValueError):
        raise ValueError("cannot be read") from None


def _bits(number: str) -> int:
    """The length of a number in base64url (RFC 7518 §2), 0 for what is none."""
    try:
        return int.from_bytes(urlsafe_b64decode(number.encode())).bit_length()
    except ValueError:
        return 0
