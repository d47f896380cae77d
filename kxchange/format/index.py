"""The index of a sharded model: the kx document, and which file holds which tensor.

The shards are `.kx` files that hold weights only and name their model; the index is written last, so that it is the
moment at which a save takes place. Its `weight_map` and `metadata.total_size` are those of the sharded safetensors
layout.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kxchange.errors import FormatError
from kxchange.format import canonical_json
from kxchange.format.limits import (
    MAX_HEADER_STRUCTURAL_BYTES,
    MAX_INDEX_BYTES,
    MAX_SHARDS,
    MAX_TENSORS,
    check_limit,
)
from kxchange.format.names import check_name, shown, shown_path
from kxchange.format.records import fields_of, texts
from kxchange.format.shard_names import check_shard_name

SHARD_FEATURE = "shard"
_MEMBERS: dict[str, type] = {"kx": str, "metadata": dict, "shards": list, "weight_map": dict}
_SHARD: dict[str, type] = {"file": str, "bytes": int, "sha256": str}


@dataclass(frozen=True, slots=True)
class Shard:
    """One row of an index: the file, its size in bytes, and the SHA-256 of its header."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Index:
    """What an index says."""

    document: str
    """Canonical JSON of the kx document, as a single file holds it."""
    shards: tuple[Shard, ...]
    weight_map: Mapping[str, str]
    """File by tensor name."""
    total_size: int
    """Bytes of all tensors."""


def encode_index(index: Index, source: str) -> bytes:
    """The canonical text of an index.

    Raises:
        LimitError: Beyond 25,000,000 bytes or 10,000 shards.
    """
    check_limit(len(index.shards), MAX_SHARDS, f"{source}: shards")
    record: dict[str, Any] = {
        "kx": index.document,
        "metadata": {"total_size": index.total_size},
        "shards": [{"file": row.file, "bytes": row.bytes, "sha256": row.sha256} for row in index.shards],
        "weight_map": dict(index.weight_map),
    }
    data = canonical_json.encode(record, what=source, structural_limit=MAX_HEADER_STRUCTURAL_BYTES)
    check_limit(len(data), MAX_INDEX_BYTES, f"{source}: bytes")
    return data


def read_index(path: str | os.PathLike[str]) -> Index:
    """Read and check an index; no shard is opened.

    Raises:
        FormatError: Not an index, not canonical, or names of shards that lead elsewhere.
        LimitError: Beyond a limit of `kxchange.format.limits`.
    """
    source = shown_path(path)
    data = _read(Path(path), source)
    what = f"{source}: the index"
    record = fields_of(
        canonical_json.decode(data, what=what, structural_limit=MAX_HEADER_STRUCTURAL_BYTES), _MEMBERS, what
    )
    shards = _shards(record["shards"], what)
    weight_map: dict[str, Any] = record["weight_map"]
    check_limit(len(weight_map), MAX_TENSORS, f"{source}: tensors")
    texts(list(weight_map.values()), f"{what}: weight_map")
    files = {row.file for row in shards}
    for name, file in weight_map.items():
        check_name(name, f"{source}: tensor name")
        if file not in files:
            raise FormatError(f"{what} puts tensor {shown(name)} into {shown(file)}, which is no shard of it.")
    size = fields_of(record["metadata"], {"total_size": int}, f"{what}: metadata")["total_size"]
    return Index(record["kx"], shards, weight_map, size)


def _shards(records: list[Any], what: str) -> tuple[Shard, ...]:
    check_limit(len(records), MAX_SHARDS, f"{what}: shards")
    found: list[Shard] = []
    for number, record in enumerate(records, 1):
        fields = fields_of(record, _SHARD, f"{what}: shard {number}")
        check_shard_name(fields["file"], number, len(records), what)
        found.append(Shard(**fields))
    return tuple(found)


def _read(path: Path, source: str) -> bytes:
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise FormatError(f"{source} is not a regular file; an index is one.")
            check_limit(status.st_size, MAX_INDEX_BYTES, f"{source}: bytes")
            return stream.read(MAX_INDEX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise FormatError(f"{source} cannot be read: {reason}.") from None
