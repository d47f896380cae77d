"""Gradients of a model by torch's automatic differentiation, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from kxchange.inputs import InputBinder
from kxchange.model import Array, Model, Role
from kxchange_torch.build import build
from kxchange_torch.dtypes import to_array, to_tensor

Gradients = Callable[[Mapping[str, Array], Mapping[str, Array]], dict[str, Array]]


def gradients(model: Model, *, function: str | None = None) -> Gradients:
    """Vector-Jacobian products of one function in evaluation mode.

    Args:
        model: What to differentiate.
        function: Which entry point; by default the main one.

    Returns:
        ``(inputs, cotangents) -> gradients``: for each floating input ``input NAME``, for each floating parameter
        (not for its tied names) ``parameter NAME``; zeros where an output does not depend on it.
    """
    name = function or next(key for key, value in model.functions.items() if value is model.main)
    module = build(model, function=name, check=False)
    entry, bind, layouts = module._kx.entries[name], InputBinder(model, function), module.kx_layouts
    kept = {f"parameter {key}": layout for key, layout in layouts.items()}
    held = dict(module.named_parameters(remove_duplicate=False))
    trained = {
        f"parameter {key}": held[layouts[key].name].requires_grad_()
        for key, parameter in model.parameters.items()
        if parameter.alias_of is None and parameter.role is Role.PARAMETER and parameter.type.dtype.is_floating
    }

    def compute(inputs: Mapping[str, Array], cotangents: Mapping[str, Array]) -> dict[str, Array]:
        tensors = {
            key: to_tensor(array, copy=True) for key, array in zip(entry.input_names, bind(inputs)[0], strict=True)
        }
        wanted = {f"input {key}": t.requires_grad_() for key, t in tensors.items() if t.is_floating_point()} | trained
        outputs = dict(zip(entry.output_names, module.kx_compute(entry, list(tensors.values())), strict=True))
        pairs = [(outputs[key], to_tensor(array, copy=True)) for key, array in cotangents.items()]
        pairs = [(output, cotangent) for output, cotangent in pairs if output.requires_grad]
        found = _differentiate(pairs, list(wanted.values()))
        results = zip(wanted.items(), found, strict=True)
        arrays = {key: to_array(torch.zeros_like(tensor) if g is None else g) for (key, tensor), g in results}
        return {key: kept[key].back(array) if key in kept else array for key, array in arrays.items()}

    return compute


def _differentiate(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], wanted: Sequence[torch.Tensor]) -> Sequence[Any]:
    """The gradients of every tensor, None where no output depends on it."""
    if not pairs or not wanted:
        return [None] * len(wanted)
    return torch.autograd.grad([output for output, _ in pairs], wanted, [c for _, c in pairs], allow_unused=True)
