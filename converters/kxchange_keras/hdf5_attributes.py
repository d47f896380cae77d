"""Texts in the attributes of an HDF5 object, read from the file's bytes: libhdf5 is never asked to.

libhdf5 takes memory for as many bytes as a damaged text claims to have, up to 4 GB, or ends the process. Here a text is
a piece of the file.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass

from kxchange.errors import FormatError

Data = bytes | mmap.mmap
MAGIC = b"\x89HDF\r\n\x1a\n"
WIDTH = 8
"""Bytes of a size and of an address; HDF5 can have others, and no writer of models does."""
MAX_TEXTS = 2**20
CONTINUATION, ATTRIBUTE, ATTRIBUTE_TABLE = 0x10, 0x0C, 0x15
FIXED, VARIABLE = 3, 9
"""Classes of element types: texts of one length, and texts that stand in a heap."""
UNDEFINED = b"\xff" * 8


def check_start(data: Data, label: str) -> None:
    """Require that a file is HDF5 from its first byte on, with sizes as they are read here.

    Raises:
        FormatError: It is not.
    """
    if data[: len(MAGIC)] != MAGIC or len(data) < 24:
        raise FormatError(f"{label} cannot be read as HDF5: it starts with other bytes. Download or save it again.")
    place = 13 if data[8] < 2 else 9  # the first two versions of the first block have more before the widths
    if bytes(data[place : place + 2]) != bytes((WIDTH, WIDTH)):
        raise FormatError(f"{label} cannot be read as HDF5: its sizes are not {WIDTH} bytes wide. Save it again.")


@dataclass(frozen=True, slots=True)
class Texts:
    """The value of an attribute: texts, one after the other, and whether it is one text alone."""

    items: tuple[bytes, ...]
    alone: bool


def read_texts(data: Data, address: int, name: str) -> Texts | None:
    """The attribute `name` of the object at `address`; None where it has no such attribute.

    Args:
        data: The file.
        address: Where the object's header begins.
        name: Of the attribute.

    Raises:
        FormatError: The header is damaged, or the attribute is no text.
    """
    wanted = name.encode()
    for kind, message in _messages(data, address):
        if kind == ATTRIBUTE_TABLE and UNDEFINED not in message:
            raise FormatError(f"HDF5: the attributes at byte {address} are in a table apart. Save it with Keras.")
        if kind == ATTRIBUTE and (found := _attribute(message, wanted)) is not None:
            return _texts(data, *found, name)
    return None


def _messages(data: Data, address: int) -> Iterator[tuple[int, bytes]]:
    """Kind and content of every message of an object's header, of both versions of headers."""
    new = _piece(data, address, 4) == b"OHDR"
    begin, size, ordered = _new_head(data, address) if new else (address + 16, _number(data, address + 8, 4), False)
    head = (6 if ordered else 4) if new else 8
    blocks, left = [(begin, size)], len(data)
    for begin, size in blocks:
        left -= max(size, WIDTH)
        if left < 0:
            raise FormatError(f"HDF5: the header at byte {address} is longer than the file: it leads back to itself.")
        block, place = _piece(data, begin, size), 0
        while place + head <= len(block):
            kind = block[place] if new else int.from_bytes(block[place : place + 2], "little")
            start = place + 1 if new else place + 2
            length = int.from_bytes(block[start : start + 2], "little")
            message = block[place + head : place + head + length]
            place += head + length
            if kind == CONTINUATION and len(message) >= 16:
                at, extent = (int.from_bytes(message[i : i + 8], "little") for i in (0, 8))
                blocks.append((at + 4, max(extent - 8, 0)) if new else (at, extent))
            yield kind, message


def _new_head(data: Data, address: int) -> tuple[int, int, bool]:
    flags = _number(data, address + 5, 1)
    place = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    return place + width, _number(data, place, width), bool(flags & 4)


def _attribute(message: bytes, wanted: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Element type, extent and value of an attribute, if it is the wanted one."""
    if len(message) < 8 or message[0] not in (1, 2, 3):
        raise FormatError("HDF5: an attribute is damaged.")
    version, flags = message[0], message[1]
    sizes = [int.from_bytes(message[i : i + 2], "little") for i in (2, 4, 6)]
    place, parts = 9 if version == 3 else 8, list[bytes]()
    for size in sizes:
        parts.append(message[place : place + size])
        place += -(-size // 8) * 8 if version == 1 else size
    if parts[0].rstrip(b"\0") != wanted:
        return None
    if version > 1 and flags & 3:
        raise FormatError(f"HDF5: the type of the attribute {wanted!r} stands elsewhere.")
    return parts[1], parts[2], message[place:]


def _texts(data: Data, type: bytes, extent: bytes, value: bytes, name: str) -> Texts:
    count, alone = _count(extent)
    if count == 0:
        return Texts((), alone=False)  # an empty list has the type of numbers
    kind = type[0] & 0x0F if len(type) >= 8 else -1
    width = int.from_bytes(type[4:8], "little")
    if kind not in (FIXED, VARIABLE) or (kind == VARIABLE and type[1] & 0x0F != 1) or count > MAX_TEXTS:
        raise FormatError(f"HDF5: the attribute {name!r} is no text.")
    if width == 0 or width * count > len(value):
        raise FormatError(f"HDF5: the attribute {name!r} claims {count:,} texts of {width:,} bytes each.")
    rows = [value[i * width : (i + 1) * width] for i in range(count)]
    if kind == FIXED:
        return Texts(tuple(row.split(b"\0", 1)[0] for row in rows), alone)
    heaps = _Heaps(data)
    return Texts(tuple(heaps.text(row, name) for row in rows), alone)


def _count(extent: bytes) -> tuple[int, bool]:
    """Number of elements, and whether there are no axes."""
    if len(extent) < 4 or extent[0] not in (1, 2):
        raise FormatError("HDF5: the extent of an attribute is damaged.")
    start, rank = (8 if extent[0] == 1 else 4), extent[1]
    if extent[0] == 2 and extent[3] == 2:
        return 0, False  # it has no elements by its kind
    dims = [int.from_bytes(extent[start + 8 * i : start + 8 * i + 8], "little") for i in range(min(rank, 33))]
    return math.prod(dims), not dims


class _Heaps:
    """Global heaps of a file, each walked once."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._known: dict[int, dict[int, tuple[int, int]]] = {}
        self._left = len(data)

    def text(self, row: bytes, name: str) -> bytes:
        """A text by its length, the address of a heap and its number there."""
        length, begin, number = (int.from_bytes(row[a:b], "little") for a, b in ((0, 4), (4, 12), (12, 16)))
        if length == 0:
            return b""
        if begin not in self._known:
            self._known[begin] = self._walk(begin)
        place, size = self._known[begin].get(number, (0, 0))
        if length > size:
            raise FormatError(f"HDF5: the heap at byte {begin} has no text {number} of {length:,} bytes for {name!r}.")
        return _piece(self._data, place, length).split(b"\0", 1)[0]

    def _walk(self, begin: int) -> dict[int, tuple[int, int]]:
        """Place and size of each object by its number."""
        size = _number(self._data, begin + 8, 8)
        self._left -= size
        if _piece(self._data, begin, 5) != b"GCOL\x01" or self._left < 0:
            raise FormatError(f"HDF5: there is no heap at byte {begin}.")
        heap, place, found = _piece(self._data, begin, size), 16, dict[int, tuple[int, int]]()
        while place + 16 <= len(heap):
            number = int.from_bytes(heap[place : place + 2], "little")
            length = int.from_bytes(heap[place + 8 : place + 16], "little")
            if number == 0:
                break  # the rest is free
            found[number] = begin + place + 16, min(length, len(heap) - place - 16)
            place += 16 + -(-length // 8) * 8
        return found


def _number(data: Data, place: int, width: int) -> int:
    return int.from_bytes(_piece(data, place, width), "little")


def _piece(data: Data, begin: int, size: int) -> bytes:
    if begin < 0 or size < 0 or begin + size > len(data):
        raise FormatError(f"HDF5: {size:,} bytes at {begin:,} are not in the file.")
    return bytes(data[begin : begin + size])
