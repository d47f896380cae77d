"""Reading request bodies within limits, and the content encodings of both directions."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from kxchange.serving.errors import BadRequestError, EncodingError, SlowClientError, TooLargeError
from kxchange.serving.limits import Limits

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
WINDOWS = {b"gzip": 31, b"deflate": 15}
"""Content encodings, with zlib's number for each."""
COMPRESSED_FROM = 1024
"""Bytes below which compressing gains nothing."""
LEVEL = 1
ALIGNED = 16
"""Where the binary part of a large body begins in memory, so that tensors need not be copied to be read."""
PADDING = "kx.padding"
"""The state of a request says under this name how many bytes stand before its body."""
NOTHING: Mapping[str, Any] = MappingProxyType({})
LINGER = 4
"""How many times the largest body is read and forgotten after a refusal."""


class ClientGoneError(Exception):
    """The client closed the connection."""


async def read_body(
    headers: Mapping[bytes, bytes], receive: Receive, limits: Limits, state: Mapping[str, Any] = NOTHING
) -> memoryview:
    """The whole body of a request, decompressed.

    Args:
        headers: Of the request.
        receive: Gives the next piece.
        limits: What a request may hold.
        state: What the HTTP side says of the request: under `PADDING`, once the body is there whole, how many bytes
            stand before it.

    Raises:
        TooLargeError: It is, or unpacks to, more than the limit.
        SlowClientError: It did not arrive in time.
        EncodingError: Its encoding is not one of ours.
        BadRequestError: It does not decompress.
        ClientGoneError: Nobody waits for an answer.
    """
    stated = headers.get(b"content-length")
    if stated is not None and int(stated) > limits.body:
        raise TooLargeError(f"the body has {int(stated)} bytes, {limits.body} are allowed.")
    if PADDING in state:
        body = await gather(receive, limits)
    else:
        try:
            async with asyncio.timeout(limits.receive):
                body = await gather(receive, limits)
        except TimeoutError:
            raise SlowClientError(f"the body did not arrive within {limits.receive:g} seconds.") from None
    found = memoryview(body)[state.get(PADDING, 0) :]
    encoding = headers.get(b"content-encoding")
    if encoding is None or (encoding := encoding.strip().lower()) == b"identity":
        return found
    return memoryview(decompress(found, encoding, limits))


async def gather(receive: Receive, limits: Limits) -> bytes:
    """A body that comes whole or in pieces."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        whole: bytes = message["body"]
        if len(whole) > limits.body + ALIGNED:
            raise TooLargeError(f"the body has more than the {limits.body} bytes that are allowed.")
        return whole
    body = bytearray()
    while True:
        if message["type"] != "http.request":
            raise ClientGoneError
        body += message["body"]
        if len(body) > limits.body:
            raise TooLargeError(f"the body has more than the {limits.body} bytes that are allowed.")
        if not message.get("more_body"):
            return bytes(body)
        message = await receive()


async def discard(headers: Mapping[bytes, bytes], receive: Receive, limits: Limits) -> None:
    """Read and forget the rest of a body that was refused, so that its sender gets to read why; within bounds."""
    stated = int(headers.get(b"content-length", b"0"))
    # At most the limit: it has been read already, and nothing more will come.
    if not limits.body < stated <= LINGER * limits.body or b"expect" in headers:
        return

    async def rest() -> None:
        size = 0
        while size <= LINGER * limits.body:
            message = await receive()
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                return

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(rest(), limits.receive)


def decompress(body: memoryview, encoding: bytes, limits: Limits) -> bytes:
    """The body without its encoding, never more than the limit of it in memory."""
    if encoding not in WINDOWS:
        raise EncodingError("the content encoding is not gzip, deflate or identity.")
    unpacker = zlib.decompressobj(WINDOWS[encoding])
    try:
        plain = unpacker.decompress(body, limits.body + 1)
    except zlib.error:
        raise BadRequestError(f"the body is not {encoding.decode()}.") from None
    if len(plain) > limits.body:
        raise TooLargeError(f"the body unpacks to more than the {limits.body} bytes that are allowed.")
    if not unpacker.eof or unpacker.unused_data:
        raise BadRequestError(f"the body is not one whole {encoding.decode()} stream.")
    return plain


def chosen_encoding(accepted: bytes, size: int, binary: bool) -> bytes | None:
    """How to compress a response.

    Binary tensors are compressed only where the client names one encoding and nothing else, so as to say that it wants
    that; clients that list all they can read would pay more time than they gain.
    """
    if not accepted or size < COMPRESSED_FROM:
        return None
    names = [part.partition(b";")[0].strip().lower() for part in accepted.split(b",") if b"q=0" not in part]
    known = [name for name in names if name in WINDOWS]
    return known[0] if known and (len(names) == 1 or not binary) else None


def compress(pieces: list[Any], encoding: bytes) -> bytes:
    """The pieces as one compressed body."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, WINDOWS[encoding])
    return b"".join([*(packer.compress(piece) for piece in pieces), packer.flush()])
