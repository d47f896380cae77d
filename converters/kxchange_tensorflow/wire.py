"""Reading protobuf messages field by field, with every length checked; only what the encoding itself defines.

TensorFlow's own message classes cannot be imported without TensorFlow, and a model file needs few of their fields.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

from kxchange.errors import FormatError, LimitError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_FIELDS = 50_000_000
MAX_DEPTH = 64

Field = tuple[int, int, Any]
"""Number, kind, and the payload: an int for numbers, a view for bytes."""


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of variable length and the position behind it.

    Raises:
        FormatError: The data ends in it, or it has more than 64 bits.
    """
    result = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise FormatError("the protobuf file ends inside a field.")
        byte = data[at]
        at += 1
        result |= (byte & 127) << shift
        if byte < 128:
            return result & (2**64 - 1), at
    raise FormatError("a field of the protobuf file has a number of more than 64 bits.")


def fields(data: memoryview) -> Iterator[Field]:
    """Every field of a message, in order.

    Raises:
        FormatError: A field does not end inside the message, or is of an unknown kind.
    """
    at, end = 0, len(data)
    while at < end:
        tag, at = varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            payload, at = varint(data, at)
        else:
            if kind == BYTES:
                length, at = varint(data, at)
            elif kind in (FIXED64, FIXED32):
                length = 8 if kind == FIXED64 else 4
            else:
                raise FormatError(f"the protobuf file has a field of the unknown kind {kind}.")
            if at + length > end:
                raise FormatError("a field of the protobuf file is longer than what holds it.")
            payload = data[at : at + length]
            at += length
            if kind != BYTES:
                payload = int.from_bytes(payload, "little")
        if not number:
            raise FormatError("the protobuf file has a field number 0.")
        yield number, kind, payload


class Message:
    """One message with its fields by number.

    Attributes:
        depth: How many messages are around it.
    """

    __slots__ = ("_fields", "depth")

    def __init__(self, data: memoryview, depth: int = 0) -> None:
        if depth > MAX_DEPTH:
            raise LimitError(f"messages of the protobuf file are nested more than {MAX_DEPTH} deep.")
        self.depth = depth
        self._fields: dict[int, list[tuple[int, Any]]] = {}
        for number, kind, payload in fields(data):
            self._fields.setdefault(number, []).append((kind, payload))

    def has(self, number: int) -> bool:
        """Whether the field is there."""
        return number in self._fields

    def spans(self, number: int) -> list[memoryview]:
        """The bytes of every occurrence of a field."""
        found = self._fields.get(number, [])
        if any(kind != BYTES for kind, _ in found):
            raise FormatError(f"field {number} of a protobuf message is not of the kind it should be.")
        return [payload for _, payload in found]

    def span(self, number: int) -> memoryview:
        """The bytes of a field; empty where it is absent."""
        found = self.spans(number)
        return found[-1] if found else memoryview(b"")

    def text(self, number: int) -> str:
        """A string."""
        return decoded(self.span(number))

    def texts(self, number: int) -> list[str]:
        """Strings."""
        return [decoded(span) for span in self.spans(number)]

    def messages(self, number: int) -> list[Message]:
        """Messages inside this one."""
        return [Message(span, self.depth + 1) for span in self.spans(number)]

    def message(self, number: int) -> Message:
        """A message inside this one; an empty one where it is absent. Several occurrences are one, joined."""
        spans = self.spans(number)
        joined = spans[0] if len(spans) == 1 else memoryview(b"".join(spans))
        return Message(joined, self.depth + 1)

    def integer(self, number: int, default: int = 0) -> int:
        """A signed 64-bit number."""
        found = self._fields.get(number)
        if not found:
            return default
        kind, payload = found[-1]
        if kind == BYTES:
            raise FormatError(f"field {number} of a protobuf message is not of the kind it should be.")
        return signed(payload)

    def integers(self, number: int) -> list[int]:
        """Signed 64-bit numbers, packed or not."""
        result: list[int] = []
        for kind, payload in self._fields.get(number, []):
            if kind != BYTES:
                result.append(signed(payload))
                continue
            at = 0
            while at < len(payload):
                value, at = varint(payload, at)
                result.append(signed(value))
        return result

    def packed(self, number: int, code: str) -> bytes:
        """Numbers of fixed width, packed or not, as their bytes; `code` is that of `struct`."""
        size = struct.calcsize(code)
        parts: list[bytes] = []
        for kind, payload in self._fields.get(number, []):
            if kind == BYTES and len(payload) % size == 0:
                parts.append(bytes(payload))
            elif kind == (FIXED32 if size == 4 else FIXED64):
                parts.append(int(payload).to_bytes(size, "little"))
            else:
                raise FormatError(f"field {number} of a protobuf message is not of the kind it should be.")
        return b"".join(parts)

    def float(self, number: int, default: float = 0.0) -> float:
        """A 32-bit float."""
        found = self.packed(number, "<f")
        return struct.unpack("<f", found[-4:])[0] if found else default

    def entries(self, number: int) -> Mapping[str, Message]:
        """A map from strings to messages."""
        return {entry.text(1): entry.message(2) for entry in self.messages(number)}


def signed(value: int) -> int:
    """The 64 bits of a number read as two's complement."""
    return value - 2**64 if value >= 2**63 else value


def decoded(span: memoryview) -> str:
    """The text of some bytes.

    Raises:
        FormatError: They are not UTF-8.
    """
    try:
        return bytes(span).decode("utf-8")
    except UnicodeDecodeError:
        raise FormatError("a name in the protobuf file is not UTF-8.") from None
