"""The authorization code grant (OAuth 2.1 §4.1): a code for a person's approval, tokens for a code."""

from tokensvc.errors import AccessDenied, InvalidGrant, InvalidRequest
from tokensvc.grants.issued import Issued
from tokensvc.grants.minting import advance, check_client, check_resource, mint, open_parent, present_scope, refusal
from tokensvc.grants.token_request import TokenRequest
from tokensvc.identity import SignedIn
from tokensvc.protocol.pkce import check_verifier
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.tokens.kinds import (
    AuthorizationCode,
    AuthorizationRequest,
    digest,
    new_family,
    subjects_of,
)


async def approve(
    request: AuthorizationRequest, signed_in: SignedIn, server: AuthorizationServer, now: int
) -> tuple[str, AuthorizationCode]:
    """The code for a request that a person approved, sealed and as it is. Raises AccessDenied.

    A role that may have nothing of what is asked for is denied. A person who signs in after a revocation is let in
    again, so the authorization lies after every mark on them.
    """
    identity, credential = signed_in.identity, signed_in.credential
    scope = server.scopes.limit(request.scope, identity.role)
    if not scope:
        raise AccessDenied("the person may have none of the scopes", reason=f"none of {request.scope} for their role")
    authorized_at = await server.ledger.lift(subjects_of(identity, credential, request.client), now)
    lifetime = server.clients.lifetimes(request.client).code
    code = AuthorizationCode(
        family=new_family(),
        client=request.client,
        identity=identity,
        credential=credential,
        resource=request.resource,
        scope=scope,
        authorized_at=authorized_at,
        lifetime=now + lifetime - authorized_at,
        redirect=_redirect_digest(request.redirect_uri),
        code_challenge=request.code_challenge,
        jkt=request.jkt,
    )
    return server.sealer.seal(code, now), code


async def grant(request: TokenRequest, server: AuthorizationServer) -> Issued:
    """Redeem a code (§4.1.3). Nothing is used up by a request that does not come from the code's own client."""
    parameters, client, now = request.parameters, request.client, request.now
    if "code" not in parameters:
        raise InvalidRequest("code is missing")
    code = open_parent(AuthorizationCode, parameters["code"], server, now)
    if now >= client.lifetimes.end_of(code):
        raise refusal(AuthorizationCode, "older than the present lifetime of codes", code)
    check_client(code, client)
    redirect_uri = parameters.get("redirect_uri")
    if redirect_uri is not None and _redirect_digest(redirect_uri) != code.redirect:
        raise refusal(AuthorizationCode, "another redirect_uri than the request's", code)
    try:
        check_verifier(parameters.get("code_verifier"), code.code_challenge)
    except InvalidGrant as error:
        raise refusal(AuthorizationCode, error.reason, code) from None
    check_resource(parameters.get("resource"), code, server)
    scope = present_scope(code, server)
    return mint(code, await advance(code, request, server), request, server, scope)


def _redirect_digest(redirect_uri: str) -> str:
    """Of the URI as it was written: at the token endpoint it has to be the same to the letter."""
    return digest(redirect_uri, 16)
