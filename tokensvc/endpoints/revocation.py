"""`POST /revoke`: token revocation (RFC 7009 §2). A refresh token ends its family, an access token only itself."""

from starlette.requests import Request
from starlette.responses import Response

from tokensvc.endpoints.client_authentication import authenticate_client
from tokensvc.endpoints.http import NO_STORE, read_form
from tokensvc.endpoints.service import service_of
from tokensvc.errors import InvalidGrant, InvalidRequest, OAuthError, TemporarilyUnavailable
from tokensvc.ledger import marks
from tokensvc.ledger.marks import Mark, Subject
from tokensvc.observability import log, warn
from tokensvc.protocol.client import Client
from tokensvc.protocol.client_authentication import use_assertion
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.tokens.artefact import Unsealable
from tokensvc.tokens.kinds import AccessToken, RefreshToken


async def revoke(request: Request) -> Response:
    service = service_of(request)
    handle = ""
    try:
        parameters = (await read_form(request)).check()
        now = service.clock()
        client, assertion = await authenticate_client(request, parameters, service, now)
        handle = client.handle
        if "token" not in parameters:
            raise InvalidRequest("token is missing")
        token = _unseal(parameters["token"], service.server, now)
        if token is not None:
            subject, mark = _mark(token, client, now)
            if assertion is not None:
                await use_assertion(assertion, client, service.server.ledger, now)
            app = marks.user_client(token.identity.account, token.identity.user, client.handle)
            facts = {"subject": marks.subject_text(subject), "client": client.handle, "family": token.family}
            try:
                await service.server.ledger.mark(subject, mark, now, app)
            except TemporarilyUnavailable as error:
                # It may hold here all the same, and whoever looks into the log later has to find that.
                warn("revocation unconfirmed", **facts, reason=error.reason)
                raise
            log("token revoked", **facts)
    except TemporarilyUnavailable:
        raise
    except OAuthError as error:
        family = error.family if isinstance(error, InvalidGrant) else ""
        warn("revocation refused", client=handle, family=family, error=error.error, reason=error.reason)
        raise
    return Response(status_code=200, headers=NO_STORE)


def _unseal(value: str, server: AuthorizationServer, now: int) -> RefreshToken | AccessToken | None:
    """The token, whatever its hint said; None for one that is unknown or expired, which §2.2 does not call an error."""
    token: RefreshToken | AccessToken
    try:
        token = server.sealer.unseal(RefreshToken, value, now)
    except Unsealable:
        try:
            token = server.access_tokens.unseal(value, now)
        except Unsealable:
            return None
    return token if now < token.exp else None


def _mark(token: RefreshToken | AccessToken, client: Client, now: int) -> tuple[Subject, Mark]:
    """The mark that ends it. It is kept until the last token of the family has expired. Raises InvalidGrant."""
    if token.client != client.handle:
        raise InvalidGrant(
            "the token was issued to another client", reason=f"token of {token.client}", family=token.family
        )
    if isinstance(token, AccessToken):
        return marks.token(token.jti), Mark(now, token.exp)
    last = max(token.authorized_at + client.lifetimes.refresh_max, token.exp, now) + client.lifetimes.access
    return marks.family(token.family), Mark(now, last)
