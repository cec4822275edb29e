"""Clients that the operator registers by configuration (TOKENSVC_CLIENTS), with what only an operator may ask for."""

import json
import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from tokensvc.errors import InvalidRedirectUri, SettingsError
from tokensvc.protocol.client import Client, Lifetimes
from tokensvc.protocol.redirect_uri import RedirectUri
from tokensvc.settings import Seconds
from tokensvc.tokens.kinds import client_handle

_VARIABLE = "TOKENSVC_CLIENTS"


class _Entry(BaseModel):
    """One client: names of RFC 7591 §2, and the operator's own."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)

    client_id: Annotated[str, Field(pattern=r"^[\x21-\x7E]{1,512}$")]
    client_name: Annotated[str, Field(max_length=128)] = ""
    redirect_uris: list[str] = []
    grant_types: list[Literal["authorization_code", "refresh_token"]] = [
        "authorization_code",
        "refresh_token",
    ]
    response_types: list[Literal["code"]] = ["code"]
    token_endpoint_auth_method: Literal["none", "client_secret_basic", "client_secret_post"] | None = None
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
    # The operator's own.
    redirect_uri_patterns: list[str] = []
    require_pkce: bool = True
    code_ttl: Seconds | None = None
    access_ttl: Seconds | None = None
    refresh_ttl: Seconds | None = None
    refresh_max_ttl: Seconds | None = None

    @property
    def confidential(self) -> bool:
        return self.client_secret_hash is not None

    @model_validator(mode="after")
    def _consistent(self) -> "_Entry":
        if not self.redirect_uris and not self.redirect_uri_patterns:
            raise ValueError("it needs redirect_uris or redirect_uri_patterns")
        if self.token_endpoint_auth_method is not None and self.confidential != (self.method != "none"):
            raise ValueError("client_secret_hash goes with client_secret_basic or client_secret_post, and only with it")
        if not self.require_pkce and not self.confidential:
            raise ValueError("require_pkce may be false only for a client with a secret")
        return self

    @property
    def method(self) -> Literal["none", "client_secret_basic", "client_secret_post"]:
        return self.token_endpoint_auth_method or ("client_secret_basic" if self.confidential else "none")

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
        )


_Entries = TypeAdapter(list[_Entry])


def parse_clients(text: str, lifetimes: Lifetimes) -> dict[str, Client]:
    """Read TOKENSVC_CLIENTS. Raises SettingsError."""
    remedy = "See the README for an example of the list"
    try:
        clients = [entry.client(lifetimes) for entry in _Entries.validate_python(json.loads(text or "[]"))]
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise SettingsError(_VARIABLE, f"has an entry that is refused ({where}: {problem['msg']})", remedy) from None
    except (ValueError, RecursionError):
        raise SettingsError(_VARIABLE, "is not a JSON list", remedy) from None
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
