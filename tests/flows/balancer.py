"""nginx before several replicas, by the file that operators are given: deploy/nginx.conf."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests import parts
from tests.ports import free_port
from tests.replica import KNOWN_SECRETS, LIMITS, SECONDS, Client, leaks, wait_for

TEMPLATE = Path(__file__).parents[2] / "deploy" / "nginx.conf"
HOST = "127.0.0.1"

# What belongs to a whole nginx and not to one site. Nothing in here changes how requests are passed on.
MAIN = """\
{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ }}
http {{
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/site.conf;
}}
"""


@dataclass
class Balancer:
    """Made before its replicas, since their issuer is its `url`; started with their ports."""

    directory: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self._certificate, self._key = _certificate(self.directory)

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    @property
    def context(self) -> ssl.SSLContext:
        """What trusts its certificate."""
        return ssl.create_default_context(cafile=str(self._certificate))

    def client(self) -> Client:
        return Client(self.url, http=httpx.Client(verify=self.context, timeout=SECONDS, limits=LIMITS))

    def start(self, replicas: Sequence[int]) -> Balancer:
        """Start nginx before the replicas on these ports."""
        site = _substitute(
            TEMPLATE.read_text(encoding="utf-8"),
            {
                "    server 127.0.0.1:8001 fail_timeout=2s;\n    server 127.0.0.1:8002 fail_timeout=2s;": "\n".join(
                    f"    server {HOST}:{port} fail_timeout=2s;" for port in replicas
                ),
                "listen 443 ssl": f"listen {HOST}:{self.port} ssl",
                "server_name auth.example.com": f"server_name {HOST}",
                "ssl_certificate /etc/ssl/auth.example.com.pem": f"ssl_certificate {self._certificate}",
                "/etc/ssl/auth.example.com.key": str(self._key),
                "/var/log/nginx/tokensvc.log": str(self.access_log),
            },
        )
        (self.directory / "site.conf").write_text(site, encoding="utf-8")
        # The temporary directories lie where only the user of the tests may look.
        user = "user root;" if os.geteuid() == 0 else ""
        main = self.directory / "nginx.conf"
        main.write_text(MAIN.format(user=user, directory=self.directory), encoding="utf-8")
        command = [parts.path("nginx"), "-p", str(self.directory), "-c", str(main)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_for(self._listens, "nginx listens")
        return self

    def __enter__(self) -> Balancer:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(SECONDS)
        assert not leaks(self.access_log.read_text(encoding="utf-8"), KNOWN_SECRETS), "nginx's log holds a secret"

    @property
    def access_log(self) -> Path:
        return self.directory / "access.log"

    def _listens(self) -> bool:
        assert self._process.poll() is None, (self.directory / "error.log").read_text(encoding="utf-8")
        try:
            socket.create_connection((HOST, self.port), SECONDS).close()
        except OSError:
            return False
        return True


def _substitute(template: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert template.count(old) == 1, f"deploy/nginx.conf has no single {old!r}"
        template = template.replace(old, new)
    return template


def _certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate of its own for the loopback address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tokensvc tests")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, private = directory / "certificate.pem", directory / "certificate.key"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, private
