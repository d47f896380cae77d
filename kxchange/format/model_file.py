"""Models in `.kx` files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, cast

from kxchange import ops as _ops  # the registry must be complete before a graph is read
from kxchange.errors import FormatError, WriteError
from kxchange.format import canonical_json
from kxchange.format.document import check_version, expected_entry, read_document, write_document
from kxchange.format.dtypes import Storage
from kxchange.format.integrity import TensorRecord, model_id, verify_tensors
from kxchange.format.limits import MAX_DOCUMENT_BYTES, check_limit
from kxchange.format.names import shown, shown_path
from kxchange.format.reader import TensorFile
from kxchange.format.records import fields_of
from kxchange.format.shard_names import INDEX_SUFFIX
from kxchange.format.sharded_file import ShardedFile
from kxchange.format.sharding import DEFAULT_SHARD_SIZE, parse_size, write_sharded
from kxchange.format.writer import as_lazy, write_tensor_file
from kxchange.model import Array, Model, Parameter
from kxchange.types import DType, TensorType

assert _ops
KEY = "kx"
INTEGRITY: dict[str, type] = {"tensors": dict, "model_id": str, "evidence": str}
_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ParameterTensor:
    """A parameter as a tensor whose bytes are read when they are written."""

    parameter: Parameter

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self.parameter.type.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape; parameters are static."""
        return cast("tuple[int, ...]", self.parameter.type.shape)

    def read(self) -> Array:
        """The values."""
        return self.parameter.array


def is_kx(path: Path) -> bool:
    """Whether a file is a container with a kx document, or the index of a sharded one; reads the header only."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        start = stream.read(64)
    if is_index(path, start):
        return True
    if len(start) < 10 or start[8:9] != b"{":
        return False
    try:
        with TensorFile.open(path, strict=False) as file:
            return KEY in file.metadata
    except FormatError:
        return path.suffix == ".kx"


def is_index(path: Path, start: bytes) -> bool:
    """Whether a file is the index of a sharded model: by its name, or by how its text begins."""
    return path.name.endswith(INDEX_SUFFIX) or start.startswith(b'{"kx":"{')


def save_model(
    model: Model, path: str | PathLike[str], *, follow_symlink: bool = False, max_shard_size: int | str | None = None
) -> list[Path]:
    """Write a `.kx` file, atomically and durably; the same model gives the same bytes.

    Args:
        model: What to write. Its parameters are streamed, never all in memory.
        path: The file to create or replace. A name ending in `.kx.index.json` asks for shards.
        follow_symlink: Replace what a symbolic link points to instead of refusing it.
        max_shard_size: Bytes, or text such as ``"5GB"``. A model with more is written as `name.kx.index.json` and
            shards beside it. By default only an index name does so.

    Raises:
        WriteError: the target cannot be written; a previous file is intact.
        LimitError: the model is beyond a limit of the format.
    """
    document, constants, stored = write_document(model)
    tensors: dict[str, Any] = {name: ParameterTensor(entry) for name, entry in stored.items()}
    tensors |= constants
    rows = {name: expected_entry(_type_of(tensor)) for name, tensor in tensors.items()}

    def finish(hashes: Mapping[str, str]) -> tuple[str, str]:
        records = [TensorRecord(name, *rows[name], hashes[name]) for name in rows]
        identity = model_id(document, records)
        integrity = {"tensors": dict(hashes), "model_id": identity, "evidence": evidence_sha256(document)}
        text = canonical_json.encode(document | {"integrity": integrity}, what="kx document")
        check_limit(len(text), MAX_DOCUMENT_BYTES, "kx document: bytes")
        return identity, text.decode()

    size = DEFAULT_SHARD_SIZE if max_shard_size is None else parse_size(max_shard_size)
    named = Path(path).name.endswith(INDEX_SUFFIX)
    total = sum(Storage(*row).nbytes for row in rows.values())
    if named or (max_shard_size is not None and total > size):
        check_not_single(Path(path), named)
        lazy = {name: as_lazy(name, tensor, str(path)) for name, tensor in tensors.items()}
        return write_sharded(path, lazy, finish, max_shard_size=size, follow_symlink=follow_symlink)

    def metadata(hashes: Mapping[str, str]) -> dict[str, str]:
        return {"format": "pt", KEY: finish(hashes)[1]}

    write_tensor_file(path, tensors, metadata, follow_symlink=follow_symlink)
    return [Path(path)]


def check_not_single(path: Path, named: bool) -> None:
    """Refuse to put `net.kx.index.json` beside a `net.kx`, which would still be the one that is found."""
    if not named and path.exists():
        raise WriteError(
            f"Cannot write {shown_path(path)} in shards: a single file of that name exists and would stay. Remove it, "
            "or choose another name."
        )


def _type_of(tensor: Any) -> TensorType:
    if isinstance(tensor, ParameterTensor):
        return tensor.parameter.type
    return TensorType(DType.of(tensor.dtype), tensor.shape)


def decode_document(text: str, source: str) -> dict[str, Any]:
    """The `kx` document from its text, within the limits."""
    data = text.encode()
    check_limit(len(data), MAX_DOCUMENT_BYTES, f"{source}: kx document bytes")
    return canonical_json.decode(data, what=f"{source}: kx document")


def open_model_file(path: str | PathLike[str], **options: Any) -> tuple[TensorFile | ShardedFile, dict[str, Any]]:
    """Open a `.kx` file or an index.

    Args:
        path: The file.
        options: `mode` as for `TensorFile.open`, and `follow_links`: accept shards that are links.

    Returns:
        The tensors, and the decoded document.

    Raises:
        FormatError: It is neither, or damaged.
    """
    follow_links = bool(options.pop("follow_links", False))
    if is_index(Path(path), _start(Path(path))):
        shards = ShardedFile.open(path, follow_links=follow_links, **options)
        return shards, decode_document(shards.document_text, shards.source)
    file = TensorFile.open(path, **options)
    try:
        return file, read_kx_document(file)
    except BaseException:
        file.close()
        raise


def _start(path: Path) -> bytes:
    try:
        return path.open("rb").read(64) if path.is_file() else b""
    except OSError:
        return b""


def read_kx_document(file: TensorFile) -> dict[str, Any]:
    """The decoded `kx` document of an open file."""
    if KEY not in file.metadata:
        raise FormatError(
            f"{file.source} is a valid safetensors file without a kx architecture: it holds weights only. "
            "Another tool may have re-saved it and dropped the architecture; load the original."
        )
    return decode_document(file.metadata[KEY], file.source)


def load_model(
    path: str | PathLike[str], *, verify: bool = False, mode: str = "r", follow_links: bool = False
) -> Model:
    """Open a `.kx` file, or the index of a sharded one: headers are read and checked, the weights are mapped.

    Args:
        path: The file.
        verify: Also hash every tensor, and require the canonical bytes.
        mode: ``"r"`` for read-only views, ``"c"`` for private writable ones.
        follow_links: Accept shards that are links, as in download caches.

    Raises:
        FormatError: damaged, hostile or from a newer kxchange.
    """
    file, document = open_model_file(path, mode=mode, follow_links=follow_links)
    used: set[str] = set()

    def read_tensor(name: str, type: TensorType) -> Array:
        used.add(name)
        return file.tensor(name, type.dtype, cast("tuple[int, ...]", type.shape))

    model = read_document(document, read_tensor, file.source)
    check_tensor_table(model, document, file, used)
    if verify:
        verify_file(document, file)
    model.provenance = dict(model.provenance)
    return model


def check_tensor_table(
    model: Model, document: dict[str, Any], file: TensorFile | ShardedFile, constants: set[str]
) -> None:
    """Header and document agree: every parameter is there with its type, and nothing else."""
    hashes = check_integrity(document, file.source)
    stored = {entry.name: entry for entry in model.parameters.values() if entry.alias_of is None}
    for entry in stored.values():
        found = file.entry(entry.name)
        if (found.dtype, found.shape) != expected_entry(entry.type):
            raise FormatError(
                f"{file.source}: parameter {shown(entry.name)} is {entry.type} in the document and "
                f"{found.dtype}{list(found.shape)} in the header."
            )
    if hashes.keys() != set(file.names):
        odd = min(hashes.keys() ^ set(file.names))
        raise FormatError(f"{file.source}: tensor {shown(odd)} stands in only one of header and integrity table.")
    if unused := set(file.names) - stored.keys() - constants:
        raise FormatError(f"{file.source}: nothing in the kx document names the tensor {shown(min(unused))}.")


def check_integrity(document: dict[str, Any], source: str) -> dict[str, str]:
    """The hash of each tensor as recorded; refuses a record that is not whole."""
    record = fields_of(document.get("integrity"), INTEGRITY, f"{source}: integrity")
    hashes = cast("dict[str, Any]", record["tensors"])
    for text in (record["model_id"], record["evidence"], *hashes.values()):
        if not isinstance(text, str) or not _HASH.fullmatch(text):
            raise FormatError(f"{source}: integrity has {shown(text)} where a SHA-256 must stand.")
    return hashes


def verify_file(document: dict[str, Any], file: TensorFile | ShardedFile) -> str:
    """Hash everything and compare; returns the model id.

    Raises:
        FormatError: a tensor's bytes, the document or the layout are not what was written.
    """
    hashes = check_integrity(document, file.source)
    if isinstance(file, TensorFile) and file.metadata.get("format") != "pt":
        raise FormatError(f"{file.source} is damaged: its metadata states another format than 'pt'.")
    verify_tensors(file, hashes, source=file.source)
    records = [TensorRecord(name, entry.dtype, entry.shape, hashes[name]) for name, entry in file.entries.items()]
    verify_document(document, records, file.source)
    return str(document["integrity"]["model_id"])


def verify_document(document: dict[str, Any], records: list[TensorRecord], source: str) -> None:
    """Compare the model id and the hash of the evidence with what the document gives."""
    recorded = document["integrity"]
    found = model_id(document, records)
    if found != recorded["model_id"]:
        raise FormatError(f"{source} is damaged: its model id is {found}, recorded is {shown(recorded['model_id'])}.")
    if evidence_sha256(document) != recorded["evidence"]:
        raise FormatError(f"{source} is damaged: its evidence does not have the recorded SHA-256.")


def evidence_sha256(document: Mapping[str, Any]) -> str:
    """Hash of the evidence, which the model id leaves out: it speaks about the model and may be added later."""
    return hashlib.sha256(canonical_json.encode(document["evidence"], what="evidence")).hexdigest()


def identify(path: str | PathLike[str], *, verify: bool = False) -> str:
    """The model id of a `.kx` file or an index: as recorded, or recomputed from every byte with `verify`."""
    file, document = open_model_file(path)
    try:
        check_version(document, file.source)
        check_integrity(document, file.source)
        return verify_file(document, file) if verify else str(document["integrity"]["model_id"])
    finally:
        file.close()


def recorded_hashes(path: str | PathLike[str]) -> dict[str, str] | None:
    """The SHA-256 of each tensor as a `.kx` file or an index records it; None for another file. No weight is read."""
    if not is_kx(Path(path)):
        return None
    file, document = open_model_file(path)
    file.close()
    return check_integrity(document, file.source)
