"""The bytes of a model file taken apart without parsing it: to recognise it, and to leave large weights where they are.

Only what protobuf itself defines: a message is a row of fields, each a tag (number and kind) and a payload.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kxchange.errors import FormatError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
GRAPH, INITIALIZER, NAME, RAW_DATA = 7, 5, 8, 9
"""Field numbers: of ModelProto, GraphProto, and twice of TensorProto."""
MODEL_FIELDS = {1: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, 7: BYTES, 8: BYTES}
MODEL_FIELDS |= {14: BYTES, 20: BYTES, 25: BYTES, 26: BYTES}
LARGE = 2**20
"""Bytes from which a weight is left in the file."""


class Field(NamedTuple):
    """One field of a message: its number and kind, where it starts, and where its payload starts and ends."""

    number: int
    kind: int
    start: int
    payload: int
    end: int


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of variable length and the position behind it.

    Raises:
        FormatError: The data ends in it, or it has more than 64 bits.
    """
    result = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise FormatError("the file ends inside a field.")
        byte = data[at]
        at += 1
        result |= (byte & 127) << shift
        if byte < 128:
            return result, at
    raise FormatError("a field of the file has a number of more than 64 bits.")


def fields(data: memoryview, at: int, end: int) -> Iterator[Field]:
    """The fields of the message between two positions.

    Raises:
        FormatError: A field does not end inside the message, or is of an unknown kind.
    """
    while at < end:
        tag, payload = varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            stop = varint(data, payload)[1]
        elif kind == BYTES:
            length, payload = varint(data, payload)
            stop = payload + length
        elif kind in (FIXED64, FIXED32):
            stop = payload + (8 if kind == FIXED64 else 4)
        else:
            raise FormatError(f"the file has a field of the unknown kind {kind}.")
        if number == 0 or stop > end:
            raise FormatError("a field of the file is longer than what holds it.")
        yield Field(number, kind, at, payload, stop)
        at = stop


def looks_like_a_model(head: bytes, size: int) -> bool:
    """Whether a file of `size` bytes that begins with `head` is a ModelProto: it states a version and has a graph."""
    seen: set[int] = set()
    try:
        for field in fields(memoryview(head), 0, size):
            if MODEL_FIELDS.get(field.number) != field.kind:
                return False
            if field.number == 1 and not 1 <= varint(memoryview(head), field.payload)[0] <= 1000:
                return False
            seen.add(field.number)
            if field.end >= len(head):
                break
    except FormatError:
        return False
    return 1 in seen and bool(seen & {GRAPH, 8, 2})


def without_weights(data: memoryview) -> tuple[bytes, dict[str, memoryview]]:
    """A model's bytes without the raw data of its large initializers, and those data by the initializers' names."""
    spans: dict[str, memoryview] = {}
    parts: list[bytes | memoryview] = []
    for field in fields(data, 0, len(data)):
        if field.number != GRAPH or field.kind != BYTES:
            parts.append(data[field.start : field.end])
            continue
        graph = b"".join(_graph_parts(data, field, spans))
        parts += [_tag(GRAPH, len(graph)), graph]
    return b"".join(parts), spans


def _graph_parts(data: memoryview, graph: Field, spans: dict[str, memoryview]) -> Iterator[bytes | memoryview]:
    for field in fields(data, graph.payload, graph.end):
        if field.number == INITIALIZER and field.kind == BYTES and field.end - field.payload >= LARGE:
            tensor = b"".join(_tensor_parts(data, field, spans))
            yield _tag(INITIALIZER, len(tensor))
            yield tensor
        else:
            yield data[field.start : field.end]


def _tensor_parts(data: memoryview, tensor: Field, spans: dict[str, memoryview]) -> Iterator[memoryview]:
    found = list(fields(data, tensor.payload, tensor.end))
    names = [bytes(data[f.payload : f.end]).decode("utf-8", "replace") for f in found if f.number == NAME]
    raw = [f for f in found if f.number == RAW_DATA and f.kind == BYTES]
    movable = len(names) == 1 and len(raw) == 1 and names[0] not in spans
    for field in found:
        if movable and field is raw[0]:
            spans[names[0]] = data[field.payload : field.end]
        else:
            yield data[field.start : field.end]


def _tag(number: int, length: int) -> bytes:
    """The tag and length in front of a field of bytes."""
    written = bytearray([number << 3 | BYTES])
    while length > 127:
        written.append(length & 127 | 128)
        length >>= 7
    written.append(length)
    return bytes(written)
