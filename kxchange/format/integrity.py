"""Hashes: of one tensor, and of a model however its file is laid out.

They find damage, not an attacker who can also change the hash: for that, sign the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import numpy as np

from kxchange.errors import FormatError
from kxchange.format import canonical_json
from kxchange.format.canonical_json import JsonValue
from kxchange.format.dtypes import to_bytes
from kxchange.format.limits import MAX_RANK, MAX_TENSORS
from kxchange.format.names import shown

CHUNK_BYTES = 2**18
"""How many bytes are hashed, read or written at a time: writes of megabytes were measured up to ten times slower."""
HASH_LENGTH = 64
"""Characters of a SHA-256 in hexadecimal."""
NOT_HASHED = frozenset({"integrity", "evidence"})
"""Members of the architecture document that the model id leaves out: they speak about the model."""

_TABLE_STRUCTURAL_LIMIT = MAX_TENSORS * (MAX_RANK + 8)


class TensorRecord(NamedTuple):
    """One row of the tensor table that a model id covers."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str


class HashedTensors(Protocol):
    """A source of tensor hashes, such as an open `TensorFile`."""

    def sha256(self, name: str) -> str:
        """SHA-256 of the stored bytes of one tensor, in hexadecimal."""
        ...


def chunks(data: np.ndarray) -> Iterable[memoryview]:
    """The bytes of a flat uint8 array in pieces of `CHUNK_BYTES`."""
    view = data.data
    return (view[start : start + CHUNK_BYTES] for start in range(0, len(view), CHUNK_BYTES))


def tensor_sha256(array: np.ndarray) -> str:
    """SHA-256 of the bytes that an array has in a file.

    Args:
        array: Any shape, strides, byte order and element type.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for chunk in chunks(to_bytes(array)):
        digest.update(chunk)
    return digest.hexdigest()


def model_id(architecture: Mapping[str, JsonValue], tensors: Iterable[TensorRecord]) -> str:
    r"""The layout-independent identity of a model.

    SHA-256 of the canonical JSON of the architecture without `integrity` and `evidence`, a line feed, and the
    canonical JSON of the rows `[name, dtype, shape, sha256]` sorted by name. No canonical JSON holds a line feed, so
    the two parts cannot be confused.

    Args:
        architecture: The `kx` document.
        tensors: Every tensor of the model, in any order, from one file or many shards.

    Returns:
        64 hexadecimal digits, equal for the single-file and the sharded form.

    Raises:
        FormatError: Something canonical JSON cannot hold, or one name twice.
    """
    document = {key: value for key, value in architecture.items() if key not in NOT_HASHED}
    rows = sorted(tensors)
    for first, second in zip(rows, rows[1:], strict=False):
        if first.name == second.name:
            raise FormatError(f"A model id cannot cover two tensors named {shown(first.name)}.")
    table: list[JsonValue] = [[row.name, row.dtype, list(row.shape), row.sha256] for row in rows]
    digest = hashlib.sha256(canonical_json.encode(document, what="architecture"))
    digest.update(b"\n")
    digest.update(canonical_json.encode(table, what="tensor table", structural_limit=_TABLE_STRUCTURAL_LIMIT))
    return digest.hexdigest()


def verify_tensors(file: HashedTensors, expected: Mapping[str, str], *, source: str = "The file") -> None:
    """Compare the stored bytes of every tensor with its hash.

    Args:
        file: An open tensor file.
        expected: SHA-256 by tensor name.
        source: How messages call the file.

    Raises:
        FormatError: Hashes differ; the message names the tensors.
    """
    damaged = [name for name, sha256 in expected.items() if file.sha256(name) != sha256]
    if damaged:
        names = ", ".join(map(shown, damaged[:5])) + (", ..." if len(damaged) > 5 else "")
        raise FormatError(
            f"{source} is damaged: the bytes of {len(damaged)} of {len(expected)} tensors do not have the recorded "
            f"SHA-256: {names}. Fetch the file again or restore it from a copy."
        )
