"""TensorFlow functions on symbolic tensors, as Keras 2 recorded them in a model's config."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kxchange import ops
from kxchange.dims import Dim, DimExpr
from kxchange.graph import Value
from kxchange.shapes import product
from kxchange.types import DType
from kxchange_keras.call import Call, cast
from kxchange_keras.lift_activation import activate
from kxchange_keras.lift_operations_indexing import picked
from kxchange_keras.lift_reshaping import resized
from kxchange_keras.promotion import axes_of, dtype_named, promoted, value_of
from kxchange_keras.registry import function


class Sizes:
    """A shape that the model computes with: its sizes are `dims`, not a tensor."""

    __slots__ = ("dims",)

    def __init__(self, dims: tuple[Dim, ...]) -> None:
        self.dims = dims


def _plain(item: Any) -> Any:
    """A single size as a dim; anything else as it is."""
    return item.dims[0] if isinstance(item, Sizes) and len(item.dims) == 1 else item


def _numbers(item: Any) -> tuple[Dim, ...] | None:
    """Dims of a shape argument, where it is made of sizes and numbers."""
    if isinstance(item, Sizes):
        return item.dims
    if isinstance(item, int | DimExpr):
        return (item,)
    listed = [_plain(part) for part in item] if isinstance(item, list | tuple) else [None]
    return tuple(listed) if all(isinstance(part, int | DimExpr) for part in listed) else None  # pyright: ignore[reportReturnType]


def _shape(call: Call, item: Any) -> tuple[Dim, ...]:
    found = _numbers(item)
    if found is None:
        call.refuse("its shape is computed from the data")
    return found


UNARY = {
    "abs": "abs",
    "acos": "acos",
    "asin": "asin",
    "atan": "atan",
    "ceil": "ceil",
    "cos": "cos",
    "cosh": "cosh",
    "erf": "erf",
    "exp": "exp",
    "expm1": "expm1",
    "floor": "floor",
    "is_nan": "isnan",
    "log": "log",
    "log1p": "log1p",
    "logical_not": "logical_not",
    "negative": "negative",
    "reciprocal": "reciprocal",
    "round": "round",
    "rsqrt": "rsqrt",
    "sigmoid": "sigmoid",
    "sign": "sign",
    "sin": "sin",
    "sinh": "sinh",
    "softplus": "softplus",
    "sqrt": "sqrt",
    "square": "square",
    "tan": "tan",
    "tanh": "tanh",
}
BINARY = {
    "add": "add",
    "subtract": "subtract",
    "multiply": "multiply",
    "truediv": "divide",
    "divide": "divide",
    "floordiv": "floor_divide",
    "floormod": "remainder",
    "maximum": "maximum",
    "minimum": "minimum",
    "pow": "pow",
    "equal": "equal",
    "not_equal": "not_equal",
    "greater": "greater",
    "greater_equal": "greater_equal",
    "less": "less",
    "less_equal": "less_equal",
    "logical_and": "logical_and",
    "logical_or": "logical_or",
    "atan2": "atan2",
}
OPERATORS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
    "and": "logical_and",
    "or": "logical_or",
    "radd": "add",
    "rmul": "multiply",
}
SWAPPED = {"rsub": "subtract", "rtruediv": "divide", "rpow": "pow", "rfloordiv": "floor_divide"}
REDUCTIONS = {
    "reduce_sum": "sum",
    "reduce_mean": "mean",
    "reduce_max": "max",
    "reduce_min": "min",
    "reduce_prod": "prod",
    "reduce_all": "all",
    "reduce_any": "any",
    "reduce_variance": "var",
    "reduce_logsumexp": "logsumexp",
}
ACTIVATIONS = {
    "relu": "relu",
    "relu6": "relu6",
    "elu": "elu",
    "selu": "selu",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "swish": "silu",
    "softplus": "softplus",
    "softsign": "softsign",
    "tanh": "tanh",
}


def _unary(op: Callable[..., Value]) -> Callable[..., Value]:
    return lambda call, x: op(value_of(call, _plain(x)))


def _swapped(op: Any) -> Any:
    """The rule of a binary operator with its operands the other way round."""
    rule = _binary(op)
    return lambda call, x, y: rule(call, y, x)


def _binary(op: str) -> Callable[..., Any]:
    def rule(call: Call, x: Any, y: Any) -> Any:
        x, y = _plain(x), _plain(y)
        if isinstance(x, int | DimExpr) and isinstance(y, int | DimExpr) and not isinstance(x, bool):
            return Sizes((_arithmetic(call, op, x, y),))
        return getattr(ops, op)(*promoted(call, x, y, floating=op == "divide"))

    return rule


def _arithmetic(call: Call, op: str, x: Dim, y: Dim) -> Dim:
    found = {"add": lambda: x + y, "subtract": lambda: x - y, "multiply": lambda: x * y}
    found |= {"floor_divide": lambda: x // y, "remainder": lambda: x % y}
    if op not in found:
        call.refuse(f"it computes {op} of two sizes")
    return found[op]()


def _reduction(op: str) -> Callable[..., Value]:
    def rule(call: Call, input_tensor: Any, axis: Any = None, keepdims: Any = False) -> Value:
        x = value_of(call, input_tensor)
        return getattr(ops, op)(x, axis=axes_of(axis, x.ndim), keepdims=bool(keepdims))

    return rule


def _activation(name: str) -> Callable[..., Value]:
    return lambda call, features: activate(call, features, name)


for _name, _op in UNARY.items():
    function(f"math.{_name}")(_unary(getattr(ops, _op)))
for _name, _op in BINARY.items():
    function(f"math.{_name}")(_binary(_op))
for _name, _op in OPERATORS.items():
    function(f"__operators__.{_name}")(_binary(_op))
for _name, _op in SWAPPED.items():
    function(f"__operators__.{_name}")(_swapped(_op))
for _name, _op in REDUCTIONS.items():
    function(f"math.{_name}")(_reduction(_op))
for _name, _text in ACTIVATIONS.items():
    function(f"nn.{_name}")(_activation(_text))


@function("nn.leaky_relu")
def _(call: Call, features: Value, alpha: float = 0.2) -> Value:
    return ops.leaky_relu(features, negative_slope=float(alpha))


@function("nn.gelu")
def _(call: Call, features: Value, approximate: bool = False) -> Value:
    return ops.gelu(features, approximate="tanh" if approximate else "none")


@function("nn.softmax", "nn.log_softmax")
def _(call: Call, logits: Value, axis: Any = None) -> Value:
    soft = ops.softmax if call.option("function") == "nn.softmax" else ops.log_softmax
    return soft(logits, axis=-1 if axis is None else int(axis))


@function("math.l2_normalize", "linalg.l2_normalize", "nn.l2_normalize")
def _(call: Call, x: Value, axis: Any = None, epsilon: float = 1e-12) -> Value:
    """The squared norm is clamped, not the norm (trap N06)."""
    power = ops.sum(ops.square(x), axis=axes_of(axis, x.ndim), keepdims=True)
    return ops.multiply(x, ops.rsqrt(ops.maximum(power, float(epsilon))))


@function("identity", "stop_gradient", "debugging.check_numerics", "convert_to_tensor")
def _(call: Call, x: Any, *ignored: Any, **others: Any) -> Any:
    return x


@function("cast")
def _(call: Call, x: Any, dtype: Any) -> Value:
    return cast(value_of(call, _plain(x)), dtype_named(call, dtype))


@function("shape", "compat.v1.shape")
def _(call: Call, input: Value, out_type: Any = None) -> Sizes:
    return Sizes(tuple(input.shape))


@function("__operators__.getitem")
def _(call: Call, x: Any, slice_spec: Any) -> Any:
    key = _key(slice_spec)
    if isinstance(x, Sizes):
        parts = key if isinstance(key, tuple) else (key,)
        found = x.dims[parts[0]]
        return Sizes(found if isinstance(found, tuple) else (found,))
    return picked(call, x, key)


def _key(item: Any) -> Any:
    """A key from its JSON: slices are written as dicts."""
    if isinstance(item, dict):
        return slice(*(_plain(item.get(part)) for part in ("start", "stop", "step")))
    if isinstance(item, list | tuple):
        return tuple(_key(part) for part in item)
    return Ellipsis if item == "..." else _plain(item)


@function("reshape")
def _(call: Call, tensor: Value, shape: Any) -> Value:
    return ops.reshape(tensor, shape=_shape(call, shape))


@function("transpose", "compat.v1.transpose")
def _(call: Call, a: Value, perm: Any = None, conjugate: bool = False) -> Value:
    return ops.permute_dims(a, axes=tuple(perm) if perm is not None else tuple(range(a.ndim))[::-1])


@function("expand_dims", "compat.v1.expand_dims")
def _(call: Call, input: Value, axis: int) -> Value:
    return ops.expand_dims(input, axis=(int(axis),))


@function("squeeze", "compat.v1.squeeze")
def _(call: Call, input: Value, axis: Any = None) -> Value:
    ones = tuple(i for i, size in enumerate(input.shape) if size == 1)
    return ops.squeeze(input, axis=ones if axis is None else axes_of(axis, input.ndim))


@function("concat")
def _(call: Call, values: list[Any], axis: int) -> Value:
    return ops.concat(*promoted(call, *values), axis=int(axis))


@function("stack")
def _(call: Call, values: list[Any], axis: int = 0) -> Any:
    dims = _numbers(values)
    return Sizes(dims) if dims is not None else ops.stack(*promoted(call, *values), axis=int(axis))


@function("unstack")
def _(call: Call, value: Value, num: Any = None, axis: int = 0) -> tuple[Value, ...]:
    axis %= value.ndim
    count = value.shape[axis]
    if not isinstance(count, int):
        call.refuse("it unstacks an axis of unknown size")
    parts = ops.split(value, sizes=(1,) * count, axis=axis)
    return tuple(ops.squeeze(part, axis=(axis,)) for part in (parts if isinstance(parts, tuple) else (parts,)))


@function("split")
def _(call: Call, value: Value, num_or_size_splits: Any, axis: int = 0) -> tuple[Value, ...]:
    axis, parts = axis % value.ndim, num_or_size_splits
    sizes = (value.shape[axis] // parts,) * parts if isinstance(parts, int) else tuple(parts)
    found = ops.split(value, sizes=sizes, axis=axis)
    return found if isinstance(found, tuple) else (found,)


@function("tile", "compat.v1.tile")
def _(call: Call, input: Value, multiples: Any) -> Value:
    return ops.tile(input, repetitions=_shape(call, multiples))


@function("broadcast_to")
def _(call: Call, input: Value, shape: Any) -> Value:
    return ops.broadcast_to(input, shape=_shape(call, shape))


@function("pad", "compat.v1.pad")
def _(call: Call, tensor: Value, paddings: Any, mode: str = "CONSTANT", constant_values: float = 0) -> Value:
    pairs = tuple(tuple(pair) for pair in paddings)
    return ops.pad(tensor, padding=pairs, mode=str(mode).lower(), value=float(constant_values))


@function("linalg.matmul")
def _(call: Call, a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Value:
    first, second = promoted(call, a, b)
    first = _flipped(first) if transpose_a else first
    return ops.matmul(first, _flipped(second) if transpose_b else second)


def _flipped(x: Value) -> Value:
    return ops.permute_dims(x, axes=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


@function("einsum")
def _(call: Call, equation: str, *inputs: Any) -> Value:
    from kxchange_keras.lift_core import spelled_out

    values = promoted(call, *inputs)
    return ops.einsum(*values, equation=spelled_out(equation, [value.ndim for value in values]))


@function("where", "compat.v1.where_v2")
def _(call: Call, condition: Value, x: Any = None, y: Any = None) -> Value:
    if x is None or y is None:
        call.refuse("it asks where a condition holds, which is as many places as the data says")
    return ops.where(condition, *promoted(call, x, y))


@function("clip_by_value")
def _(call: Call, t: Value, clip_value_min: Any, clip_value_max: Any) -> Value:
    return ops.clip(*promoted(call, t, clip_value_min, clip_value_max))


@function("zeros_like", "ones_like", "compat.v1.zeros_like", "compat.v1.ones_like")
def _(call: Call, input: Value, dtype: Any = None) -> Value:
    number = 1 if "ones" in str(call.option("function")) else 0
    kind = input.dtype if dtype is None else dtype_named(call, dtype)
    value: Any = float(number) if kind.is_floating else bool(number) if kind is DType.BOOL else number
    return ops.full(shape=input.shape, value=value, dtype=kind)


@function("gather", "compat.v1.gather")
def _(call: Call, params: Value, indices: Any, axis: Any = None, batch_dims: int = 0) -> Value:
    if batch_dims:
        call.refuse("it gathers with batch axes")
    return ops.take(params, value_of(call, indices), axis=int(axis or 0))


@function("one_hot")
def _(call: Call, indices: Value, depth: int, axis: Any = None) -> Value:
    return ops.one_hot(indices, depth=int(depth), axis=-1 if axis is None else int(axis), dtype=DType.FLOAT32)


@function("math.argmax", "math.argmin")
def _(call: Call, input: Value, axis: Any = None) -> Value:
    return (ops.argmax if call.option("function") == "math.argmax" else ops.argmin)(input, axis=int(axis or 0))


@function("image.resize", "compat.v1.image.resize")
def _(call: Call, images: Value, size: Any, method: str = "bilinear", antialias: bool = False) -> Value:
    return resized(call, images, _shape(call, size), str(method).lower(), -1, antialias=bool(antialias))


@function("nn.bias_add")
def _(call: Call, value: Value, bias: Value) -> Value:
    return ops.add(value, bias)


@function("nn.depth_to_space", "nn.space_to_depth")
def _(call: Call, input: Value, block_size: int) -> Value:
    move = ops.depth_to_space if "depth_to" in str(call.option("function")) else ops.space_to_depth
    return move(input, block_size=int(block_size), channel_axis=-1)


@function("size")
def _(call: Call, input: Value) -> Sizes:
    return Sizes((product(input.shape),))
