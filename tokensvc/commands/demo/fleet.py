"""The demo's replicas: processes of `tokensvc serve`, each with a memory and key files of its own."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_server, socket
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from tokensvc.commands import CommandFailed
from tokensvc.commands.demo.signals import undisturbed
from tokensvc.commands.keys import new_entry
from tokensvc.identity import Identity
from tokensvc.identity.api_keys import new_api_key
from tokensvc.keyring import KEYS

NAMES = ("A", "B", "C")
GRACE = 5
"""Seconds in which a repeated refresh is forgiven: over by the time that the story comes to a thief."""
_SECONDS = 20.0
_PAUSE = 0.01

Found = TypeVar("Found")


@dataclass(frozen=True)
class Secrets:
    """What the demo makes for itself: first entries of both rings, an API key with its entry, and two secrets."""

    keys: str = field(default_factory=lambda: new_entry("k1"), repr=False)
    client_keys: str = field(default_factory=lambda: new_entry("c1"), repr=False)
    api_key: tuple[str, str] = field(
        default_factory=lambda: new_api_key(Identity("demo", "ada", "admin"), "demo_key"), repr=False
    )
    introspection: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    admin: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)


class Fleet:
    """Replicas by name. Use as a context manager; at its end they are ended at once, having nothing to lose."""

    def __init__(self, directory: Path, issuer: str, resource: str, made: Secrets) -> None:
        self.ports = dict(zip(NAMES, _free_ports(len(NAMES)), strict=True))
        self._directory = directory
        self._issuer = issuer
        self._resource = resource
        self._made = made
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._http = httpx.Client(trust_env=False, timeout=_SECONDS)
        for name in NAMES:
            (directory / name).mkdir(mode=0o700)
            self._write(name, "client_keys", made.client_keys)
        self.give_keys(made.keys)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for name in list(self._running):
            self.kill(name)
        self._http.close()

    def give_keys(self, ring: str) -> None:
        """Put a ring into the file of every replica."""
        for name in NAMES:
            self._write(name, "keys", ring)

    def start(self, name: str, *, first: bool = False) -> None:
        """`first` begins the fleet: where there are no peers to ask, it may go on without having asked."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOKENSVC_")}
        with (self._directory / name / "log").open("ab") as log, undisturbed():
            self._running[name] = subprocess.Popen(  # noqa: S603  # this very program
                [sys.executable, "-m", "tokensvc", "serve", "--port", str(self.ports[name])],
                env=inherited | self._variables(name, first),
                cwd=self._directory / name,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C ends the demo, which ends them; it does not reach them from the terminal as well.
                process_group=0,
            )

    def kill(self, name: str) -> None:
        """At once, as a machine that loses its power."""
        self._running[name].kill()
        self._running[name].wait()
        del self._running[name]

    def wait_until_ready(self) -> None:
        """All that were started. Raises CommandFailed where one ends instead."""
        wait_for(lambda: all(map(self._ready, self._running)), "all replicas are ready")

    def introspect(self, name: str, token: str) -> dict[str, Any]:
        """What a replica says of a token, asked directly. Raises CommandFailed where it does not answer."""
        return self._ask(name, "/introspect", self._made.introspection, data={"token": token})

    def active(self, token: str) -> list[str]:
        """Those of the running replicas in whose eyes it is."""
        return [name for name in NAMES if name in self._running and self.introspect(name, token)["active"]]

    def key_states(self, kid: str) -> set[str]:
        """Of a version of the ring on all replicas; `absent` where one does not have it."""
        return {self._key_state(name, kid) for name in self._running}

    def revoke(self, name: str, kind: str, subject: str) -> dict[str, Any]:
        """As an operator does, on one replica."""
        return self._ask(name, "/admin/revoke", self._made.admin, json={"kind": kind, "subject": subject})

    def _ask(self, name: str, path: str, secret: str, **body: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {secret}"}
        try:
            response = self._http.request(
                "POST" if body else "GET", f"{self._url(name)}{path}", headers=headers, **body
            )
        except httpx.HTTPError as error:
            raise CommandFailed(f"replica {name} does not answer at {path}: {error}") from None
        if response.status_code != 200:
            raise CommandFailed(f"replica {name} answered {response.status_code} at {path}: {response.text}")
        answer: dict[str, Any] = response.json()
        return answer

    def _key_state(self, name: str, kid: str) -> str:
        versions = self._ask(name, "/admin/keys", self._made.admin)["versions"]
        states = {version["kid"]: str(version["state"]) for version in versions if version["ring"] == KEYS}
        return states.get(kid, "absent")

    def _ready(self, name: str) -> bool:
        if self._running[name].poll() is not None:
            last = (self._directory / name / "log").read_text(encoding="utf-8", errors="replace").splitlines()[-1:]
            raise CommandFailed(f"replica {name} ended: {''.join(last) or 'without a word'}")
        try:
            return self._http.get(f"{self._url(name)}/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def _variables(self, name: str, first: bool) -> dict[str, str]:
        values = {
            "issuer": self._issuer,
            "resources": self._resource,
            "keys_file": str(self._directory / name / "keys"),
            "client_keys_file": str(self._directory / name / "client_keys"),
            "ledger": "memory://",
            "peers": ",".join(self._url(peer) for peer in NAMES if peer != name),
            "peers_bootstrap": str(first).lower(),
            "api_keys": self._made.api_key[1],
            "introspection_tokens": self._made.introspection,
            "admin_tokens": self._made.admin,
            "refresh_grace": str(GRACE),
        }
        return {f"TOKENSVC_{variable.upper()}": value for variable, value in values.items()}

    def _url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def _write(self, name: str, file: str, text: str) -> None:
        """Whole or not at all, since a replica may look at any moment; for its owner alone."""
        path = self._directory / name / file
        unfinished = path.with_suffix(".new")
        unfinished.touch(mode=0o600)
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)


def listen() -> socket:
    """On any free port of loopback."""
    return create_server(("127.0.0.1", 0), backlog=128)


def port_of(listening: socket) -> int:
    port: int = listening.getsockname()[1]
    return port


def wait_for(condition: Callable[[], Found], what: str, seconds: float = _SECONDS) -> Found:
    """What the condition gives, as soon as it is true. Raises CommandFailed after a bounded time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(_PAUSE)
    raise CommandFailed(f"{what}: not within {seconds:.0f} seconds")


def _free_ports(number: int) -> list[int]:
    """Distinct ones, since all are held until the last is found."""
    held = [listen() for _ in range(number)]
    ports = [port_of(listening) for listening in held]
    for listening in held:
        listening.close()
    return ports
