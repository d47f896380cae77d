"""Lifting of TensorFlow's reductions, orderings and picks."""

from __future__ import annotations

from collections.abc import Callable

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_tensorflow import shaping_in
from kxchange_tensorflow.lift import LiftTable, integer, integers, number, refuse, scalar, sizes

lift = LiftTable("tensorflow")


def mean(x: Value, *, axis: tuple[int, ...], keepdims: bool) -> Value:
    """The mean; of integers cut towards zero, as TensorFlow does (trap I14)."""
    if not x.dtype.is_integer:
        return ops.mean(x, axis=axis, keepdims=keepdims)
    count = 1
    for place in axis:
        count = count * x.shape[place]
    return ops.truncated_divide(ops.sum(x, axis=axis, keepdims=keepdims), scalar(count, x))


def euclidean_norm(x: Value, *, axis: tuple[int, ...], keepdims: bool) -> Value:
    """The root of the sum of squares."""
    return ops.sqrt(ops.sum(ops.square(x), axis=axis, keepdims=keepdims))


def reduction(compute: Callable[..., Value]) -> Callable[..., Value]:
    """The rule of one reduction; no axes at all leave the tensor as it is."""

    def rule(x: Value, axes: Value, *, keep_dims: bool = False) -> Value:
        chosen = integers(axes)
        return compute(x, axis=chosen, keepdims=keep_dims) if chosen else x

    return rule


REDUCTIONS = {
    "Sum": ops.sum,
    "Prod": ops.prod,
    "Max": ops.max,
    "Min": ops.min,
    "Mean": mean,
    "All": ops.all,
    "Any": ops.any,
    "EuclideanNorm": euclidean_norm,
}
for _name, _compute in REDUCTIONS.items():
    lift.add(_name, reduction(_compute))


def position(find: Callable[..., Value]) -> Callable[..., Value]:
    """The rule of `argmax` or `argmin`."""

    def rule(x: Value, axis: Value, *, output_type: DType = DType.INT64) -> Value:
        found = find(x, axis=integer(axis))
        return found if output_type is DType.INT64 else ops.astype(found, dtype=output_type)

    return rule


lift.add("ArgMax", position(ops.argmax))
lift.add("ArgMin", position(ops.argmin))


@lift.rule("TopKV2")
def _(
    x: Value,
    k: Value,
    *,
    sorted: bool = True,
    index_type: DType = DType.INT32,
) -> tuple[Value, Value]:
    (count,) = sizes(k, "count")
    values, indices = ops.top_k(x, k=count, sorted=True)
    return values, ops.astype(indices, dtype=index_type)


@lift.rule("GatherV2", "ResourceGather")
def _(x: Value, indices: Value, axis: Value | None = None, *, batch_dims: int = 0) -> Value:
    return shaping_in.gather(x, indices, 0 if axis is None else integer(axis), batch_dims)


@lift.rule("Gather")
def _(x: Value, indices: Value) -> Value:
    return ops.take(x, indices, axis=0)


def check_policy(policy: str) -> None:
    """Indices outside are an error, as in the language, or left out, which is not lifted."""
    if policy not in ("", "DEFAULT", "ERROR"):
        refuse(f"it treats indices outside of the tensor as {policy!r}")


@lift.rule("GatherNd")
def _(x: Value, indices: Value, *, bad_indices_policy: str = "") -> Value:
    check_policy(bad_indices_policy)
    return ops.gather_nd(x, indices)


@lift.rule("OneHot")
def _(indices: Value, depth: Value, on: Value, off: Value, *, axis: int = -1) -> Value:
    return one_hot(indices, depth, on, off, axis)


def one_hot(indices: Value, depth: Value, on: Value, off: Value, axis: int) -> Value:
    """`on` where the position is the index, `off` elsewhere."""
    (count,) = sizes(depth, "depth")
    plain = ops.one_hot(indices, depth=count, axis=axis, dtype=DType.BOOL)
    return ops.where(plain, on, off)


@lift.rule("ScatterNd")
def _(indices: Value, updates: Value, shape: Value, *, bad_indices_policy: str = "") -> Value:
    check_policy(bad_indices_policy)
    zero = False if updates.dtype.is_bool else 0
    start = ops.full(shape=sizes(shape), value=zero, dtype=updates.dtype)
    return ops.scatter_nd(start, indices, updates, reduction="add")


def scattered(reduction: str, sign: int = 1) -> Callable[..., Value]:
    """The rule of one `TensorScatter...` operator."""

    def rule(x: Value, indices: Value, updates: Value, *, bad_indices_policy: str = "") -> Value:
        check_policy(bad_indices_policy)
        change = updates if sign > 0 else ops.negative(updates)
        return ops.scatter_nd(x, indices, change, reduction=reduction)

    return rule


lift.add("TensorScatterUpdate", scattered("set"))
lift.add("TensorScatterAdd", scattered("add"))
lift.add("TensorScatterSub", scattered("add", -1))
lift.add("TensorScatterMax", scattered("max"))
lift.add("TensorScatterMin", scattered("min"))


@lift.rule("Where")
def _(x: Value) -> Value:
    zero = x if x.dtype.is_bool else ops.not_equal(x, scalar(0, x))
    return ops.nonzero(zero)


@lift.rule("LowerBound", "UpperBound")
def _(sorted_inputs: Value, values: Value, *, out_type: DType = DType.INT32) -> Value:
    from kxchange_tensorflow.lift import SCOPE

    side = "left" if SCOPE.lifter.op == "LowerBound" else "right"
    return ops.astype(ops.searchsorted(sorted_inputs, values, side=side), dtype=out_type)


@lift.rule("LinSpace")
def _(start: Value, stop: Value, count: Value) -> Value:
    steps = number(count, "count")
    if not isinstance(steps, int) or steps < 1:
        refuse("its count is no known number")
    if steps == 1:
        return ops.reshape(start, shape=(1,))
    place = ops.arange(start=0, stop=steps, dtype=start.dtype)
    step = ops.divide(ops.subtract(stop, start), scalar(steps - 1, start))
    return ops.add(start, ops.multiply(place, step))
