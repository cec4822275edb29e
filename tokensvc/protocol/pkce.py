"""Proof Key for Code Exchange, S256 only (RFC 7636)."""

import base64
import hashlib
import hmac
import re

from tokensvc.errors import InvalidGrant, InvalidRequest

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def check_challenge(challenge: str | None, method: str | None, *, required: bool) -> str:
    """The code_challenge of an authorization request, or an empty string where none is needed (§4.3)."""
    if challenge is None:
        if required or method is not None:
            raise InvalidRequest("code_challenge is required, with code_challenge_method=S256")
        return ""
    if method != "S256":
        raise InvalidRequest("code_challenge_method must be S256")
    if not _CHALLENGE.fullmatch(challenge):
        raise InvalidRequest("code_challenge is not a SHA-256 in base64url")
    return challenge


def check_verifier(verifier: str | None, challenge: str) -> None:
    """Raise unless the verifier belongs to the challenge (§4.6). A verifier nobody asked for is a downgrade."""
    if not challenge:
        if verifier is not None:
            raise InvalidGrant("the code is not valid", reason="code_verifier for a code without code_challenge")
        return
    if verifier is None:
        raise InvalidRequest("code_verifier is required")
    if not _VERIFIER.fullmatch(verifier) or not hmac.compare_digest(_s256(verifier), challenge):
        raise InvalidGrant("the code is not valid", reason="code_verifier does not match")


def _s256(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
