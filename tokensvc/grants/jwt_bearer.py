"""The JWT bearer grant (RFC 7523 §2.1) for ID-JAG: a trusted issuer says that its person lets the client in.

MCP's Enterprise-Managed Authorization §7 has the rules that are stricter than the draft's: an assertion counts once,
and what does not agree in it is `invalid_grant`. There is no refresh token (§4.4.3 of the draft): with each assertion
the issuer decides anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokensvc.errors import InvalidGrant, InvalidRequest, InvalidScope, InvalidTarget, UnauthorizedClient
from tokensvc.grants.issued import Issued
from tokensvc.grants.minting import alone, new_token
from tokensvc.grants.proof import use_up
from tokensvc.grants.token_request import TokenRequest
from tokensvc.ledger.marks import Dead
from tokensvc.protocol.assertion import Assertion, BadAssertion, claimed_issuer, verify
from tokensvc.protocol.id_jag import GRANT_TYPE, LONGEST_LIFETIME, TYPE, TrustedIssuer
from tokensvc.protocol.jwks import KeyDirectory
from tokensvc.protocol.resource_indicator import Resource
from tokensvc.protocol.server import AuthorizationServer


@dataclass(frozen=True, slots=True)
class JwtBearer:
    """The issuers that are trusted, by what `iss` says, and the way to their keys."""

    issuers: Mapping[str, TrustedIssuer]
    keys: KeyDirectory

    async def grant(self, request: TokenRequest, server: AuthorizationServer) -> Issued:
        """Raises InvalidGrant for every way of not being valid. The assertion is used up last, by success alone."""
        if GRANT_TYPE not in request.client.grant_types:
            raise UnauthorizedClient("the client may not use this grant type")
        if "assertion" not in request.parameters:
            raise InvalidRequest("assertion is missing")
        try:
            return await self._grant(request.parameters["assertion"], request, server)
        except (BadAssertion, Dead) as bad:
            raise InvalidGrant("the assertion is not valid", reason=str(bad)) from None

    async def _grant(self, value: str, request: TokenRequest, server: AuthorizationServer) -> Issued:
        issuer = self._issuer(value, request)
        assertion = await verify(
            value,
            keys=self.keys.source(issuer.jwks, issuer.jwks_uri),
            types={TYPE},
            issuer=issuer.issuer,
            audiences={server.issuer},
            now=request.now,
            longest_lifetime=LONGEST_LIFETIME,
        )
        _check_binding(assertion.claims, request)
        signed_in = issuer.sign_in(assertion)
        resource = _resource(assertion.claims, request, server)
        scope = server.scopes.limit(_scope(assertion.claims, request, server), signed_in.identity.role)
        if not scope:
            raise InvalidScope("the assertion covers none of the scopes, or the person may have none of them")
        # The issuer's word is as old as the assertion: what was revoked since then stays revoked.
        authorized_at = min(_issued_at(assertion), request.now)
        token = new_token(signed_in, authorized_at, resource, scope, request)
        await server.ledger.check(token)
        await use_up(request, server)
        await assertion.use_once(server.ledger, request.now)
        return alone(token, request, server)

    def _issuer(self, value: str, request: TokenRequest) -> TrustedIssuer:
        """Whose assertion it claims to be; nothing else of it is believed yet."""
        issuer = self.issuers.get(claimed_issuer(value))
        if issuer is None:
            raise BadAssertion("its issuer is not trusted")
        if request.client.method == "none" and not issuer.public_clients:
            raise UnauthorizedClient("the client has to authenticate for this grant type")
        return issuer


def _check_binding(claims: Mapping[str, Any], request: TokenRequest) -> None:
    """It is the client's that asks, and held to no condition that would go unnoticed. Raises BadAssertion."""
    if claims.get("client_id") != request.client.client_id:
        raise BadAssertion("for another client")
    if "authorization_details" in claims:
        raise BadAssertion("it has authorization_details, which are not understood")
    if "cnf" in claims and not (request.proof and claims["cnf"] == {"jkt": request.jkt}):
        raise BadAssertion("bound to a key that was not proved")


def _resource(claims: Mapping[str, Any], request: TokenRequest, server: AuthorizationServer) -> Resource:
    """The one that the assertion names. It may name none where there is but one. Raises BadAssertion, InvalidTarget."""
    named = claims.get("resource")
    if isinstance(named, list) and len(named) == 1:
        named = named[0]
    if not isinstance(named, str) and (named is not None or len(server.resources.all) > 1):
        raise BadAssertion("it names no resource, or several")
    try:
        resource = server.resources.find(named)
    except InvalidTarget:
        raise BadAssertion("for a resource of others") from None
    requested = request.parameters.get("resource")
    if requested is not None and server.resources.find(requested) != resource:
        raise InvalidTarget("the assertion is for another resource")
    return resource


def _scope(claims: Mapping[str, Any], request: TokenRequest, server: AuthorizationServer) -> str:
    """What is asked for of what the issuer granted; the default scope where it says nothing. Raises BadAssertion."""
    granted = claims.get("scope", server.scopes.grant(None))
    if not isinstance(granted, str):
        raise BadAssertion("its scope is no string")
    return server.scopes.narrow(request.parameters.get("scope", granted), granted)


def _issued_at(assertion: Assertion) -> int:
    """In milliseconds. Raises BadAssertion: without `iat`, nobody can tell what came first."""
    if assertion.claims.get("iat") is None:
        raise BadAssertion("it has no iat")
    return assertion.issued
