"""A written SavedModel or `.tflite` file in TensorFlow's own loaders, with nothing of kxchange between."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kxchange.converter import Runner
from kxchange.errors import InputError
from kxchange.model import Array, Function, Model
from kxchange_tensorflow.module import identifier
from kxchange_tensorflow.save import DEFAULT


def run_file(path: Path, model: Model, *, function: str | None = None) -> Runner:
    """A runner of one function of the file.

    Args:
        path: The SavedModel folder or `.tflite` file.
        model: For the names of inputs and outputs.
        function: Which entry point of the model.
    """
    chosen = model.function(function)
    return _run_lite(path, chosen) if path.suffix == ".tflite" else _run_saved(path, model, chosen)


def _run_saved(path: Path, model: Model, function: Function) -> Runner:
    with tf.device("cpu:0"):
        loaded = tf.saved_model.load(str(path))
    name = next(key for key, value in model.functions.items() if value is function)
    key = identifier(name) if identifier(name) in loaded.signatures else DEFAULT
    signature = loaded.signatures[key]

    def run(inputs: Mapping[str, Any]) -> dict[str, Array]:
        with tf.device("cpu:0"):
            found = signature(**{identifier(name): tf.constant(inputs[name]) for name in function.input_names})
        return _named(found, function)

    run.held = loaded  # pyright: ignore[reportFunctionMemberAccess] # its functions live as long as it does
    return run


def _run_lite(path: Path, function: Function) -> Runner:
    interpreter = tf.lite.Interpreter(model_content=path.read_bytes())
    keys = list(interpreter.get_signature_list())
    if len(keys) != 1:
        raise InputError(f"the file has {len(keys)} signatures where it should have one.")
    signature = interpreter.get_signature_runner(keys[0])

    def run(inputs: Mapping[str, Any]) -> dict[str, Array]:
        return _named(signature(**{identifier(name): inputs[name] for name in function.input_names}), function)

    return run


def _named(found: Mapping[str, Any], function: Function) -> dict[str, Array]:
    """Outputs under the model's names: those of the signature may be escaped, and come in the order of their names."""
    if not set(function.output_names) <= set(found):
        escaped = {identifier(name): name for name in function.output_names}
        found = {escaped.get(name, name): value for name, value in found.items()}
    return {name: np.asarray(found[name]) for name in function.output_names if name in found}
