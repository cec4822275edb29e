"""Base64url without padding (RFC 7515 §2), strictly: of every value there is one spelling."""

from binascii import a2b_base64, b2a_base64

_TO_URLSAFE = bytes.maketrans(b"+/", b"-_")
# Base64url to base64, and what is not of its alphabet to what is not of the other either.
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
# By what is left of a text's length over a multiple of four: how to pad it, and the last characters without spare bits.
_PADDING = (b"", b"", b"==", b"=")
_LAST = ("", "", "AQgw", "AEIMQUYcgkosw048")


def encode(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).translate(_TO_URLSAFE, b"=").decode()


def decode(text: str) -> bytes:
    """Raises ValueError for padding, another alphabet and spare bits."""
    over = len(text) % 4
    if over and text[-1] not in _LAST[over]:
        raise ValueError("not base64url")
    return a2b_base64(text.encode("ascii").translate(_TO_STANDARD) + _PADDING[over], strict_mode=True)
