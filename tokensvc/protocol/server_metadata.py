"""What clients discover: authorization server metadata (RFC 8414) and protected resource metadata (RFC 9728)."""

from collections.abc import Mapping
from typing import Any

from tokensvc.jose import ALGORITHMS
from tokensvc.protocol import id_jag
from tokensvc.protocol.resource_indicator import Resource
from tokensvc.protocol.server import AuthorizationServer

_FIELDS = {"jwks": "jwks_uri"}
"""What is called otherwise than an endpoint."""


def authorization_server(
    server: AuthorizationServer, grant_types: tuple[str, ...], endpoints: Mapping[str, str]
) -> dict[str, Any]:
    """`endpoints` maps metadata names less `_endpoint` to paths, and holds just what is mounted."""
    methods = list(server.clients.methods)
    metadata: dict[str, Any] = {
        "issuer": server.issuer,
        **{_FIELDS.get(name, f"{name}_endpoint"): f"{server.issuer}{path}" for name, path in endpoints.items()},
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(grant_types),
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": list(server.scopes.supported),
        "authorization_response_iss_parameter_supported": True,
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
        "protected_resources": [resource.identifier for resource in server.resources.all],
    }
    if "private_key_jwt" in methods:
        metadata["token_endpoint_auth_signing_alg_values_supported"] = list(ALGORITHMS)
        metadata["revocation_endpoint_auth_signing_alg_values_supported"] = list(ALGORITHMS)
    if server.clients.documented:
        metadata["client_id_metadata_document_supported"] = True
    if id_jag.GRANT_TYPE in grant_types:
        metadata["authorization_grant_profiles_supported"] = [id_jag.PROFILE]
    if "introspection" in endpoints:
        # RFC 8414 §2 takes access token types here too: the resource server's secret goes as a bearer or as Basic.
        metadata["introspection_endpoint_auth_methods_supported"] = ["client_secret_basic", "Bearer"]
    return metadata


def protected_resource(server: AuthorizationServer, resource: Resource) -> dict[str, Any]:
    """Without `offline_access`, which is between a client and the authorization server."""
    return {
        "resource": resource.identifier,
        "authorization_servers": [server.issuer],
        "scopes_supported": list(server.scopes.values),
        "bearer_methods_supported": ["header"],
    }
