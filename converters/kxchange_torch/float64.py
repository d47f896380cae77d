"""A module run in true float64: its explicit casts to narrower floats are lifted, which `module.double()` leaves in."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from kxchange_torch.modes_in import evaluation_mode
from kxchange_torch.private import flatten, unflatten

WIDE: dict[torch.dtype, torch.dtype] = {
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float32: torch.float64,
    torch.complex32: torch.complex128,
    torch.complex64: torch.complex128,
}
_CASTS = {torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16}


class WidenedFloats(TorchFunctionMode):
    """While active, every request for a narrower float is one for float64.

    Args:
        dtype: What the widened tensors were before: defaults that follow the dtype (an epsilon) stay those of it.
    """

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.epsilon = torch.finfo(dtype).eps

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace dtypes among the arguments; `x.float()` and its like become `x.double()`."""
        if func in _CASTS:
            return args[0].to(torch.float64)
        if func in (torch.rms_norm, torch.nn.functional.rms_norm):
            args, kwargs = self._with_epsilon(*args, **(kwargs or {})), None
        if func in _WITHOUT_FLOAT64:
            return _WITHOUT_FLOAT64[func](*args, **(kwargs or {}))
        return func(*_widen(args), **_widen(kwargs or {}))

    def _with_epsilon(self, input: Any, normalized_shape: Any, weight: Any = None, eps: Any = None) -> tuple[Any, ...]:
        return input, normalized_shape, weight, self.epsilon if eps is None else eps


def _grouped_product(x: torch.Tensor, weight: torch.Tensor, *, offs: torch.Tensor, **_: Any) -> torch.Tensor:
    """Rows of each group times the group's matrix: torch's kernel has no float64."""
    edges = [0, *offs.tolist()]
    parts = [x[a:b] @ weight[i] for i, (a, b) in enumerate(zip(edges, edges[1:], strict=False))]
    return torch.cat([*parts, x.new_zeros(x.shape[0] - edges[-1], weight.shape[-1])])


_WITHOUT_FLOAT64 = {
    function: _grouped_product
    for function in (getattr(torch.nn.functional, "grouped_mm", None), getattr(torch, "_grouped_mm", None))
    if function is not None
}


def _widen(value: Any) -> Any:
    if isinstance(value, torch.dtype):
        return WIDE.get(value, value)
    if type(value) in (tuple, list):
        return type(value)(_widen(item) for item in value)
    return {key: _widen(item) for key, item in value.items()} if type(value) is dict else value


def widened(tensor: Any) -> Any:
    """A tensor in float64 (or complex128); integers, bools and everything else as they are."""
    return tensor.to(WIDE[tensor.dtype]) if isinstance(tensor, torch.Tensor) and tensor.dtype in WIDE else tensor


def run_float64(module: nn.Module, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
    """Run a copy of `module` in eval mode on widened inputs, all of it in float64.

    Args:
        module: Left as it is.
        args: Positional inputs.
        kwargs: Named inputs.

    Returns:
        What `forward` returns.
    """
    return run_wide(copy.deepcopy(module)._apply(widened), args, kwargs, dtype=float_of(module))


def float_of(module: nn.Module) -> torch.dtype:
    """The floating dtype of a module's first parameter; float32 where it has none."""
    dtypes = (parameter.dtype for parameter in module.parameters())
    return next((dtype for dtype in dtypes if dtype.is_floating_point), torch.float32)


def run_wide(
    twin: nn.Module,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> Any:
    """Run a module that is in float64 already, and was in `dtype`, on widened inputs."""
    leaves, structure = flatten((tuple(args), dict(kwargs or {})))
    wide_args, wide_kwargs = unflatten(map(widened, leaves), structure)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with evaluation_mode(twin), torch.no_grad(), WidenedFloats(dtype):
            return twin(*wide_args, **wide_kwargs)
    finally:
        torch.set_default_dtype(before)
