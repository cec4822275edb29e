"""What may keep a client from connecting: one list of checks, each a function from a visit to what it found there."""

from collections.abc import Callable, Iterator

from tokensvc.commands.probe.checks import authorization, discovery, registration, token
from tokensvc.commands.probe.findings import Finding
from tokensvc.commands.probe.visit import Visit

CHECKS: tuple[Callable[[Visit], Iterator[Finding]], ...] = (
    discovery.challenge,
    discovery.resource_metadata,
    discovery.resource_name,
    discovery.authorization_servers,
    discovery.offline_access,
    discovery.well_known,
    discovery.issuer,
    discovery.nulls,
    discovery.members,
    discovery.pkce,
    discovery.cors,
    registration.way_in,
    registration.refusal,
    registration.response,
    registration.nulls,
    registration.method,
    registration.end,
    registration.kept,
    authorization.refusal,
    authorization.size,
    authorization.state,
    authorization.iss,
    authorization.stranger,
    token.bogus_code,
    token.kept,
    token.stranger,
    token.patience,
)
"""In the order of the flow, so that the first finding is what the client meets first."""


def examine(visit: Visit) -> list[Finding]:
    return [finding for check in CHECKS for finding in check(visit)]
