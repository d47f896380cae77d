"""uvicorn's HTTP protocol with limits on what comes before a request is one: slow and long headers."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kxchange.serving.limits import Limits

TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class LimitedProtocol(HttpToolsProtocol):
    """Closes connections that send headers without end."""

    limits = Limits()
    _timer: asyncio.TimerHandle | None = None
    _size = 0
    _discarded = 0

    def connection_made(self, transport: Any) -> None:
        """Start the clock: a connection that says nothing is as slow as one that never ends its headers."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.limits.receive, self._expire)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._settle()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Ignore what comes after the end."""
        if not self.transport.is_closing():
            super().data_received(data)

    def on_message_begin(self) -> None:
        """Start the clock of the next request."""
        self._size = self._discarded = 0
        if self._timer is None:
            self._timer = self.loop.call_later(self.limits.receive, self._expire)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        if self._fits(len(url)):
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header."""
        if self._fits(len(name) + len(value)):
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the clock and begin the request."""
        self._settle()
        if not self.transport.is_closing():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Ignore what comes after the end; a body that goes on after its refusal ends the connection."""
        if self.transport.is_closing():
            return
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > self.limits.body:
                self.transport.close()
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Ignore what comes after the end."""
        if not self.transport.is_closing():
            super().on_message_complete()

    def _fits(self, size: int) -> bool:
        self._size += size
        if self._size > self.limits.http_headers and not self.transport.is_closing():
            self.transport.write(TOO_LONG)
            self.transport.close()
        return self._size <= self.limits.http_headers

    def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()


def limited_protocol(limits: Limits) -> type[asyncio.Protocol]:
    """The protocol class under these limits."""
    return type("Limited", (LimitedProtocol,), {"limits": limits})
