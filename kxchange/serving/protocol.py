"""uvicorn's HTTP protocol with limits before a request is one, bodies in one piece, and answers in one call."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kxchange.serving.bodies import ALIGNED, PADDING
from kxchange.serving.limits import Limits

TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
HEAD, INTERIM = b"HTTP/1.1 ", b"HTTP/1.1 1"
"""How the head of a response begins, and that of one which says to go on."""
JOINED = 64 * 1024
"""Bytes of a body up to which it is copied behind the head instead of being sent beside it."""
SMALL = 1024
"""Bytes below which pieces of a body are kept together: each kept apart would cost more memory than it holds."""


class LimitedProtocol(HttpToolsProtocol):
    """Closes connections that send headers without end; gathers bodies."""

    limits = Limits()
    transport: Any
    _timer: asyncio.TimerHandle | None = None
    _heading = False
    _size = 0
    _long = False
    _received = 0
    _pieces: list[bytes | bytearray]
    _streams = False

    def connection_made(self, transport: Any) -> None:
        """Start the clock: a connection that says nothing is as slow as one that never ends its headers."""
        super().connection_made(OneCall(transport))  # pyright: ignore[reportArgumentType]
        self._timer = self.loop.call_later(self.limits.receive, self._expire)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._settle()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what came, unless it came after the end. Headers that are not complete run against a clock."""
        if self.transport.is_closing():
            return
        within = self._heading
        self._size = self._size + len(data) if within else 0
        self._long = self._size + len(data) > self.limits.http_headers
        super().data_received(data)
        if self._heading and not self.transport.is_closing():
            if self._size > self.limits.http_headers or (self._long and self._head_size() > self.limits.http_headers):
                self._refuse()
            elif self._timer is None:
                self._timer = self.loop.call_later(self.limits.receive, self._expire)

    def on_message_begin(self) -> None:
        """The next request."""
        self._heading, self._streams = True, False
        self._received, self._pieces = 0, []
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop the clock and begin the request."""
        self._heading = False
        self._settle()
        if self._long and self._head_size() > self.limits.http_headers:
            self._refuse()
        elif not self.transport.is_closing():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep a piece of a body until it is whole.

        What comes after the end is ignored; a body that goes on after its refusal ends the connection; one beyond the
        limit is handed over as it comes, to be refused.
        """
        if self.transport.is_closing():
            return
        self._received += len(body)
        if self.cycle.response_complete:
            if self._received > self.limits.body:
                self.transport.close()
            elif self._timer is None:
                self._timer = self.loop.call_later(self.limits.receive, self._expire)
        elif self._streams:
            super().on_body(body)
        else:
            keep(self._pieces, body)
            stated = self._number(b"content-length") if len(self._pieces) == 2 else 0
            if max(self._received, stated) > self.limits.body:
                self._streams = True
                super().on_body(b"".join(self._pieces))
                self._pieces = []

    def on_message_complete(self) -> None:
        """Hand over the body in one piece, its binary part where it can be read in place."""
        if self.transport.is_closing() or self.cycle.response_complete:
            self._settle()
            return
        if not self._streams:
            self._hand_over(self._pieces)
            self._pieces = []
        super().on_message_complete()

    def _hand_over(self, pieces: list[bytes | bytearray]) -> None:
        padding = 0
        if len(pieces) > 1:
            padding = -self._number(b"inference-header-content-length") % ALIGNED
            pieces.insert(0, bytes(padding))
        cycle: Any = self.cycle
        cycle.scope["state"][PADDING] = padding
        # Not the bytearray that uvicorn keeps there, but the bytes that its application is given: they are not copied.
        cycle.body = bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def on_response_complete(self) -> None:
        """An answer without a body leaves."""
        self.transport.flush()
        super().on_response_complete()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _number(self, wanted: bytes) -> int:
        return next((int(v) for name, v in self.headers if name == wanted and v.isdigit() and len(v) < 19), 0)

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(TOO_LONG)
            self.transport.close()

    def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()


class OneCall:
    """A transport that holds a response's head back until its body is there: one call to the system sends both."""

    __slots__ = ("_head", "_transport", "get_extra_info", "is_closing", "pause_reading", "resume_reading")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._head = b""
        # Methods of the transport itself, without a detour.
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: Any) -> None:
        """Send, or keep, if it is a head."""
        head = self._head
        if head:
            self._head = b""
            if len(data) > JOINED:
                self._transport.writelines((head, data))
            else:
                self._transport.write(b"".join((head, data)))
        elif type(data) is bytes and data.startswith(HEAD) and not data.startswith(INTERIM):
            self._head = data
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send what is kept."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        """Send what is kept, and close."""
        self.flush()
        self._transport.close()


def keep(pieces: list[bytes | bytearray], body: bytes) -> None:
    """Add a piece; small ones grow together."""
    if len(body) >= SMALL or not pieces:
        pieces.append(body)
    elif type(last := pieces[-1]) is bytearray:
        last += body
    else:
        pieces.append(bytearray(body))


def limited_protocol(limits: Limits) -> type[asyncio.Protocol]:
    """The protocol class under these limits."""
    return type("Limited", (LimitedProtocol,), {"limits": limits})
