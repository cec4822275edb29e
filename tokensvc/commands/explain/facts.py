"""What an artefact says, for an operator: names and times, and nothing that lets anybody in."""

from typing import Any

from tokensvc.commands import rfc3339
from tokensvc.protocol.client import GRANT_TYPES, METHODS
from tokensvc.protocol.redirect_uri import DIGEST_CHARACTERS
from tokensvc.protocol.resource_indicator import Resources
from tokensvc.settings import Settings
from tokensvc.tokens.artefact import Artefact
from tokensvc.tokens.kinds import AccessToken, ClientId, DevicePage, Grant, RefreshToken, client_handle

_OF_REQUESTS = ("family", "client", "client_name", "verified", "redirect_uri", "resource", "scope", "jkt")
"""What a request of any sort may say. Its state, its user code and the digest of its cookie are its own affair."""


def facts_of(artefact: Artefact, value: str, loaded: Settings) -> dict[str, Any]:
    if isinstance(artefact, ClientId):
        return _of_client(artefact, value)
    if isinstance(artefact, Grant):
        return _of_grant(artefact, loaded)
    if isinstance(artefact, DevicePage) and artefact.request:
        return _of_request(artefact.request, loaded)
    return _of_request(artefact, loaded)


def _of_client(client: ClientId, value: str) -> dict[str, Any]:
    return {
        "client": client_handle(value),
        "name": client.name,
        "token_endpoint_auth_method": METHODS.get(client.method, "of a later release"),
        "grant_types": [GRANT_TYPES.get(letter, "of a later release") for letter in client.grants],
        "redirect_uris": f"{len(client.redirects) // DIGEST_CHARACTERS}, as digests",
    }


def _of_grant(grant: Grant, loaded: Settings) -> dict[str, Any]:
    account, user, role = grant.identity
    facts: dict[str, Any] = {
        "account": account,
        "user": user,
        "role": role,
        "client": grant.client,
        "credential": grant.credential,
        "resource": _resource(grant.resource, loaded),
        "scope": grant.scope,
        "family": grant.family,
    }
    if isinstance(grant, AccessToken | RefreshToken):
        facts["generation"] = grant.generation
    if isinstance(grant, AccessToken):
        facts["jti"] = grant.jti
    if grant.jkt:
        facts["jkt"] = grant.jkt
    times = {"authorized": grant.authorized_at, "issued": grant.iat, "expires": grant.exp}
    return facts | {name: rfc3339(time) for name, time in times.items()}


def _of_request(request: Artefact, loaded: Settings) -> dict[str, Any]:
    """Of anything that is on its way and has an expiry, whatever else it has."""
    facts = {name: getattr(request, name) for name in _OF_REQUESTS if getattr(request, name, "") != ""}
    if "resource" in facts:
        facts["resource"] = _resource(facts["resource"], loaded)
    return facts | {"expires": rfc3339(getattr(request, "exp", 0))}


def _resource(digest: str, loaded: Settings) -> str:
    found = Resources.parse(loaded.resources, loaded.issuer).sealed(digest)
    return found.identifier if found else f"none of TOKENSVC_RESOURCES here (digest {digest or 'unknown'})"
