"""Weights that an `.onnx` file does not copy: it points into a file that holds them already, such as a `.kx`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from kxchange.errors import WriteError
from kxchange.format.integrity import tensor_sha256
from kxchange.format.reader import TensorFile
from kxchange_onnx.weights import Place, large


def shared_places(lowered: ir.Model, path: Path, weights: Path) -> dict[str, Place]:
    """Where in `weights` the large initializers stand, by name: those whose bytes are there under their own name.

    Args:
        lowered: The model to be written.
        path: The `.onnx` file.
        weights: A `.kx` or `.safetensors` file in the folder of `path` or below: ONNX allows no other place.

    Raises:
        WriteError: The file lies elsewhere, or has none of the weights.
        FormatError: It is damaged.
    """
    location = _relative(path, weights)
    names = {file: name for name, file in json.loads(lowered.metadata_props.get("kxchange.renamed", "{}")).items()}
    places: dict[str, Place] = {}
    wanted = large(lowered)
    with TensorFile.open(weights, strict=False) as file:
        for initializer, tensor in wanted.items():
            name = names.get(initializer, initializer)
            if name in file and _is_same(file, name, tensor):
                places[initializer] = Place(location, file.data_offset + file.entry(name).begin)
    if wanted and not places:
        raise WriteError(f"{weights.name} has none of the model's weights: {', '.join(list(wanted)[:5])} ...")
    return places


def _relative(path: Path, weights: Path) -> str:
    try:
        return weights.resolve().relative_to(path.parent.resolve()).as_posix()
    except ValueError:
        raise WriteError(
            f"{path.name} cannot point to {weights.name}: ONNX reads weights from the folder of the model only. "
            "Write the model beside them."
        ) from None


def _is_same(file: TensorFile, name: str, tensor: Any) -> bool:
    if tensor.dtype.bitwidth < 8 or file.entry(name).nbytes != tensor.nbytes:
        return False
    return file.sha256(name) == tensor_sha256(np.asarray(tensor.numpy()))
