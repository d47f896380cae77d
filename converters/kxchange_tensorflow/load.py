"""Models from every file that TensorFlow writes: SavedModel folders, frozen graphs, `.tflite`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kxchange.model import Model
from kxchange_tensorflow import frozen_load, saved_load, tflite_load
from kxchange_tensorflow.sniff import is_saved_model, is_tflite


def load(path: Path, **options: Any) -> Model:
    """Read a model; see the readers of the three formats for options.

    Raises:
        FormatError: The file is damaged or hostile.
        UnsupportedOpError: It has operators that cannot be lifted; all of them are listed.
    """
    path = Path(path)
    if is_saved_model(path):
        return saved_load.load(path, **options)
    with path.open("rb") as stream:
        head = stream.read(16)
    return (tflite_load if is_tflite(head) else frozen_load).load(path, **options)
