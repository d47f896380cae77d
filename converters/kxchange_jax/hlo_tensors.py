"""StableHLO operations that make, move, combine and reduce tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kxchange import ops
from kxchange.dims import Dim, DimExpr
from kxchange.graph import Graph, Value, interpret, placeholder
from kxchange.spec import keep
from kxchange.types import DType, TensorType
from kxchange_jax import hlo_attributes as attributes
from kxchange_jax.hlo_elementwise import NAMED, primitive
from kxchange_jax.hlo_extremes import position_of_extreme
from kxchange_jax.hlo_in import assertion, current, hlo, inline_case, size_of
from kxchange_jax.lift import SCOPE, broadcast, elements_of, lift, number_of, refuse, scalar
from kxchange_jax.lift_control import as_tuple, choose
from kxchange_jax.lift_reduction import neutral

COMBINERS = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min", "and": "and", "or": "or"}
SCATTERS = {
    "": "scatter",
    "add": "scatter-add",
    "multiply": "scatter-mul",
    "minimum": "scatter-min",
    "maximum": "scatter-max",
}
IDENTITY_CALLS = ("Sharding", "annotate_device_placement", "mhlo.sharding")


def sizes_in(x: Value) -> tuple[Dim, ...]:
    """The sizes that a vector of integers holds.

    Raises:
        CaptureError: They depend on data.
    """
    found = elements_of(x)
    if found is None or not all(isinstance(size, int | DimExpr) for size in found):
        refuse("a shape depends on data")
    return tuple(found)


@hlo.rule("constant")
def _() -> Value:
    return current().constant(attributes.dense(current().operation))


@hlo.rule("get_dimension_size")
def _(x: Value) -> Value:
    return scalar(x.shape[attributes.integer(current().operation, "dimension")], DType.INT32)


@hlo.rule("iota", "dynamic_iota")
def _(*shape: Value) -> Value:
    reader = current()
    dtype = attributes.type_of(reader.operation.results[0].type).dtype
    sizes = sizes_in(shape[0]) if shape else reader.result_type().shape
    axis = attributes.integer(reader.operation, "iota_dimension")
    return lift.entries["iota"].rule(dtype=dtype.numpy, shape=sizes, dimension=axis)


@hlo.rule("broadcast_in_dim", "dynamic_broadcast_in_dim")
def _(x: Value, *shape: Value) -> Value:
    reader = current()
    sizes = sizes_in(shape[0]) if shape else reader.result_type(0, x).shape
    return broadcast(x, sizes, attributes.integers(reader.operation, "broadcast_dimensions"))


@hlo.rule("reshape", "dynamic_reshape")
def _(x: Value, *shape: Value) -> Value:
    sizes = sizes_in(shape[0]) if shape else current().result_type(0, x).shape
    return lift.entries["reshape"].rule(x, new_sizes=sizes)


@hlo.rule("transpose")
def _(x: Value) -> Value:
    return lift.entries["transpose"].rule(x, permutation=attributes.integers(current().operation, "permutation"))


@hlo.rule("concatenate")
def _(*xs: Value) -> Value:
    return lift.entries["concatenate"].rule(*xs, dimension=attributes.integer(current().operation, "dimension"))


@hlo.rule("reverse")
def _(x: Value) -> Value:
    return lift.entries["rev"].rule(x, dimensions=attributes.integers(current().operation, "dimensions"))


@hlo.rule("slice")
def _(x: Value) -> Value:
    op = current().operation
    starts, limits, steps = (attributes.integers(op, name) for name in ("start_indices", "limit_indices", "strides"))
    return lift.entries["slice"].rule(x, start_indices=starts, limit_indices=limits, strides=steps)


@hlo.rule("real_dynamic_slice")
def _(x: Value, starts: Value, limits: Value, strides: Value) -> Value:
    first, last, steps = elements_of(starts), elements_of(limits), sizes_in(strides)
    if first is not None and last is not None and all(isinstance(step, int) for step in steps):
        return lift.entries["slice"].rule(x, start_indices=tuple(first), limit_indices=tuple(last), strides=steps)
    parts = [part for part in limits.node.inputs if part is not None] if limits.node.op == "add" else []
    lengths = next((elements_of(part) for part in parts if part != starts), None)
    if lengths is None or starts not in parts or any(step != 1 for step in steps):
        refuse("the length of the slice depends on data")
    columns = [ops.squeeze(c, axis=(0,)) for c in as_tuple(ops.split(starts, sizes=(1,) * x.ndim, axis=0))]
    return ops.dynamic_slice(x, *columns, sizes=tuple(lengths))


@hlo.rule("dynamic_slice")
def _(x: Value, *starts: Value) -> Value:
    sizes = attributes.integers(current().operation, "slice_sizes")
    return lift.entries["dynamic_slice"].rule(x, *starts, slice_sizes=sizes)


@hlo.rule("dynamic_update_slice")
def _(x: Value, update: Value, *starts: Value) -> Value:
    return ops.dynamic_update_slice(x, update, *starts)


@hlo.rule("pad")
def _(x: Value, filler: Value) -> Value:
    names = ("edge_padding_low", "edge_padding_high", "interior_padding")
    parts = [attributes.integers(current().operation, name) for name in names]
    return lift.entries["pad"].rule(x, filler, padding_config=tuple(zip(*parts, strict=True)))


@hlo.rule("dynamic_pad")
def _(x: Value, filler: Value, low: Value, high: Value, interior: Value) -> Value:
    config = tuple(zip(*map(sizes_in, (low, high, interior)), strict=True))
    return lift.entries["pad"].rule(x, filler, padding_config=config)


@hlo.rule("dot_general")
def _(x1: Value, x2: Value) -> Value:
    numbers = attributes.dot_numbers(current().operation)
    (inner1, inner2), (batch1, batch2) = numbers
    free1 = [size for axis, size in enumerate(x1.shape) if axis not in (*inner1, *batch1)]
    free2 = [size for axis, size in enumerate(x2.shape) if axis not in (*inner2, *batch2)]
    dtype = attributes.type_of(current().operation.results[0].type).dtype
    SCOPE.types = (TensorType(dtype, (*(x1.shape[axis] for axis in batch1), *free1, *free2)),)
    return lift.entries["dot_general"].rule(x1, x2, dimension_numbers=numbers)


@hlo.rule("convolution")
def _(x: Value, kernel: Value) -> Value:
    op = current().operation
    count = x.ndim - 2
    if any(attributes.integers(op, "window_reversal", (0,) * count)):
        refuse("a convolution with a reversed kernel is not read")
    dtype = attributes.type_of(op.results[0].type).dtype
    SCOPE.types = (TensorType(dtype, tuple(x.shape)),)
    return lift.entries["conv_general_dilated"].rule(
        x,
        kernel,
        window_strides=attributes.integers(op, "window_strides", (1,) * count),
        padding=attributes.pads(op, "padding", count),
        lhs_dilation=attributes.integers(op, "lhs_dilation", (1,) * count),
        rhs_dilation=attributes.integers(op, "rhs_dilation", (1,) * count),
        dimension_numbers=attributes.conv_numbers(op),
        feature_group_count=attributes.integer(op, "feature_group_count"),
        batch_group_count=attributes.integer(op, "batch_group_count"),
    )


@hlo.rule("gather", "dynamic_gather")
def _(x: Value, indices: Value, *sizes: Value) -> Value:
    op = current().operation
    numbers = attributes.gather_numbers(op)
    window = sizes_in(sizes[0]) if sizes else attributes.integers(op, "slice_sizes")
    indices = _with_vectors(indices, numbers.index_vector_dim)
    dropped = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    kept = iter(size for axis, size in enumerate(window) if axis not in dropped)
    rows = iter(indices.shape[:-1])
    rank = len(numbers.offset_dims) + indices.ndim - 1
    shape = tuple(next(kept) if axis in numbers.offset_dims else next(rows) for axis in range(rank))
    SCOPE.types = (TensorType(x.dtype, shape),)
    mode = attributes.SimpleNamespace(name="CLIP")
    return lift.entries["gather"].rule(
        x, indices, dimension_numbers=numbers, slice_sizes=window, mode=mode, fill_value=None
    )


def _with_vectors(indices: Value, axis: int) -> Value:
    """Index tuples along the last axis."""
    if axis == indices.ndim:
        return ops.expand_dims(indices, axis=(axis,))
    if axis != indices.ndim - 1:
        refuse("index tuples that do not lie along the last axis are not read")
    return indices


@hlo.rule("scatter")
def _(x: Value, indices: Value, updates: Value) -> Value:
    op = current().operation
    numbers = attributes.scatter_numbers(op)
    name = _combiner(op)
    if name is None or name not in SCATTERS:
        refuse("it combines with a function of its own")
    SCOPE.types = (TensorType(x.dtype, tuple(x.shape)),)
    return lift.entries[SCATTERS[name]].rule(
        x,
        _with_vectors(indices, numbers.index_vector_dim),
        updates,
        dimension_numbers=numbers,
        mode=attributes.SimpleNamespace(name="FILL_OR_DROP"),
        update_jaxpr=None,
    )


def _combiner(op: Any) -> str | None:
    """The operation of a region of two scalars; empty where it gives the second; None for anything else."""
    block = op.regions[0].blocks[0]
    body = list(block.operations)
    arguments, returned = list(block.arguments), list(body[-1].operands)
    if len(arguments) != 2 or len(returned) != 1:
        return None
    if len(body) == 1:
        return "" if returned[0] == arguments[1] else None
    only = body[0]
    plain = len(body) == 2 and set(only.operands) == set(arguments) and returned[0] == only.results[0]
    return only.operation.name.removeprefix("stablehlo.") if plain else None


@hlo.rule("reduce")
def _(*operands: Value) -> Any:
    op = current().operation
    axes = attributes.integers(op, "dimensions")
    if len(operands) == 4 and len(axes) == 1:
        return position_of_extreme(operands, axes[0])
    if len(operands) != 2:
        refuse("a reduction of several tensors at once is read where it is the place of the largest or smallest")
    x, initial = operands
    kind = COMBINERS.get(_combiner(op) or "")
    if kind is None or (kind in ("and", "or") and not x.dtype.is_bool):
        refuse("it combines with a function of its own")
    start = {"sum": 0, "prod": 1, "and": True, "or": False}
    wanted = start[kind] if kind in start else neutral(x.dtype, largest=kind == "min")
    if number_of(initial) != wanted:
        refuse("it starts from another number than the neutral one")
    return lift.entries[f"reduce_{kind}"].rule(x, axes=axes)


@hlo.rule("reduce_window")
def _(*operands: Value) -> Value:
    op = current().operation
    kind = COMBINERS.get(_combiner(op) or "") if len(operands) == 2 else None
    if kind not in ("sum", "max", "min"):
        refuse("it combines with a function of its own")
    x, initial = operands
    if number_of(initial) != (0 if kind == "sum" else neutral(x.dtype, largest=kind == "min")):
        refuse("it starts from another number than the neutral one")
    ones = (1,) * x.ndim
    return lift.entries[f"reduce_window_{kind}"].rule(
        x,
        window_dimensions=attributes.integers(op, "window_dimensions"),
        window_strides=attributes.integers(op, "window_strides", ones),
        padding=attributes.pads(op, "padding", x.ndim),
        base_dilation=attributes.integers(op, "base_dilations", ones),
        window_dilation=attributes.integers(op, "window_dilations", ones),
    )


@hlo.rule("while")
def _(*carry: Value) -> Any:
    reader = current()
    types = [TensorType(x.dtype, tuple(x.shape)) for x in carry]
    test, tested = reader.region(0, types)
    body, stepped = reader.region(1, types)
    return ops.while_loop(
        *tested, *stepped, *carry, cond=test, body=body, cond_consts=len(tested), body_consts=len(stepped)
    )


@hlo.rule("case", "if")
def _(which: Value) -> Any:
    reader = current()
    known = size_of(which)
    if known is not None and (taken := inline_case(known)) is not None:
        return taken
    found = [reader.region(index, []) for index in range(len(reader.operation.regions))]
    if reader.operation.operation.name == "stablehlo.if":
        found = found[::-1]  # of an `if` the first region is for true
    elif not which.dtype.is_bool:  # beyond the branches the last one is taken, below them, too
        which = ops.where(ops.less(which, 0), len(found) - 1, which)
    read = list(dict.fromkeys(value for _, values in found for value in values))
    return choose(which, read, [_reading(graph, values, read) for graph, values in found])


def _reading(graph: Graph, values: Sequence[Value], read: Sequence[Value]) -> Graph:
    """The same branch with inputs for everything that any branch reads."""
    inputs = [placeholder(f"x{i}", TensorType(x.dtype, tuple(x.shape))) for i, x in enumerate(read)]
    own = tuple(inputs[read.index(value)] for value in values)
    return Graph(tuple(inputs), interpret(graph, own, lambda node, operands: keep(node, tuple(operands))))


@hlo.rule("func.call")
def _(*operands: Value) -> list[Value]:
    reader = current()
    return reader.call(attributes.text(reader.operation, "callee"), operands)


@hlo.rule("composite")
def _(*operands: Value) -> Any:
    reader = current()
    name = attributes.text(reader.operation, "name").removeprefix("chlo.")
    if name in NAMED and len(operands) == 1:
        return primitive(name, *operands)
    return reader.call(attributes.text(reader.operation, "decomposition"), operands)


@hlo.rule("custom_call")
def _(*operands: Value) -> Any:
    name = attributes.text(current().operation, "call_target_name")
    short = name.removeprefix("mhlo.").removeprefix("chlo.")
    if name == "shape_assertion":
        assertion(operands[0])
        return []
    if name in IDENTITY_CALLS:
        return operands[0]
    if short not in NAMED or len(operands) != 1:
        refuse(f"the custom call {name!r} is code outside of the module, which is never run")
    return primitive(short, *operands)


@hlo.rule("sort")
def _(*operands: Value) -> Any:
    op = current().operation
    if not _is_ascending(op, len(operands)):
        refuse("it sorts by a function of its own")
    axis = attributes.integer(op, "dimension")
    return lift.entries["sort"].rule(*operands, dimension=axis % max(operands[0].ndim, 1), num_keys=1)


def _is_ascending(op: Any, count: int) -> bool:
    """Whether a comparator says that the first operand's left element is less than its right one.

    JAX makes -0 and NaN alike first; that changes no order of ours, in which they are equal to 0 and last.
    """
    block = op.regions[0].blocks[0]
    body = list(block.operations)
    compared, side = body[-1].operands[0].owner, {block.arguments[0]: 0, block.arguments[1]: 1}
    allowed = {"stablehlo.compare", "stablehlo.select", "stablehlo.constant"}
    if len(block.arguments) != 2 * count or any(o.operation.name not in allowed for o in body[:-1]):
        return False
    for item in body[:-1]:
        sides = {side[operand] for operand in item.operands if operand in side}
        if item.operation == compared:
            direction = attributes.keyword(item, "comparison_direction")
            return direction == "LT" and [side.get(operand) for operand in item.operands] == [0, 1]
        if len(sides) > 1 or any(o not in side and o.owner.name != "stablehlo.constant" for o in item.operands):
            return False
        if sides:
            side[item.results[0]] = sides.pop()
    return False
