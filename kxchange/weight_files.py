"""Files that hold tensors and no architecture: read by name, mapped, nothing in them is run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, cast

from kxchange.converter import converters
from kxchange.errors import FormatError, InputError, LimitError, UnknownFormatError
from kxchange.format.dtypes import dtype_of_code
from kxchange.format.model_file import is_kx, load_model
from kxchange.format.names import shown
from kxchange.format.reader import TensorFile
from kxchange.model import Parameter, Role
from kxchange.types import TensorType

HEAD = 4096
MAX_INDEX_BYTES = 2**27
INDEX = ".index.json"
IN_FOLDER = ("*.safetensors.index.json", "*.safetensors", "*.bin.index.json", "*.bin", "*.pth", "*.pt")
"""What a folder of weights may hold; the first pattern that matches is read."""


def read_weights(path: str | PathLike[str]) -> dict[str, Parameter]:
    """The tensors of a weight file or folder by name; values are read when they are asked for.

    Args:
        path: `.safetensors`; `.pt`, `.pth` or `.bin` as torch writes state dicts; a TorchScript archive; a `.kx` file;
            an index of shards (`model.safetensors.index.json`); a folder of these, as the Hugging Face hub lays
            them out (links into its cache are followed); a Flax msgpack file or an Orbax folder.

    Raises:
        InputError: There is nothing at `path`.
        FormatError: A file is damaged, or its pickle does more than hold tensors; it is not run.
        UnknownFormatError: It is no file of tensors.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"there is no file or folder {str(path)!r}. Check the path.")
    if path.is_dir():
        if (known := _of_folder(path)) is not None:
            return known
        path = _in_folder(path)
    found = _shards(path) if path.name.endswith(INDEX) else tensors_of(path)
    if found is None:
        raise UnknownFormatError(
            f"{path.name} holds no tensors that kxchange can read: it takes .safetensors, .pt and .pth state dicts, "
            "their index of shards, a folder of those, Flax msgpack files, Orbax folders, and .kx files."
        )
    return found


def tensors_of(path: Path) -> dict[str, Parameter] | None:
    """The tensors of one file; None if it is of none of these formats."""
    if is_kx(path):
        return {name: _resolved(entry, found.parameters) for found in (load_model(path),)
                for name, entry in found.parameters.items()}  # fmt: skip
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    if len(head) > 9 and head[8:9] == b"{":
        return _safetensors(path)
    return _of_converters(path, head)


def _of_converters(path: Path, head: bytes) -> dict[str, Parameter] | None:
    for candidate in converters().values():
        if candidate.tensors_verb and (found := candidate.verb("tensors_verb")(path, head)) is not None:
            return found
    return None


def _of_folder(folder: Path) -> dict[str, Parameter] | None:
    """The tensors of a folder that is one checkpoint of some converter's; None if it only holds files of weights."""
    held = any(next(folder.glob(pattern), None) for pattern in IN_FOLDER)
    return None if held else _of_converters(folder, b"")


def _resolved(entry: Parameter, parameters: Mapping[str, Parameter]) -> Parameter:
    """A parameter with data of its own: a tied one reads that of the first name."""
    first = parameters[entry.alias_of] if entry.alias_of else entry
    return entry.replace(data=lambda: first.array, alias_of=None)


def _safetensors(path: Path) -> dict[str, Parameter]:
    file = TensorFile.open(path, strict=False, mode="c")
    found: dict[str, Parameter] = {}
    for name in file.names:
        entry = file.entry(name)
        type = TensorType(dtype_of_code(entry.dtype), entry.shape)
        role = Role.PARAMETER if type.dtype.is_floating or type.dtype.is_complex else Role.BUFFER
        found[name] = Parameter(name, partial(file.tensor, name), type=type, role=role)
    return found


def _in_folder(folder: Path) -> Path:
    """The one file of a folder that names or holds its weights."""
    for pattern in IN_FOLDER:
        found = sorted(folder.glob(pattern))
        if len(found) > 1:
            listed = ", ".join(file.name for file in found[:8])
            raise UnknownFormatError(f"the folder {folder.name!r} holds several files of weights: {listed}. Name one.")
        if found:
            return found[0]
    raise UnknownFormatError(f"the folder {folder.name!r} holds no weights ({', '.join(IN_FOLDER)}).")


def _shards(index: Path) -> dict[str, Parameter]:
    """The tensors of an index, each from the shard that it names."""
    files: dict[str, dict[str, Parameter]] = {}
    found: dict[str, Parameter] = {}
    for name, file in _weight_map(index).items():
        if file not in files:
            files[file] = _shard(index, file)
        if name not in files[file]:
            raise FormatError(f"{index.name} says that {shown(name)} is in {shown(file)}, which does not hold it.")
        found[name] = files[file][name]
    return found


def _shard(index: Path, file: str) -> dict[str, Parameter]:
    if not file or file.startswith(".") or set(file) & set("/\\:\0"):
        raise FormatError(f"{index.name} names the shard {shown(file)}, which is no plain file name beside it.")
    path = index.parent / file
    if not path.is_file():
        raise FormatError(f"{index.name} names the shard {shown(file)}, which is not there. Download it again.")
    found = tensors_of(path)
    if found is None:
        raise FormatError(f"{index.name} names the shard {shown(file)}, which holds no tensors.")
    return found


def _weight_map(index: Path) -> Mapping[str, str]:
    if index.stat().st_size > MAX_INDEX_BYTES:
        raise LimitError(f"{index.name} is larger than any index is.")
    try:
        record: Any = json.loads(index.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{index.name} is no JSON: {str(error)[:100]}.") from None
    given: Any = cast("dict[str, Any]", record).get("weight_map") if isinstance(record, dict) else None
    if not isinstance(given, dict):
        raise FormatError(f"{index.name} has no 'weight_map', so it is no index of shards.")
    entries = cast("dict[Any, Any]", given)
    if not all(isinstance(key, str) and isinstance(value, str) for key, value in entries.items()):
        raise FormatError(f"{index.name}: its 'weight_map' is not from names to file names.")
    return cast("dict[str, str]", entries)
