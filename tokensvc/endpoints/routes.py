"""Every route, as one visible list."""

from urllib.parse import urlsplit

from starlette.routing import Route

from tokensvc.endpoints import (
    admin,
    authorization,
    denylist,
    device,
    device_authorization,
    events,
    health,
    introspection,
    jwks,
    metadata,
    overview,
    peers,
    pushed_authorization_request,
    registration,
    revocation,
    token,
)
from tokensvc.endpoints.http import Endpoint
from tokensvc.endpoints.service import Service
from tokensvc.ledger.peers import PeeredLedger
from tokensvc.protocol.client import DEVICE_CODE
from tokensvc.protocol.peer import PATH as PEERS_PATH


def routes(service: Service) -> list[Route]:
    """Every route, the busiest first since they are tried in turn. Advertised is what is mounted."""
    base = urlsplit(service.server.issuer).path
    endpoints = {
        "authorization": "/authorize",
        "pushed_authorization_request": pushed_authorization_request.PATH,
        "token": "/token",
        "revocation": "/revoke",
    }
    if service.registration.enabled:
        endpoints["registration"] = "/register"
    if service.introspection:
        endpoints["introspection"] = "/introspect"
    if service.signing:
        endpoints["jwks"] = jwks.PATH
    if DEVICE_CODE in service.grant_types:
        endpoints["device_authorization"] = "/device_authorization"
    found = metadata.documents(service.server, tuple(service.grant_types), endpoints)
    mounted = [
        Route(f"{base}/introspect", Endpoint(introspection.introspect), methods=["POST"]),
        Route(f"{base}/token", Endpoint(token.token), methods=["POST"]),
        Route(f"{base}/authorize", Endpoint(authorization.authorize), methods=["GET", "POST"]),
        Route(f"{base}/revoke", Endpoint(revocation.revoke), methods=["POST"]),
        Route(
            f"{base}{pushed_authorization_request.PATH}",
            Endpoint(pushed_authorization_request.pushed_authorization_request),
            methods=["POST"],
        ),
        Route(f"{base}/denylist", Endpoint(denylist.denylist), methods=["GET"]),
        Route(f"{base}/healthz", Endpoint(health.healthz), methods=["GET"]),
        Route(f"{base}/readyz", Endpoint(health.readyz), methods=["GET"]),
    ]
    if service.registration.enabled:
        mounted.insert(2, Route(f"{base}/register", Endpoint(registration.register), methods=["POST"]))
    if service.signing:
        mounted.append(Route(f"{base}{jwks.PATH}", Endpoint(jwks.endpoint(service.signing)), methods=["GET"]))
    if DEVICE_CODE in service.grant_types:
        begin = Endpoint(device_authorization.device_authorization)
        mounted.append(Route(f"{base}/device_authorization", begin, methods=["POST"]))
        mounted.append(Route(f"{base}/device", Endpoint(device.device), methods=["GET", "POST"]))
    if isinstance(service.server.ledger, PeeredLedger):
        mounted.append(Route(f"{base}{PEERS_PATH}", Endpoint(peers.exchange), methods=["POST"]))
    if service.admin:
        mounted.append(Route(f"{base}/admin/revoke", Endpoint(admin.revoke), methods=["POST"]))
        mounted.append(Route(f"{base}/admin/denylist", Endpoint(admin.denylist), methods=["GET"]))
        mounted.append(Route(f"{base}/admin/events", Endpoint(events.event), methods=["POST"]))
        mounted.append(Route(f"{base}/admin/keys", Endpoint(overview.keys), methods=["GET"]))
        mounted.append(Route(f"{base}/admin/state", Endpoint(overview.state), methods=["GET"]))
    return [*mounted, *metadata.routes(found)]


def cors_paths(service: Service) -> frozenset[str]:
    """What web clients ask from pages of their own, beside the metadata (Fetch standard, CORS)."""
    base = urlsplit(service.server.issuer).path
    return frozenset({f"{base}/token", f"{base}/par", f"{base}/register", f"{base}/revoke"})
