"""The resource server as clients know it: its identifier, its issuer and its metadata (RFC 9728)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

WELL_KNOWN = "/.well-known/oauth-protected-resource"
LOOPBACK = ("127.0.0.0/8", "::1")
_AUTHORITY = r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
_HOST = re.compile(_AUTHORITY)
_PATH = r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*"
_URL = re.compile(rf"(https?://{_AUTHORITY})({_PATH})")
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


class UnknownOrigin(Exception):
    """A request from which nobody can tell what this server is called: without a Host, or with a strange one."""


class ProtectedResource:
    """`identifier` is the URL that clients know this server by, or its path alone where the origin has to be found out.

    The origin comes from, in this order: the identifier; the issuer, for services on one origin; X-Forwarded-Proto and
    X-Forwarded-Host of a proxy that is trusted; the request's own Host. With one of the first two nothing that a
    client sends counts. ValueError for an identifier or issuer that is none.
    """

    def __init__(self, identifier: str, issuer: str, trusted_proxies: Sequence[str] = LOOPBACK) -> None:
        self.issuer = issuer
        if issuer and (not _URL.fullmatch(issuer) or issuer.endswith("/")):
            raise ValueError("the issuer is an http or https URL without a slash at its end, as in TOKENSVC_ISSUER")
        found = _URL.fullmatch(identifier)
        if not found and not re.fullmatch(_PATH, identifier):
            raise ValueError("the resource is an http or https URL without a query, or the path of one")
        self._origin, self._path = found.groups() if found else (_origin(issuer), identifier)
        self._written = identifier if found else ""
        self._proxies = tuple(map(ipaddress.ip_network, trusted_proxies))
        self.metadata_path = WELL_KNOWN + (self._path if self._path != "/" else "")
        self._metadata_url = f"{self._origin}{self.metadata_path}" if self._origin else ""

    @property
    def configured(self) -> str:
        """The identifier, where it does not hang on the request; otherwise empty."""
        return self._written or (f"{self._origin}{self._path}" if self._origin else "")

    def identifier(self, scope: Mapping[str, Any]) -> str:
        """What this server is called in a request. Raises UnknownOrigin."""
        return self.configured or f"{self.origin(scope)}{self._path}"

    def origin(self, scope: Mapping[str, Any]) -> str:
        """Scheme, host and port, without a slash. Raises UnknownOrigin."""
        if self._origin:
            return self._origin
        scheme, host = _SCHEMES.get(scope.get("scheme", "http"), ""), _last(scope, b"host")
        if self._is_trusted(scope.get("client")):
            scheme = _last(scope, b"x-forwarded-proto") or scheme
            host = _last(scope, b"x-forwarded-host") or host
        if scheme not in ("http", "https") or not _HOST.fullmatch(host):
            raise UnknownOrigin
        return f"{scheme}://{host.lower()}"

    def request_url(self, scope: Mapping[str, Any], aud: str) -> str:
        """The URL of a request as its client knows it, without a query, for the checked audience of its token.

        The origin is that of the audience, since what Host says anybody can write.
        """
        path = scope.get("raw_path") or quote(scope["path"]).encode()
        return f"{_origin(aud)}{path.decode('latin-1')}"

    def is_metadata(self, scope: Mapping[str, Any]) -> bool:
        """Whether a request is for the document; a server that is told its root_path writes that before every path."""
        return scope["path"] in {self.metadata_path, f"{scope.get('root_path', '')}{self.metadata_path}"}

    def metadata_url(self, scope: Mapping[str, Any]) -> str:
        """RFC 9728 §3.1: the well-known part stands between the host and the path. Raises UnknownOrigin."""
        return self._metadata_url or f"{self.origin(scope)}{self.metadata_path}"

    def metadata(self, scope: Mapping[str, Any], scopes: Sequence[str]) -> dict[str, Any]:
        """The document (RFC 9728 §2). Without an issuer the authorization server is on this origin. UnknownOrigin."""
        document: dict[str, Any] = {
            "resource": self.identifier(scope),
            "authorization_servers": [self.issuer or self.origin(scope)],
            "bearer_methods_supported": ["header"],
        }
        return document | ({"scopes_supported": list(scopes)} if scopes else {})

    def is_audience(self, aud: str) -> bool:
        """Whether a token for `aud` is for this server. Where its origin is nowhere configured, the path has to do."""
        found = _URL.fullmatch(aud)
        if not found:
            return False
        origin, path = found.groups()
        same_origin = not self._origin or origin.lower() == self._origin.lower()
        return same_origin and _bare(path) == _bare(self._path)

    def _is_trusted(self, client: Any) -> bool:
        try:
            address = ipaddress.ip_address(client[0] if client else "")
        except ValueError:
            return False
        return any(address in network for network in self._proxies)


def is_url(text: str) -> bool:
    """Whether it is an http or https URL without user name, query and fragment."""
    return _URL.fullmatch(text) is not None


def _origin(issuer: str) -> str:
    found = _URL.fullmatch(issuer)
    return found[1] if found else ""


def _bare(path: str) -> str:
    """A bare origin is the same with and without its slash; all other paths are by the letter."""
    return "" if path == "/" else path


def _last(scope: Mapping[str, Any], name: bytes) -> str:
    """The last value of a header: what the nearest proxy wrote, whatever came to it."""
    values = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return values[-1].rpartition(",")[2].strip() if values else ""
