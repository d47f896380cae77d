"""Run models with JAX, compiled, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from kxchange.converter import Runner
from kxchange.inputs import InputBinder
from kxchange.model import Array, Model
from kxchange_jax.build import build
from kxchange_jax.checking import data_sized
from kxchange_jax.private import wide_integers


def prepare(model: Model, *, function: str | None = None, device: str | None = None) -> Runner:
    """A runner of one function: arrays by input name in, arrays by output name out, in order.

    Inputs are checked first: names, dtypes, ranks, sizes and the model's constraints. 64-bit types are 64 bits wide,
    and products are computed at the highest precision of the device.

    Args:
        model: What to run.
        function: Which entry point; by default the main one.
        device: Where to run it, ``cpu`` for example; by default JAX's default device.
    """
    name = function or next(key for key, value in model.functions.items() if value is model.main)
    place = None if device is None else jax.devices(device)[0]
    with jax.default_device(place):
        built = build(model, function=name, check=False)
    apply = built.apply
    compute = apply.outputs if data_sized(apply.function) else jax.jit(apply.outputs)
    bind = InputBinder(model, function)

    def run(inputs: Mapping[str, Any]) -> dict[str, Array]:
        arrays, _ = bind(inputs)
        with wide_integers(), jax.default_matmul_precision("highest"), jax.default_device(place):
            outputs = compute(built.params, arrays)
        return {key: np.asarray(output) for key, output in zip(apply.function.output_names, outputs, strict=True)}

    return run
