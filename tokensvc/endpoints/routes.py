"""Every route, as one visible list."""

from urllib.parse import urlsplit

from starlette.routing import Route

from tokensvc.endpoints import (
    admin,
    authorization,
    denylist,
    events,
    health,
    introspection,
    metadata,
    overview,
    peers,
    registration,
    revocation,
    token,
)
from tokensvc.endpoints.http import Endpoint
from tokensvc.endpoints.service import Service
from tokensvc.ledger.peers import PeeredLedger
from tokensvc.protocol.peer import PATH as PEERS_PATH


def routes(service: Service) -> list[Route]:
    """Every route, the busiest first since they are tried in turn. Advertised is what is mounted."""
    base = urlsplit(service.server.issuer).path
    endpoints = {"authorization": "/authorize", "token": "/token", "revocation": "/revoke"}
    if service.registration.enabled:
        endpoints["registration"] = "/register"
    if service.introspection:
        endpoints["introspection"] = "/introspect"
    found = metadata.documents(service.server, tuple(service.grant_types), endpoints)
    mounted = [
        Route(f"{base}/introspect", Endpoint(introspection.introspect), methods=["POST"]),
        Route(f"{base}/token", Endpoint(token.token), methods=["POST"]),
        Route(f"{base}/authorize", Endpoint(authorization.authorize), methods=["GET", "POST"]),
        Route(f"{base}/revoke", Endpoint(revocation.revoke), methods=["POST"]),
        Route(f"{base}/denylist", Endpoint(denylist.denylist), methods=["GET"]),
        Route(f"{base}/healthz", Endpoint(health.healthz), methods=["GET"]),
        Route(f"{base}/readyz", Endpoint(health.readyz), methods=["GET"]),
    ]
    if service.registration.enabled:
        mounted.insert(2, Route(f"{base}/register", Endpoint(registration.register), methods=["POST"]))
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
    return frozenset({f"{base}/token", f"{base}/register", f"{base}/revoke"})
