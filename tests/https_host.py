"""A host of documents over HTTPS, with a certificate authority of its own, that may behave as badly as it likes."""

from __future__ import annotations

import datetime
import json
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAMES = ("localhost", "app.example", "other.example")
"""What the certificate is for."""

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self.server.asked[self.path] += 1
        self.server.headers_of[self.path] = dict(self.headers.items())
        self.server.answers.get(self.path, answer(404, b"{}"))(self)

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Nothing on standard error."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    asked: Counter[str]
    headers_of: dict[str, dict[str, str]]
    answers: dict[str, Answer]

    def handle_error(self, *_arguments: Any) -> None:
        """Whoever was told too much goes away."""


def answer(status: int, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    return lambda handler: handler.send(status, body, headers or {})


def document(value: Any, headers: dict[str, str] | None = None) -> Answer:
    return answer(200, json.dumps(value).encode(), headers)


def hang_up(handler: Handler) -> None:
    """As a host does that is down."""
    handler.close_connection = True
    handler.connection.close()


class HttpsHost:
    """Use as a context manager. `authority` is the file with the certificate authority, for SSL_CERT_FILE."""

    def __init__(self, directory: Path, names: tuple[str, ...] = NAMES) -> None:
        self.authority = directory / "authority.pem"
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.asked, self._server.headers_of, self._server.answers = Counter(), {}, {}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_certificate(directory, self.authority, names))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    def __enter__(self) -> HttpsHost:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def asked(self) -> Counter[str]:
        """How often each path was asked for."""
        return self._server.asked

    @property
    def headers_of(self) -> dict[str, dict[str, str]]:
        """The headers of the last request, by path."""
        return self._server.headers_of

    def url(self, path: str, name: str = "localhost") -> str:
        return f"https://{name}:{self.port}{path}"

    def serve(self, path: str, what: Answer, name: str = "localhost") -> str:
        """From now on; the URL of it."""
        self._server.answers[path] = what
        return self.url(path, name)

    def publish(
        self, path: str, *, name: str = "localhost", headers: dict[str, str] | None = None, **members: Any
    ) -> str:
        """A client metadata document under its own URL, which is the client_id; None leaves a member out."""
        client_id = self.url(path, name)
        metadata = {
            "client_id": client_id,
            "client_name": "Documented app",
            "redirect_uris": ["http://127.0.0.1:33418/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        } | members
        return self.serve(path, document({k: v for k, v in metadata.items() if v is not None}, headers), name)


def _certificate(directory: Path, authority: Path, names: tuple[str, ...]) -> Path:
    """The file of a certificate for the names, with its key; the authority's is written too."""
    now = datetime.datetime.now(datetime.UTC)
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name, name = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("Authority of the tests", names[0])
    )

    def build(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(root_name).public_key(public)
        begins, ends = now - datetime.timedelta(hours=1), now + datetime.timedelta(days=1)
        return builder.serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(ends)

    root = build(root_name, root_key.public_key())
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    alternatives = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
    leaf = build(name, key.public_key()).add_extension(alternatives, critical=False)
    pem = serialization.Encoding.PEM
    authority.write_bytes(root.sign(root_key, hashes.SHA256()).public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = directory / "host.pem"
    path.write_bytes(private + leaf.sign(root_key, hashes.SHA256()).public_bytes(pem))
    return path
