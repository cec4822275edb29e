"""User codes (RFC 8628 §6.1): short enough to type from one device into another, too many to be guessed."""

import secrets
import unicodedata
from typing import Final

ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""Consonants: no word comes of them, and no letter looks like a digit. 20^8 codes are 34.6 bits."""
LENGTH: Final = 8
LONGEST_ENTRY: Final = 64

# What is read or typed for a letter of the alphabet, and is none itself. Nothing that is one is ever replaced.
_LOOK_ALIKES: Final = str.maketrans("0O1I|!2568EUY", "QQLLLLZSGBFVV")


def new_user_code() -> str:
    """Eight random letters, as the ledger names them."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def shown(code: str) -> str:
    """In two halves, which are easier to read and to compare; nothing for no code."""
    return f"{code[: LENGTH // 2]}-{code[LENGTH // 2 :]}" if code else ""


def read(entry: str) -> str:
    """The code that a person meant: whatever its case, its dashes and spaces, with look-alikes read as letters.

    Raises ValueError for what cannot be one.
    """
    if len(entry) > LONGEST_ENTRY:
        raise ValueError("too long for a user code")
    # Compatibility forms too: a keyboard may type wide letters, and a copied dash is often another one.
    typed = unicodedata.normalize("NFKC", entry).upper().translate(_LOOK_ALIKES)
    code = "".join(character for character in typed if not _separates(character))
    if len(code) != LENGTH or not set(code) <= set(ALPHABET):
        raise ValueError("not eight letters of the alphabet")
    return code


def _separates(character: str) -> bool:
    """Spaces, dashes of every kind, other punctuation, and what shows nothing."""
    return character.isspace() or unicodedata.category(character) == "Cf" or unicodedata.category(character)[0] in "PS"
