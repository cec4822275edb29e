"""Resource indicators (RFC 8707): which protected resource a token is for."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from tokensvc.errors import InvalidTarget, SettingsError
from tokensvc.tokens.kinds import digest


@dataclass(frozen=True, slots=True)
class Resource:
    """`identifier` is the configured spelling, `digest` what tokens carry of it."""

    identifier: str
    digest: str


class Resources:
    """The configured resources, the first is the default."""

    def __init__(self, identifiers: tuple[str, ...]) -> None:
        self.all = tuple(Resource(text, digest(_normal(text), 8)) for text in identifiers)
        self._by_digest = {resource.digest: resource for resource in self.all}

    @classmethod
    def parse(cls, text: str, issuer: str) -> "Resources":
        """Raises SettingsError."""
        identifiers = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip())) or (issuer,)
        for identifier in identifiers:
            try:
                _normal(identifier)
            except ValueError as error:
                remedy = "List absolute URIs such as https://api.example.com/mcp"
                raise SettingsError("TOKENSVC_RESOURCES", f"has an identifier that {error}", remedy) from None
        return cls(identifiers)

    def find(self, requested: str | None) -> Resource:
        """The resource that a client asks for, or the default. Raises InvalidTarget."""
        if requested is None:
            return self.all[0]
        try:
            return self._by_digest[digest(_normal(requested), 8)]
        except (ValueError, KeyError):
            raise InvalidTarget("the resource is not one of this server's") from None

    def sealed(self, name: str) -> Resource | None:
        """The resource of a token, None if it was taken away."""
        return self._by_digest.get(name)


def _normal(identifier: str) -> str:
    """Scheme and host in lower case, and a bare origin without its slash. Raises ValueError."""
    if len(identifier) > 1024 or not identifier.isascii() or not identifier.isprintable() or " " in identifier:
        raise ValueError("is longer than 1024 characters or not ASCII")
    parts = urlsplit(identifier)
    if not parts.scheme or not parts.netloc or "#" in identifier:
        raise ValueError("is no absolute URI without a fragment")
    path = "" if parts.path == "/" and not parts.query else parts.path
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc.lower()}{path}{query}"
