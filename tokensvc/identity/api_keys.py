"""Sign-in by API key, against the list of hashed keys in TOKENSVC_API_KEYS.

The list holds SHA-256 hashes: API keys are long and random, so a slow password hash would protect nothing that their
length does not, and would let anyone keep a replica busy.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass

from tokensvc.errors import SettingsError
from tokensvc.identity import (
    Identity,
    IdentityEnded,
    SignedIn,
    UnknownCredential,
    credential_of,
    parse_identity,
    quote_part,
)
from tokensvc.keyring import parse_time

_VARIABLE = "TOKENSVC_API_KEYS"
_ENTRY = re.compile(r"sha256:(?P<digest>[0-9a-fA-F]{64})(?:@(?P<activation>[^=]+))?=(?P<identity>.+)")


@dataclass(frozen=True, slots=True)
class _ApiKey:
    credential: str
    identity: Identity
    activates: int


class ApiKeys:
    """Removing an entry, or giving it another identity, ends all that the key authorized."""

    def __init__(self, keys: dict[str, _ApiKey]) -> None:
        # Looked up by the SHA-256 of what was typed: how long that takes says nothing of the keys themselves.
        self._by_digest = keys
        self._by_credential = {key.credential: key for key in keys.values()}

    @classmethod
    def parse(cls, text: str) -> "ApiKeys":
        """Read the entries of TOKENSVC_API_KEYS. Raises SettingsError."""
        keys: dict[str, _ApiKey] = {}
        for entry in re.split(r"[,\n]", text):
            if not entry.strip():
                continue
            digest, key = _parse_entry(entry.strip())
            if digest in keys:
                raise SettingsError(_VARIABLE, "lists a key twice", "Give every key one account/user/role")
            keys[digest] = key
        return cls(keys)

    async def sign_in(self, secret: str, now: int) -> SignedIn | None:
        # As it is, or without the spaces and line ends that pasting brings along.
        key = self._find(secret) or (self._find(secret.strip()) if secret.strip() else None)
        if key is None or key.activates > now:
            return None
        return SignedIn(key.identity, key.credential)

    def _find(self, secret: str) -> _ApiKey | None:
        return self._by_digest.get(hashlib.sha256(secret.encode()).hexdigest())

    async def confirm(self, credential: str, identity: Identity, now: int) -> None:  # noqa: ARG002  # the port's
        key = self._by_credential.get(credential)
        if key is None:
            raise UnknownCredential
        if key.identity != identity:
            raise IdentityEnded("the API key has another account, user or role now")


def new_api_key(identity: Identity, prefix: str) -> tuple[str, str]:
    """A fresh API key and its entry for TOKENSVC_API_KEYS."""
    key = f"{prefix}_{secrets.token_urlsafe(32)}"
    triple = "/".join(quote_part(part) for part in identity)
    return key, f"sha256:{hashlib.sha256(key.encode()).hexdigest()}={triple}"


def _parse_entry(entry: str) -> tuple[str, _ApiKey]:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        problem = "has an entry that is not sha256:HEX[@activation]=account/user/role"
        raise SettingsError(_VARIABLE, problem, "Make one with `tokensvc apikey new`")
    digest = match["digest"].lower()
    try:
        identity = parse_identity(match["identity"])
        activates = parse_time(match["activation"]) if match["activation"] else 0
    except ValueError as error:
        problem = f"has an entry (sha256:{digest[:8]}…) that is refused: {error}"
        raise SettingsError(_VARIABLE, problem, "Percent-encode the parts of account/user/role") from None
    return digest, _ApiKey(credential_of(digest), identity, activates)
