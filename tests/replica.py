"""A real replica in a process of its own, and a client that walks the flow over HTTP."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import secrets
import signal
import ssl
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from tests.ports import free_port
from tokensvc.identity import Identity
from tokensvc.identity.api_keys import new_api_key

KNOWN_SECRETS: set[str] = set()
"""Whatever a Client sent or was given that no log may hold. Every Replica looks for it in its own when it stops."""

API_KEY = "key_for-ada-which-is-long-enough"
INTROSPECTION_TOKEN = "introspection-secret-of-the-tests"
ADMIN_TOKEN = "admin-secret-of-the-tests"
REDIRECT_URI = "http://127.0.0.1:33418/callback"
SECONDS = 30.0
TLS = ssl.create_default_context()
"""For every HTTP client of the tests: to read the certificate authorities takes longer than a whole flow."""
# Shorter than the five seconds after which a replica closes an idle connection: it could do so while a request is sent.
LIMITS = httpx.Limits(keepalive_expiry=2)


def ring_entry(kid: str, activation: str = "") -> str:
    at = f"@{activation}" if activation else ""
    return f"{kid}{at}={base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip('=')}"


def api_key_entry(key: str, account: str = "acme", user: str = "ada", role: str = "admin") -> str:
    _, entry = new_api_key(Identity(account, user, role), "x")
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}={entry.partition('=')[2]}"


def wait_for(condition: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
    """Wait until the condition holds, and return what it gave; fail after a bounded time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while time.monotonic() < deadline:
        if result := condition():
            return result
        pause.wait(0.02)
    raise AssertionError(f"{what}: not within {seconds} s")


def wait_until(moment: float) -> None:
    """Wait until the clock, in seconds since the epoch, has passed a moment."""
    wait_for(lambda: time.time() > moment, "the clock goes on", max(moment - time.time(), 0) + 5)


def settings(ledger: str, port: int, **changes: str) -> dict[str, str]:
    """The variables of a replica; `changes` by field name, an empty value leaves a variable out."""
    values = {
        "issuer": f"http://127.0.0.1:{port}",
        "keys": ring_entry("k1"),
        "client_keys": ring_entry("c1"),
        "ledger": ledger,
        "api_keys": api_key_entry(API_KEY),
        "introspection_tokens": INTROSPECTION_TOKEN,
        "admin_tokens": ADMIN_TOKEN,
    } | changes
    return changed({}, **values)


def refusal(environment: Mapping[str, str]) -> str:
    """What `tokensvc serve` says when it refuses these variables. Fails where it does not."""
    command = [sys.executable, "-m", "tokensvc", "serve", "--port", str(free_port())]
    ended = subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ended.returncode == 1, ended.stderr
    return ended.stderr


def changed(environment: Mapping[str, str], **changes: str) -> dict[str, str]:
    """The variables with `changes` by field name, an empty value leaving one out."""
    values = dict(environment) | {f"TOKENSVC_{name.upper()}": value for name, value in changes.items()}
    return {name: value for name, value in values.items() if value}


@dataclass
class Replica:
    """`tokensvc serve` with the given variables. Use as a context manager; `url` is where it listens."""

    environment: Mapping[str, str]
    port: int
    workers: int = 1
    directory: Path | None = None
    drain: int = 0
    process: subprocess.Popen[str] = field(init=False)
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where this replica listens: its issuer may be a balancer's address."""
        return f"http://127.0.0.1:{self.port}{urlsplit(self.environment['TOKENSVC_ISSUER']).path}"

    def __enter__(self) -> Replica:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def start(self) -> Replica:
        """Start it, and return when it is ready."""
        self.begin()
        try:
            wait_for(self.ready, "the replica is ready", 2 * SECONDS)
        except BaseException:
            self.kill()
            raise
        return self

    def begin(self) -> Replica:
        """Start it without waiting for anything."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOKENSVC_")}
        options = {"--port": self.port, "--workers": self.workers, "--drain": self.drain}
        given = [str(part) for option in options.items() for part in option]
        command = [sys.executable, "-m", "tokensvc", "serve", *given]
        self.process = subprocess.Popen(
            command,
            env=inherited | dict(self.environment),
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.directory,
            process_group=0,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        if self.process.stderr:
            self.process.stderr.close()
        assert not self.leaks(), "the log of a replica holds a secret"

    def kill(self) -> None:
        """End it at once, with all of its workers."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.stop()

    def restart(self, **changes: str) -> Replica:
        """Stop it and start it again with changed variables, on the same port and with the same ledger."""
        self.stop()
        self.environment = changed(self.environment, **changes)
        return self.start()

    def twin(self, **changes: str) -> Replica:
        """Another replica, not started yet, with the same variables but for `changes`, and its own port."""
        return Replica(changed(self.environment, **changes), free_port(), self.workers, self.directory)

    def leaks(self) -> set[str]:
        """Secrets that stand in the log, whole or in part: those that clients saw, and those of the variables."""
        return leaks("".join(self.lines), KNOWN_SECRETS | _secrets_of(self.environment))

    @property
    def log(self) -> list[dict[str, Any]]:
        """The structured lines that it logged."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def settled(self) -> list[dict[str, Any]]:
        """The log with all that was answered before now, which its reader may not have come to yet."""
        identifier = f"settled-{secrets.token_hex(8)}"
        httpx.post(f"{self.url}/token", headers={"X-Request-ID": identifier}, verify=TLS, timeout=SECONDS)
        self.logged("token refused", request_id=identifier)
        return self.log

    def logged(self, event: str, **facts: Any) -> dict[str, Any]:
        """Wait for a line of this event with these facts."""

        def find() -> dict[str, Any] | None:
            lines = (line for line in self.log if line["event"] == event)
            return next((line for line in lines if facts.items() <= line.items()), None)

        found: dict[str, Any] = wait_for(find, f"{event} {facts} is logged", 10)
        return found

    def _read(self) -> None:
        for line in self.process.stderr or ():
            self.lines.append(line)

    def ready(self) -> bool:
        """Whether it says so. Fails where it has ended."""
        if self.process.poll() is not None:
            raise AssertionError("the replica ended: " + "".join(self.lines))
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5, verify=TLS).status_code == 200
        except httpx.TransportError:
            return False


@dataclass
class Tokens:
    access: str
    refresh: str
    response: dict[str, Any]


@dataclass
class Client:
    """A public client that walks the flow against `url`, which may be a replica or a balancer before several."""

    url: str
    redirect_uri: str = REDIRECT_URI
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    client_id: str = ""
    client_secret: str = ""
    api_key: str = API_KEY
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=SECONDS, verify=TLS, limits=LIMITS))

    def __post_init__(self) -> None:
        weakref.finalize(self, self.http.close)
        KNOWN_SECRETS.update({self.verifier, self.api_key, INTROSPECTION_TOKEN, ADMIN_TOKEN})
        self.http.event_hooks = {"response": [_remember]}

    @property
    def challenge(self) -> str:
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).decode().rstrip("=")

    def register(self, **metadata: Any) -> dict[str, Any]:
        asked = {
            "redirect_uris": [self.redirect_uri],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "client_name": "Test client",
        } | metadata
        response = self.http.post(f"{self.url}/register", json=asked)
        assert response.status_code == 201, response.text
        answer: dict[str, Any] = response.json()
        self.client_id = answer["client_id"]
        self.client_secret = answer.get("client_secret", "")
        return answer

    def authorize_url(self, **changes: str) -> str:
        parameters = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "state": "af0ifjsldkj/+=",
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
        } | changes
        return f"{self.url}/authorize?{urlencode({name: value for name, value in parameters.items() if value})}"

    def page(self, **changes: str) -> tuple[str, httpx.Response]:
        """Open the sign-in page: its URL and the response."""
        url = self.authorize_url(**changes)
        return url, self.http.get(url)

    def decide(self, url: str, page: httpx.Response, decision: str = "allow", **changes: str) -> httpx.Response:
        """Post the form of a page as a browser does."""
        form = hidden_inputs(page.text) | {"api_key": self.api_key, "decision": decision} | changes
        return self.http.post(url, data=form)

    def code(self, **changes: str) -> str:
        """Sign in, allow, and return the code."""
        url, page = self.page(**changes)
        assert page.status_code == 200, page.text
        answer = self.decide(url, page)
        assert answer.status_code == 303, answer.text
        return redirect_parameters(answer)["code"]

    def token(self, **parameters: str) -> httpx.Response:
        """Post to the token endpoint as this client; an empty value leaves a parameter out."""
        form = {"client_id": self.client_id, "client_secret": self.client_secret} | parameters
        return self.http.post(f"{self.url}/token", data={name: value for name, value in form.items() if value})

    def redeem(self, code: str, **changes: str) -> httpx.Response:
        grant = {"grant_type": "authorization_code", "code": code, "code_verifier": self.verifier}
        return self.token(**(grant | {"redirect_uri": self.redirect_uri} | changes))

    def refresh(self, refresh_token: str, **changes: str) -> httpx.Response:
        return self.token(**({"grant_type": "refresh_token", "refresh_token": refresh_token} | changes))

    def sign_in(self) -> Tokens:
        """The whole way, from registration to tokens."""
        if not self.client_id:
            self.register()
        return tokens(self.redeem(self.code()))

    def introspect(self, token: str, secret: str = INTROSPECTION_TOKEN) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {secret}"}
        response = self.http.post(f"{self.url}/introspect", data={"token": token}, headers=headers)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def active(self, token: str) -> bool:
        return self.introspect(token)["active"] is True

    def revoke(self, token: str, **changes: str) -> httpx.Response:
        form = {"client_id": self.client_id, "client_secret": self.client_secret, "token": token} | changes
        return self.http.post(f"{self.url}/revoke", data={name: value for name, value in form.items() if value})

    def admin_revoke(self, kind: str, subject: str = "", **members: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        body = {"kind": kind, "subject": subject} | members
        return self.http.post(f"{self.url}/admin/revoke", json=body, headers=headers)


def tokens(response: httpx.Response) -> Tokens:
    assert response.status_code == 200, response.text
    answer = response.json()
    return Tokens(answer["access_token"], answer.get("refresh_token", ""), answer)


def leaks(text: str, known: set[str]) -> set[str]:
    """The secrets that stand in a text. Of long ones a part is enough: 24 characters, more than any name in a log."""
    parts = set(re.findall(r"[A-Za-z0-9_.~-]{24,}", text))
    return {
        secret
        for secret in known
        if any(part in secret or secret in part for part in parts)
        or (not re.fullmatch(r"[A-Za-z0-9_.~-]{24,}", secret) and json.dumps(secret)[1:-1] in text)
    }


def _secrets_of(environment: Mapping[str, str]) -> set[str]:
    rings = [environment.get(f"TOKENSVC_{name}", "") for name in ("KEYS", "CLIENT_KEYS", "SIGNING_KEYS")]
    return {entry.partition("=")[2] for ring in rings for entry in ring.split(",") if entry}


def _remember(response: httpx.Response) -> None:
    """Keep what this exchange showed of codes, tokens, secrets, sealed requests and cookies."""
    response.read()
    KNOWN_SECRETS.update(value for value in response.cookies.values() if len(value) > 16)
    KNOWN_SECRETS.update(hidden_inputs(response.text).values())
    if code := dict(parse_qsl(urlsplit(response.headers.get("location", "")).query)).get("code"):
        KNOWN_SECRETS.add(code)
    if response.headers.get("content-type") == "application/json" and isinstance(answer := response.json(), dict):
        names = ("access_token", "refresh_token", "client_secret", "client_id")
        values = (answer.get(name) for name in names)
        # A client handle is no secret, and stands in every line.
        KNOWN_SECRETS.update(value for value in values if value and len(value) > 22)


def hidden_inputs(page: str) -> dict[str, str]:
    inputs = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
    return {name: html.unescape(value) for name, value in inputs}


def redirect_parameters(response: httpx.Response) -> dict[str, str]:
    """What a redirect carries to the client."""
    return dict(parse_qsl(urlsplit(response.headers["location"]).query, strict_parsing=True))
