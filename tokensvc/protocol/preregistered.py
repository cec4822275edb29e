"""Clients that the operator registers by configuration (TOKENSVC_CLIENTS), with what only an operator may ask for."""

import json
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from tokensvc.errors import InvalidRedirectUri, SettingsError
from tokensvc.identity import SignedIn, credential_of_client, parse_identity
from tokensvc.jose import ALGORITHMS
from tokensvc.protocol.client import Client, Lifetimes, Method
from tokensvc.protocol.json_list import parse_entries
from tokensvc.protocol.jwks import Jwks, check_url
from tokensvc.protocol.redirect_uri import RedirectUri
from tokensvc.settings import Seconds
from tokensvc.tokens.kinds import client_handle

_VARIABLE = "TOKENSVC_CLIENTS"
GrantName = Literal[
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
]


class _Entry(BaseModel):
    """One client: names of RFC 7591 §2, and the operator's own."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)

    client_id: Annotated[str, Field(pattern=r"^[\x21-\x7E]{1,512}$")]
    client_name: Annotated[str, Field(max_length=128)] = ""
    redirect_uris: list[str] = []
    grant_types: list[GrantName] = ["authorization_code", "refresh_token"]
    response_types: list[Literal["code"]] = ["code"]
    token_endpoint_auth_method: Method | None = None
    token_endpoint_auth_signing_alg: str | None = None
    jwks: dict[str, Any] | None = None
    jwks_uri: str | None = None
    client_secret_hash: Annotated[str, Field(pattern=r"^sha256:[0-9a-fA-F]{64}$")] | None = None
    # What else RFC 7591 §2 names of a client: accepted, so that a list from elsewhere can be carried over, and unused.
    application_type: str | None = None
    client_uri: str | None = None
    contacts: list[str] | None = None
    logo_uri: str | None = None
    policy_uri: str | None = None
    scope: str | None = None
    software_id: str | None = None
    software_version: str | None = None
    tos_uri: str | None = None
    # What binds the client itself, once it is registered (RFC 9449 §5.2, RFC 9126 §6).
    dpop_bound_access_tokens: bool = False
    require_pushed_authorization_requests: bool = False
    # The operator's own.
    redirect_uri_patterns: list[str] = []
    require_pkce: bool = True
    identity: str | None = None
    code_ttl: Seconds | None = None
    access_ttl: Seconds | None = None
    refresh_ttl: Seconds | None = None
    refresh_max_ttl: Seconds | None = None

    @property
    def confidential(self) -> bool:
        return self.client_secret_hash is not None or self.signs

    @property
    def signs(self) -> bool:
        return self.jwks is not None or self.jwks_uri is not None

    @model_validator(mode="after")
    def _consistent(self) -> "_Entry":
        if "authorization_code" in self.grant_types and not (self.redirect_uris or self.redirect_uri_patterns):
            raise ValueError("it needs redirect_uris or redirect_uri_patterns")
        if ("client_credentials" in self.grant_types) != (self.identity is not None):
            raise ValueError("identity goes with the grant type client_credentials, and only with it")
        if self.identity is not None:
            parse_identity(self.identity)
            if not self.confidential:
                raise ValueError("client_credentials is for a client that authenticates")
        if (self.client_secret_hash is not None) != (self.method in {"client_secret_basic", "client_secret_post"}):
            raise ValueError("client_secret_hash goes with client_secret_basic or client_secret_post, and only with it")
        if self.signs != (self.method == "private_key_jwt"):
            raise ValueError("jwks or jwks_uri goes with private_key_jwt, and only with it")
        if self.signs:
            self._check_keys()
        if not self.require_pkce and not self.confidential:
            raise ValueError("require_pkce may be false only for a client with a secret")
        return self

    def _check_keys(self) -> None:
        if self.jwks is not None and self.jwks_uri is not None:
            raise ValueError("it has its keys in jwks or under jwks_uri, in one of them")
        if self.token_endpoint_auth_signing_alg not in {None, *ALGORITHMS}:
            raise ValueError(f"token_endpoint_auth_signing_alg is one of {', '.join(ALGORITHMS)}")
        if self.jwks is not None and not Jwks.parse(self.jwks).keys:
            raise ValueError("jwks has no key that could verify: a public one, of a kind and size that is supported")
        if self.jwks_uri is not None:
            check_url(self.jwks_uri)

    @property
    def method(self) -> Method:
        usual: Method = "private_key_jwt" if self.signs else "client_secret_basic" if self.confidential else "none"
        return self.token_endpoint_auth_method or usual

    @property
    def stands_for(self) -> SignedIn | None:
        """By a credential that has another name once the client authenticates by something else."""
        if self.identity is None:
            return None
        keys = json.dumps(self.jwks, sort_keys=True) if self.jwks is not None else self.jwks_uri
        proof = (self.client_secret_hash or "").lower() or keys or ""
        return SignedIn(parse_identity(self.identity), credential_of_client(self.client_id, proof))

    def client(self, lifetimes: Lifetimes) -> Client:
        """Raises InvalidRedirectUri."""
        own = (self.code_ttl, self.access_ttl, self.refresh_ttl, self.refresh_max_ttl)
        general = (lifetimes.code, lifetimes.access, lifetimes.refresh, lifetimes.refresh_max)
        return Client(
            client_id=self.client_id,
            handle=client_handle(self.client_id),
            name=self.client_name or self.client_id,
            method=self.method,
            grant_types=tuple(self.grant_types),
            lifetimes=Lifetimes(*(s * 1000 if s is not None else g for s, g in zip(own, general, strict=True))),
            redirects=frozenset(RedirectUri.parse(uri).digest for uri in self.redirect_uris),
            redirect_patterns=tuple(_pattern(text) for text in self.redirect_uri_patterns),
            secret_hash=bytes.fromhex((self.client_secret_hash or "sha256:").partition(":")[2]),
            require_pkce=self.require_pkce,
            verified=True,
            jwks=None if self.jwks is None else Jwks.parse(self.jwks),
            jwks_uri=self.jwks_uri or "",
            signing_alg=self.token_endpoint_auth_signing_alg or "",
            dpop_bound_access_tokens=self.dpop_bound_access_tokens,
            require_pushed_authorization_requests=self.require_pushed_authorization_requests,
            stands_for=self.stands_for,
        )


_Entries = TypeAdapter(list[_Entry])


def parse_clients(text: str, lifetimes: Lifetimes) -> dict[str, Client]:
    """Read TOKENSVC_CLIENTS. Raises SettingsError."""
    remedy = "See the README for an example of the list"
    entries = parse_entries(text, _Entries, _VARIABLE, remedy)
    try:
        clients = [entry.client(lifetimes) for entry in entries]
    except InvalidRedirectUri as error:
        raise SettingsError(_VARIABLE, f"has a redirect URI that is refused: {error.description}", remedy) from None
    by_id = {client.client_id: client for client in clients}
    if len(by_id) < len(clients):
        raise SettingsError(_VARIABLE, "lists a client_id twice", remedy)
    return by_id


def _pattern(text: str) -> re.Pattern[str]:
    """`*` stands for letters, digits, `-` and `_` inside one host label or path segment, and for nothing else."""
    RedirectUri.parse(text.replace("*", "x"))
    return re.compile("[A-Za-z0-9_-]+".join(re.escape(part) for part in text.split("*")))
