"""Operators of the user's own: what they mean in the language, and a check that this is what they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from kxchange.errors import CaptureError, MismatchError
from kxchange.hub import run
from kxchange_torch.dtypes import to_array
from kxchange_torch.lift import lift
from kxchange_torch.lifting import forget_rules
from kxchange_torch.private import flatten, operator_called, operator_name

Samples = Sequence[tuple[Any, ...]]
TOLERANCE = 1e-5
"""Relative RMSE between an operator and its meaning at float32."""
_SAMPLES: dict[str, Samples] = {}


def meaning_of(overload: Any, *, samples: Samples) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Say what a custom operator means, as a function over ops of the language; see docs/custom_torch_ops.md.

    The function takes the operator's arguments in order: tensors as values, numbers and lists as they are.

    Args:
        overload: The operator, ``torch.ops.mine.gate.default``.
        samples: Example arguments, at least one tuple, from which `check_meanings` makes its test.

    Raises:
        CaptureError: It is no operator of `torch.ops`, has a meaning already, or comes without samples.
    """
    name = operator_name(overload)
    if name is None or not samples:
        raise CaptureError("meaning_of takes an operator like torch.ops.mine.gate.default, and at least one sample.")
    if name in lift.entries:
        raise CaptureError(f"the operator {name} has a meaning already.")

    def register(rule: Callable[..., Any]) -> Callable[..., Any]:
        lift.rule(name)(rule)
        _SAMPLES[name] = samples
        forget_rules()
        return rule

    return register


def check_meanings(*overloads: Any) -> list[str]:
    """Run every sample of these operators (default: of all) on torch, on NumPy and as a built module; names checked.

    Raises:
        MismatchError: The meaning gives something else than the operator.
    """
    names = [str(operator_name(overload)) for overload in overloads] or list(_SAMPLES)
    for name in names:
        for number, sample in enumerate(_SAMPLES[name]):
            _check(name, sample, f"{name}, sample {number}")
    return names


class _Calling(nn.Module):
    """One operator with its settings; tensors are the inputs."""

    def __init__(self, name: str, sample: tuple[Any, ...]) -> None:
        super().__init__()
        self.overload = operator_called(name)
        self.sample = sample

    def forward(self, *tensors: torch.Tensor) -> Any:
        rest = iter(tensors)
        return self.overload(*[next(rest) if isinstance(item, torch.Tensor) else item for item in self.sample])


def _check(name: str, sample: tuple[Any, ...], where: str) -> None:
    from kxchange_torch.capture import capture

    tensors = [item for item in sample if isinstance(item, torch.Tensor)]
    module = _Calling(name, sample)
    wanted = _flat(module(*tensors))
    model = capture(module, *tensors)
    arrays = {key: to_array(tensor) for key, tensor in zip(model.input_names, tensors, strict=True)}
    by_numpy = [torch.from_numpy(np.ascontiguousarray(array)) for array in run(model, arrays).values()]
    for how, got in (("NumPy", by_numpy), ("a built module", _flat(model.to("torch")(*tensors)))):
        if len(got) != len(wanted) or not all(map(_close, got, wanted)):
            raise MismatchError(f"{where}: its meaning gives something else on {how} than the operator.")


def _flat(outputs: Any) -> list[torch.Tensor]:
    return [tensor.detach() for tensor in flatten(outputs)[0]]


def _close(got: torch.Tensor, want: torch.Tensor) -> bool:
    if got.shape != want.shape or got.dtype != want.dtype:
        return False
    if not want.is_floating_point() or want.numel() == 0:
        return torch.equal(got, want)
    error = (got.double() - want.double()).square().mean().sqrt()
    return bool(error <= TOLERANCE * want.double().square().mean().sqrt())
