"""Who a token stands for: the port that every identity source implements.

An identity source answers two questions: whose secret is this, and is what that secret authorized still true? A
credential source knows what authorizes without a person at a page, and answers the second.
"""

import base64
import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from urllib.parse import quote, unquote

ISSUER_CHARACTERS = 12
"""Of the credential of a person whom an issuer vouches for: so many name the issuer."""
_LONGEST = 128
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*")


class Identity(NamedTuple):
    """The triple that every grant carries. Each part is 1 to 128 bytes of UTF-8 without control characters."""

    account: str
    user: str
    role: str

    @property
    def sub(self) -> str:
        """`account/user`, each percent-encoded so that no part can pretend to be two (RFC 3986 §2.3)."""
        return f"{quote_part(self.account)}/{quote_part(self.user)}"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An identity and the credential that proved it: a name in base64url, 8 bytes or more, that reveals nothing."""

    identity: Identity
    credential: str


class IdentityEnded(Exception):
    """The credential is gone, or no longer stands for the identity that was sealed. The message is for the log."""


class UnknownCredential(IdentityEnded):
    """This source knows nothing of the credential; another one may."""

    def __init__(self) -> None:
        super().__init__("no API key, client or issuer stands for it any more")


class CredentialSource(Protocol):
    """Sources that ask elsewhere raise errors.TemporarilyUnavailable when they cannot."""

    async def confirm(self, credential: str, identity: Identity, now: int) -> None:
        """Raise IdentityEnded unless the credential still stands for exactly this identity."""


class IdentitySource(CredentialSource, Protocol):
    """A source at which people sign in."""

    async def sign_in(self, secret: str, now: int) -> SignedIn | None:
        """Whose secret this is, or None."""


def credential_of(key_sha256: str) -> str:
    """The name of an API key in tokens and marks: from the hash of its hash, so it gives away nothing of either."""
    return _name(b"api-key\0" + bytes.fromhex(key_sha256), 8)


def credential_of_client(client_id: str, proof: str) -> str:
    """The name of a client's own credential: `proof` is what it authenticates by, the hash of a secret or its keys."""
    return _name(b"client\0" + json.dumps([client_id, proof]).encode(), 8)


def credential_of_subject(issuer: str, sub: str) -> str:
    """The name of a person whom an issuer vouches for: that of the issuer, then theirs. `issuer` is an issuer_name."""
    return issuer + _name(b"subject\0" + json.dumps([issuer, sub]).encode(), 9)


def issuer_name(issuer: str, *mapping: str) -> str:
    """The name of an issuer of assertions together with how those become identities: ISSUER_CHARACTERS long."""
    return _name(b"issuer\0" + json.dumps([issuer, *mapping]).encode(), 9)


def _name(material: bytes, size: int) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(material).digest()[:size]).decode().rstrip("=")


def quote_part(part: str) -> str:
    return part if _UNRESERVED.fullmatch(part) else quote(part, safe="")


def parse_identity(text: str) -> Identity:
    """Read `account/user/role`, each percent-encoded. Raises ValueError."""
    parts = [unquote_part(part) for part in text.split("/")]
    if len(parts) != 3:
        raise ValueError("an identity is account/user/role")
    return Identity(*parts)


def unquote_part(text: str) -> str:
    """Decode and check one part of an identity. Raises ValueError."""
    # The library leaves it as it is, and then nobody has the name that was meant.
    if _BARE_PERCENT.search(text):
        raise ValueError("account, user and role are percent-encoded, and a % of their own is %25")
    try:
        part = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("account, user and role are UTF-8, percent-encoded") from None
    return check_part(part)


def check_part(part: str) -> str:
    """One part of an identity as it is. Raises ValueError."""
    if not 1 <= len(part.encode()) <= _LONGEST:
        raise ValueError("account, user and role are 1 to 128 bytes each")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in part):
        raise ValueError("account, user and role hold no control characters")
    return part
