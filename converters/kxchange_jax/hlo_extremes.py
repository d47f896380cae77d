"""`argmax` and `argmin`, which StableHLO writes as a reduction of a tensor and its positions together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from kxchange import ops
from kxchange.graph import Graph, Value
from kxchange.reference import evaluate
from kxchange.types import DType, TensorType
from kxchange_jax.hlo_in import current
from kxchange_jax.lift import SCOPE, lift, number_of, refuse
from kxchange_jax.lift_ordering import counts_axis
from kxchange_jax.lift_reduction import neutral

FLOATS = (-1.5, 0.0, 2.0, math.nan)
INTEGERS = (0, 1, 5)


def position_of_extreme(operands: Sequence[Value], axis: int) -> tuple[Value, Value]:
    """The largest (or smallest) element along an axis and its first position.

    What combines two pairs is tried on every pair of a few numbers before it is taken for that.

    Raises:
        CaptureError: It is another function.
    """
    x, places, initial, first = operands
    kind = next((k for k in ("max", "min") if number_of(initial) == neutral(x.dtype, largest=k == "min")), None)
    body, read = current().region(0, [TensorType(value.dtype, ()) for value in (x, places, x, places)])
    known = kind is not None and number_of(first) == 0 and counts_axis(places, axis) and not read
    if kind is None or not known or not _picks(body, x.dtype, places.dtype, kind):
        refuse("a reduction of several tensors at once is read where it is the place of the largest or smallest")
    reduced = ops.max if kind == "max" else ops.min
    SCOPE.types = (TensorType(places.dtype, tuple(size for a, size in enumerate(x.shape) if a != axis)),)
    place = lift.entries[f"arg{kind}"].rule(x, axes=(axis,), index_dtype=places.dtype.numpy)
    return reduced(x, axis=(axis,)), place


def _picks(body: Graph, dtype: DType, places: DType, kind: str) -> bool:
    """Whether a function of two pairs gives the one that is further, NaN before all, the first of equals."""
    numbers = FLOATS if dtype.is_floating else INTEGERS
    for a, b, (i, j) in product(numbers, numbers, ((0, 1), (1, 0))):
        if a != a and b != b:
            continue  # which of two NaNs is given depends on the order of the reduction
        args = [np.array(v, t.numpy) for v, t in ((a, dtype), (i, places), (b, dtype), (j, places))]
        found: Any = evaluate(body, args)
        number, place = _further((a, i), (b, j), kind)
        if int(found[1]) != place or not (found[0] == number or (number != number and found[0] != found[0])):
            return False
    return True


def _further(first: tuple[float, int], second: tuple[float, int], kind: str) -> tuple[float, int]:
    (a, i), (b, j) = first, second
    if a == b:
        return a, min(i, j)
    if a != a or b != b:
        return first if a != a else second
    return first if (a > b) is (kind == "max") else second
