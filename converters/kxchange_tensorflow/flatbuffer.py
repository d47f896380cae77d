"""Reading flatbuffers with every position checked: an offset in a file is a claim, not a pointer.

A table begins with the distance back to its vtable; the vtable lists, by field number, where each field stands in the
table (0 where it is absent). All numbers are little-endian; offsets are unsigned and point forward.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxchange.errors import FormatError, LimitError

MAX_ELEMENTS = 16_000_000
"""Longest vector of offsets or numbers that is read as a list."""
FORMATS = {"bool": "?", "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I"}
FORMATS |= {"int64": "q", "uint64": "Q", "float32": "f", "float64": "d"}


class Buffer:
    """The bytes of a file.

    Attributes:
        data: All of them.
        visited: How many tables were entered, so that a file of shared offsets cannot make the reader run for ever.
    """

    def __init__(self, data: memoryview, limit: int = 4_000_000) -> None:
        self.data = data
        self.visited = 0
        self._limit = limit

    def number(self, kind: str, at: int) -> Any:
        """A number at a position.

        Raises:
            FormatError: It is not inside the file.
        """
        size = struct.calcsize("<" + FORMATS[kind])
        self.require(at, size)
        return struct.unpack_from("<" + FORMATS[kind], self.data, at)[0]

    def require(self, at: int, size: int) -> None:
        """Refuse a span that is not inside the file."""
        if at < 0 or size < 0 or at + size > len(self.data):
            raise FormatError(f"the flatbuffer points to bytes {at} to {at + size} of a file of {len(self.data)}.")

    def root(self) -> Table:
        """The table that the file is."""
        return Table(self, self.number("uint32", 0))


class Table:
    """One table of a flatbuffer, read field by field."""

    __slots__ = ("_at", "_buffer", "_span", "_vtable")

    def __init__(self, buffer: Buffer, at: int) -> None:
        buffer.visited += 1
        if buffer.visited > buffer._limit:
            raise LimitError(f"the flatbuffer has more than {buffer._limit:,} tables.")
        self._buffer = buffer
        self._at = at
        self._vtable = at - buffer.number("int32", at)
        self._span = buffer.number("uint16", self._vtable)
        if self._span < 4 or self._span % 2:
            raise FormatError(f"the flatbuffer has a vtable of {self._span} bytes at {self._vtable}.")
        buffer.require(self._vtable, self._span)

    def _place(self, field: int) -> int | None:
        slot = 4 + 2 * field
        if slot + 2 > self._span:
            return None
        offset = self._buffer.number("uint16", self._vtable + slot)
        return self._at + offset if offset else None

    def number(self, field: int, kind: str, default: Any) -> Any:
        """A number stored in the table itself."""
        at = self._place(field)
        return default if at is None else self._buffer.number(kind, at)

    def _target(self, field: int) -> int | None:
        at = self._place(field)
        return None if at is None else at + self._buffer.number("uint32", at)

    def table(self, field: int) -> Table | None:
        """A table that the field refers to."""
        at = self._target(field)
        return None if at is None else Table(self._buffer, at)

    def _vector(self, field: int, size: int, limit: int) -> tuple[int, int] | None:
        at = self._target(field)
        if at is None:
            return None
        count = self._buffer.number("uint32", at)
        if count > limit:
            raise LimitError(f"the flatbuffer has a vector of {count:,} elements, where {limit:,} are the limit.")
        self._buffer.require(at + 4, count * size)
        return at + 4, count

    def text(self, field: int) -> str:
        """A string; empty where the field is absent.

        Raises:
            FormatError: It is not UTF-8.
        """
        found = self._vector(field, 1, 2**20)
        if found is None:
            return ""
        at, count = found
        try:
            return bytes(self._buffer.data[at : at + count]).decode("utf-8")
        except UnicodeDecodeError:
            raise FormatError(f"the flatbuffer has a name at {at} that is not UTF-8.") from None

    def numbers(self, field: int, kind: str) -> NDArray[Any] | None:
        """A vector of numbers; None where the field is absent."""
        dtype = np.dtype(kind).newbyteorder("<")
        found = self._vector(field, dtype.itemsize, MAX_ELEMENTS)
        if found is None:
            return None
        at, count = found
        return np.frombuffer(self._buffer.data, dtype, count, at) if count else np.zeros((0,), dtype)

    def span(self, field: int) -> memoryview | None:
        """A vector of bytes, as they stand in the file."""
        found = self._vector(field, 1, 2**62)
        return None if found is None else self._buffer.data[found[0] : found[0] + found[1]]

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        found = self._vector(field, 4, MAX_ELEMENTS)
        if found is None:
            return []
        at, count = found
        places = range(at, at + 4 * count, 4)
        return [Table(self._buffer, place + self._buffer.number("uint32", place)) for place in places]

    def bytes_at(self, start: int, size: int) -> memoryview:
        """Bytes elsewhere in the file, for data that is not inside the flatbuffer."""
        self._buffer.require(start, size)
        return self._buffer.data[start : start + size]
