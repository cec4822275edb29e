"""What a resource server imports: who calls, by the access tokens of tokensvc (RFC 6750, 7662 and 9728).

    verifier = IntrospectionVerifier(ISSUER, SECRET, resource="https://api.example.com")
    app.add_middleware(BearerAuth, verifier=verifier, scopes=["mcp"])

Nothing in here imports the service, reads a variable that nobody asked it to read, or does anything before it is
asked about a token. `tokensvc.resource.mcp` is for servers of the Python MCP SDK, `tokensvc.resource.verify` for
services that cannot be changed, behind a proxy that asks about every request.
"""

from tokensvc.resource.environment import from_environment
from tokensvc.resource.middleware import AnswerUnavailable, BearerAuth, require
from tokensvc.resource.service import Unavailable
from tokensvc.resource.token import AccessToken
from tokensvc.resource.verifier import IntrospectionVerifier

__all__ = [
    "AccessToken",
    "AnswerUnavailable",
    "BearerAuth",
    "IntrospectionVerifier",
    "Unavailable",
    "from_environment",
    "require",
]
