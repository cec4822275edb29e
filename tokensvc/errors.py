"""What goes wrong, one class per error code of the standards (RFC 6749 §4.1.2.1 and §5.2, 7591 §3.2.2, 8707 §2).

`description` goes to the client and stays generic. `reason` goes to the log and is exact: a client that may not know
why a token was refused must not learn it from the answer, and an operator has to.
"""

from typing import ClassVar


class OAuthError(Exception):
    """An answer in the form of RFC 6749 §5.2."""

    error: ClassVar[str]
    status: ClassVar[int] = 400

    def __init__(self, description: str, *, reason: str = "") -> None:
        super().__init__(description)
        self.description = description
        self.reason = reason or description


class InvalidRequest(OAuthError):
    error = "invalid_request"


class RequestTooLarge(InvalidRequest):
    status = 413


class InvalidClient(OAuthError):
    """`basic` says that the client tried HTTP Basic, which asks for a challenge in the answer."""

    error = "invalid_client"
    status = 401

    def __init__(self, description: str, *, reason: str = "", basic: bool = False) -> None:
        super().__init__(description, reason=reason)
        self.basic = basic


class InvalidGrant(OAuthError):
    """`family` names the grant, where the artefact opened, for the log."""

    error = "invalid_grant"

    def __init__(self, description: str, *, reason: str = "", family: str = "") -> None:
        super().__init__(description, reason=reason)
        self.family = family


class ReplayedGrant(InvalidGrant):
    """A code or refresh token came again that may not, and its family has ended with this."""


class UnauthorizedClient(OAuthError):
    error = "unauthorized_client"


class UnsupportedGrantType(OAuthError):
    error = "unsupported_grant_type"


class UnsupportedResponseType(OAuthError):
    error = "unsupported_response_type"


class AccessDenied(OAuthError):
    error = "access_denied"


class InvalidScope(OAuthError):
    error = "invalid_scope"


class AuthorizationPending(OAuthError):
    """The person has not decided yet: the device asks again (RFC 8628 §3.5)."""

    error = "authorization_pending"


class SlowDown(AuthorizationPending):
    """The same, and the device asks too often."""

    error = "slow_down"


class ExpiredToken(OAuthError):
    """A device code is too old, and the device has to begin again (RFC 8628 §3.5)."""

    error = "expired_token"


class InvalidTarget(OAuthError):
    error = "invalid_target"


class InvalidRequestUri(OAuthError):
    """What was pushed is not there any more (RFC 9101 §7, RFC 9126 §4)."""

    error = "invalid_request_uri"


class InvalidDpopProof(OAuthError):
    """What is wrong with a proof, its sender may know (RFC 9449 §5)."""

    error = "invalid_dpop_proof"


class UseDpopNonce(OAuthError):
    """The proof has to have `nonce` in it (RFC 9449 §8)."""

    error = "use_dpop_nonce"

    def __init__(self, description: str, *, reason: str = "", nonce: str) -> None:
        super().__init__(description, reason=reason)
        self.nonce = nonce


class InvalidRedirectUri(OAuthError):
    error = "invalid_redirect_uri"


class InvalidClientMetadata(OAuthError):
    error = "invalid_client_metadata"


class InvalidToken(OAuthError):
    """A bearer credential of a protected endpoint is missing or wrong (RFC 6750 §3.1)."""

    error = "invalid_token"
    status = 401


class TooManyRequests(OAuthError):
    """`retry_after` is in seconds."""

    error = "temporarily_unavailable"
    status = 429

    def __init__(self, description: str, *, reason: str = "", retry_after: int = 1) -> None:
        super().__init__(description, reason=reason)
        self.retry_after = retry_after


class TemporarilyUnavailable(OAuthError):
    """What cannot be answered now is never a refusal: clients erase their credentials on one."""

    error = "temporarily_unavailable"
    status = 503
    retry_after = 2


class UnknownClient(Exception):
    """No client has this client_id. Each endpoint answers it in its own way: a page, or `invalid_client`."""


class SettingsError(Exception):
    """A setting that cannot be used: the variable, what is wrong with it, and the way out. Never its value."""

    def __init__(self, variable: str, problem: str, remedy: str) -> None:
        super().__init__(f"{variable} {problem}. {remedy}")
        self.variable, self.problem, self.remedy = variable, problem, remedy
