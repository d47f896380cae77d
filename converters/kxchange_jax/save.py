"""Models as folders that plain JAX opens: exported functions beside their parameters."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
from safetensors.numpy import save as to_safetensors

from kxchange.errors import WriteError
from kxchange.model import Model
from kxchange_jax.build import build
from kxchange_jax.exporting import PLATFORMS, export_function, is_wide, own_parameters
from kxchange_jax.folder import FORMAT, MANIFEST, NOTES, PARAMETERS, SUFFIX, TEXT, WIDE, is_ours
from kxchange_jax.jax_model import JaxModel


def save(model: Model, path: Path, *, function: str | None = None, platforms: Sequence[str] = PLATFORMS) -> list[Path]:
    """Write a folder of `jax.export` artifacts, one per function, and ``params.safetensors``.

    Each function is ``call(params, inputs) -> outputs``, dicts of arrays by name, with the model's symbolic sizes left
    open. The folder appears at once, when it is complete; one that was written so before is replaced.

    Args:
        model: What to write.
        path: The folder.
        function: Write this function only; by default all of them.
        platforms: Where the functions are to run.

    Returns:
        The files written.

    Raises:
        UnsupportedOpError: JAX lacks ops of the model; all of them are listed.
        BuildError: JAX cannot export a function.
        WriteError: The folder cannot be written, or something else stands there.
    """
    path = Path(os.path.abspath(path))
    if path.exists() and not (path.is_dir() and (not any(path.iterdir()) or is_ours(path))):
        raise WriteError(f"{path.name} exists and is no folder of jax exports: it stays. Name another one.")
    if not path.parent.is_dir():
        raise WriteError(f"Cannot write {path.name}: the folder {path.parent.name!r} does not exist.")
    contents = _contents(model, build(model, function=function), platforms)
    fresh = path.with_name(f".kx-{secrets.token_hex(8)}.tmp")
    try:
        fresh.mkdir()
        for name, data in contents.items():
            _write(fresh / name, data)
        if path.exists():
            shutil.rmtree(path)
        os.rename(fresh, path)
    except OSError as error:
        raise WriteError(f"Cannot write {path.name}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return sorted(path.iterdir())


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _contents(model: Model, built: JaxModel, platforms: Sequence[str]) -> dict[str, bytes]:
    files = _file_names(built.functions)
    arrays = {name: array.copy() for name, array in own_parameters(model).items()}
    found = {files[name]: bytes(export_function(model, built, name, platforms).serialize()) for name in built.functions}
    found[PARAMETERS] = to_safetensors(arrays)
    found[MANIFEST] = json.dumps(_manifest(model, files), indent=1).encode()
    found[NOTES] = _notes(model, files, platforms).encode()
    return found


def _file_names(functions: Iterable[str]) -> dict[str, str]:
    """A file per function: names come from models, and are no paths."""
    found: dict[str, str] = {}
    for name in functions:
        stem = re.sub(r"[^A-Za-z0-9_\-]", "_", name) or "_"
        while f"{stem}{SUFFIX}" in found.values():
            stem += "_"
        found[name] = f"{stem}{SUFFIX}"
    return found


def _manifest(model: Model, files: dict[str, str]) -> dict[str, Any]:
    """What loading needs beside the artifacts: roles, ties, and which outputs are next values of parameters."""
    functions = {
        name: {
            "file": file,
            "inputs": list(model.function(name).input_names),
            "outputs": list(model.function(name).output_names),
            "updates": dict(model.function(name).updates),
        }
        for name, file in files.items()
    }
    parameters = {
        name: {"role": str(entry.role), "trainable": entry.trainable, "alias_of": entry.alias_of}
        for name, entry in model.parameters.items()
    }
    return {"format": FORMAT, "version": 1, "functions": functions, "parameters": parameters}


def _notes(model: Model, files: dict[str, str], platforms: Sequence[str]) -> str:
    rows = [
        f"| {_cell(name)} | {file} | {_types(model.function(name).input_types)} | "
        f"{_types(model.function(name).output_types)} |"
        for name, file in files.items()
    ]
    first = next(iter(files))
    inputs = ", ".join(f'"{_cell(name)}": ...' for name in model.function(first).input_names)
    return TEXT.format(
        title="A model exported by kxchange",
        version=jax.__version__,
        platforms=", ".join(platforms),
        parameters=PARAMETERS,
        file=files[first],
        inputs="{" + inputs + "}",
        wide=WIDE if is_wide(model) else "",
        rows="\n".join(rows),
    )


def _types(types: dict[str, Any]) -> str:
    return ", ".join(f"`{_cell(name)}`: {type}" for name, type in types.items())


def _cell(text: str) -> str:
    """A name of the model as text of a table, on one line."""
    return re.sub(r"[^\w\-.: /]", "?", text)
