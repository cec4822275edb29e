"""Pushed authorization requests (RFC 9126): sealed into the request_uri itself, so that nothing has to be kept."""

import secrets
from collections.abc import Mapping

from tokensvc.errors import InvalidRedirectUri, InvalidRequest, InvalidRequestUri, InvalidTarget, RequestTooLarge
from tokensvc.protocol.authorization_request import Authorization, ReturnAddress, check, return_address_of
from tokensvc.protocol.client import Client
from tokensvc.protocol.server import AuthorizationServer
from tokensvc.tokens.artefact import Unsealable
from tokensvc.tokens.kinds import PushedRequest, client_handle

URN = "urn:ietf:params:oauth:request_uri:"
LIFETIME = 90_000
"""How long a client has until the person opens the request_uri, in milliseconds."""


def push(parameters: Mapping[str, str], client: Client, jkt: str, server: AuthorizationServer, now: int) -> str:
    """The request_uri of a request, which is checked as one at the authorization endpoint is. Raises OAuthError.

    `jkt` is the thumbprint of the key that came with it, if any (RFC 9449 §10.1).
    """
    try:
        address = return_address_of(client, parameters, server)
    except InvalidRedirectUri as error:
        raise InvalidRequest(error.description) from None
    name = secrets.token_urlsafe(12)
    authorization = check(parameters, client, address, server, pushed=name, proved=jkt)
    request = PushedRequest(
        name=name,
        client=client.handle,
        redirect_uri=authorization.redirect_uri.text,
        state=authorization.state,
        code_challenge=authorization.code_challenge,
        resource=authorization.resource.digest,
        scope=authorization.scope,
        exp=now + LIFETIME,
        jkt=authorization.jkt,
    )
    sealed = server.sealer.seal(request, now)
    if len(sealed) > PushedRequest.longest:
        raise RequestTooLarge("the request is too long for a URL: shorten state")
    return URN + sealed


def open_pushed(parameters: Mapping[str, str], server: AuthorizationServer, now: int) -> PushedRequest | None:
    """What its request_uri stands for, None where the request has none of ours. Raises InvalidRequestUri.

    One that has expired opens too: it says where the client wants to hear of that.
    """
    request_uri = parameters.get("request_uri", "")
    if not request_uri.startswith(URN):
        return None
    try:
        pushed = server.sealer.unseal(PushedRequest, request_uri.removeprefix(URN), now)
    except Unsealable as error:
        raise InvalidRequestUri("the request_uri is not valid", reason=str(error)) from None
    if pushed.client != client_handle(parameters.get("client_id", "")):
        raise InvalidRequestUri("the request_uri is not valid", reason="pushed by another client")
    return pushed


def restore(
    pushed: PushedRequest, client: Client, address: ReturnAddress, server: AuthorizationServer, now: int
) -> Authorization:
    """The request as it was checked. Raises the OAuthError that goes to the client's redirect URI."""
    if now >= pushed.exp:
        raise InvalidRequestUri("the request_uri has expired")
    resource = server.resources.sealed(pushed.resource)
    if resource is None:
        raise InvalidTarget("the resource is not served any more")
    return Authorization(
        client=client,
        redirect_uri=address.redirect_uri,
        state=address.state,
        code_challenge=pushed.code_challenge,
        resource=resource,
        scope=pushed.scope,
        jkt=pushed.jkt,
        pushed=pushed.name,
    )
