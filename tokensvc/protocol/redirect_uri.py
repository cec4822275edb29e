"""Redirect URIs: what may be registered, what counts as equal, where a person is sent (RFC 6749 §3.1.2, RFC 8252)."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from tokensvc.errors import InvalidRedirectUri, SettingsError
from tokensvc.tokens.kinds import digest

LONGEST = 1024
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
DIGEST_CHARACTERS = 22

_ALLOWED = re.compile(r"[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]+")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
# Schemes that run, read, mail or dial on the spot instead of opening an app that waits for an answer.
_NEVER = frozenset(
    {
        "about",
        "blob",
        "cifs",
        "chrome",
        "chrome-extension",
        "content",
        "data",
        "file",
        "filesystem",
        "ftp",
        "ftps",
        "gopher",
        "intent",
        "jar",
        "javascript",
        "ldap",
        "ldaps",
        "mailto",
        "moz-extension",
        "ms-appinstaller",
        "ms-msdt",
        "ms-officecmd",
        "nfs",
        "resource",
        "search-ms",
        "sftp",
        "shell",
        "smb",
        "sms",
        "ssh",
        "tel",
        "telnet",
        "vbscript",
        "view-source",
        "ws",
        "wss",
    }
)

# Characters of a query (RFC 3986 §3.4) that no parser splits at. They stay as they are, since proxies cap an answer's
# headers at 4 KB, and a long state fits only if little of it grows to three characters for one.
_PLAIN = "/:@!$()*,"

Kind = Literal["https", "loopback", "private"]


@dataclass(frozen=True, slots=True)
class RedirectUri:
    """`text` as it was given; `kind` says how it is reached."""

    text: str
    kind: Kind
    parts: SplitResult

    @classmethod
    @lru_cache(1024)  # every installation of an app comes with the same few
    def parse(cls, text: str) -> "RedirectUri":
        """Raises InvalidRedirectUri for what no client may be sent to."""
        if len(text) > LONGEST or not _ALLOWED.fullmatch(text):
            raise InvalidRedirectUri("a redirect URI is at most 1024 characters of ASCII, without a fragment")
        try:
            parts = urlsplit(text)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise InvalidRedirectUri("a redirect URI is malformed") from None
        if parts.scheme in {"http", "https"}:
            return cls(text, _web_kind(parts, host), parts)
        if not _SCHEME.fullmatch(parts.scheme) or parts.scheme in _NEVER:
            raise InvalidRedirectUri("a redirect URI has a scheme that is not allowed")
        if not text[len(parts.scheme) + 1 :].startswith("/"):
            raise InvalidRedirectUri(
                "a redirect URI with a private scheme has a path, such as com.example.app:/callback"
            )
        return cls(text, "private", parts)

    @property
    def normal(self) -> str:
        """Equal redirect URIs have equal normal forms: the port of a loopback address is the client's affair (§7.3)."""
        parts = self.parts
        if self.kind == "private":
            return f"{parts.scheme}{self.text[len(parts.scheme) :]}"
        host = parts.netloc.lower()
        if self.kind == "loopback":
            host = re.sub(r":\d*$", "", host)
        query = f"?{parts.query}" if parts.query or self.text.endswith("?") else ""
        return f"{parts.scheme}://{host}{parts.path or '/'}{query}"

    @property
    def digest(self) -> str:
        return digest(self.normal, 16)

    @property
    def target(self) -> str:
        """Where it leads, as a person should see it: the host, or the private scheme."""
        return f"{self.parts.scheme}:" if self.kind == "private" else self.parts.netloc.lower()

    def with_parameters(self, parameters: dict[str, str]) -> str:
        """The URI with parameters added to its query, what is there kept as it is (RFC 6749 §4.1.2)."""
        base = self.text.removesuffix("?")
        joint = "&" if "?" in base else "?"
        return f"{base}{joint}{urlencode(parameters, safe=_PLAIN, quote_via=quote)}"


class RedirectPolicy:
    """TOKENSVC_REDIRECT_HOSTS: hosts, `*.domain` for those below one, and private schemes as `scheme:`."""

    def __init__(self, entries: frozenset[str]) -> None:
        self._entries = entries

    @classmethod
    def parse(cls, text: str) -> "RedirectPolicy":
        """Raises SettingsError."""
        entries = frozenset(entry.strip().lower() for entry in text.split(",") if entry.strip())
        for entry in entries:
            host = entry.removeprefix("*.").strip("[]")
            if not (_HOST.fullmatch(host) or host in LOOPBACK or _SCHEME.fullmatch(entry.removesuffix(":"))):
                problem = f"has the entry {entry!r}, which is no host or scheme"
                remedy = "List hosts (claude.ai, *.example.com, localhost) and schemes (cursor:)"
                raise SettingsError("TOKENSVC_REDIRECT_HOSTS", problem, remedy)
        return cls(entries)

    def check(self, uri: RedirectUri) -> None:
        """Raise InvalidRedirectUri for one that the operator did not allow."""
        if not self._entries:
            return
        if uri.kind == "private":
            names = {f"{uri.parts.scheme}:"}
        else:
            host = uri.parts.hostname or ""
            labels = host.split(".")
            names = {host, f"[{host}]", *(f"*.{'.'.join(labels[i:])}" for i in range(1, len(labels)))}
        if not names & self._entries:
            raise InvalidRedirectUri("the operator of this service does not allow this redirect host or scheme")


def _web_kind(parts: SplitResult, host: str | None) -> Kind:
    if not host or "@" in parts.netloc or "\\" in parts.netloc:
        raise InvalidRedirectUri("a redirect URI has a host and no user name")
    # How brackets amid other characters are read depends on the parser.
    if not re.fullmatch(rf"{re.escape(host)}|\[{re.escape(host)}\]", re.sub(r":\d*$", "", parts.netloc.lower())):
        raise InvalidRedirectUri("a redirect URI has a malformed host")
    if parts.scheme == "http":
        if host not in LOOPBACK:
            raise InvalidRedirectUri("a redirect URI with plain http leads to localhost, 127.0.0.1 or [::1] only")
        return "loopback"
    if not (_HOST.fullmatch(host) or parts.netloc.startswith("[")):
        raise InvalidRedirectUri("a redirect URI has a malformed host")
    return "https"
