"""Write a model as shards and an index: everything is staged and flushed, the index is renamed into place last.

Until then the previous model is there, whole; afterwards the new one is.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from kxchange.errors import FormatError, InputError
from kxchange.format import canonical_json
from kxchange.format.atomic import (
    atomic_write_bytes,
    create_temporary,
    flush_folder,
    resolve_target,
    sweep_stale_temporaries,
    temporary_name,
    write_error,
)
from kxchange.format.dtypes import storage_of
from kxchange.format.index import Index, Shard, encode_index, read_index
from kxchange.format.integrity import HASH_LENGTH
from kxchange.format.limits import MAX_SHARDS, STALE_TEMPORARY_SECONDS, check_limit
from kxchange.format.names import shown_path
from kxchange.format.shard_names import index_path, our_shards, shard_name
from kxchange.format.sharded_file import shard_document
from kxchange.format.writer import LazyTensor, TensorPlan

DEFAULT_SHARD_SIZE = 5 * 10**9
_SIZE = re.compile(r"([0-9]{1,18})\s*([kmgt]i?b|b|)", re.ASCII | re.IGNORECASE)
_UNITS = {"": 1, "b": 1} | {
    letter + ending: (1000 if ending == "b" else 1024) ** power
    for power, letter in enumerate("kmgt", 1)
    for ending in ("b", "ib")
}
Finish = Callable[[Mapping[str, str]], tuple[str, str]]
"""From the SHA-256 of every tensor to the model id and the text of the kx document."""


def write_sharded(
    path: str | os.PathLike[str],
    tensors: Mapping[str, LazyTensor],
    finish: Finish,
    *,
    max_shard_size: int = DEFAULT_SHARD_SIZE,
    follow_symlink: bool = False,
) -> list[Path]:
    """Write shards and their index; the files depend on the model and the size only.

    Args:
        path: The index to create or replace.
        tensors: By name, in the order in which they fill the shards.
        finish: Called once with all hashes.
        max_shard_size: Most bytes of tensors in one shard; a larger tensor has a shard of its own.
        follow_symlink: Replace what a symbolic link points to instead of refusing it.

    Returns:
        The index, then the shards.

    Raises:
        WriteError: Something could not be written; a previous model is intact and nothing is left behind.
    """
    target = resolve_target(index_path(path), follow_symlink)
    groups = plan_shards(tensors, max_shard_size)
    with _Stage(target, groups) as stage:
        for number, group in enumerate(groups, 1):
            stage.add({name: tensors[name] for name in group}, number)
        model_id, document = finish(stage.hashes)
        index = stage.seal(model_id, document)
        data = encode_index(index, shown_path(target))
        stage.publish(index)
        stage.commit(data)
    _sweep_shards(target, {row.file for row in index.shards}, stage.replaced)
    return [target, *(target.parent / row.file for row in index.shards)]


def parse_size(size: int | str) -> int:
    """Bytes from a number or from text such as ``"500MB"`` or ``"2GiB"``.

    Raises:
        InputError: It is no size of at least one byte.
    """
    if isinstance(size, str):
        match = _SIZE.fullmatch(size.strip())
        if match is None:
            raise InputError(f"{size!r} is not a size; write one as 500MB, 5GB or 2GiB.")
        found = int(match[1]) * _UNITS[match[2].lower()]
    else:
        found = size
    if found < 1:
        raise InputError(f"A shard of {found} bytes holds nothing; give a size of at least one byte.")
    return found


def plan_shards(tensors: Mapping[str, LazyTensor], max_shard_size: int) -> list[list[str]]:
    """Names by shard: filled in order, none above the size unless by one tensor; at least one shard."""
    shards: list[list[str]] = [[]]
    room = max_shard_size
    for name, tensor in tensors.items():
        size = storage_of(tensor.dtype, tensor.shape).nbytes
        if shards[-1] and size > room:
            shards.append([])
            room = max_shard_size
        shards[-1].append(name)
        room -= size
    check_limit(len(shards), MAX_SHARDS, "shards (allow larger ones)")
    return shards


class _Stage:
    """Shards under temporary names, until the index is there to name them."""

    def __init__(self, target: Path, groups: list[list[str]]) -> None:
        self.target = target
        self.hashes: dict[str, str] = {}
        self.committed = False
        self.replaced = _listed_in(target)
        self._groups = groups
        self._plans: list[TensorPlan] = []
        self._streams: list[BinaryIO] = []
        self._temporary: list[Path] = []
        self._published: list[Path] = []

    def __enter__(self) -> _Stage:
        sweep_stale_temporaries(self.target.parent)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        for stream in self._streams:
            with suppress(OSError):
                stream.close()
        # A published shard is renamed away from its temporary name; without an index it is debris.
        for path in self._temporary + ([] if self.committed else self._published):
            with suppress(OSError):
                os.unlink(path)
        if isinstance(error, OSError):
            raise write_error(self.target, error) from error

    def add(self, tensors: Mapping[str, LazyTensor], number: int) -> None:
        """Write one shard, with zeros for the model id, which is known only after the last."""
        plan = TensorPlan(tensors, shown_path(self.target))
        header = plan.header(_metadata("0" * HASH_LENGTH, number, len(self._groups)), {})
        temporary = temporary_name(self.target.parent)
        self._temporary.append(temporary)
        stream = create_temporary(temporary, None, plan.size(header))
        self._streams.append(stream)
        self._plans.append(plan)
        stream.write(header)
        self.hashes |= plan.write_data(stream, hashing=True)

    def seal(self, model_id: str, document: str) -> Index:
        """Give every shard its final header, flush it to the disk, and list them."""
        rows: list[Shard] = []
        where: dict[str, str] = {}
        layout = hashlib.sha256(canonical_json.encode([model_id, self._groups])).hexdigest()
        for number, (plan, stream) in enumerate(zip(self._plans, self._streams, strict=True), 1):
            header = plan.header(_metadata(model_id, number, len(self._groups)), {})
            plan.rewrite_header(stream, header, len(header))
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()
            name = shard_name(self.target, layout, number, len(self._groups))
            rows.append(Shard(name, plan.size(header), hashlib.sha256(header).hexdigest()))
            where |= {entry.name: name for entry in plan.entries}
        total = sum(entry.nbytes for plan in self._plans for entry in plan.entries)
        return Index(document, tuple(rows), where, total)

    def publish(self, index: Index) -> None:
        """Rename the shards to the names in the index; the same content may be there already."""
        for temporary, row in zip(list(self._temporary), index.shards, strict=True):
            final = self.target.parent / row.file
            existed = final.exists()
            os.replace(temporary, final)
            self._temporary.remove(temporary)
            if not existed:
                self._published.append(final)
        flush_folder(self.target)

    def commit(self, data: bytes) -> None:
        """Write the index; from then on the shards belong to it, even if its folder could not be flushed."""
        try:
            atomic_write_bytes(self.target, data)
        finally:
            with suppress(OSError):
                self.committed = self.target.read_bytes() == data


def _metadata(model_id: str, number: int, count: int) -> dict[str, str]:
    return {"format": "pt", "kx": canonical_json.encode(shard_document(model_id, number, count)).decode()}


def _listed_in(target: Path) -> set[str]:
    """The shards of the model that is replaced."""
    try:
        return {row.file for row in read_index(target).shards}
    except FormatError:
        return set()


def _sweep_shards(target: Path, keep: set[str], replaced: set[str]) -> None:
    """Delete the shards of the replaced model, and what killed processes left of this one more than an hour ago.

    A program that has them mapped keeps them. Only names that `shard_name` gives to this index are touched.
    """
    ours, deadline = our_shards(target), time.time() - STALE_TEMPORARY_SECONDS
    with suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            if entry.name in keep or not ours.fullmatch(entry.name):
                continue
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and (entry.name in replaced or status.st_mtime < deadline):
                    os.unlink(entry.path)
