"""Reading `.onnx` files."""

from __future__ import annotations

import mmap
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from kxchange.errors import FormatError
from kxchange.model import Array, Model
from kxchange_onnx.external_in import ExternalFolder
from kxchange_onnx.model_in import Request, read_model
from kxchange_onnx.wire import without_weights

INLINE = 2**24
"""Bytes from which a file is mapped and its large weights are left in it."""


def load(
    path: Path,
    *,
    dynamic: Mapping[str, Sequence[Any]] | None = None,
    constants: Mapping[str, Array] | None = None,
    trainable: Collection[str] | None = None,
    follow_links: bool = False,
) -> Model:
    """Read an ONNX model of any opset from 6 on; nothing in it is run.

    Args:
        path: The `.onnx` file; external data lie beside it.
        dynamic: Dims by input name, where the file's are to be replaced: names, numbers or expressions, None to keep.
        constants: Values by input name: these inputs become constants of the model, for files that take a shape or an
            axis as an input.
        trainable: Names of the trainable parameters; by default weights of linear maps, convolutions, normalisations,
            embeddings and recurrent layers, and what is added to or multiplied with their results.
        follow_links: Accept links in external data, as the folders of download caches have them.

    Raises:
        FormatError: The file is damaged, hostile or no ONNX model.
        UnsupportedOpError: Operators without a lift, all of them, each with its places.
    """
    folder = ExternalFolder(path.parent, follow_links=follow_links)
    proto, spans = parse(path)
    request = Request(dynamic or {}, constants or {}, trainable)
    return read_model(proto, repr(path.name), folder, request, spans)


def parse(path: Path) -> tuple[onnx.ModelProto, dict[str, memoryview]]:
    """The message in a file, and the weights that were left in the file, by name.

    Raises:
        FormatError: It is no ModelProto.
    """
    spans: dict[str, memoryview] = {}
    with path.open("rb") as file:
        if path.stat().st_size < INLINE:
            data = file.read()
        else:
            data, spans = without_weights(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    try:
        return onnx.ModelProto.FromString(data), spans
    except DecodeError:
        raise FormatError(f"{path.name!r} is no ONNX model: it is damaged, or nested too deep.") from None
