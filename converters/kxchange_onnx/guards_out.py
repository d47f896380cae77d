"""What an operand can never be: constants show it, and so do the guards that this converter writes itself.

A model that was written, read and written again would else be given a guard behind the guard, each time.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir


def never(x: ir.Value, numbers: Iterable[int]) -> bool:
    """Whether no element of an integer tensor is one of these numbers."""
    wanted = set(numbers)
    known = _array(x)
    if known is not None:
        return not np.isin(known, list(wanted)).any()
    picked = _picked(x)
    if picked is None:
        return False
    condition, harmless, other = picked
    return never(harmless, wanted) and wanted <= _excluded(condition, other)


def is_below(x: ir.Value, limit: int) -> bool:
    """Whether every element of an unsigned tensor is less than a number."""
    known = _array(x)
    if known is not None:
        return bool((known < limit).all())
    for one, other in _both(x, "Mul"):
        less = _behind_cast(other)
        if less is not None and (found := _inputs(less, "Less")) and found[0] is one:
            bound = _array(found[1])
            return bound is not None and bool((bound <= limit).all())
    return False


def _picked(x: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value] | None:
    """Condition, and the values for true and false: of a `Where`, or of one spelled with products."""
    found = _inputs(x, "Where")
    if found:
        return found[0], found[1], found[2]
    for true, false in _both(x, "Add"):
        for chosen, one in _both(true, "Mul"):
            for unchosen, other in _both(false, "Mul"):
                condition, negated = _behind_cast(chosen), _behind_cast(unchosen)
                inner = None if negated is None else _inputs(negated, "Not")
                if condition is not None and inner and inner[0] is condition:
                    return condition, one, other
        # A product with 1 is the other factor.
        condition = _behind_cast(true)
        for unchosen, other in _both(false, "Mul") if condition is not None else ():
            negated = _behind_cast(unchosen)
            inner = None if negated is None else _inputs(negated, "Not")
            if condition is not None and inner and inner[0] is condition:
                return condition, _one(), other
    return None


def _one() -> ir.Value:
    return ir.Value(name="one", const_value=ir.tensor(np.array(1)))


def _excluded(condition: ir.Value, x: ir.Value) -> set[int]:
    """The numbers that x is not where the condition is false."""
    if either := _inputs(condition, "Or"):
        return _excluded(either[0], x) | _excluded(either[1], x)
    for one, other in _both(condition, "Equal"):
        known = _array(other)
        if one is x and known is not None and known.size == 1:
            return {int(known.reshape(()))}
    return set()


def _array(x: ir.Value) -> np.ndarray | None:
    return None if x.const_value is None else x.const_value.numpy()


def _inputs(x: ir.Value, op_type: str) -> list[ir.Value]:
    """The operands of the node behind a value, if it is of this type."""
    node = x.producer()
    if node is None or node.op_type != op_type:
        return []
    return [value for value in node.inputs if value is not None]


def _both(x: ir.Value, op_type: str) -> list[tuple[ir.Value, ir.Value]]:
    """The two operands of a commutative node, both ways."""
    found = _inputs(x, op_type)
    return [(found[0], found[1]), (found[1], found[0])] if len(found) == 2 else []


def _behind_cast(x: ir.Value) -> ir.Value | None:
    found = _inputs(x, "Cast")
    return found[0] if found else None
