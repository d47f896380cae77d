"""How often a loop runs whose condition only counts: exporters write ``for`` as Loop with ``counter < bound``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kxchange.dims import Dim, DimExpr, compare_ge, dim_max, dim_min
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_onnx.operands_in import content

UNLIMITED = 2**31 - 1
"""A trip count from which on it limits nothing: it is how exporters say that there is none."""
ORDERS = {"less": (0, 1), "greater": (1, 0)}
"""Which operand must be below which."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A number at step k: ``start + slope * k``."""

    start: Dim
    slope: int


def carried_numbers(
    step: Value, inside: Sequence[Value], starts: Sequence[Value], after: Sequence[Value]
) -> dict[Value, Linear]:
    """The step, and the carried integers that stay what they are or grow by one number at each step."""
    found = {step: Linear(0, 1)}
    for own, start, end in zip(inside, starts, after, strict=True):
        known = _number(start)
        if known is None or not own.dtype.is_integer:
            continue
        growth = 0 if end == own else _growth(own, end)
        if growth is not None:
            found[own] = Linear(known, growth)
    return found


def _growth(own: Value, end: Value) -> int | None:
    if end.node.op != "add" or own not in end.node.inputs:
        return None
    others = [value for value in end.node.inputs if value is not None and value != own]
    number = _number(others[0]) if len(others) == 1 else None
    return number if isinstance(number, int) else None


def _number(value: Value) -> Dim | None:
    """What a tensor of one element holds, where it is a whole number or a size."""
    found = content(value)
    if found is None or found.size != 1 or value.dtype is DType.BOOL:
        return None
    item = found.reshape(-1)[0]
    if isinstance(item, DimExpr):
        return item
    return int(item) if item == int(item) else None


def steps_of(going: Value, start: Value | None, count: Value | None, numbers: Mapping[Value, Linear]) -> Dim | None:
    """The number of steps; None where only a run can tell.

    Args:
        going: Whether there is another step, as of the step that ends.
        start: Whether there is a first one.
        count: The most steps there may be.
        numbers: What is known of the values inside.
    """
    gaps = _gaps(going, numbers)
    if gaps is None or any(gap.slope != -1 for gap in gaps):
        return None
    # After step k it goes on while the gap is positive: for as many steps as the first gap is, and the first step.
    steps: Dim = gaps[0].start + 1
    for gap in gaps[1:]:
        steps = dim_min(steps, gap.start + 1)
    limit = None if count is None else _number(count)
    if count is not None and limit is None:
        return None
    if start is None or _number_of_flag(start):
        steps = dim_max(steps, 1)
    elif not _says_same(start, steps):
        return None
    if limit is not None and not (isinstance(limit, int) and limit >= UNLIMITED):
        steps = dim_min(steps, limit)
    return steps if isinstance(steps, int) or compare_ge(steps, 0, {}) else dim_max(steps, 0)


def _number_of_flag(start: Value) -> bool:
    found = content(start)
    return found is not None and found.dtype != object and bool(found.reshape(()))


def _says_same(start: Value, steps: Dim) -> bool:
    """Whether the first step is taken exactly where there is at least one by the count."""
    gaps = _gaps(start, {})
    if gaps is None or any(gap.slope for gap in gaps):
        return False
    least: Dim = gaps[0].start
    for gap in gaps[1:]:
        least = dim_min(least, gap.start)
    return least == steps


def _gaps(flag: Value, numbers: Mapping[Value, Linear]) -> list[Linear] | None:
    """How far apart the sides of each comparison are, where the flag says that all of them hold."""
    found: list[Linear] = []
    pending = [flag]
    while pending:
        node = pending.pop().node
        sides = [value for value in node.inputs if value is not None]
        if node.op == "logical_and":
            pending.extend(sides)
        elif node.op in ("reshape", "squeeze", "expand_dims"):
            pending.append(sides[0])
        elif node.op in ORDERS:
            low, high = (_linear(sides[index], numbers) for index in ORDERS[node.op])
            if low is None or high is None:
                return None
            found.append(Linear(high.start - low.start, high.slope - low.slope))
        else:
            return None
    return found


def _linear(value: Value, numbers: Mapping[Value, Linear]) -> Linear | None:
    """A whole number as it goes along with the steps."""
    if value in numbers:
        return numbers[value]
    known = _number(value)
    if known is not None:
        return Linear(known, 0)
    sides = [_linear(side, numbers) for side in value.node.inputs if side is not None]
    if value.node.op in ("astype", "reshape", "squeeze", "expand_dims"):
        return sides[0]
    if value.node.op == "add" and all(side is not None for side in sides):
        left, right = (side for side in sides if side is not None)
        return Linear(left.start + right.start, left.slope + right.slope)
    return None
