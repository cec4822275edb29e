"""Dynamic client registration (RFC 7591) without storage: the registration is sealed into the client_id.

What is not understood is left out of the answer, as §2 asks; what cannot be granted is replaced and echoed (§3.2.1).
"""

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tokensvc.errors import InvalidClientMetadata, InvalidRedirectUri
from tokensvc.protocol.client import BINDS, DEVICE_CODE, GRANT_TYPES, METHODS
from tokensvc.protocol.redirect_uri import RedirectPolicy, RedirectUri
from tokensvc.tokens.kinds import ClientId
from tokensvc.tokens.sealer import Sealer

MOST_REDIRECTS = 8
NAME_BYTES = 48
_METHOD_LETTERS: dict[str, str] = {method: letter for letter, method in METHODS.items()}
_GRANT_LETTERS = {grant: letter for letter, grant in GRANT_TYPES.items()}
_USUAL_GRANTS = ("authorization_code", "refresh_token")


@dataclass(frozen=True, slots=True)
class Registration:
    """What a client asks for, checked. `redirect_uris` as it wrote them."""

    redirect_uris: tuple[str, ...]
    redirects: tuple[str, ...]
    client_name: str
    method: str
    grant_types: tuple[str, ...]
    binds: str

    @classmethod
    def parse(cls, metadata: Any, policy: RedirectPolicy, served: Collection[str] = _USUAL_GRANTS) -> "Registration":
        """`served` are the grant types that can be had here. Raises InvalidClientMetadata or InvalidRedirectUri."""
        if not isinstance(metadata, dict):
            raise InvalidClientMetadata("the registration is a JSON object")
        if metadata.get("jwks") is not None:
            raise InvalidClientMetadata("inline jwks are not supported")
        grant_types = _grant_types(metadata, served)
        redirect_uris = _strings(metadata, "redirect_uris", ())
        return cls(
            redirect_uris=redirect_uris,
            redirects=_redirects(redirect_uris, policy, required="authorization_code" in grant_types),
            client_name=_string(metadata, "client_name", ""),
            method=_method(metadata),
            grant_types=grant_types,
            binds="".join(letter for letter, name in BINDS.items() if _flag(metadata, name)),
        )

    def seal(self, sealer: Sealer, now: int) -> dict[str, Any]:
        """The registration response (§3.2.1). Without a secret the same registration gives the same client_id."""
        client_id = sealer.seal(self._sealed(), now)
        if len(client_id) > ClientId.longest:
            raise InvalidClientMetadata("the registration does not fit: fewer redirect URIs or a shorter name would")
        response: dict[str, Any] = {
            "client_id": client_id,
            "redirect_uris": self.redirect_uris,
            "token_endpoint_auth_method": self.method,
            "grant_types": self.grant_types,
            "response_types": ("code",) if "authorization_code" in self.grant_types else (),
        }
        response |= {BINDS[letter]: True for letter in self.binds}
        if self.client_name:
            response["client_name"] = self.client_name
        if self.method == "none":
            return response
        return response | {"client_secret": sealer.client_secret(client_id), "client_secret_expires_at": 0}

    def _sealed(self) -> ClientId:
        return ClientId(
            redirects="".join(self.redirects),
            name=_shortened(self.client_name),
            method=_METHOD_LETTERS[self.method],
            grants="".join(_GRANT_LETTERS[grant] for grant in self.grant_types),
            binds=self.binds,
        )


def _redirects(redirect_uris: tuple[str, ...], policy: RedirectPolicy, *, required: bool) -> tuple[str, ...]:
    if required and not redirect_uris:
        raise InvalidRedirectUri("redirect_uris is required")
    if len(redirect_uris) > 16 * MOST_REDIRECTS:
        raise InvalidRedirectUri(f"at most {MOST_REDIRECTS} distinct redirect URIs can be registered")
    parsed = [RedirectUri.parse(text) for text in redirect_uris]
    for uri in parsed:
        policy.check(uri)
    digests = tuple(sorted({uri.digest for uri in parsed}))
    if len(digests) > MOST_REDIRECTS:
        raise InvalidRedirectUri(f"at most {MOST_REDIRECTS} distinct redirect URIs can be registered")
    return digests


def _method(metadata: dict[str, Any]) -> str:
    """RFC 7591 §2: a client that says nothing is one of client_secret_basic."""
    method = _string(metadata, "token_endpoint_auth_method", "client_secret_basic")
    if method == "private_key_jwt":
        raise InvalidClientMetadata(
            "private_key_jwt needs keys that can be found again: use the URL of a metadata document for a client_id, "
            "or have the operator register the client"
        )
    if method not in _METHOD_LETTERS:
        known = ", ".join(_METHOD_LETTERS)
        raise InvalidClientMetadata(f"token_endpoint_auth_method is not supported; these are: {known}")
    return method


def _grant_types(metadata: dict[str, Any], served: Collection[str]) -> tuple[str, ...]:
    """Those that are not served are dropped. A client that names none gets the usual two, and need not refresh.

    A device that only shows codes needs no other way in, and no response type (RFC 8628).
    """
    asked = _strings(metadata, "grant_types", _USUAL_GRANTS)
    granted = tuple(grant for grant in _GRANT_LETTERS if grant in asked and grant in served)
    if DEVICE_CODE in granted and "authorization_code" not in granted:
        return granted
    response_types = _strings(metadata, "response_types", ("code",))
    if "authorization_code" not in granted or "code" not in response_types:
        raise InvalidClientMetadata("the grant type authorization_code with the response type code is required")
    return granted


def _string(metadata: dict[str, Any], name: str, default: str) -> str:
    value = metadata.get(name)
    if value is None or value == "":
        return default
    if not isinstance(value, str):
        raise InvalidClientMetadata(f"{name} is a string")
    return value


def _flag(metadata: dict[str, Any], name: str) -> bool:
    value = metadata.get(name)
    if value is None or value == "":
        return False
    if not isinstance(value, bool):
        raise InvalidClientMetadata(f"{name} is true or false")
    return value


def _strings(metadata: dict[str, Any], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    value = metadata.get(name)
    if value is None or value == "":
        return default
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidClientMetadata(f"{name} is a list of strings")
    return tuple(value)


def _shortened(name: str) -> str:
    """At most 48 bytes without control characters, cut between characters and not inside a composed one."""
    if name.isascii() and name.isprintable():
        return name[:NAME_BYTES]
    # Cut before composing too, which takes time by the square of the accents on a letter.
    composed = unicodedata.normalize("NFC", name[: 4 * NAME_BYTES])
    composed = "".join(c for c in composed if unicodedata.category(c) != "Cc")
    return composed.encode()[:NAME_BYTES].decode(errors="ignore")
