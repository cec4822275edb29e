"""A service that cannot be changed behind nginx and Caddy, by the files of docs/examples, against a real replica."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import parts
from tests.examples.program import EXAMPLES, Program, oauth, python
from tests.flows.balancer import MAIN
from tests.ports import free_port
from tests.replica import API_KEY, Client, Replica, api_key_entry, settings, wait_for

ACCOUNT, USER = "acme/ö %", "ada@example.com"
QUOTED = {"x-auth-account": "acme%2F%C3%B6%20%25", "x-auth-user": "ada%40example.com", "x-auth-role": "admin"}
FORGED = {"X_Auth_Account": "evil", "x-auth-Role": "owner", "X-Auth-Extra": "1"}


class Echo(http.server.BaseHTTPRequestHandler):
    """The service that cannot be changed: says which headers reached it. `/500` fails, on its own account."""

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        self.rfile.read(length)
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(500 if self.path == "/500" else 403 if self.path == "/403" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_arguments: Any) -> None:
        """Nobody reads it."""


@dataclass
class Site:
    proxy: Program
    replica: Replica


@contextmanager
def echo() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def _configured(name: str, ports: dict[str, int]) -> str:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    for address, port in ports.items():
        assert f"127.0.0.1:{address}" in text
        text = text.replace(f"127.0.0.1:{address}", f"127.0.0.1:{port}")
    return text


def _command(name: str, directory: Path, ports: dict[str, int]) -> list[str]:
    if name == "Caddyfile":
        # Its own address for administration would be that of every other Caddy.
        text = "{\n\tadmin off\n}\n" + _configured(name, ports)
        (directory / name).write_text(text)
        return [parts.path("caddy"), "run", "--adapter", "caddyfile", "--config", str(directory / name)]
    (directory / "site.conf").write_text(_configured(name, ports))
    user = "user root;" if os.geteuid() == 0 else ""
    (directory / "nginx.conf").write_text(MAIN.format(user=user, directory=directory))
    return [parts.path("nginx"), "-p", str(directory), "-e", "stderr", "-c", str(directory / "nginx.conf")]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("nginx.conf", marks=pytest.mark.needs("nginx")),
        pytest.param("Caddyfile", marks=pytest.mark.needs("caddy")),
    ],
)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("proxy")
    port, front, verify = free_port(), free_port(), free_port()
    resource = f"http://127.0.0.1:{front}"
    environment = settings(
        "sqlite:///ledger.db", port, resources=resource, api_keys=api_key_entry(API_KEY, ACCOUNT, USER)
    )
    program = python("-m", "tokensvc.resource.verify", "--port", str(verify), "--scope", "mcp", "--denylist")
    with Replica(environment, port, directory=directory) as replica, echo() as behind:
        ports = {"9000": front, "9001": behind, "9100": verify}
        variables = oauth(replica, resource)
        with (
            Program(program, f"http://127.0.0.1:{verify}", directory, variables),
            Program(_command(request.param, directory, ports), resource, directory, {"HOME": str(directory)}) as proxy,
        ):
            yield Site(proxy, replica)


def test_the_service_behind_is_told_who_calls_and_not_by_what(site: Site) -> None:
    issued = Client(site.replica.url).sign_in()
    for method in ("GET", "POST"):
        answer = site.proxy.request(method, "/x?y=1", issued.access, **FORGED)
        assert answer.status_code == 200
        told = answer.json()
        assert QUOTED.items() <= told.items()
        assert told["x-auth-scope"] == "mcp"
        assert len(told["x-auth-client"]) == 22
        assert "authorization" not in told
        assert "evil" not in answer.text


def test_whoever_has_no_token_is_told_where_to_get_one(site: Site) -> None:
    url = f"{site.proxy.url}/.well-known/oauth-protected-resource"
    for token in ("", "tsat_abc", "another"):
        refused = site.proxy.get("/", token)
        assert refused.status_code == 401
        assert f'resource_metadata="{url}"' in refused.headers["www-authenticate"]
    assert site.proxy.get("/.well-known/oauth-protected-resource").json()["resource"] == site.proxy.url


def test_a_name_that_a_client_makes_up_helps_nobody(site: Site) -> None:
    assert site.proxy.get("/", X_Auth_Account="acme", X_Auth_User="ada").status_code == 401


def test_refusals_and_failures_of_the_service_behind_are_its_own(site: Site) -> None:
    issued = Client(site.replica.url).sign_in()
    assert site.proxy.get("/500", issued.access).status_code == 500
    assert site.proxy.get("/403", issued.access).status_code == 403


def test_a_revocation_is_heard(site: Site) -> None:
    client = Client(site.replica.url)
    issued = client.sign_in()
    assert site.proxy.get("/", issued.access).status_code == 200
    family = client.introspect(issued.access)["family"]
    assert client.admin_revoke("family", family).status_code == 200
    wait_for(lambda: site.proxy.get("/", issued.access).status_code == 401, "the revocation is heard", 3)


def test_what_cannot_be_answered_is_503(site: Site) -> None:
    issued = Client(site.replica.url).sign_in()
    site.replica.stop()
    try:
        answer = site.proxy.get("/", issued.access)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    finally:
        site.replica.start()
    assert site.proxy.get("/", issued.access).status_code == 200
