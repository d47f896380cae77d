"""Run models with TensorFlow on NumPy arrays, on the CPU unless another device is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from kxchange.converter import Runner
from kxchange.errors import InputError
from kxchange.inputs import InputBinder
from kxchange.model import Array, Model
from kxchange_tensorflow.build import build


def prepare(model: Model, *, function: str | None = None, device: str = "cpu:0") -> Runner:
    """A runner of one function: arrays by input name in, arrays by output name out, in order.

    Inputs are checked first: names, dtypes, ranks, sizes and the model's constraints.

    Args:
        model: What to run.
        function: Which entry point; by default the main one.
        device: Where to run it, as TensorFlow names devices.
    """
    name = function or next(key for key, value in model.functions.items() if value is model.main)
    with tf.device(device):
        built = build(model, function=name, check=False)
    entry, bind = built.functions[name], InputBinder(model, function)

    def run(inputs: Mapping[str, Any]) -> dict[str, Array]:
        arrays, _ = bind(inputs)
        with tf.device(device):
            try:
                found = entry.compiled(*(tf.constant(array) for array in arrays))
            except tf.errors.InvalidArgumentError as error:
                raise InputError(f"tensorflow refused these inputs: {error.message}") from error
        return {key: np.asarray(found[key]) for key in entry.function.output_names}

    return run
