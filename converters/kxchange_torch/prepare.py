"""Run models with torch, eagerly, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from kxchange.converter import Runner
from kxchange.inputs import InputBinder
from kxchange.model import Array, Model
from kxchange_torch.build import build
from kxchange_torch.dtypes import to_array, to_tensor


def prepare(model: Model, *, function: str | None = None, device: str = "cpu") -> Runner:
    """A runner of one function: arrays by input name in, arrays by output name out, in order.

    Inputs are checked first: names, dtypes, ranks, sizes and the model's constraints.

    Args:
        model: What to run.
        function: Which entry point; by default the main one.
        device: Where to run it.
    """
    name = function or next(key for key, value in model.functions.items() if value is model.main)
    module = build(model, function=name, share_memory=device == "cpu", check=False).to(device)
    entry = module._kx.entries[name]
    bind = InputBinder(model, function)

    def run(inputs: Mapping[str, Any]) -> dict[str, Array]:
        arrays, _ = bind(inputs)
        with torch.inference_mode():
            tensors = [to_tensor(array, copy=False).to(device) for array in arrays]
            outputs = module.kx_compute(entry, tensors)
            return {key: to_array(output) for key, output in zip(entry.output_names, outputs, strict=True)}

    return run
