"""Ops on small arrays whose elements are dims: what the references do with numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from kxchange.dims import Call, Dim, DimExpr, compare_ge, dim_max, dim_min, divide_exact
from kxchange.graph import Node
from kxchange.spec import REGISTRY, as_tuple

Array = NDArray[Any]

MOVING = frozenset(
    [
        "reshape",
        "permute_dims",
        "expand_dims",
        "squeeze",
        "broadcast_to",
        "concat",
        "stack",
        "split",
        "slice",
        "flip",
        "roll",
        "tile",
        "repeat",
    ]
)
"""Ops that only move elements: their references take objects too."""


class Ratio:
    """A size divided by a number, as float arithmetic on sizes makes it before it is rounded."""

    __slots__ = ("denominator", "numerator")

    def __init__(self, numerator: Dim, denominator: int) -> None:
        self.numerator = numerator
        self.denominator = denominator


class Undecided(ArithmeticError):
    """A result that depends on the sizes."""


def evaluate_symbolic(node: Node, operands: Sequence[Array | None]) -> tuple[Array | None, ...]:
    """The contents of a node's outputs, None where they are no expressions of dims."""
    # NumPy unpacks an object array of rank 0.
    return tuple(_boxed(result) for result in _evaluated(node, operands))


def _boxed(result: Any) -> Array | None:
    if result is None or isinstance(result, np.ndarray):
        return cast("Array | None", result)
    return _filled((), result)


def _evaluated(node: Node, operands: Sequence[Array | None]) -> tuple[Array | None, ...]:
    unknown = (None,) * len(node.types)
    if node.op == "full":
        shape: Any = node.attrs["shape"]
        return (_filled(shape, node.attrs["value"]),)
    if node.op in MOVING:
        return as_tuple(REGISTRY[node.op].reference(*map(_objects, operands), **node.attrs))
    if node.op == "take":
        return (_take(operands, node.attrs["axis"]),)
    if node.op in INDEXED:
        return (_indexed(node, operands),)
    if node.op == "astype":
        return (_each(_converter(node.types[0].dtype), operands),)
    if node.op in REDUCING:
        return (_reduced(node, operands),)
    rule = ELEMENTWISE.get(node.op)
    if rule is None:
        return unknown
    try:
        return (_each(rule, operands),)
    except Undecided:
        return unknown


def _filled(shape: tuple[int, ...], value: Any) -> Array:
    filled = np.empty(shape, dtype=object)
    filled.fill(value)
    return filled


def _objects(array: Array | None) -> Array | None:
    if array is None or array.dtype == object:
        return array
    return np.asarray(array.tolist(), dtype=object).reshape(array.shape)


def _take(operands: Sequence[Array | None], axis: int) -> Array | None:
    x, indices = operands
    if x is None or indices is None or indices.dtype == object:
        return None
    return np.take(cast("Array", _objects(x)), indices, axis=axis)


INDEXED = frozenset({"gather_nd", "take_along_axis", "scatter", "scatter_nd"})


def _indexed(node: Node, operands: Sequence[Array | None]) -> Array | None:
    """Movement by concrete positions."""
    x, indices, *rest = operands
    if indices is None or indices.dtype == object or node.attrs.get("reduction", "set") != "set":
        return None
    return REGISTRY[node.op].reference(_objects(x), indices, *map(_objects, rest), **node.attrs)


def _each(rule: Callable[..., Any], operands: Sequence[Array | None]) -> Array:
    arrays = np.broadcast_arrays(*(_filled((), None) if array is None else _objects(array) for array in operands))  # pyright: ignore[reportArgumentType]
    result = np.empty(arrays[0].shape, dtype=object)
    for place in np.ndindex(result.shape):
        result[place] = rule(*(array[place] for array in arrays))
    return result


def _reduced(node: Node, operands: Sequence[Array | None]) -> Array:
    (x,) = operands
    axis = node.attrs["axis"]
    array: Any = _objects(x)
    axes = tuple(range(array.ndim)) if axis is None else tuple(a % array.ndim for a in axis)
    combine = np.frompyfunc(REDUCING[node.op], 2, 1)
    for position in sorted(axes, reverse=True):
        array = np.asarray(combine.reduce(array, axis=position, keepdims=node.attrs["keepdims"]), dtype=object)
    return array


def _ratio(number: Any) -> tuple[Dim, int]:
    """Numerator and denominator of a dim, a ratio, an int or an exact short float."""
    if isinstance(number, Ratio):
        return number.numerator, number.denominator
    if isinstance(number, float):
        exact = Fraction(number)
        if exact.denominator > 4096:
            raise Undecided
        return exact.numerator, exact.denominator
    return number, 1


def _quotient(numerator: Dim, denominator: int) -> Any:
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    if isinstance(numerator, int):
        return numerator / denominator if numerator % denominator else numerator // denominator
    exact = divide_exact(numerator, denominator)
    return Ratio(numerator, denominator) if exact is None else exact


def _add(a: Any, b: Any) -> Any:
    if not isinstance(a, float | Ratio) and not isinstance(b, float | Ratio):
        return a + b
    (n, d), (m, e) = _ratio(a), _ratio(b)
    return _quotient(n * e + m * d, d * e)


def _negative(a: Any) -> Any:
    return Ratio(-a.numerator, a.denominator) if isinstance(a, Ratio) else -a


def _multiply(a: Any, b: Any) -> Any:
    if not isinstance(a, float | Ratio) and not isinstance(b, float | Ratio):
        return a * b
    (n, d), (m, e) = _ratio(a), _ratio(b)
    return _quotient(n * m, d * e)


def _divide(a: Any, b: Any) -> Any:
    (n, d), (m, e) = _ratio(a), _ratio(b)
    if isinstance(m, DimExpr):
        exact = divide_exact(n * e, m * d)
        if exact is None:
            raise Undecided
        return exact
    if m == 0:
        raise Undecided
    return _quotient(n * e, d * m)


def _floor(a: Any) -> Any:
    numerator, denominator = _ratio(a)
    return numerator // denominator


def _ceil(a: Any) -> Any:
    numerator, denominator = _ratio(a)
    return -(-numerator // denominator)


def _truncated(a: Any) -> Any:
    numerator, denominator = _ratio(a)
    if denominator == 1:
        return numerator
    if isinstance(numerator, int) or compare_ge(numerator, 0, {}):
        return numerator // denominator if not isinstance(numerator, int) else int(numerator / denominator)
    raise Undecided


def _truncated_divide(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int):
        return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    exact = divide_exact(a, b)
    if exact is None:
        exact = _without_remainder(a, b)
    if exact is not None:
        return exact
    if not compare_ge(b, 0, {}):
        raise Undecided
    if compare_ge(a, 0, {}):
        return a // b
    return dim_max(a, 0) // b - dim_max(-a, 0) // b


def _without_remainder(a: Any, b: Any) -> Any:
    """``x // b`` where `a` is ``x - x % b``: how a division that truncates is made to floor. None where it is not."""
    if not isinstance(a, DimExpr):
        return None
    for monomial, coefficient in a.terms:
        left = DimExpr(((monomial, 1),), 0)
        atom = left.lone_atom()
        if coefficient == -1 and isinstance(atom, Call) and atom.kind == "mod" and (a + left) % b == left:
            return (a + left) // b
    return None


def _round(a: Any) -> Any:
    if isinstance(a, Ratio):
        raise Undecided
    return round(a) if isinstance(a, float) else a


def _difference(a: Any, b: Any) -> Any:
    """``a - b`` where its sign is that of the comparison."""
    if isinstance(a, float) and isinstance(b, float):
        return a - b
    (n, d), (m, e) = _ratio(a), _ratio(b)
    return n * e - m * d


def _greater_equal(a: Any, b: Any) -> bool:
    gap = _difference(a, b)
    if isinstance(gap, int | float):
        return gap >= 0
    if compare_ge(gap, 0, {}):
        return True
    if compare_ge(-1, gap, {}):
        return False
    raise Undecided


def _equal(a: Any, b: Any) -> bool:
    gap = _difference(a, b)
    if isinstance(gap, int | float):
        return gap == 0
    if compare_ge(gap, 1, {}) or compare_ge(-1, gap, {}):
        return False
    raise Undecided


def _absolute(a: Any) -> Any:
    if isinstance(a, int | float):
        return abs(a)
    return a if _greater_equal(a, 0) else _negative(a)


def _sign(a: Any) -> Any:
    return 0 if _equal(a, 0) else (1 if _greater_equal(a, 0) else -1)


def _where(condition: Any, a: Any, b: Any) -> Any:
    return a if condition else b


def _maximum(a: Any, b: Any) -> Any:
    if isinstance(a, float | Ratio) or isinstance(b, float | Ratio):
        return a if _greater_equal(a, b) else b
    return dim_max(a, b)


def _minimum(a: Any, b: Any) -> Any:
    if isinstance(a, float | Ratio) or isinstance(b, float | Ratio):
        return b if _greater_equal(a, b) else a
    return dim_min(a, b)


def _clip(a: Any, low: Any, high: Any) -> Any:
    raised = a if low is None else _maximum(a, low)
    return raised if high is None else _minimum(raised, high)


def _floor_divide(a: Any, b: Any) -> Any:
    return a // b


def _remainder(a: Any, b: Any) -> Any:
    return a % b


def _fmod(a: Any, b: Any) -> Any:
    return _add(a, _negative(_multiply(_truncated_divide(a, b), b)))


def _power(a: Any, b: Any) -> Any:
    if isinstance(b, float) and b.is_integer():
        b = int(b)
    if not isinstance(b, int) or not 0 <= b <= 8 or isinstance(a, Ratio):
        raise Undecided
    result: Any = 1
    for _ in range(b):
        result = result * a
    return result


def _converter(dtype: Any) -> Callable[[Any], Any]:
    """What `astype` makes of an element."""
    if dtype.is_bool:
        return lambda a: not _equal(a, 0)
    if dtype.is_integer:
        return _truncated
    return lambda a: float(a) if isinstance(a, int | bool) else a


UNARY: dict[str, Callable[[Any], Any]] = {
    "negative": _negative,
    "abs": _absolute,
    "sign": _sign,
    "floor": _floor,
    "ceil": _ceil,
    "trunc": _truncated,
    "round": _round,
    "square": lambda a: _multiply(a, a),
    "logical_not": lambda a: not a,
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": _add,
    "subtract": lambda a, b: _add(a, _negative(b)),
    "multiply": _multiply,
    "divide": _divide,
    "floor_divide": _floor_divide,
    "truncated_divide": _truncated_divide,
    "remainder": _remainder,
    "fmod": _fmod,
    "pow": _power,
    "maximum": _maximum,
    "minimum": _minimum,
    "equal": _equal,
    "not_equal": lambda a, b: not _equal(a, b),
    "greater_equal": _greater_equal,
    "less_equal": lambda a, b: _greater_equal(b, a),
    "greater": lambda a, b: not _greater_equal(b, a),
    "less": lambda a, b: not _greater_equal(a, b),
    "logical_and": lambda a, b: bool(a and b),
    "logical_or": lambda a, b: bool(a or b),
}
ELEMENTWISE: dict[str, Callable[..., Any]] = {**UNARY, **BINARY, "clip": _clip, "where": _where}

REDUCING: dict[str, Callable[[Any, Any], Any]] = {
    "sum": _add,
    "prod": _multiply,
    "max": _maximum,
    "min": _minimum,
    "all": lambda a, b: bool(a and b),
    "any": lambda a, b: bool(a or b),
}
