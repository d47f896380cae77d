"""Write tensor files: one tensor in memory at a time, at once, durably, and the same bytes for the same input."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from kxchange.errors import FormatError, KxchangeError, WriteError
from kxchange.format.atomic import atomic_writer
from kxchange.format.dtypes import storage_of, to_bytes
from kxchange.format.hashing import Hashing
from kxchange.format.integrity import HASH_LENGTH, chunks
from kxchange.format.layout import TensorEntry, build_header, lay_out
from kxchange.format.names import shown, shown_path
from kxchange.types import DType

FLUSH_BYTES = 32 * 2**20
"""After so many bytes the disk is asked to take them."""


@runtime_checkable
class LazyTensor(Protocol):
    """A tensor whose type is known and whose values come when they are written."""

    @property
    def dtype(self) -> DType:
        """Element type."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape."""
        ...

    def read(self) -> np.ndarray:
        """The values, of exactly that type and shape. Called once for each file written."""
        ...


Tensor = npt.ArrayLike | LazyTensor
Metadata = Mapping[str, str] | Callable[[Mapping[str, str]], Mapping[str, str]]
"""Strings for `__metadata__`, or a function that makes them from the SHA-256 of every tensor."""


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """What was written: entries in the order of their bytes, and where the data section starts."""

    entries: tuple[TensorEntry, ...]
    data_offset: int
    sha256: Mapping[str, str]
    """By tensor name; empty unless the metadata was a function."""

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self.data_offset + (self.entries[-1].end if self.entries else 0)


def write_tensor_file(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    metadata: Metadata | None = None,
    *,
    mode: int | None = None,
    follow_symlink: bool = False,
) -> WrittenFile:
    """Write a tensor file.

    The bytes depend on names, types, shapes, values and metadata, not on the order of either mapping. Saving over a
    file that is open or mapped is safe: readers keep the old one.

    Args:
        path: The file to create or replace.
        tensors: Arrays of any strides and byte order, or lazy tensors; see `storage_of` for types safetensors lacks.
        metadata: Strings to store. A `.kx` file needs `"kx"`, and `"format": "pt"` for other readers. A function is
            called twice with the hashes, first with zeros to learn the length: both results must be equally long.
        mode: Permission bits; by default those of the file replaced, or 0666 without the umask.
        follow_symlink: Replace what a symbolic link points to, instead of refusing it.

    Returns:
        Where everything lies in the file.

    Raises:
        FormatError: A name or string that the format does not allow, or a source that could not be read.
        LimitError: Beyond a limit of `kxchange.format.limits`.
        WriteError: The file could not be written, or a tensor is not what it says. The previous file is intact.
    """
    plan = TensorPlan(tensors, shown_path(path))
    header = plan.header(metadata, plan.no_hashes)
    with atomic_writer(path, mode=mode, follow_symlink=follow_symlink, size=plan.size(header)) as stream:
        stream.write(header)
        hashes = plan.write_data(stream, hashing=callable(metadata))
        if callable(metadata):
            plan.rewrite_header(stream, plan.header(metadata, hashes), len(header))
    return WrittenFile(plan.entries, len(header), hashes)


class TensorPlan:
    """Where the tensors of one file will lie, before any of them is read.

    Attributes:
        entries: In the order of their bytes.
    """

    def __init__(self, tensors: Mapping[str, Tensor], source: str) -> None:
        """Lay out `tensors`; `source` is how messages call the file."""
        self._source = source
        self._tensors = {name: as_lazy(name, tensor, source) for name, tensor in tensors.items()}
        self.entries = tuple(lay_out((name, *_storage(tensor)) for name, tensor in self._tensors.items()))

    @property
    def no_hashes(self) -> dict[str, str]:
        """As many hashes as there will be, to learn the length of a header."""
        return {entry.name: "0" * HASH_LENGTH for entry in self.entries}

    def size(self, header: bytes) -> int:
        """Size of the file in bytes."""
        return len(header) + (self.entries[-1].end if self.entries else 0)

    def header(self, metadata: Metadata | None, hashes: Mapping[str, str]) -> bytes:
        """Every byte before the data section."""
        strings = metadata(hashes) if callable(metadata) else metadata or {}
        return build_header(self.entries, strings, source=f"Cannot write {self._source}")

    def write_data(self, stream: BinaryIO, *, hashing: bool) -> dict[str, str]:
        """Read and write every tensor, one at a time; the SHA-256 of each by name if asked."""
        unflushed = 0
        with Hashing() as digests:
            for entry in self.entries:
                if hashing:
                    digests.make_room(entry.end - entry.begin)
                data = _values(entry, self._tensors[entry.name], self._source)
                if hashing:
                    digests.add(entry.name, data)
                for chunk in chunks(data):
                    stream.write(chunk)
                    unflushed += len(chunk)
                if unflushed > FLUSH_BYTES:  # The disk works while the hashes are made.
                    stream.flush()
                    os.fsync(stream.fileno())
                    unflushed = 0
            return digests.results()

    def rewrite_header(self, stream: BinaryIO, header: bytes, length: int) -> None:
        """Put the final header over the first one: hashes are known only after the data."""
        if len(header) != length:
            raise WriteError(f"Cannot write {self._source}: the metadata function gave texts of different lengths.")
        stream.seek(0)
        stream.write(header)


@dataclass(frozen=True, slots=True)
class _ArrayTensor:
    array: np.ndarray
    dtype: DType

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def read(self) -> np.ndarray:
        return self.array


def as_lazy(name: str, tensor: Tensor, source: str) -> LazyTensor:
    """An array as a lazy tensor; a lazy one as it is."""
    if isinstance(tensor, LazyTensor):
        return tensor
    array = np.asarray(tensor)
    try:
        return _ArrayTensor(array, DType.of(array.dtype))
    except KxchangeError as error:
        raise WriteError(f"Cannot write {source}: tensor {shown(name)}: {error}") from None


def _storage(tensor: LazyTensor) -> tuple[str, tuple[int, ...]]:
    storage = storage_of(tensor.dtype, tensor.shape)
    return storage.code, storage.shape


def _values(entry: TensorEntry, tensor: LazyTensor, source: str) -> np.ndarray:
    try:
        array = tensor.read()
    except OSError as error:
        raise FormatError(f"Cannot write {source}: tensor {shown(entry.name)} could not be read: {error}") from error
    found = DType.of(array.dtype)
    if found is not tensor.dtype or array.shape != tuple(tensor.shape):
        raise WriteError(
            f"Cannot write {source}: tensor {shown(entry.name)} was announced as {tensor.dtype.value}"
            f"{list(tensor.shape)} and is {found.value}{list(array.shape)}."
        )
    return to_bytes(array)
