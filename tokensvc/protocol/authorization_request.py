"""The authorization request (OAuth 2.1 §4.1.1): its checks, top down.

Before client and redirect URI are known to belong together nothing may be sent to the redirect URI; after that every
error goes there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tokensvc.dpop import is_thumbprint
from tokensvc.errors import InvalidRequest, OAuthError, UnauthorizedClient, UnsupportedResponseType
from tokensvc.protocol.client import Client
from tokensvc.protocol.pkce import check_challenge
from tokensvc.protocol.redirect_uri import RedirectUri
from tokensvc.protocol.resource_indicator import Resource
from tokensvc.protocol.server import AuthorizationServer

LONGEST_STATE = 2048


@dataclass(frozen=True, slots=True)
class Authorization:
    """A request that may be put before a person. `jkt` and `pushed` as in AuthorizationRequest."""

    client: Client
    redirect_uri: RedirectUri
    state: str | None
    code_challenge: str
    resource: Resource
    scope: str
    jkt: str = ""
    pushed: str = ""


@dataclass(frozen=True, slots=True)
class ReturnAddress:
    """Where the answer goes, and the state that goes with it."""

    redirect_uri: RedirectUri
    state: str | None
    issuer: str

    def answer(self, **parameters: str) -> str:
        """The URL to redirect to, with `state` exactly as it came and `iss` (RFC 9207)."""
        state = {} if self.state is None else {"state": self.state}
        return self.redirect_uri.with_parameters(parameters | state | {"iss": self.issuer})

    def refuse(self, error: OAuthError) -> str:
        return self.answer(error=error.error, error_description=error.description)


async def return_address(
    parameters: Mapping[str, str], server: AuthorizationServer, now: int
) -> tuple[Client, ReturnAddress]:
    """Raises UnknownClient, InvalidRedirectUri or InvalidRequest: for the person to see, never for a redirect."""
    client_id = parameters.get("client_id")
    if client_id is None:
        raise InvalidRequest("client_id is missing")
    client = await server.clients.find(client_id, now)
    return client, return_address_of(client, parameters, server)


def return_address_of(client: Client, parameters: Mapping[str, str], server: AuthorizationServer) -> ReturnAddress:
    """Raises InvalidRedirectUri or InvalidRequest."""
    redirect_uri = parameters.get("redirect_uri")
    if redirect_uri is None:
        raise InvalidRequest("redirect_uri is missing")
    uri = server.clients.redirect_uri(client, redirect_uri)
    state = parameters.get("state")
    if state is not None and (len(state) > LONGEST_STATE or not state.isprintable()):
        # It cannot be echoed, and an answer without it would not be the client's.
        raise InvalidRequest(f"state is longer than {LONGEST_STATE} characters, or holds control characters")
    return ReturnAddress(uri, state, server.issuer)


def check(
    parameters: Mapping[str, str],
    client: Client,
    address: ReturnAddress,
    server: AuthorizationServer,
    *,
    pushed: str = "",
    proved: str = "",
) -> Authorization:
    """Raises the OAuthError that goes to the client's redirect URI.

    `pushed` is the name of a request that comes from the client itself, `proved` the thumbprint of the key that it
    proved with it.
    """
    response_type = parameters.get("response_type")
    if response_type is None:
        raise InvalidRequest("response_type is missing")
    if response_type != "code":
        raise UnsupportedResponseType("response_type must be code")
    if parameters.get("response_mode", "query") != "query":
        raise InvalidRequest("response_mode must be query")
    if "request" in parameters or "request_uri" in parameters:
        raise InvalidRequest("request objects are not supported")
    if client.require_pushed_authorization_requests and not pushed:
        raise InvalidRequest("the client has to push its authorization requests")
    if "authorization_code" not in client.grant_types:
        raise UnauthorizedClient("the client did not register for the grant type authorization_code")
    challenge = check_challenge(
        parameters.get("code_challenge"),
        parameters.get("code_challenge_method"),
        required=client.require_pkce,
    )
    resource = server.resources.find(parameters.get("resource"))
    scope = server.scopes.grant(parameters.get("scope"))
    jkt = _key(parameters.get("dpop_jkt", ""), proved)
    return Authorization(client, address.redirect_uri, address.state, challenge, resource, scope, jkt, pushed)


def _key(announced: str, proved: str) -> str:
    """What the code will be bound to (RFC 9449 §10 and §10.1). Raises InvalidRequest."""
    if announced and not is_thumbprint(announced):
        raise InvalidRequest("dpop_jkt is no SHA-256 thumbprint of a key")
    if announced and proved and announced != proved:
        raise InvalidRequest("dpop_jkt is of another key than the DPoP proof")
    return proved or announced
