"""Checkpoints of TensorFlow (`variables.index` and `variables.data-...`) read without TensorFlow.

The index is a sorted string table: blocks of entries whose keys share prefixes, an index block that points to them,
and a footer. Each entry says where in the data files a tensor's bytes stand. Nothing is ever unpacked or run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxchange.errors import FormatError, LimitError
from kxchange.types import DType
from kxchange_tensorflow.graph_proto import OtherType, dtype_of, shape_of
from kxchange_tensorflow.snappy import unpack
from kxchange_tensorflow.wire import Message, varint

Array = NDArray[Any]

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
TRAILER = 5
"""Bytes behind a block: how it is packed, and its checksum."""
MAX_INDEX = 2**30
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a tensor's bytes are."""

    dtype: DType | OtherType
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    sliced: bool


class Bundle:
    """One checkpoint.

    Attributes:
        entries: Tensors by key.
    """

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        index = prefix.with_name(prefix.name + ".index")
        if not index.is_file():
            raise FormatError(f"the checkpoint has no {index.name}.")
        if index.stat().st_size > MAX_INDEX:
            raise LimitError(f"{index.name} has more than {MAX_INDEX:,} bytes.")
        self.entries: dict[str, Entry] = {}
        self.shards = 1
        for key, value in table_entries(memoryview(index.read_bytes())):
            message = Message(value)
            if key:
                self.entries[key] = _entry(key, message)
            else:
                self._header(message)

    def _header(self, message: Message) -> None:
        self.shards = message.integer(1)
        if message.integer(2):
            raise FormatError(f"the checkpoint {self.prefix.name} is of a big-endian machine.")
        if not 1 <= self.shards <= 100_000:
            raise FormatError(f"the checkpoint {self.prefix.name} says that it has {self.shards} data files.")

    def reader(self, key: str) -> Callable[[], Array]:
        """Something that reads the tensor of this key when it is called.

        Raises:
            FormatError: There is none of numbers, or its bytes are not inside its file.
        """
        entry = self.entries.get(key)
        if entry is None:
            raise FormatError(f"the checkpoint {self.prefix.name} has no tensor {key!r}.")
        dtype = entry.dtype
        if isinstance(dtype, OtherType) or entry.sliced:
            raise FormatError(f"{key!r} of the checkpoint is {'sliced' if entry.sliced else 'no tensor of numbers'}.")
        kind, count = dtype.numpy, math.prod(entry.shape)
        if entry.size != count * kind.itemsize:
            raise FormatError(f"{key!r} of the checkpoint has {entry.size} bytes for {entry.shape} of {dtype}.")
        path = self._data(entry, key)

        def read() -> Array:
            mapped = np.memmap(path, np.uint8, "r") if count else np.zeros((0,), np.uint8)
            return np.asarray(mapped[entry.offset : entry.offset + entry.size]).view(kind).reshape(entry.shape)

        return read

    def bytes_of(self, key: str) -> bytes:
        """The one element of a string tensor."""
        entry = self.entries.get(key)
        if entry is None or entry.shape or entry.size > MAX_INDEX:
            raise FormatError(f"the checkpoint {self.prefix.name} has no text {key!r}.")
        with self._data(entry, key).open("rb") as stream:
            stream.seek(entry.offset)
            data = memoryview(stream.read(entry.size))
        length, at = varint(data, 0)
        # The length of each string, a checksum of the lengths, then the strings.
        if at + 4 + length != len(data):
            raise FormatError(f"{key!r} of the checkpoint is cut off.")
        return bytes(data[at + 4 :])

    def _data(self, entry: Entry, key: str) -> Path:
        if not 0 <= entry.shard < self.shards:
            raise FormatError(f"{key!r} of the checkpoint is in data file {entry.shard} of {self.shards}.")
        path = self.prefix.with_name(f"{self.prefix.name}.data-{entry.shard:05d}-of-{self.shards:05d}")
        if not path.is_file():
            raise FormatError(f"the checkpoint misses {path.name}.")
        if entry.offset < 0 or entry.size < 0 or entry.offset + entry.size > path.stat().st_size:
            raise FormatError(f"{key!r} of the checkpoint is not inside {path.name}.")
        return path


def _entry(key: str, message: Message) -> Entry:
    dims = shape_of(message.message(2)).dims
    if dims is None or -1 in dims:
        raise FormatError(f"{key!r} of the checkpoint has no shape.")
    return Entry(
        dtype_of(message.integer(1)), dims, message.integer(3), message.integer(4), message.integer(5), message.has(7)
    )


def table_entries(data: memoryview) -> Iterator[tuple[str, memoryview]]:
    """Key and value of every entry of a string table.

    Raises:
        FormatError: It is damaged, packed, or no such table.
    """
    if len(data) < FOOTER or int.from_bytes(data[-8:], "little") != MAGIC:
        raise FormatError("the checkpoint's index is no string table: its last bytes are others.")
    footer = data[-FOOTER:]
    _, at = varint(footer, 0)
    _, at = varint(footer, at)
    offset, at = varint(footer, at)
    size, at = varint(footer, at)
    for _, handle in block_entries(data, offset, size):
        start, at = varint(handle, 0)
        length, at = varint(handle, at)
        for key, value in block_entries(data, start, length):
            try:
                yield key.decode("utf-8"), value
            except UnicodeDecodeError:
                raise FormatError("the checkpoint has a key that is not UTF-8.") from None


def block_entries(data: memoryview, offset: int, size: int) -> Iterator[tuple[bytes, memoryview]]:
    """Key and value of every entry of one block."""
    if size < 4 or offset + size + TRAILER > len(data):
        raise FormatError("a block of the checkpoint's index is not inside the file.")
    block, packing = data[offset : offset + size], data[offset + size]
    if packing > 1:
        raise FormatError(f"a block of the checkpoint's index is packed in the unknown way {packing}.")
    if packing:
        block = memoryview(unpack(block))
        size = len(block)
    if size < 4:
        raise FormatError("a block of the checkpoint's index is damaged.")
    restarts = int.from_bytes(block[-4:], "little")
    end = size - 4 - 4 * restarts
    if end < 0:
        raise FormatError("a block of the checkpoint's index is damaged.")
    at, key = 0, b""
    while at < end:
        shared, at = varint(block, at)
        fresh, at = varint(block, at)
        length, at = varint(block, at)
        if shared > len(key) or at + fresh + length > end or shared + fresh > 2**16:
            raise FormatError("an entry of the checkpoint's index is damaged.")
        key = key[:shared] + bytes(block[at : at + fresh])
        yield key, block[at + fresh : at + fresh + length]
        at += fresh + length
