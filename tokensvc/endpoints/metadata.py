"""`/.well-known/…`: authorization server metadata (RFC 8414 §3) and protected resource metadata (RFC 9728 §3)."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tokensvc.endpoints.http import JsonResponse
from tokensvc.protocol import server_metadata
from tokensvc.protocol.server import AuthorizationServer

_AUTHORIZATION_SERVER = "/.well-known/oauth-authorization-server"
_PROTECTED_RESOURCE = "/.well-known/oauth-protected-resource"
_CACHED = {"Cache-Control": "public, max-age=300"}


def documents(
    server: AuthorizationServer, grant_types: tuple[str, ...], endpoints: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """Every metadata document by its path here. An issuer's path is inserted, and appended for old clients."""
    issuer = urlsplit(server.issuer)
    metadata = server_metadata.authorization_server(server, grant_types, endpoints)
    found = {
        f"{_AUTHORIZATION_SERVER}{issuer.path}": metadata,
        f"{issuer.path}{_AUTHORIZATION_SERVER}": metadata,
    }
    for resource in server.resources.all:
        parts = urlsplit(resource.identifier)
        if (parts.scheme.lower(), parts.netloc.lower()) == (issuer.scheme, issuer.netloc):
            path = "" if parts.path == "/" else parts.path
            found[f"{_PROTECTED_RESOURCE}{path}"] = server_metadata.protected_resource(server, resource)
    return found


def routes(found: dict[str, dict[str, Any]]) -> Iterator[Route]:
    for path, document in found.items():
        yield Route(path, _endpoint(document), name=f"metadata {path}")


def _endpoint(document: dict[str, Any]) -> Any:
    async def metadata(_request: Request) -> Response:
        return JsonResponse(document, headers=_CACHED)

    return metadata
