"""Models as `.onnx` files."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

import onnx_ir as ir

from kxchange.errors import WriteError
from kxchange.format.atomic import atomic_writer
from kxchange.model import Model
from kxchange_onnx.build import PROTO_LIMIT, weight_bytes
from kxchange_onnx.graph_out import lower_model
from kxchange_onnx.shared_weights import shared_places
from kxchange_onnx.verify import verify
from kxchange_onnx.weights import Place, content, external, large, message

ALIGNMENT = 4096
"""Of every weight in the file beside the model: what a page of memory needs to map it."""
MARGIN = 2**24
"""Bytes kept free below the limit of a message for what is not weights."""


def save(
    model: Model,
    path: Path,
    *,
    opset: int | None = None,
    function: str | None = None,
    external_data: bool | None = None,
    weights: Path | str | None = None,
    check: bool = True,
) -> list[Path]:
    """Write one function of a model as an `.onnx` file.

    Args:
        model: What to write.
        path: The file.
        opset: Version of the operator set; the newest that onnx and ONNX Runtime both know where None.
        function: Which entry point; the main one where None.
        external_data: Whether the weights go to a second file, ``<name>.onnx.data`` beside the first; where None, only
            if one file could not hold them (2 GiB).
        weights: A `.kx` or `.safetensors` file in the same folder that holds the parameters: the model points into it,
            and no weight is written a second time. Whatever the file has not is inside the model.
        check: Check the result with onnx's checker and run it in ONNX Runtime at two sizes before writing.

    Returns:
        The files written.

    Raises:
        UnsupportedOpError: The opset lacks ops; all of them, each with its places. Nothing is written.
        BuildError: A check failed. Nothing is written.
        WriteError: A file could not be written, or one file cannot hold the weights.
    """
    path = Path(path)
    lowered = lower_model(model, opset=opset, function=function)
    places = shared_places(lowered, path, Path(weights)) if weights is not None else {}
    size = weight_bytes(lowered) - sum(_nbytes(lowered, name) for name in places)
    if external_data is False and size > PROTO_LIMIT - MARGIN:
        raise WriteError(
            f"Cannot write {size:,} bytes of weights into {path.name}: an .onnx file ends at 2 GiB. "
            "Leave out external_data=False, and they go to a second file."
        )
    if check:
        verify(model, lowered, function)
    with external(lowered, places):
        if external_data or size > PROTO_LIMIT - MARGIN:
            return _save_apart(lowered, path, places)
        with atomic_writer(path) as stream:
            stream.write(message(lowered).SerializeToString(deterministic=True))
    return [path]


def _nbytes(lowered: ir.Model, name: str) -> int:
    tensor: Any = lowered.graph.initializers[name].const_value
    return tensor.nbytes


def _save_apart(lowered: ir.Model, path: Path, elsewhere: Collection[str]) -> list[Path]:
    """Two files; neither takes its name before both are complete on the disk."""
    tensors = {name: tensor for name, tensor in large(lowered).items() if name not in elsewhere}
    places, total = _places(tensors, f"{path.name}.data")
    data = path.with_name(f"{path.name}.data")
    with external(lowered, places):
        skeleton = message(lowered).SerializeToString(deterministic=True)
    with atomic_writer(path, size=len(skeleton)) as stream, atomic_writer(data, size=total) as weights:
        stream.write(skeleton)
        _write_weights(weights, tensors, places)
    return [path, data]


def _places(tensors: dict[str, Any], file: str) -> tuple[dict[str, Place], int]:
    places: dict[str, Place] = {}
    end = 0
    for name, tensor in tensors.items():
        start = -(-end // ALIGNMENT) * ALIGNMENT
        places[name] = Place(file, start)
        end = start + tensor.nbytes
    return places, end


def _write_weights(stream: BinaryIO, tensors: dict[str, Any], places: dict[str, Place]) -> None:
    position = 0
    for name, tensor in tensors.items():
        start = places[name].offset
        stream.write(bytes(start - position))
        position = start + stream.write(content(tensor))
