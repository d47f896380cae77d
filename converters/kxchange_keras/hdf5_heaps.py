"""What libhdf5 does not check in an HDF5 file, and hangs on: looked at before it opens one.

Texts of any length stand in global heaps. libhdf5 1.14 steps through a heap by the sizes that it finds there, and for
ever where a step is 0 or leads back.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kxchange.errors import FormatError

MAGIC = b"\x89HDF\r\n\x1a\n"
HEAP = b"GCOL\x01"
"""Name and version of a global heap."""
HEAD = 16
"""Bytes before the first object of a heap, and before the data of each."""
WIDTH = 8
"""Bytes of a size and of an address; HDF5 can have others, and no writer of models does."""


def check_hdf5(source: Path | bytes, label: str) -> None:
    """Look at the start of a file and at every global heap in it.

    Args:
        source: The file, or the bytes of one.
        label: How messages call it.

    Raises:
        FormatError: It is no HDF5 file from its first byte on, has other widths, or its objects do not fill a heap.
    """
    with _bytes(source) as data:
        if data[: len(MAGIC)] != MAGIC:
            raise FormatError(f"{label} cannot be read as HDF5: it starts with other bytes.")
        place = 13 if data[8] < 2 else 9  # the first two versions of the first block have more before the widths
        if bytes(data[place : place + 2]) != bytes((WIDTH, WIDTH)):
            raise FormatError(f"{label} cannot be read as HDF5: its sizes are not {WIDTH} bytes wide. Save it again.")
        for begin in _heaps(data):
            _check_heap(data, begin, label)


@contextmanager
def _bytes(source: Path | bytes) -> Iterator[bytes | mmap.mmap]:
    if isinstance(source, bytes):
        yield source.ljust(HEAD, b"\0")
        return
    if source.stat().st_size < HEAD:
        yield source.read_bytes().ljust(HEAD, b"\0")
        return
    with source.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _heaps(data: bytes | mmap.mmap) -> Iterator[int]:
    place = data.find(HEAP)
    while place >= 0:
        yield place
        place = data.find(HEAP, place + 1)


def _check_heap(data: bytes | mmap.mmap, begin: int, label: str) -> None:
    size = int.from_bytes(data[begin + 8 : begin + HEAD], "little")
    if size > len(data) - begin:
        return  # weights that spell its name; libhdf5 does not step through one that leaves the file
    place, end = begin + HEAD, begin + size
    while place + HEAD <= end:
        index = int.from_bytes(data[place : place + 2], "little")
        length = int.from_bytes(data[place + 8 : place + HEAD], "little")
        # Object 0 is the free space; its length counts its own head.
        step = length if index == 0 else HEAD + -(-length // 8) * 8
        if not HEAD <= step <= end - place:
            raise FormatError(
                f"{label} cannot be read as HDF5: object {index} of the heap at byte {begin} claims {length:,} bytes. "
                "Download or save it again."
            )
        place += step
