"""Who takes part: the service on either ledger and the rival, each with what it is asked at every endpoint."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

from mcp.shared.auth import OAuthToken

from benchmarks import rival
from benchmarks.load import FORM, Chain, Refreshes, Registrations, Repeats, ask, post
from benchmarks.process import Server
from tests import replica
from tests.ports import free_port
from tokensvc import assembly
from tokensvc.identity import Identity, credential_of
from tokensvc.settings import PREFIX, Settings
from tokensvc.tokens.kinds import AccessToken, RefreshToken, client_handle, digest, new_family

Item = TypeVar("Item")


@dataclass(frozen=True)
class Scene:
    """Where and how large: a scratch directory, the servers' core, connections, and grants for each of those."""

    directory: Path
    core: int
    connections: int
    grants: int

    def shares(self, items: Sequence[Item]) -> list[Sequence[Item]]:
        """What each connection gets of the items."""
        return [items[i : i + self.grants] for i in range(0, len(items), self.grants)]


class Contestant(Protocol):
    """Every call of `introspections` and `refreshes` makes grants of its own, once the server runs."""

    @property
    def scene(self) -> Scene: ...
    @property
    def name(self) -> str: ...
    @property
    def server(self) -> Server: ...
    def introspections(self) -> list[Chain]: ...
    def refreshes(self) -> list[Chain]: ...


@dataclass
class Service:
    """`tokensvc serve` with one worker, and grants sealed as its own sign-ins would seal them.

    `variables` come over the usual ones, those of another replica to be of one fleet with it.
    """

    scene: Scene
    name: str
    ledger: str
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    port: int = field(default_factory=free_port)
    server: Server = field(init=False)
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        environment = {**replica.settings(self.ledger, self.port), **self.variables, "TOKENSVC_LEDGER": self.ledger}
        arguments = ["tokensvc", "serve", "--port", str(self.port), "--drain", "0"]
        self.server = Server(
            arguments, self.port, self.scene.core, self.scene.directory / _file_name(self), environment
        )
        given: dict[str, Any] = {name: environment[PREFIX + name.upper()] for name in ("issuer", "keys", "client_keys")}
        self.settings = Settings(**given)

    def introspections(self) -> list[Chain]:
        return _introspections(self.scene, self.tokens(), replica.INTROSPECTION_TOKEN)

    def refreshes(self) -> list[Chain]:
        return _refreshes(self.scene, *self.refresh_tokens())

    def refresh_tokens(self) -> tuple[str, list[str]]:
        """A client_id, and the first refresh tokens of its grants."""
        return self._seal(RefreshToken)

    def tokens(self) -> list[str]:
        """Access tokens of grants of their own, as many as there are introspections."""
        return self._seal(AccessToken)[1]

    def _seal(self, kind: type[AccessToken] | type[RefreshToken]) -> tuple[str, list[str]]:
        """A client that registers, and tokens of a person that let it in."""
        client_id, now = _register(self.server), time.time_ns() // 1_000_000
        sealer = assembly.sealer(self.settings, now)
        tokens = (
            kind(
                family=new_family(),
                client=client_handle(client_id),
                identity=Identity("acme", "ada", "admin"),
                credential=credential_of(hashlib.sha256(replica.API_KEY.encode()).hexdigest()),
                resource=digest(self.settings.issuer, 8),
                scope="mcp",
                authorized_at=now,
                lifetime=self.settings.access_ttl * 1000,
                generation=1,
            )
            for _ in range(self.scene.connections * self.scene.grants)
        )
        return client_id, [sealer.seal(token, now) for token in tokens]


@dataclass
class Rival:
    """NORMAL is its best: a power cut may take back the last commits, which with FULL it cannot, as in the service."""

    scene: Scene
    synchronous: rival.Synchronous
    server: Server = field(init=False)

    def __post_init__(self) -> None:
        port = free_port()
        arguments = ["benchmarks.serving", "--port", str(port), "rival", rival.DATABASE, self.synchronous]
        self.server = Server(arguments, port, self.scene.core, self.scene.directory / _file_name(self))

    @property
    def name(self) -> str:
        return f"rival, synchronous={self.synchronous}"

    def introspections(self) -> list[Chain]:
        _, tokens = self._plant()
        return _introspections(self.scene, [token.access_token for token in tokens], rival.SECRET)

    def refreshes(self) -> list[Chain]:
        client_id, tokens = self._plant()
        return _refreshes(self.scene, client_id, [token.refresh_token or "" for token in tokens])

    def _plant(self) -> tuple[str, list[OAuthToken]]:
        """A client that registers, and tokens in the rival's file of a person that let it in."""
        client_id = _register(self.server)
        provider = rival.Provider(self.server.directory / rival.DATABASE, self.synchronous)
        planted = provider.plant(client_id, self.scene.connections * self.scene.grants)
        provider.close()
        return client_id, planted


def registrations(connections: int) -> list[Chain]:
    """For whichever contestant: the same clients come to all."""
    numbers = itertools.count()
    return [Registrations(numbers) for _ in range(connections)]


def _introspections(scene: Scene, tokens: list[str], secret: str) -> list[Chain]:
    authorization = f"Authorization: Bearer {secret}"
    requests = [post("/introspect", urlencode({"token": token}), FORM, authorization) for token in tokens]
    return [Repeats.of(share) for share in scene.shares(requests)]


def _refreshes(scene: Scene, client_id: str, tokens: list[str]) -> list[Chain]:
    return [Refreshes(client_id, deque(share)) for share in scene.shares(tokens)]


def _register(server: Server) -> str:
    client_id: str = json.loads(ask(server.port, Registrations(itertools.count()).request()))["client_id"]
    return client_id


def _file_name(contestant: Contestant) -> str:
    return "".join(character if character.isalnum() else "-" for character in contestant.name)
