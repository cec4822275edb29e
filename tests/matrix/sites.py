"""Where the matrix is run: for each ledger two replicas, of which one mints sealed access tokens and one JWTs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jwt import PyJWKClient

from tests.flows.partition import together
from tests.grants.identity_provider import IdentityProvider
from tests.https_host import HttpsHost
from tests.matrix.combinations import AXES, Combination, possible
from tests.ports import free_port
from tests.replica import Replica, changed, ring_entry, settings
from tests.signer import Signer
from tokensvc.protocol.client import DEVICE_CODE
from tokensvc.protocol.id_jag import GRANT_TYPE as JWT_BEARER

SECRET = "secret-of-the-clients-of-the-matrix"
PROVIDER = IdentityProvider()
REDIRECT_URIS = {
    "loopback": "http://127.0.0.1:33418/callback",
    "web": "https://app.example.com/callback",
    "private-scheme": "com.example.app:/callback",
}
GRANT_TYPES = {
    "code": ["authorization_code", "refresh_token"],
    "code-once": ["authorization_code"],
    "pushed-code": ["authorization_code", "refresh_token"],
    "device": [DEVICE_CODE, "refresh_token"],
    "machine": ["client_credentials"],
    "id-jag": [JWT_BEARER],
}
FORMATS = AXES["token_format"]


@dataclass(frozen=True)
class Site:
    """`mints` makes what a client gets; `judges`, another replica where the ledger has several, is asked about it."""

    issuer: str
    mints: Replica
    judges: Replica
    keys: PyJWKClient


@dataclass(frozen=True)
class Known:
    """A client that is known without registering, and its keys where it signs."""

    client_id: str
    signer: Signer | None


def client_name(method: str, grant: str) -> str:
    return f"matrix-{method}-{grant}"


SIGNERS = {
    client_name("private_key_jwt", grant): Signer(client_name("private_key_jwt", grant)) for grant in GRANT_TYPES
}
"""Of the pre-registered clients that sign."""


def publish(host: HttpsHost) -> dict[tuple[str, str], Known]:
    """A document for each way to authenticate and each grant: once, since whoever has read one keeps it."""
    return {
        (method, grant): _publish(host, method, grant)
        for method in AXES["method"]
        for grant in AXES["grant"]
        if possible(Combination(method=method, grant=grant, registration="document"))
    }


def _publish(host: HttpsHost, method: str, grant: str) -> Known:
    path = f"/{method}/{grant}.json"
    signer = Signer(host.url(path)) if method == "private_key_jwt" else None
    client_id = host.publish(
        path,
        token_endpoint_auth_method=method,
        grant_types=GRANT_TYPES[grant],
        redirect_uris=[*REDIRECT_URIS.values()],
        jwks=signer.jwks if signer else None,
    )
    return Known(client_id, signer)


@contextmanager
def sites(directory: Path, host: HttpsHost) -> Iterator[dict[tuple[str, str], Site]]:
    """By ledger and format. The replicas trust the host of documents, whose authority is in the environment."""
    assert host.authority.exists()
    alone = [_replica(directory, f"memory-{token_format}", "memory://", token_format) for token_format in FORMATS]
    shared = _two(_replica(directory, "sqlite", "sqlite:///ledger.db", "sealed"))
    peers = _peers(directory)
    with ExitStack() as running:
        for replica in (*alone, *shared, *peers):
            running.callback(_end, replica)
        together([*alone, *shared[:1], *peers[:1]])
        together([*shared[1:], *peers[1:]])
        found = {("memory", token_format): _site(one, one) for token_format, one in zip(FORMATS, alone, strict=True)}
        for ledger, (sealed, jwt) in {"sqlite": shared, "peers": peers}.items():
            found |= {(ledger, "sealed"): _site(sealed, jwt), (ledger, "jwt"): _site(jwt, sealed)}
        yield found


def _site(mints: Replica, judges: Replica) -> Site:
    """The one replica mints, the other is asked: each takes what the other makes."""
    issuer = mints.environment["TOKENSVC_ISSUER"]
    return Site(issuer, mints, judges, PyJWKClient(f"{judges.url}/jwks.json"))


def _two(sealed: Replica) -> tuple[Replica, Replica]:
    return sealed, sealed.twin(access_token_format="jwt")


def _peers(directory: Path) -> tuple[Replica, Replica]:
    """The first begins the fleet; neither takes assertions of identity providers, which the settings refuse there."""
    sealed = _replica(directory, "peers", "memory://", "sealed", id_jag_issuers="")
    jwt = sealed.twin(access_token_format="jwt")
    urls = {"peers": f"{_own(sealed)},{_own(jwt)}"}
    sealed.environment = changed(sealed.environment, peers_bootstrap="true", **urls)
    jwt.environment = changed(jwt.environment, **urls)
    return sealed, jwt


def _own(replica: Replica) -> str:
    return f"http://127.0.0.1:{replica.port}"


def _replica(directory: Path, name: str, ledger: str, token_format: str, **changes: str) -> Replica:
    (directory / name).mkdir()
    port = free_port()
    usual = {
        "access_token_format": token_format,
        "signing_keys": ring_entry("s1"),
        "clients": json.dumps(_clients()),
        "id_jag_issuers": json.dumps([PROVIDER.entry()]),
        "device_authorization": "on",
        "fetch_networks": "127.0.0.0/8,::1",
    }
    return Replica(settings(ledger, port, **usual | changes), port, directory=directory / name)


def _clients() -> list[dict[str, Any]]:
    """A pre-registered client for each way to authenticate and each grant that it may have."""
    return [
        _client(method, grant)
        for method in AXES["method"]
        for grant in AXES["grant"]
        if possible(Combination(method=method, grant=grant, registration="preregistered"))
    ]


def _client(method: str, grant: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "client_id": client_name(method, grant),
        "token_endpoint_auth_method": method,
        "grant_types": GRANT_TYPES[grant],
        "redirect_uris": list(REDIRECT_URIS.values()),
    }
    if method == "private_key_jwt":
        entry["jwks"] = SIGNERS[entry["client_id"]].jwks
    elif method != "none":
        entry["client_secret_hash"] = f"sha256:{hashlib.sha256(SECRET.encode()).hexdigest()}"
    return entry | ({"identity": "acme/machine/robot"} if grant == "machine" else {})


def _end(replica: Replica) -> None:
    if hasattr(replica, "process"):
        replica.kill()
