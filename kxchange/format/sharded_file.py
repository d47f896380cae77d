"""Open the shards of a model as if they were one tensor file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from kxchange.errors import FormatError
from kxchange.format import canonical_json
from kxchange.format.index import SHARD_FEATURE, Index, read_index
from kxchange.format.layout import TensorEntry
from kxchange.format.names import shown, shown_path
from kxchange.format.reader import Mode, TensorFile
from kxchange.types import DType


class ShardedFile:
    """The tensors of a sharded model; each shard is checked against the index when it is opened.

    Attributes:
        source: The index, as messages show it.
        index: What it says.
    """

    def __init__(self, index: Index, files: Mapping[str, TensorFile], source: str) -> None:
        """Use `open`."""
        self.index = index
        self.source = source
        self._files = files
        self._entries = {name: files[index.weight_map[name]].entries[name] for name in index.weight_map}

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, mode: Mode = "r", follow_links: bool = False) -> Self:
        """Open an index and the headers of its shards.

        Args:
            path: The index file; its shards lie in the same folder.
            mode: As for `TensorFile.open`.
            follow_links: Accept shards that are links, as in download caches.

        Raises:
            FormatError: The index or a shard is not valid, is missing, or does not fit the others.
        """
        index, source = read_index(path), shown_path(path)
        files: dict[str, TensorFile] = {}
        try:
            for row in index.shards:
                shard = Path(path).parent / row.file
                files[row.file] = TensorFile.open(shard, mode=mode, follow_links=follow_links)
            _check(index, files, source)
            return cls(index, files, source)
        except BaseException:
            for file in files.values():
                file.close()
            raise

    def close(self) -> None:
        """Release the files. Views handed out stay valid."""
        for file in self._files.values():
            file.close()

    @property
    def files(self) -> Mapping[str, TensorFile]:
        """The open shards by name."""
        return self._files

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tensors."""
        return tuple(self._entries)

    @property
    def entries(self) -> Mapping[str, TensorEntry]:
        """What the header of its shard says of each tensor."""
        return MappingProxyType(self._entries)

    @property
    def document_text(self) -> str:
        """The kx document."""
        return self.index.document

    def entry(self, name: str) -> TensorEntry:
        """What the header says of one tensor; errors as in `TensorFile.entry`."""
        return self._file(name).entry(name)

    def tensor(self, name: str, dtype: DType | None = None, shape: Sequence[int] | None = None) -> np.ndarray:
        """A tensor as a view of its mapped shard; arguments and errors as in `TensorFile.tensor`."""
        return self._file(name).tensor(name, dtype, shape)

    def sha256(self, name: str) -> str:
        """SHA-256 of the stored bytes of one tensor, in hexadecimal."""
        return self._file(name).sha256(name)

    def _file(self, name: str) -> TensorFile:
        if name not in self._entries:
            raise FormatError(f"{self.source} has no tensor {shown(name)}.")
        return self._files[self.index.weight_map[name]]


def shard_document(model_id: str, number: int, count: int) -> dict[str, Any]:
    """What stands for the kx document in a shard: which model it is a part of."""
    part = {"model_id": model_id, "number": number, "of": count}
    return {"kx": 1, "min_reader": 1, "features": [SHARD_FEATURE], SHARD_FEATURE: part}


def model_id_of(index: Index, source: str) -> Any:
    """The model id that an index records, before its document is read as a model."""
    document = canonical_json.decode(index.document.encode(), what=f"{source}: kx document")
    try:
        return document["integrity"]["model_id"]
    except (LookupError, TypeError):
        raise FormatError(f"{source}: the kx document states no model id in its integrity.") from None


def _check(index: Index, files: Mapping[str, TensorFile], source: str) -> None:
    """Every shard is the one that the index was written with, and holds exactly what the index says."""
    wanted, total = model_id_of(index, source), 0
    for number, row in enumerate(index.shards, 1):
        file = files[row.file]
        if file.size != row.bytes or file.header_sha256() != row.sha256:
            raise FormatError(f"{source}: {shown(row.file)} is not the shard this index was written with.")
        document = shard_document(wanted, number, len(index.shards))
        if file.metadata != {"format": "pt", "kx": canonical_json.encode(document).decode()}:
            raise FormatError(f"{source}: {shown(row.file)} is not shard {number} of this model.")
        for name, entry in file.entries.items():
            if index.weight_map.get(name) != row.file:
                raise FormatError(
                    f"{source}: tensor {shown(name)} lies in {shown(row.file)}, not where the index says."
                )
            total += entry.nbytes
    for name, file in index.weight_map.items():
        if name not in files[file]:
            raise FormatError(f"{source}: tensor {shown(name)} does not lie in {shown(file)}, as the index says.")
    if total != index.total_size:
        raise FormatError(f"{source}: the tensors have {total:,} bytes, the index says {index.total_size:,}.")
