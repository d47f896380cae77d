"""Open tensor files without reading them: the header at once, each tensor as a view of the mapped file."""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

import numpy as np

from kxchange.errors import FormatError
from kxchange.format.dtypes import dtype_of_code, from_bytes, storage_of
from kxchange.format.foreign import PREFIX_BYTES
from kxchange.format.header import LENGTH_BYTES, Header, header_length, parse_header
from kxchange.format.integrity import CHUNK_BYTES
from kxchange.format.layout import TensorEntry
from kxchange.format.names import shown, shown_path
from kxchange.types import DType

Mode = Literal["r", "c"]


class TensorFile:
    """An open `.kx` or `.safetensors` file.

    Views stay valid after `close`, and after another file is renamed over this one. They do not survive a program
    that shortens the file in place: the operating system then ends the process on access. Where that can happen (a
    network file system, a writer that does not rename), use `read`, which copies.
    """

    def __init__(self, descriptor: int, status: os.stat_result, header: Header, source: str, mode: Mode) -> None:
        """Use `open`."""
        self._descriptor = descriptor
        self._status = status
        self._header = header
        self._source = source
        self._mode: Mode = mode
        self._map: mmap.mmap | None = None
        self._valid_bools: set[str] = set()
        self._closing = weakref.finalize(self, os.close, descriptor)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, strict: bool = True, mode: Mode = "r", follow_links: bool = True
    ) -> Self:
        """Open a file; only its header is read.

        Args:
            path: A regular file, or a link to one.
            strict: Require the `.kx` form. Otherwise any valid safetensors file passes.
            mode: `"r"` for read-only views, `"c"` for views that can be written without changing the file, which
                DLPack and torch ask for.
            follow_links: Accept a symbolic link, or a file that has other hard links.

        Raises:
            FormatError: The file cannot be opened, is not regular, or its header is not valid.
        """
        source = shown_path(path)
        descriptor, status = _open_regular(path, source, follow_links)
        try:
            header = _read_header(descriptor, status.st_size, strict, source)
            return cls(descriptor, status, header, source, mode)
        except BaseException:
            os.close(descriptor)
            raise

    def __enter__(self) -> Self:
        """The file itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def __repr__(self) -> str:
        """Path and number of tensors."""
        return f"TensorFile({self._source!r}, {len(self.names)} tensors)"

    def __contains__(self, name: object) -> bool:
        """Whether the file has a tensor of this name."""
        return name in self._header.entries

    def close(self) -> None:
        """Release the file. Views handed out stay valid."""
        self._map = None
        self._closing()

    @property
    def source(self) -> str:
        """The path, as messages show it."""
        return self._source

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tensors, in the order of the header."""
        return tuple(self._header.entries)

    @property
    def entries(self) -> Mapping[str, TensorEntry]:
        """What the header says of each tensor."""
        return self._header.entries

    @property
    def metadata(self) -> Mapping[str, str]:
        """The strings in `__metadata__`."""
        return self._header.metadata

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self._status.st_size

    @property
    def data_offset(self) -> int:
        """Where the data section starts, in bytes: a tensor lies at `data_offset + entry.begin`."""
        return self._header.data_offset

    def entry(self, name: str) -> TensorEntry:
        """What the header says of one tensor.

        Raises:
            FormatError: The file has no such tensor.
        """
        try:
            return self._header.entries[name]
        except KeyError:
            raise FormatError(f"{self._source} has no tensor {shown(name)}.") from None

    def tensor(self, name: str, dtype: DType | None = None, shape: Sequence[int] | None = None) -> np.ndarray:
        """A tensor as a view of the mapped file.

        Args:
            name: Its name.
            dtype: The logical element type, where the document states one that safetensors lacks.
            shape: The logical shape, where packing hides it.

        Returns:
            The tensor. It is a copy only for types of less than a byte and for data not aligned to its elements.

        Raises:
            FormatError: No such tensor, another logical type than the stored one can hold, a bool that is neither 0
                nor 1, or a file changed since it was opened.
        """
        entry = self.entry(name)
        logical, dims = self._logical(entry, dtype, shape)
        self._check_unchanged()
        if not entry.nbytes:
            return np.empty(dims, logical.numpy)
        view = np.ndarray(
            (entry.nbytes,), np.uint8, buffer=self._mapping(), offset=self._header.data_offset + entry.begin
        )
        self._check_bool(entry, view)
        return from_bytes(view, logical, dims)

    def read(self, name: str, dtype: DType | None = None, shape: Sequence[int] | None = None) -> np.ndarray:
        """A tensor as a copy, safe from later changes of the file; arguments and errors as in `tensor`."""
        entry = self.entry(name)
        logical, dims = self._logical(entry, dtype, shape)
        data = np.empty(entry.nbytes, np.uint8)
        filled = 0
        for chunk in self._chunks(entry):
            data[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
            filled += len(chunk)
        self._check_bool(entry, data)
        return from_bytes(data, logical, dims)

    def stored(self, name: str, dtype: DType | None = None, shape: Sequence[int] | None = None) -> StoredTensor:
        """A tensor to be read when it is written elsewhere; arguments and errors as in `tensor`."""
        logical, dims = self._logical(self.entry(name), dtype, shape)
        return StoredTensor(self, name, logical, dims)

    def sha256(self, name: str) -> str:
        """SHA-256 of the stored bytes of one tensor, in hexadecimal.

        Raises:
            FormatError: No such tensor, or a file changed since it was opened.
        """
        digest = hashlib.sha256()
        for chunk in self._chunks(self.entry(name)):
            digest.update(chunk)
        return digest.hexdigest()

    def header_sha256(self) -> str:
        """SHA-256 of everything before the data section, in hexadecimal."""
        return hashlib.sha256(os.pread(self._descriptor, self._header.data_offset, 0)).hexdigest()

    def _logical(
        self, entry: TensorEntry, dtype: DType | None, shape: Sequence[int] | None
    ) -> tuple[DType, tuple[int, ...]]:
        dims = entry.shape if shape is None else tuple(shape)
        if dtype is None:
            logical, fits = dtype_of_code(entry.dtype), dims == entry.shape
        else:
            storage = storage_of(dtype, dims)
            # safetensors has a code for the 4-bit float; a third-party file may use it.
            native = entry.dtype == "F4" and dtype is DType.FLOAT4_E2M1FN and dims == entry.shape
            logical, fits = dtype, native or (storage.code, storage.shape) == (entry.dtype, entry.shape)
        if not fits:
            raise FormatError(
                f"{self._source}: tensor {shown(entry.name)} is stored as {entry.dtype}{list(entry.shape)}, "
                f"which cannot be {logical.value}{list(dims)}."
            )
        return logical, dims

    def _check_bool(self, entry: TensorEntry, data: np.ndarray) -> None:
        if entry.dtype != "BOOL" or entry.name in self._valid_bools or not data.size:
            return
        if data.max() > 1:
            raise FormatError(
                f"{self._source}: bool tensor {shown(entry.name)} holds the byte {data.max()}; only 0 and 1 are legal."
            )
        self._valid_bools.add(entry.name)

    def _check_unchanged(self) -> None:
        if not self._closing.alive:
            raise FormatError(f"{self._source} is closed.")
        now = os.fstat(self._descriptor)
        if (now.st_size, now.st_mtime_ns) != (self._status.st_size, self._status.st_mtime_ns):
            raise FormatError(
                f"{self._source} was changed in place since it was opened ({self._status.st_size:,} bytes then, "
                f"{now.st_size:,} now). Open it again."
            )

    def _mapping(self) -> mmap.mmap:
        if self._map is None:
            access = mmap.ACCESS_READ if self._mode == "r" else mmap.ACCESS_COPY
            self._map = mmap.mmap(self._descriptor, self._status.st_size, access=access)
        return self._map

    def _chunks(self, entry: TensorEntry) -> Iterator[bytes]:
        """The stored bytes in pieces, read and not mapped."""
        position = self._header.data_offset + entry.begin
        end = self._header.data_offset + entry.end
        self._check_unchanged()
        while position < end:
            chunk = os.pread(self._descriptor, min(CHUNK_BYTES, end - position), position)
            if not chunk:
                raise FormatError(
                    f"{self._source} ends inside tensor {shown(entry.name)}: it was cut since it was opened."
                )
            position += len(chunk)
            yield chunk
        self._check_unchanged()


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor of an open file, not read yet."""

    file: TensorFile
    name: str
    dtype: DType
    shape: tuple[int, ...]

    def read(self) -> np.ndarray:
        """The tensor, see `TensorFile.tensor`."""
        return self.file.tensor(self.name, self.dtype, self.shape)


def _open_regular(path: str | os.PathLike[str], source: str, follow_links: bool) -> tuple[int, os.stat_result]:
    # Without O_NONBLOCK a named pipe would hold the process until somebody writes to it.
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    flags |= 0 if follow_links else getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise FormatError(f"{source} cannot be opened: {reason}.") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise FormatError(f"{source} is {kind}; a tensor file is a regular file.")
    if status.st_nlink > 1 and not follow_links:
        os.close(descriptor)
        raise FormatError(f"{source} has other hard links. Copy the file, or load with follow_links=True.")
    return descriptor, status


def _read_header(descriptor: int, size: int, strict: bool, source: str) -> Header:
    try:
        prefix = os.pread(descriptor, PREFIX_BYTES, 0)
        length = header_length(prefix, size, source)
        raw = bytearray()
        while len(raw) < LENGTH_BYTES + length:
            chunk = os.pread(descriptor, LENGTH_BYTES + length - len(raw), len(raw))
            if not chunk:
                break
            raw += chunk
    except OSError as error:
        raise FormatError(f"{source} cannot be read: {error.strerror}.") from error
    return parse_header(bytes(raw), size, strict=strict, source=source)
