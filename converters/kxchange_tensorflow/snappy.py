"""Unpacking of the Snappy format, as far as a checkpoint's index needs it: small blocks, every copy checked."""

from __future__ import annotations

from kxchange.errors import FormatError, LimitError
from kxchange_tensorflow.wire import varint

MAX_BLOCK = 2**26


def unpack(data: memoryview) -> bytes:
    """The bytes that a block stands for.

    Raises:
        FormatError: It is damaged.
        LimitError: It would be larger than 64 MiB.
    """
    length, at = varint(data, 0)
    if length > MAX_BLOCK:
        raise LimitError(f"a packed block of the checkpoint's index has {length:,} bytes.")
    result = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3:
            count, distance, at = _copy(data, tag, at)
            _repeat(result, count, distance, length)
            continue
        count, at = _literal(data, tag, at)
        if at + count > len(data) or len(result) + count > length:
            raise FormatError("a packed block of the checkpoint's index is damaged.")
        result += data[at : at + count]
        at += count
    if len(result) != length:
        raise FormatError("a packed block of the checkpoint's index is cut off.")
    return bytes(result)


def _literal(data: memoryview, tag: int, at: int) -> tuple[int, int]:
    count = tag >> 2
    if count < 60:
        return count + 1, at
    width = count - 59
    return _number(data, at, width) + 1, at + width


def _copy(data: memoryview, tag: int, at: int) -> tuple[int, int, int]:
    if tag & 3 == 1:
        return (tag >> 2 & 7) + 4, (tag >> 5) << 8 | _number(data, at, 1), at + 1
    width = 2 if tag & 3 == 2 else 4
    return (tag >> 2) + 1, _number(data, at, width), at + width


def _number(data: memoryview, at: int, width: int) -> int:
    if at + width > len(data):
        raise FormatError("a packed block of the checkpoint's index is cut off.")
    return int.from_bytes(data[at : at + width], "little")


def _repeat(result: bytearray, count: int, distance: int, limit: int) -> None:
    """Append `count` bytes that begin `distance` before the end; they may overlap what they append."""
    if not 0 < distance <= len(result) or len(result) + count > limit:
        raise FormatError("a packed block of the checkpoint's index is damaged.")
    start = len(result) - distance
    for place in range(count):
        result.append(result[start + place])
