"""For servers of the Python MCP SDK: its hook for resource servers, and settings with which it checks the resource.

    server = MCPServer("demo", token_verifier=McpVerifier(verifier), auth=auth_settings(verifier, ["mcp"]))
    app = server.streamable_http_app()
    app.add_middleware(AnswerUnavailable)

The last line answers 503 where the service cannot be asked, which the SDK would answer with 500.
"""

from __future__ import annotations

from collections.abc import Sequence

from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings

from tokensvc.resource.verifier import IntrospectionVerifier


class McpVerifier(TokenVerifier):
    """What the SDK asks about every bearer."""

    def __init__(self, verifier: IntrospectionVerifier) -> None:
        self._verifier = verifier

    async def verify_token(self, token: str) -> AccessToken | None:
        """In the SDK's words; tools find it by its `get_access_token()`. Raises Unavailable."""
        found = await self._verifier.verify(token)
        if found is None:
            return None
        return AccessToken(
            token=token,
            client_id=found.client_id,
            scopes=sorted(found.scopes),
            expires_at=found.exp,
            resource=found.aud,
            subject=found.sub,
            claims=dict(found.claims),
        )


def auth_settings(verifier: IntrospectionVerifier, scopes: Sequence[str] = ()) -> AuthSettings:
    """Raises ValueError where the verifier was not told the issuer and the resource, which the SDK wants to know."""
    resource = verifier.resource
    if not resource.issuer or not resource.configured:
        raise ValueError("the MCP SDK needs the issuer and the whole URL of the resource")
    # From strings: a URL object would add a slash to a bare origin, and clients compare issuers to the letter.
    return AuthSettings.model_validate(
        {
            "issuer_url": resource.issuer,
            "resource_server_url": resource.configured,
            "required_scopes": list(scopes),
            "validate_token_resource": True,
        }
    )
