"""One HTTP/1.1 connection: uvicorn's protocol for h11, with bounds on how large and how slow a request may be."""

import asyncio
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from tokensvc.observability import warn

READING_SECONDS = 30.0
"""For all of a request, from its first byte to its last. A body of 64 KiB needs 2 KiB a second."""
LAST_SECONDS = 1.0
"""For a request that is on its way on a new connection when the server stops listening."""
_PIECE = 16_384
_UNFINISHED = frozenset({h11.IDLE, h11.SEND_BODY})


class HttpProtocol(H11Protocol):
    """h11 looks at each piece as it comes, so that headers are refused before they are longer than they may be.

    A request that turns out malformed while it is served gets one answer, and is no failure of the service. Whoever
    does not finish a request in time is sent away, or a few who send nothing would hold every connection there is.
    """

    reading_seconds = READING_SECONDS

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._expect(self.reading_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE):
            if not self.transport.is_closing():
                super().data_received(data[start : start + _PIECE])
        # Most requests come in one piece, and need no timer of their own.
        if self.conn.their_state not in _UNFINISHED:
            self._expect_nothing()
        elif self._deadline is None:
            self._expect(self.reading_seconds)

    def shutdown(self) -> None:
        """Called once nothing more is accepted. A connection on which a first request is due has a moment for it."""
        if self._deadline is None or self._answering:
            super().shutdown()
        else:
            self._expect_nothing()
            self._expect(LAST_SECONDS)

    def timeout_keep_alive_handler(self) -> None:
        """An answer that nobody took in all this time is given up with its connection."""
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        warn("malformed request", reason="not HTTP/1.1, or its headers are too long", address=self._address)
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    @property
    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    @property
    def _address(self) -> str:
        """Of whoever connected, which may be a proxy: whom it asks for stands in headers that nobody could read."""
        return self.client[0] if self.client else ""

    def _expect(self, seconds: float) -> None:
        self._deadline = self.loop.call_later(seconds, self._late)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        """The request did not come to its end."""
        self._deadline = None
        begun = self._answering or self.conn.trailing_data[0]
        if self.transport.is_closing() or not begun:
            self.transport.close()
            return
        warn("request timed out", address=self._address)
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "The request did not come to its end in time.")

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        """One answer, and the end of the connection (RFC 9112 §9.6)."""
        body = text.encode("ascii")
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        answer = h11.Response(status_code=status, headers=headers, reason=status.phrase.encode())
        try:
            for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:
            # Another answer has begun already, or a HEAD was made that may have no body.
            pass
        self.transport.close()
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
