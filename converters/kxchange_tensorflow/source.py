"""Run a captured object itself, for validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from kxchange.converter import Runner
from kxchange.errors import InputError
from kxchange.model import Array, Model


def run_source(origin: Any, model: Model, *, function: str | None = None, float64: bool = False) -> Runner:
    """A runner of the captured function, on the CPU.

    Args:
        origin: `model.origin` as capture left it: the concrete function.
        model: For the names of inputs and outputs.
        function: Entry point.
        float64: Not possible: the function's graph fixes its types.

    Raises:
        InputError: The model was not captured in this process, or `float64` is asked for.
    """
    if not hasattr(origin, "structured_outputs"):
        raise InputError("tensorflow can run a source only as `kx.capture` left it in `model.origin`.")
    if float64 and any(tensor.dtype in (tf.float32, tf.float16, tf.bfloat16) for tensor in origin.inputs):
        raise InputError("a traced function of tensorflow cannot be run in float64: its graph fixes its types.")
    chosen = model.function(function)

    def run(inputs: Mapping[str, Any]) -> dict[str, Array]:
        with tf.device("cpu:0"):
            found = origin(*(tf.constant(inputs[name]) for name in chosen.input_names))
        return dict(zip(chosen.output_names, map(np.asarray, tf.nest.flatten(found)), strict=True))

    return run


def tensor(array: Array) -> tf.Tensor:
    """An array as an example input."""
    return tf.constant(array)
