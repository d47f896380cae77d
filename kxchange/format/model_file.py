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
from kxchange.errors import FormatError
from kxchange.format import canonical_json
from kxchange.format.document import check_version, expected_entry, read_document, write_document
from kxchange.format.integrity import TensorRecord, model_id, verify_tensors
from kxchange.format.limits import MAX_DOCUMENT_BYTES, check_limit
from kxchange.format.names import shown
from kxchange.format.reader import TensorFile
from kxchange.format.records import fields_of
from kxchange.format.writer import write_tensor_file
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
    """Whether a file is a safetensors container with a kx document; reads the header only."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        start = stream.read(64)
    if len(start) < 10 or start[8:9] != b"{":
        return False
    try:
        with TensorFile.open(path, strict=False) as file:
            return KEY in file.metadata
    except FormatError:
        return path.suffix == ".kx"


def save_model(model: Model, path: str | PathLike[str], *, follow_symlink: bool = False) -> list[Path]:
    """Write a `.kx` file, atomically and durably; the same model gives the same bytes.

    Args:
        model: What to write. Its parameters are streamed, never all in memory.
        path: The file to create or replace.
        follow_symlink: Replace what a symbolic link points to instead of refusing it.

    Raises:
        WriteError: the target cannot be written; a previous file is intact.
        LimitError: the model is beyond a limit of the format.
    """
    document, constants, stored = write_document(model)
    tensors: dict[str, Any] = {name: ParameterTensor(entry) for name, entry in stored.items()}
    tensors |= constants
    rows = {name: expected_entry(_type_of(tensor)) for name, tensor in tensors.items()}

    def metadata(hashes: Any) -> dict[str, str]:
        records = [TensorRecord(name, *rows[name], hashes[name]) for name in rows]
        integrity = {
            "tensors": dict(hashes),
            "model_id": model_id(document, records),
            "evidence": evidence_sha256(document),
        }
        text = canonical_json.encode(document | {"integrity": integrity}, what="kx document")
        check_limit(len(text), MAX_DOCUMENT_BYTES, "kx document: bytes")
        return {"format": "pt", KEY: text.decode()}

    write_tensor_file(path, tensors, metadata, follow_symlink=follow_symlink)
    return [Path(path)]


def _type_of(tensor: Any) -> TensorType:
    if isinstance(tensor, ParameterTensor):
        return tensor.parameter.type
    return TensorType(DType.of(tensor.dtype), tensor.shape)


def read_kx_document(file: TensorFile) -> dict[str, Any]:
    """The decoded `kx` document of an open file."""
    if KEY not in file.metadata:
        raise FormatError(
            f"{file.source} is a valid safetensors file without a kx architecture: it holds weights only. "
            "Another tool may have re-saved it and dropped the architecture; load the original."
        )
    text = file.metadata[KEY].encode()
    check_limit(len(text), MAX_DOCUMENT_BYTES, f"{file.source}: kx document bytes")
    return canonical_json.decode(text, what=f"{file.source}: kx document")


def load_model(path: str | PathLike[str], *, verify: bool = False, mode: str = "r") -> Model:
    """Open a `.kx` file: the header is read and checked, the weights are mapped.

    Args:
        path: The file.
        verify: Also hash every tensor, and require the canonical bytes.
        mode: ``"r"`` for read-only views, ``"c"`` for private writable ones.

    Raises:
        FormatError: damaged, hostile or from a newer kxchange.
    """
    file = TensorFile.open(path, mode=mode)  # pyright: ignore[reportArgumentType]
    document = read_kx_document(file)
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


def check_tensor_table(model: Model, document: dict[str, Any], file: TensorFile, constants: set[str]) -> None:
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


def verify_file(document: dict[str, Any], file: TensorFile) -> str:
    """Hash everything and compare; returns the model id.

    Raises:
        FormatError: a tensor's bytes, the document or the layout are not what was written.
    """
    hashes = check_integrity(document, file.source)
    if file.metadata.get("format") != "pt":
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
    """The model id of a `.kx` file: as recorded, or recomputed from every byte with `verify`."""
    with TensorFile.open(path) as file:
        document = read_kx_document(file)
        check_version(document, file.source)
        check_integrity(document, file.source)
        return verify_file(document, file) if verify else str(document["integrity"]["model_id"])
