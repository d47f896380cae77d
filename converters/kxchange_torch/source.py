"""The captured module itself, run on arrays by input name: what conversions are measured against."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch

from kxchange.converter import Runner
from kxchange.errors import InputError
from kxchange.model import Array, Model
from kxchange_torch.build import build
from kxchange_torch.dtypes import to_array
from kxchange_torch.dtypes import to_tensor as from_array
from kxchange_torch.float64 import float_of, run_wide, widened
from kxchange_torch.inputs_in import Origin
from kxchange_torch.modes_in import evaluation_mode
from kxchange_torch.private import leaves_with_path


def run_source(origin: Any, model: Model, *, function: str | None = None, float64: bool = False) -> Runner:
    """A runner of the captured module, in eval mode, without gradients.

    Args:
        origin: `model.origin` as capture left it.
        model: For the names of the outputs.
        function: Entry point.
        float64: Run in float64 throughout: parameters, inputs, and explicit casts to narrower floats.

    Raises:
        InputError: the model was not captured in this process.
    """
    if not isinstance(origin, Origin):
        raise InputError("torch can run a source only as `kx.capture` left it in `model.origin`.")
    entry = model.function(function)
    origin = origin.functions.get(function or "", origin)
    own = tuple(name for name in entry.output_names if name not in entry.updates)

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        tensors = {name: from_array(array, copy=True) for name, array in inputs.items()}
        if float64:
            tensors = {name: widened(tensor) for name, tensor in tensors.items()}
        call = origin.examples.with_tensors(tensors)
        module = origin.module
        if float64 or entry.updates:  # what a run writes must not reach the user's module
            module = copy.deepcopy(module)
        if float64:
            outputs = run_wide(module._apply(widened), call.args, call.kwargs, dtype=float_of(origin.module))
        else:
            with evaluation_mode(module), torch.no_grad():
                outputs = module(*call.args, **call.kwargs)
        held = {**tensors, **dict(module.named_parameters(remove_duplicate=False))}
        held |= dict(module.named_buffers(remove_duplicate=False))
        states = {name: to_array(held[target]) for name, target in entry.updates.items() if target in held}
        return name_outputs(outputs, own) | states

    return run


def name_outputs(outputs: Any, names: tuple[str, ...]) -> dict[str, Array]:
    """The tensors of an output tree under the model's output names: by path where the tree has paths, else in order."""
    leaves = [(".".join(path), leaf) for path, leaf in leaves_with_path(outputs)]
    tensors = [(path, as_tensor(leaf)) for path, leaf in leaves if isinstance(leaf, (torch.Tensor, int, float, bool))]
    by_path = {path: tensor for path, tensor in tensors if path}
    if set(names) <= by_path.keys():
        return {name: to_array(by_path[name]) for name in names}
    plain = [leaf for _, leaf in leaves if isinstance(leaf, torch.Tensor)]
    return {name: to_array(tensor) for name, tensor in zip(names, plain, strict=False)}


def as_tensor(leaf: Any) -> torch.Tensor:
    """A size or number among the outputs as a rank-0 tensor."""
    return leaf if isinstance(leaf, torch.Tensor) else torch.tensor(leaf)


def to_tensor(array: Array) -> torch.Tensor:
    """An example input."""
    return from_array(array, copy=True)


def held_weights(model: Model) -> dict[str, Array]:
    """Every parameter as a built module holds it, under the model's names."""
    module = build(model, check=False)
    held: dict[str, torch.Tensor] = dict(module.named_parameters(remove_duplicate=False))
    held |= dict(module.named_buffers(remove_duplicate=False))
    layouts = module.kx_layouts
    return {name: layout.back(to_array(held[layout.name])) for name, layout in layouts.items() if layout.name in held}
