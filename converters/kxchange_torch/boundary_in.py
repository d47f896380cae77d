"""Sizes at which a module may take another branch than in its trace: tried out, and excluded if it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from kxchange import reference
from kxchange.constraints import Constraint
from kxchange.dims import symbol
from kxchange.errors import KxchangeError
from kxchange.model import Array, Model
from kxchange_torch.dims_in import DimPlan, resized
from kxchange_torch.dtypes import to_array
from kxchange_torch.guards_in import Guards
from kxchange_torch.inputs_in import Examples
from kxchange_torch.modes_in import evaluation_mode
from kxchange_torch.private import flatten

TOLERANCE = 1e-2
"""Relative RMSE within which two runs took the same branch: far above rounding, far below another function."""
MOST_VARIED = 4
"""Integer inputs whose values are varied: each costs two runs of the module and of the reference."""


def unsafe_sizes(
    model: Model, module: nn.Module, examples: Examples, plan: DimPlan, guards: Guards
) -> list[Constraint]:
    """Constraints that keep each dim off size 1 where the module does something else there than the model.

    Each dim in question is tried at size 1 alone and together with all others (``seq == 1 and batch == 1``), with the
    examples' values and with others (`_variants`): what a branch does may show only where a mask has zeros.
    """
    found: list[Constraint] = []
    ones = dict.fromkeys(plan.sizes, 1)
    for name, line in guards.undecided().items():
        if name not in model.main.dims:
            continue
        trials = [resized(examples, plan, {**plan.sizes, name: 1})]
        if len(ones) > 1 and all(c.holds(ones) for c in model.constraints if c.symbols <= ones.keys()):
            trials.append(resized(examples, plan, ones))
        if not all(_agrees_throughout(model, module, examples, trial) for trial in trials):
            found.append(Constraint("at_least", symbol(name), 2, f"another branch is taken for size 1 at {line}"))
    return found


def _agrees_throughout(model: Model, module: nn.Module, examples: Examples, small: Examples) -> bool:
    """Whether module and model give the same on small examples, for every variant for which they do on full ones."""
    if not _agrees(model, module, small):
        return False
    for change in _variants(examples):
        if not _agrees(model, module, change(small)) and _agrees(model, module, change(examples)):
            return False
    return True


def _variants(examples: Examples) -> list[Callable[[Examples], Examples]]:
    """Other values for the examples: zeros, all or every other one, in each integer input; signs and flags turned."""
    counted = [leaf.name for leaf in examples.leaves if leaf.is_tensor and _is_counted(leaf.value)][:MOST_VARIED]
    singles = [_changed(change, (name,)) for name in counted for change in (torch.zeros_like, _alternating)]
    return [*singles, _changed(_turned, [leaf.name for leaf in examples.leaves if leaf.is_tensor])]


def _changed(change: Callable[[torch.Tensor], torch.Tensor], names: Sequence[str]) -> Callable[[Examples], Examples]:
    return lambda examples: examples.with_tensors({name: change(examples.leaf(name).value) for name in names})


def _is_counted(tensor: torch.Tensor) -> bool:
    return not tensor.is_floating_point() and not tensor.is_complex()


def _alternating(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor with zeros at every other position of its last axis, from the first on."""
    result = torch.atleast_1d(tensor.clone())
    result[..., ::2] = 0
    return result.reshape(tensor.shape)


def _turned(tensor: torch.Tensor) -> torch.Tensor:
    """Flags negated, real numbers with the other sign, integers as they are."""
    if tensor.dtype is torch.bool:
        return ~tensor
    return tensor if _is_counted(tensor) else -tensor


def _agrees(model: Model, module: nn.Module, examples: Examples) -> bool:
    """Whether module and model give the same on these examples; no answer counts as another one."""
    tensors = {leaf.name: leaf.value.clone() for leaf in examples.leaves if leaf.is_tensor}
    arrays = [to_array(tensors[name]).copy() for name in model.input_names]
    call = examples.with_tensors(tensors)
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    try:
        with evaluation_mode(module), torch.no_grad():
            outputs = functional_call(module, buffers, call.args, call.kwargs)
        got = reference.evaluate(model.main.graph, arrays, {name: model.array(name) for name in model.parameters})
    except (KxchangeError, RuntimeError, ValueError, IndexError, TypeError, ArithmeticError):
        return False
    wanted = [to_array(leaf) for leaf in flatten(outputs)[0] if isinstance(leaf, torch.Tensor)]
    kept = [y for name, y in zip(model.output_names, got, strict=True) if name not in model.main.updates]
    return len(wanted) == len(kept) and all(map(_close, kept, wanted))


def _close(got: Array, want: Array) -> bool:
    if got.shape != want.shape or got.dtype != want.dtype:
        return False
    if want.dtype.kind in "biu":
        return bool(np.mean(got == want) >= 1 - TOLERANCE) if want.size else True
    wide, exact = got.astype(np.float64), want.astype(np.float64)
    mask = np.isfinite(exact)
    if not np.array_equal(mask, np.isfinite(wide)):
        return False
    error, scale = np.sum((wide - exact)[mask] ** 2), np.sum(exact[mask] ** 2)
    return bool(error <= TOLERANCE**2 * scale)
