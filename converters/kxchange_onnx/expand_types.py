"""Element types that ONNX Runtime has no kernel for: the same op in a wider type, and back.

Integers wrap where the way back cuts them, as they would have in their own type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kxchange.graph import Node, Value
from kxchange.ops.arithmetic import add, multiply
from kxchange.ops.comparison import logical_and, logical_not, logical_or
from kxchange.ops.conversion import astype, narrowed, widened
from kxchange.spec import REGISTRY, as_tuple
from kxchange.table import Table
from kxchange.types import DType
from kxchange_onnx.kernels import has_kernel

TABLE = Table("onnx")

WIDER = {
    DType.BOOL: DType.INT32,
    DType.INT8: DType.INT32,
    DType.INT16: DType.INT32,
    DType.UINT8: DType.INT32,
    DType.UINT16: DType.INT32,
    DType.UINT32: DType.INT64,
}
"""A type with kernels for everything that holds every value."""

ORDERED = {
    "maximum": "Max",
    "minimum": "Min",
    "max": "ReduceMax",
    "min": "ReduceMin",
    "argmax": "ArgMax",
    "argmin": "ArgMin",
    "top_k": "TopK",
    "tril": "Trilu",
    "triu": "Trilu",
}
"""Ops that a wider type leaves exact, with the ONNX op whose kernels are asked for."""
WRAPPING = {
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "fmod": "Mul",
    "truncated_divide": "Mul",
    "sum": "ReduceSum",
    "prod": "ReduceProd",
    "cumulative_sum": "CumSum",
    "matmul": "MatMul",
}
"""Ops that are exact modulo the size of the type: int64 will do for uint64."""


def _lacks(op_type: str, wider: dict[DType, DType]) -> Callable[[Node], bool]:
    def condition(node: Node) -> bool:
        dtypes = [value.dtype for value in node.inputs if value is not None]
        return dtypes[0] in wider and not has_kernel(op_type, dtypes[0])

    return condition


def _widened(name: str, op_type: str, wider: dict[DType, DType]) -> None:
    spec = REGISTRY[name]

    def rule(*operands: Value | None, **attrs: Any) -> Sequence[Value]:
        dtype = next(value.dtype for value in operands if value is not None)
        wide = [None if value is None else astype(value, dtype=wider[dtype]) for value in operands]
        results = as_tuple(spec(*wide, **attrs))
        return tuple(astype(r, dtype=dtype) if _keeps(name, i) else r for i, r in enumerate(results))

    TABLE.rule(name, when=_lacks(op_type, wider))(rule)


def _keeps(name: str, index: int) -> bool:
    """Whether an output has the element type of the operands, and not that of positions."""
    return name not in ("argmax", "argmin") and index == 0


for _name, _op_type in ORDERED.items():
    _widened(_name, _op_type, WIDER)
for _name, _op_type in WRAPPING.items():
    _widened(_name, _op_type, {**WIDER, DType.UINT64: DType.INT64})


NARROW_FLOATS = frozenset({DType.FLOAT16, DType.BFLOAT16})


def _combines_narrow_floats(node: Node) -> bool:
    return node.attrs["reduction"] != "set" and node.types[0].dtype in NARROW_FLOATS


for _name in ("scatter", "scatter_nd"):

    def _scattered(x: Value, indices: Value, updates: Value, _name: str = _name, **attrs: Any) -> Value:
        return narrowed(REGISTRY[_name](widened(x), indices, widened(updates), **attrs), x.dtype)

    TABLE.rule(_name, when=_combines_narrow_floats)(_scattered)


def _unchosen(node: Node) -> bool:
    dtype = node.types[0].dtype
    return dtype.is_bool or (dtype.is_integer and not has_kernel("Where", dtype))


@TABLE.rule("where", when=_unchosen)
def _(condition: Value, x1: Value, x2: Value) -> Value:
    if x1.dtype.is_bool:
        return logical_or(logical_and(condition, x1), logical_and(logical_not(condition), x2))
    if x1.dtype in WIDER:
        wide = [astype(x, dtype=WIDER[x1.dtype]) for x in (x1, x2)]
        return astype(REGISTRY["where"](condition, *wide), dtype=x1.dtype)
    chosen, other = astype(condition, dtype=x1.dtype), astype(logical_not(condition), dtype=x1.dtype)
    return add(multiply(chosen, x1), multiply(other, x2))
