"""Numbers of the source at full precision: a trace in 32 bits has rounded them, one in 64 bits has not."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np

from kxchange.types import DType

SHORT = 2**11
"""Numbers of at most this many bits are the same in every floating type: 0.5, 1, 6, 1024."""


class Numbers:
    """What a rounded number was before.

    Args:
        wide: The numbers of a trace in 64 bits; None where there was none.
    """

    def __init__(self, wide: list[float] | None) -> None:
        self._wide = wide
        self._by_dtype: dict[DType, dict[float, list[float]]] = {}

    def exact(self, number: Any) -> Any:
        """A NumPy scalar (or rank-0 array) as a Python number; a float as the source's own."""
        array = np.asarray(number)
        dtype = DType.of(array.dtype)
        if not dtype.is_floating:
            return array.item()
        rounded = float(array.astype(np.float64))
        if dtype is DType.FLOAT64 or is_short(rounded):
            return rounded
        if self._wide is None:
            return float(str(array[()]))  # the shortest decimal with this rounding
        candidates = self._candidates(dtype).get(rounded, [])
        return candidates[0] if len(candidates) == 1 else rounded

    def _candidates(self, dtype: DType) -> dict[float, list[float]]:
        if dtype not in self._by_dtype:
            found: dict[float, list[float]] = defaultdict(list)
            wide = np.array(sorted(set(self._wide or ())), np.float64)
            with np.errstate(over="ignore"):
                rounded = wide.astype(dtype.numpy).astype(np.float64)
            for short, number in zip(rounded.tolist(), wide.tolist(), strict=True):
                found[short].append(number)
            self._by_dtype[dtype] = found
        return self._by_dtype[dtype]


def is_short(number: float) -> bool:
    """Whether a number is exact in every floating type, or none at all."""
    if not math.isfinite(number):
        return True
    mantissa, _ = math.frexp(number)
    return (mantissa * SHORT).is_integer()


def float_numbers(jaxpr: Any, consts: Any = ()) -> Iterator[np.ndarray]:
    """Every floating scalar in a jaxpr and in those inside it, as rank-0 arrays."""
    for const in consts:
        yield from _scalar(const)
    pending = [jaxpr]
    while pending:
        current = pending.pop()
        for value in getattr(current, "consts", ()):
            yield from _scalar(value)
        current = getattr(current, "jaxpr", current)
        for eqn in current.eqns:
            for atom in eqn.invars:
                if hasattr(atom, "val"):
                    yield from _scalar(atom.val)
            pending += [inner for value in eqn.params.values() for inner in inner_jaxprs(value)]


def inner_jaxprs(value: Any) -> Iterator[Any]:
    """The jaxprs in a parameter of an equation."""
    if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from inner_jaxprs(item)


def _scalar(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, float) or getattr(value, "shape", None) == () and _is_float(value.dtype):
        yield np.asarray(value)


def _is_float(dtype: Any) -> bool:
    try:
        return np.issubdtype(dtype, np.floating) or dtype in (ml_dtypes.bfloat16,)
    except TypeError:
        return False
