"""Issuers whose word is taken for a person's sign-in: the Identity Assertion JWT Authorization Grant, ID-JAG.

As draft-ietf-oauth-identity-assertion-authz-grant and MCP's Enterprise-Managed Authorization have it. Who is trusted,
and what its people are here, stands in TOKENSVC_ID_JAG_ISSUERS and never in an assertion.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from tokensvc.errors import SettingsError
from tokensvc.identity import Identity, SignedIn, check_part, credential_of_subject, issuer_name
from tokensvc.protocol.assertion import Assertion, BadAssertion
from tokensvc.protocol.json_list import parse_entries
from tokensvc.protocol.jwks import Jwks, check_url

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
PROFILE: Final = "urn:ietf:params:oauth:grant-profile:id-jag"
TYPE: Final = "oauth-id-jag+jwt"
LONGEST_LIFETIME: Final = 3_600_000
"""Of an assertion, in milliseconds: so long its jti has to be remembered."""
_VARIABLE = "TOKENSVC_ID_JAG_ISSUERS"


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """`name` begins the credential of all its people. A `role` counts where there is no `role_claim`, or not in it.

    `tenant` and `aud_tenant` are those whose people it vouches for, and to which organisation of this server; empty
    where it knows of no tenants.
    """

    issuer: str
    name: str
    jwks: Jwks | None
    jwks_uri: str
    account: str
    user_claim: str
    role: str
    role_claim: str
    tenant: str
    aud_tenant: str
    public_clients: bool

    def sign_in(self, assertion: Assertion) -> SignedIn:
        """Whom an assertion that was verified is about. Raises BadAssertion."""
        claims = assertion.claims
        # What `sub` and any other claim names is a person of that tenant alone: elsewhere it may be somebody else.
        for name, expected in (("tenant", self.tenant), ("aud_tenant", self.aud_tenant)):
            if claims.get(name, "") != expected:
                raise BadAssertion(f"its {name} is another")
        user = claims.get(self.user_claim)
        role = claims.get(self.role_claim, self.role) if self.role_claim else self.role
        if isinstance(role, list) and len(role) == 1:
            role = role[0]
        try:
            identity = Identity(self.account, _part(user, "user"), _part(role, "role"))
        except ValueError as error:
            raise BadAssertion(str(error)) from None
        return SignedIn(identity, credential_of_subject(self.name, assertion.subject))


class _Entry(BaseModel):
    """One issuer."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)

    issuer: Annotated[str, Field(pattern=r"^https?://[\x21-\x7E]{1,500}$")]
    jwks_uri: str = ""
    jwks: dict[str, Any] | None = None
    account: str
    user_claim: Annotated[str, Field(min_length=1, max_length=128)] = "sub"
    role: str = ""
    role_claim: Annotated[str, Field(max_length=128)] = ""
    tenant: Annotated[str, Field(max_length=512)] = ""
    aud_tenant: Annotated[str, Field(max_length=512)] = ""
    public_clients: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> "_Entry":
        if (self.jwks is None) == (not self.jwks_uri):
            raise ValueError("it has its keys in jwks or under jwks_uri, in one of them")
        if not self.role and not self.role_claim:
            raise ValueError("it needs a role, a role_claim, or both")
        check_part(self.account)
        if self.role:
            check_part(self.role)
        if self.jwks is not None and not Jwks.parse(self.jwks).keys:
            raise ValueError("jwks has no key that could verify: a public one, of a kind and size that is supported")
        if self.jwks_uri:
            check_url(self.jwks_uri)
        return self

    def trusted(self) -> TrustedIssuer:
        mapping = (self.account, self.user_claim, self.role, self.role_claim, self.tenant, self.aud_tenant)
        return TrustedIssuer(
            issuer=self.issuer,
            name=issuer_name(self.issuer, *mapping),
            jwks=None if self.jwks is None else Jwks.parse(self.jwks),
            jwks_uri=self.jwks_uri,
            account=self.account,
            user_claim=self.user_claim,
            role=self.role,
            role_claim=self.role_claim,
            tenant=self.tenant,
            aud_tenant=self.aud_tenant,
            public_clients=self.public_clients,
        )


_Entries = TypeAdapter(list[_Entry])


def parse_issuers(text: str, own: str) -> dict[str, TrustedIssuer]:
    """Read TOKENSVC_ID_JAG_ISSUERS; `own` is this server's issuer, which vouches for nobody. Raises SettingsError."""
    remedy = "See docs/grants.md for an example of the list"
    issuers = [entry.trusted() for entry in parse_entries(text, _Entries, _VARIABLE, remedy)]
    by_issuer = {trusted.issuer: trusted for trusted in issuers}
    if len(by_issuer) < len(issuers):
        raise SettingsError(_VARIABLE, "lists an issuer twice", "Give every issuer one entry")
    if own in by_issuer:
        raise SettingsError(_VARIABLE, "lists this server itself", "List the issuers of others alone")
    return by_issuer


def _part(value: Any, name: str) -> str:
    """Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"it names no {name}")
    return check_part(value)
