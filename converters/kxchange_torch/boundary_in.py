"""Sizes at which a module may take another branch than in its trace: tried out, and excluded if it does."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from kxchange import reference
from kxchange.constraints import Constraint
from kxchange.dims import symbol
from kxchange.errors import KxchangeError
from kxchange.model import Array, Model
from kxchange_torch.dims_in import DimPlan, resized
from kxchange_torch.dtypes import to_array
from kxchange_torch.exporting import evaluation_mode
from kxchange_torch.guards_in import Guards
from kxchange_torch.inputs_in import Examples
from kxchange_torch.private import flatten

TOLERANCE = 1e-2
"""Relative RMSE within which two runs took the same branch: far above rounding, far below another function."""


def unsafe_sizes(
    model: Model, module: nn.Module, examples: Examples, plan: DimPlan, guards: Guards
) -> list[Constraint]:
    """Constraints that keep each dim off size 1 where the module does something else there than the model."""
    found: list[Constraint] = []
    for name, line in guards.undecided().items():
        if name in model.main.dims and not _agrees(model, module, resized(examples, plan, {**plan.sizes, name: 1})):
            found.append(Constraint("at_least", symbol(name), 2, f"another branch is taken for size 1 at {line}"))
    return found


def _agrees(model: Model, module: nn.Module, examples: Examples) -> bool:
    """Whether module and model give the same on these examples; no answer counts as another one."""
    tensors = {leaf.name: leaf.value.clone() for leaf in examples.leaves if leaf.is_tensor}
    arrays = [to_array(tensors[name]).copy() for name in model.input_names]
    call = examples.with_tensors(tensors)
    try:
        with evaluation_mode(module), torch.no_grad():
            outputs = module(*call.args, **call.kwargs)
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
