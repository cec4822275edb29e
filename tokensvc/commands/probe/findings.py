"""What the probe has to say: a finding, and the traps that findings are counted by."""

from dataclasses import dataclass

TRAPS = {
    1: "Sizes: the authorization URL stays under 2,000 characters, a client_id fits a small credential store",
    2: "A client_id does not expire, and one that is not known any more is told so",
    3: "The issuer is one string, the same to the letter everywhere; `iss` comes where it is advertised",
    4: "No nulls; a registration returns its redirect URIs and whatever was granted",
    5: "Redirect URIs: every registered one, private schemes, and any port of a loopback address",
    7: "Scopes: unknown ones are dropped; `offline_access` is the authorization server's alone",
    8: "Client authentication: the method that was asked for is granted and honoured",
    9: "Well-known addresses answer JSON or a 404, never a page and never a 5xx",
    10: "The resource is named as the client spells it, and accepted so",
    11: "A Client ID Metadata Document is accepted where it is advertised",
    12: "Transport: `no-store`, CORS, `state` as it was sent, bursts from one address",
    15: "A refusal and an outage do not look alike",
}
"""By their numbers in docs/probe.md. What is missing of 1 to 15 cannot be seen without signing in."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a client meets, and what to do about it. `trap` 0: what no trap describes, and a standard does.

    Where it is not `fatal` the client connects all the same, today.
    """

    trap: int
    problem: str
    remedy: str
    fatal: bool = True
