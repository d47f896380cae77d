"""Models as SavedModel folders, which TensorFlow opens without kxchange, and as `.tflite` files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import tensorflow as tf

from kxchange.errors import WriteError
from kxchange.format.atomic import move_into_place, temporary_name
from kxchange.model import Model
from kxchange_tensorflow import tflite_save
from kxchange_tensorflow.build import build
from kxchange_tensorflow.module import Entry, KxModule, identifier

GRAPH_FILE = "saved_model.pb"
DEFAULT = "serving_default"


def save(model: Model, path: Path, *, function: str | None = None) -> list[Path]:
    """Write a SavedModel, or a `.tflite` file where the path ends so.

    A SavedModel has named variables, and one signature per function with symbolic sizes left open.

    The main function is the signature ``serving_default`` unless another one is called so. The folder appears at once,
    when it is complete; a SavedModel that was there before is replaced.

    Args:
        model: What to write.
        path: The folder.
        function: Write this function only; by default all of them.

    Returns:
        The files written.

    Raises:
        UnsupportedOpError: TensorFlow lacks ops of the model; all of them are listed.
        WriteError: The folder cannot be written, or something that is no SavedModel stands there.
    """
    path = Path(os.path.abspath(path))
    if path.suffix == ".tflite":
        return tflite_save.save(model, path, function=function)
    if path.exists() and not (path.is_dir() and (not any(path.iterdir()) or (path / GRAPH_FILE).is_file())):
        raise WriteError(f"{path.name} exists and is no SavedModel folder: it will not be replaced. Name another one.")
    if not path.parent.is_dir():
        raise WriteError(f"Cannot write {path.name}: the folder {path.parent.name!r} does not exist.")
    built = build(model, function=function)
    fresh = temporary_name(path.parent)
    try:
        _write(built, fresh, model)
        move_into_place(fresh, path)
    except OSError as error:
        raise WriteError(f"Cannot write {path.name}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return sorted(file for file in path.rglob("*") if file.is_file())


def _write(built: KxModule, folder: Path, model: Model) -> None:
    entries = built.functions
    main = next((name for name, entry in entries.items() if entry.function is model.main), next(iter(entries)))
    default = main if DEFAULT not in entries else DEFAULT
    signatures = {DEFAULT if name == default else identifier(name): _signature(e) for name, e in entries.items()}
    tf.saved_model.save(built, str(folder), signatures=signatures)
    _sync(folder)


def _signature(entry: Entry) -> tf.types.experimental.ConcreteFunction:
    return entry.compiled.get_concrete_function()


def _sync(folder: Path) -> None:
    """Have everything on the disk before the folder gets its name."""
    for file in folder.rglob("*"):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
