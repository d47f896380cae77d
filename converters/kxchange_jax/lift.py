"""The lifting table of JAX: from a primitive to ops of the language.

A rule gets its primitive's operands as `Value`s, positionally, and its parameters by name; sizes in them are ints or
`DimExpr`s. Parameters that do not matter here end in ``**_``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from kxchange import ops
from kxchange.constant import Constant
from kxchange.dims import Dim, DimExpr
from kxchange.errors import CaptureError
from kxchange.graph import Value
from kxchange.shapes import broadcast_shapes, collecting
from kxchange.table import Table
from kxchange.types import DType, TensorType

if TYPE_CHECKING:
    from kxchange_jax.lifting import Lifter

lift = Table("jax")


class Scope:
    """What a rule may ask for beside its arguments: set by the lifter around each call.

    Attributes:
        lifter: Who calls the rule.
        equation: JAX's own record of what is lifted.
        types: Types of the results as JAX gives them, in our names.
    """

    lifter: Lifter
    equation: Any = None
    types: tuple[TensorType, ...] = ()


SCOPE = Scope()


def refuse(reason: str) -> NoReturn:
    """Give up on this equation: it becomes one of the blockers, with its line.

    Raises:
        CaptureError: always.
    """
    raise CaptureError(reason)


def each(rules: dict[str, str], make: Callable[[Callable[..., Value]], Callable[..., Any]]) -> None:
    """Register ``make(op)`` for every primitive of `rules`."""
    for primitive, name in rules.items():
        lift.rule(primitive)(make(getattr(ops, name)))


def scalar(value: Any, dtype: DType) -> Value:
    """A rank-0 number, or a size used as data."""
    return ops.full(shape=(), value=value, dtype=dtype)


def cast(x: Value, dtype: DType) -> Value:
    """The value in another element type."""
    return x if x.dtype is dtype else ops.astype(x, dtype=dtype)


def number_of(x: Value) -> Any:
    """The number that every element of a value is known to be; None if there is none."""
    while x.node.op in ("broadcast_to", "reshape", "expand_dims", "squeeze", "astype") and x.node.inputs[0] is not None:
        if x.node.op == "astype" and not (x.dtype.is_integer and x.node.inputs[0].dtype.is_integer):
            return None
        x = x.node.inputs[0]
    return x.node.attrs["value"] if x.node.op == "full" else None


def elements_of(x: Value) -> list[Any] | None:
    """The numbers of a small integer value that is known; dims among them."""
    number = number_of(x)
    if number is not None and all(isinstance(size, int) for size in x.shape):
        count = 1
        for size in x.shape:
            count *= size
        return [number] * count
    node = x.node
    if node.op == "constant":
        value: Constant = node.attrs["value"]
        return value.array.reshape(-1).tolist()
    if node.op in ("reshape", "expand_dims", "squeeze", "astype") and node.inputs[0] is not None:
        return elements_of(node.inputs[0]) if node.op != "astype" or node.inputs[0].dtype.is_integer else None
    if node.op in ("concat", "stack"):
        parts = [elements_of(part) if part is not None and part.ndim <= 1 else None for part in node.inputs]
        return None if any(part is None for part in parts) else [n for part in parts for n in part or ()]
    return None


def with_shape(x: Value, shape: Sequence[Dim]) -> Value:
    """The value reshaped; itself where it has that shape."""
    return x if tuple(x.shape) == tuple(shape) else ops.reshape(x, shape=tuple(shape))


def permuted(x: Value, axes: Sequence[int]) -> Value:
    """The value with its axes reordered; itself where the order is theirs, reshaped where only axes of 1 move."""
    order = tuple(axes)
    if order == tuple(range(x.ndim)):
        return x
    wide = [axis for axis in order if x.shape[axis] != 1]
    if wide == sorted(wide):
        return with_shape(x, [x.shape[axis] for axis in order])
    return ops.permute_dims(x, axes=order)


def thin(values: Sequence[Value], shape: tuple[Dim, ...]) -> list[Value]:
    """Operands of an elementwise op without the broadcasting that the op does itself."""
    bare = [_unbroadcast(value) for value in values]
    trials = [bare, *([*bare[:i], values[i], *bare[i + 1 :]] for i in range(len(values)))]
    return next((trial for trial in trials if _broadcasts_to(trial, shape)), list(values))


def _unbroadcast(x: Value) -> Value:
    node = x.node
    inner = node.inputs[0] if node.inputs else None
    if node.op == "full" and x.ndim:
        return scalar(node.attrs["value"], x.dtype)
    if node.op == "broadcast_to" and inner is not None and not node.constraints:
        return _unbroadcast(inner)
    if node.op in ("reshape", "expand_dims") and inner is not None and not node.constraints:
        added = x.ndim - inner.ndim
        if added > 0 and tuple(x.shape) == (*(1,) * added, *inner.shape):
            return inner
    return x


def _broadcasts_to(values: Sequence[Value], shape: tuple[Dim, ...]) -> bool:
    with collecting() as assumed:
        return broadcast_shapes(*(tuple(value.shape) for value in values)) == shape and not assumed


def elementwise(op: Callable[..., Value]) -> Callable[..., Value]:
    """The rule of a primitive that is an elementwise op."""

    def rule(*operands: Value, **_: Any) -> Value:
        return op(*thin(operands, SCOPE.types[0].shape))

    return rule


def broadcast(x: Value, shape: tuple[Dim, ...], dimensions: Sequence[int]) -> Value:
    """Lay the axes of a value along `dimensions` of `shape` and repeat it along the others."""
    if x.node.op == "full" and not x.ndim:
        return ops.full(shape=shape, value=x.node.attrs["value"], dtype=x.dtype) if shape else x
    first = dimensions[0] if dimensions else len(shape)
    between = tuple(axis - first for axis in range(first, len(shape)) if axis not in dimensions)
    placed = ops.expand_dims(x, axis=between) if between else x
    if tuple(placed.shape) == shape:
        return placed
    if (*(1,) * first, *placed.shape) == shape:
        return ops.expand_dims(placed, axis=tuple(range(first)))
    return ops.broadcast_to(placed, shape=shape)


def spread_to(x: Value, shape: tuple[Dim, ...]) -> Value:
    """The value broadcast to a shape; itself where it has that shape."""
    return x if tuple(x.shape) == tuple(shape) else broadcast(x, shape, tuple(range(len(shape) - x.ndim, len(shape))))


def index_range(size: Dim, dtype: DType = DType.INT64) -> Value:
    """0, 1, 2 ... below a size."""
    return ops.arange(start=0, stop=size, dtype=dtype)


def along(x: Value, rank: int, axis: int) -> Value:
    """A vector laid along one axis of `rank` axes."""
    return ops.expand_dims(x, axis=tuple(a for a in range(rank) if a != axis)) if rank > 1 else x


def is_static(dims: Sequence[Dim]) -> bool:
    """Whether every size is known."""
    return not any(isinstance(dim, DimExpr) for dim in dims)
