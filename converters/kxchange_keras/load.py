"""Keras files in, without Keras: `.keras` and the `.h5` of every version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kxchange.errors import FormatError, LimitError
from kxchange.model import Model
from kxchange_keras.archive import MAX_TEXT, Archive
from kxchange_keras.assembling import assemble, plant
from kxchange_keras.hdf5 import open_hdf5, subgroup, text_attribute
from kxchange_keras.hdf5_attributes import MAGIC
from kxchange_keras.layer_config import read_layer
from kxchange_keras.legacy_weights import listed_parameters
from kxchange_keras.weights_in import stored_parameters

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


def load(path: Path, *, dynamic: Mapping[str, Any] | None = None) -> Model:
    """The model of a `.keras` or `.h5` file.

    Nothing named in the file is imported or run: classes are keys of kxchange's own tables.

    Args:
        path: The file.
        dynamic: Names for dims by input name: one entry per axis, None where the file's size stays.

    Raises:
        FormatError: The file is damaged or hostile.
        UnsupportedOpError: Layers that cannot be taken, all of them.
        WeightError: Weights that do not fit the architecture.
    """
    with path.open("rb") as stream:
        head = stream.read(len(MAGIC))
    return _load_hdf5(path, dynamic) if head == MAGIC else _load_archive(path, dynamic)


def _load_archive(path: Path, dynamic: Mapping[str, Any] | None) -> Model:
    with Archive(path) as archive:
        config = parse_json(archive.read(CONFIG, MAX_TEXT), f"{path.name}/{CONFIG}")
        version = "3"
        if METADATA in archive.names:
            metadata = parse_json(archive.read(METADATA, MAX_TEXT), f"{path.name}/{METADATA}")
            version = str(metadata.get("keras_version", version))
        tree = plant(read_layer(config, dialect_of(version)))
        with open_hdf5(archive.read(WEIGHTS), f"{path.name}/{WEIGHTS}") as root:
            parameters = stored_parameters(tree, root)
    provenance = {"format": "keras", "file": path.name, "versions": {"keras": version}}
    return assemble(tree, parameters, dynamic=dynamic, provenance=provenance)


def _load_hdf5(path: Path, dynamic: Mapping[str, Any] | None) -> Model:
    with open_hdf5(path, path.name) as root:
        text = text_attribute(root, "model_config")
        if text is None:
            raise FormatError(
                f"{path.name} holds weights without an architecture. Load the model they belong to, in its own file."
            )
        weights = subgroup(root, "model_weights")
        if weights is None:
            weights = root
        version = text_attribute(root, "keras_version") or text_attribute(weights, "keras_version") or "1"
        tree = plant(read_layer(parse_json(text, f"{path.name}: model_config"), dialect_of(version)))
        parameters = listed_parameters(tree, weights)
        backend = text_attribute(root, "backend") or text_attribute(weights, "backend") or ""
    provenance = {"format": "keras-h5", "file": path.name, "versions": {"keras": version}}
    flipped = backend == "theano"
    return assemble(tree, parameters, dynamic=dynamic, provenance=provenance, flipped_kernels=flipped)


def dialect_of(version: str) -> int:
    """Major version of Keras, 1 to 3."""
    major = version.partition(".")[0]
    return min(max(int(major), 1), 3) if major.isdigit() else 2


def parse_json(text: bytes | str, label: str) -> Mapping[str, Any]:
    """A JSON object.

    Raises:
        FormatError: It is none.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{label} is no JSON: {str(error)[:100]}.") from None
    except MemoryError:
        raise LimitError(f"{label} is too large.") from None
    if not isinstance(found, dict):
        raise FormatError(f"{label} is no JSON object.")
    return found
