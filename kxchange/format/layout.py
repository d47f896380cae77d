"""Where tensors lie in a file, and the header that says so: one form for one set of tensors.

Tensors whose size is a multiple of 64 bytes come first and so all start at one; the rest follow by falling element
size, which keeps them aligned to their elements. There are no gaps: safetensors forbids them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kxchange.format import canonical_json
from kxchange.format.dtypes import CODE_BITS, Storage
from kxchange.format.limits import (
    HEADER_ALIGNMENT,
    MAX_HEADER_BYTES,
    MAX_HEADER_STRUCTURAL_BYTES,
    MAX_TENSORS,
    TENSOR_ALIGNMENT,
    check_limit,
)
from kxchange.format.names import METADATA_KEY, check_name

_LENGTH_BYTES = 8


class TensorEntry(NamedTuple):
    """One tensor of a file: safetensors dtype code, shape, and its bytes within the data section."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.end - self.begin


def layout_key(entry: TensorEntry) -> tuple[bool, int, str]:
    """What tensors are sorted by in a file: `(nbytes % 64 != 0, -itemsize, name)`."""
    return (entry.end - entry.begin) % TENSOR_ALIGNMENT != 0, -CODE_BITS[entry.dtype], entry.name


def lay_out(tensors: Iterable[tuple[str, str, tuple[int, ...]]]) -> list[TensorEntry]:
    """Place tensors in the data section.

    Args:
        tensors: Name, safetensors code and shape of each.

    Returns:
        The entries in the order of their bytes, see `layout_key`.
    """
    sized = [TensorEntry(name, code, shape, 0, Storage(code, shape).nbytes) for name, code, shape in tensors]
    entries: list[TensorEntry] = []
    position = 0
    for entry in sorted(sized, key=layout_key):
        entries.append(entry._replace(begin=position, end=position + entry.end))
        position += entry.end
    return entries


def build_header(entries: Iterable[TensorEntry], metadata: Mapping[str, str], *, source: str = "The file") -> bytes:
    """The first bytes of a file: length, canonical JSON, and blanks up to a multiple of 4096.

    Args:
        entries: From `lay_out`.
        metadata: Strings to store; nothing is written for none.
        source: How messages call the file.

    Returns:
        All bytes before the data section.

    Raises:
        FormatError: A name that `kxchange.format.names` forbids or a string that canonical JSON cannot hold.
        LimitError: More than 200,000 tensors or 25,000,000 bytes.
    """
    table: dict[str, canonical_json.JsonValue] = {
        entry.name: {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": (entry.begin, entry.end)}
        for entry in entries
    }
    check_limit(len(table), MAX_TENSORS, f"{source}: tensors")
    what = f"{source}: tensor name"
    for name in table:
        check_name(name, what)
    if metadata:
        table[METADATA_KEY] = dict(metadata)
    text = canonical_json.encode(table, what=f"{source}: the header", structural_limit=MAX_HEADER_STRUCTURAL_BYTES)
    padding = -(_LENGTH_BYTES + len(text)) % HEADER_ALIGNMENT
    length = len(text) + padding
    check_limit(length, MAX_HEADER_BYTES, f"{source}: header bytes")
    return length.to_bytes(_LENGTH_BYTES, "little") + text + b" " * padding
