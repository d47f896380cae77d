"""A written `.onnx` file in ONNX Runtime, with nothing of kxchange between the two."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from kxchange.converter import Runner
from kxchange.model import Array, Model
from kxchange_onnx.session import QUIET, Session


def run_file(path: Path, model: Model, *, function: str | None = None) -> Runner:
    """A runner of the file: arrays by the model's input names in, arrays by its output names out.

    Args:
        path: The file.
        model: For the names; inputs and outputs of the file stand in its order.
        function: Which entry point of the model the file holds.
    """
    chosen = model.function(function)
    options = ort.SessionOptions()
    options.log_severity_level = QUIET
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    opened, dtypes = Session(session, []), [type.dtype for type in chosen.output_types.values()]

    def run(inputs: Mapping[str, Any]) -> dict[str, Array]:
        arrays = [np.asarray(inputs[name]) for name in chosen.input_names]
        results = opened.run(dict(zip(names, arrays, strict=True)), dtypes)
        return dict(zip(chosen.output_names, results, strict=True))

    return run
