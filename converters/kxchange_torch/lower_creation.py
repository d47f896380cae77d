"""Lowering of ops that make tensors from attributes."""

from __future__ import annotations

from typing import Any

import torch

from kxchange.constant import Constant
from kxchange.types import DType
from kxchange_torch.literals import literal
from kxchange_torch.lowering import CURRENT, create, model_dtype, output_type, size
from kxchange_torch.rules import Rules

lower = Rules()


@lower.rule("full")
def _(*, shape: tuple[Any, ...], value: Any, dtype: DType) -> Any:
    return create(torch.full, shape, literal(value, dtype).value, dtype=model_dtype(dtype))


@lower.rule("arange")
def _(*, start: Any, stop: Any, step: Any, dtype: DType) -> Any:
    kind = model_dtype(dtype)
    count = size(output_type().shape[0])
    if isinstance(start, float) or isinstance(step, float) or isinstance(stop, float):
        wide = create(torch.arange, count, dtype=torch.float64)
        return (wide * step + start).to(kind)
    if isinstance(start, int) and start == 0 and step == 1:
        return create(torch.arange, count, dtype=kind)
    return create(torch.arange, start, start + count * step, step, dtype=kind)


@lower.rule("eye")
def _(*, rows: Any, columns: Any, offset: int, dtype: DType) -> Any:
    width = rows if columns is None else columns
    if offset == 0:
        return create(torch.eye, rows, width, dtype=model_dtype(dtype))
    row = create(torch.arange, rows, dtype=torch.int64).unsqueeze(1)
    return (row + offset == create(torch.arange, width, dtype=torch.int64)).to(model_dtype(dtype))


@lower.rule("constant")
def _(*, value: Constant) -> Any:
    return CURRENT.get().constant(value)
