"""Protobuf messages written field by field, for files that no library would write."""

from __future__ import annotations


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes([*written, number])


def block(number: int, payload: bytes | str) -> bytes:
    """A field of bytes."""
    data = payload.encode() if isinstance(payload, str) else payload
    return varint(number << 3 | 2) + varint(len(data)) + data


def whole(number: int, value: int) -> bytes:
    """A field of an integer."""
    return varint(number << 3) + varint(value)


def attr(name: str, value: bytes) -> bytes:
    """An attribute of a TensorFlow node."""
    return block(5, block(1, name) + block(2, value))
