"""What a browser meets beside the service: web sites that note who visits them, and the TLS in front of a replica."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.replica import SECONDS

WELCOME = (
    '<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Connected</title><h1>Connected</h1></html>'
)


@dataclass(frozen=True)
class Visit:
    """A request as a site received it. `headers` have lower-case names."""

    method: str
    host: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Site:
    """A web server on 127.0.0.1 that answers every name and path: a client's callback, or an attacker's page."""

    tls: ssl.SSLContext | None = None
    visits: list[Visit] = field(default_factory=list)
    pages: dict[str, str] = field(default_factory=dict)
    open: threading.Event = field(default_factory=threading.Event)
    """While it is not set, visitors wait for their answer."""

    def __enter__(self) -> Site:
        self.open.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_port
        if self.tls:
            # The handshake happens in the visitor's own thread: a silent one holds up nobody.
            listening = self._server.socket
            self._server.socket = self.tls.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.open.set()
        self._server.shutdown()
        self._thread.join(SECONDS)
        self._server.server_close()

    def forget(self) -> None:
        """Between two tests."""
        self.open.set()
        self.visits.clear()
        self.pages.clear()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}"

    def page(self, path: str, html: str) -> None:
        self.pages[path] = (
            f'<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>A page</title>{html}</html>'
        )

    def _handler(site) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            timeout = SECONDS

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                site.visits.append(Visit(self.command, headers.get("host", ""), self.path, headers, body))
                site.open.wait(SECONDS)
                html = site.pages.get(self.path.partition("?")[0], WELCOME).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(html)))
                self.end_headers()
                self.wfile.write(html)

            do_POST = do_GET

            def handle(self) -> None:
                # A browser opens connections in advance, and leaves without a word.
                with suppress(OSError):
                    super().handle()

            def finish(self) -> None:
                with suppress(OSError):
                    super().finish()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def tls_front(port: int, tls: ssl.SSLContext) -> Iterator[int]:
    """Terminate TLS before the server on `port`, as a balancer does; give the port that speaks https."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(lambda r, w: _forward(r, w, port), "127.0.0.1", 0, ssl=tls)

    async def stop() -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(SECONDS)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(SECONDS)
        loop.close()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(_copy(reader, upstream_writer), _copy(upstream_reader, writer))


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError):
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
    finally:
        sink.close()


def tls_context(directory: Path, *names: str) -> ssl.SSLContext:
    """A server's TLS, its certificate for these names signed by a certificate authority of this run."""
    issuer = _name("Test authority")
    issuer_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    subjects = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    builder = _certificate(_name(names[0]), issuer, key.public_key()).add_extension(subjects, critical=False)
    authority = _certificate(issuer, issuer, issuer_key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    chain = directory / "chain.pem"
    chain.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + builder.sign(issuer_key, SHA256()).public_bytes(Encoding.PEM)
        + authority.sign(issuer_key, SHA256()).public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
