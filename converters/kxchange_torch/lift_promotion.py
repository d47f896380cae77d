"""Torch's type promotion made explicit: stand-ins of the right dtype and rank decide, `astype` nodes carry it out."""

from __future__ import annotations

from functools import cache, reduce
from typing import Any

import torch

from kxchange import ops
from kxchange.dims import DimExpr
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_torch.dtypes import CANONICAL, TORCH
from kxchange_torch.lift import Number

_NUMBERS: dict[type, Any] = {bool: True, int: 1, float: 1.0, complex: 1j}


def is_tensor(operand: Any) -> bool:
    """Whether an argument is a tensor, not a number, a size or None."""
    return type(operand) is Value


def result_dtype(*operands: Any) -> DType:
    """The dtype in which torch computes on these operands: tensors, numbers and sizes."""
    return _result_dtype(tuple(_kind(operand) for operand in operands))


def _kind(operand: Any) -> Any:
    if isinstance(operand, Value):
        return operand.dtype, operand.ndim > 0
    if isinstance(operand, Number):
        return operand.kind
    return int if isinstance(operand, DimExpr) else type(operand)


@cache
def _result_dtype(kinds: tuple[Any, ...]) -> DType:
    groups: dict[Any, list[Any]] = {True: [], False: [], None: []}
    for kind in kinds:
        groups[kind[1] if isinstance(kind, tuple) else None].append(kind)
    stand_ins: list[Any] = []
    for has_rank in (True, False):
        dtypes = [TORCH[dtype] for dtype, _ in groups[has_rank]]
        if dtypes:
            stand_ins.append(torch.empty((1,) if has_rank else (), dtype=reduce(torch.promote_types, dtypes)))
    if groups[None]:
        stand_ins.append(max((_NUMBERS[kind] for kind in groups[None]), key=lambda n: list(_NUMBERS).index(type(n))))
    if len(stand_ins) == 1:
        stand_ins.append(stand_ins[0])
    # With three groups the middle one decides nothing that the last could undo: fold from the strongest.
    dtype = torch.result_type(stand_ins[0], stand_ins[1])
    for weaker in stand_ins[2:]:
        dtype = torch.result_type(torch.empty((1,), dtype=dtype), weaker)
    return CANONICAL[dtype]


def default_float() -> DType:
    """The dtype of a Python float: torch's default dtype."""
    return CANONICAL[torch.get_default_dtype()]


def cast(operand: Any, dtype: DType) -> Any:
    """A tensor in another dtype; a number stays a number, and takes the dtype where it is used."""
    if isinstance(operand, Number):
        operand = operand.value
    if isinstance(operand, Value):
        if operand.dtype.is_complex and not (dtype.is_complex or dtype.is_bool):
            operand = ops.real(operand)  # torch drops the imaginary part, with a warning
        return operand if operand.dtype is dtype else ops.astype(operand, dtype=dtype)
    return operand if isinstance(operand, DimExpr) else as_number(operand, dtype)


def as_number(number: Any, dtype: DType) -> Any:
    """A Python number as torch stores it: cut to a whole number for integers; unrounded for floats."""
    if dtype.is_bool:
        return bool(number)
    if dtype.is_integer and isinstance(number, bool | float):
        return int(number)
    return int(number) if isinstance(number, bool) else number


def promote(*operands: Any) -> list[Any]:
    """The operands in their common dtype."""
    dtype = result_dtype(*operands)
    return [cast(operand, dtype) for operand in operands]


def promote_float(*operands: Any) -> list[Any]:
    """The operands in their common dtype, which becomes the default float where it is an integer or bool type."""
    dtype = float_of(result_dtype(*operands))
    return [cast(operand, dtype) for operand in operands]


def float_of(dtype: DType) -> DType:
    """The dtype itself if floating or complex, else the default float."""
    return dtype if dtype.is_floating or dtype.is_complex else default_float()


def to_float(x: Value) -> Value:
    """Integers and bools in the default float; floats as they are."""
    return cast(x, float_of(x.dtype))


def to_bool(x: Any) -> Any:
    """Whether each element is not 0."""
    return cast(x, DType.BOOL)


def tensor_of(operand: Any, dtype: DType) -> Value:
    """The operand as a tensor of `dtype`: numbers and sizes become a rank-0 `full`."""
    operand = cast(operand, dtype)
    return operand if isinstance(operand, Value) else ops.full(shape=(), value=operand, dtype=dtype)
