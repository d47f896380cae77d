"""Lifting of TensorFlow's branches, loops and lists of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kxchange import ops
from kxchange.graph import Graph, Node, Value, interpret, placeholder
from kxchange.spec import keep
from kxchange.types import DType
from kxchange_tensorflow.graph_proto import FunctionName
from kxchange_tensorflow.lift import SCOPE, Absent, LiftTable, refuse, scalar, sizes
from kxchange_tensorflow.lists_in import ListValue, Resource

lift = LiftTable("tensorflow")


def as_value(operand: Any) -> Value:
    """The tensor behind an operand of a branch or a loop."""
    if isinstance(operand, Resource):
        return operand.value
    if isinstance(operand, ListValue):
        return operand.value()
    if not isinstance(operand, Value):
        refuse("it takes something that is no tensor")
    return operand


def like(operand: Any, value: Value) -> Any:
    """A value as what the operand that it stands for is."""
    if isinstance(operand, Resource):
        return Resource(value)
    return operand.with_value(value) if isinstance(operand, ListValue) else value


def trace(function: str, operands: Sequence[Any]) -> tuple[tuple[Value, ...], tuple[Any, ...]]:
    """A function on inputs of its own: the inputs, one per operand that is a tensor, and the results."""
    inputs = [
        None if isinstance(operand, ListValue) and operand.stacked is None else placeholder(f"x{place}", _type(operand))
        for place, operand in enumerate(operands)
    ]
    given = [o if value is None else like(o, value) for o, value in zip(operands, inputs, strict=True)]
    results = SCOPE.lifter.function(function, given)
    if any(isinstance(result, Absent) for result in results):
        refuse("")
    return tuple(value for value in inputs if value is not None), results


def _type(operand: Any) -> Any:
    return as_value(operand).type


def close(graphs: Sequence[Graph]) -> tuple[list[Graph], list[Value]]:
    """The graphs with the weights that they read as inputs in front, and those weights."""
    leaves: dict[str, Value] = {}
    for graph in graphs:
        for node in graph.nodes():
            if node.op == "parameter":
                leaves.setdefault(str(node.attrs["name"]), Value(node))
    closed: list[Graph] = []
    for graph in graphs:
        own = {name: placeholder(f"p{place}", leaf.type) for place, (name, leaf) in enumerate(leaves.items())}

        def change(node: Node, operands: Sequence[Value | None], own: dict[str, Value] = own) -> Sequence[Value]:
            return (own[str(node.attrs["name"])],) if node.op == "parameter" else keep(node, tuple(operands))

        outputs = interpret(graph, graph.inputs, change)
        closed.append(Graph((*own.values(), *graph.inputs), outputs))
    return closed, list(leaves.values())


def as_tuple(found: Any) -> tuple[Value, ...]:
    """The results of an op with any number of them."""
    return found if isinstance(found, tuple) else (found,)


@lift.rule("If", "StatelessIf")
def _(predicate: Value, *operands: Any, then_branch: str, else_branch: str) -> tuple[Any, ...]:
    flag = predicate if predicate.dtype.is_bool else ops.not_equal(predicate, scalar(0, predicate))
    return branch(flag, operands, (else_branch, then_branch))


def branch(flag: Value, operands: Sequence[Any], names: tuple[str, str]) -> tuple[Any, ...]:
    """The results of the second function where the flag is set, of the first where it is not."""
    graphs: list[Graph] = []
    kinds: tuple[Any, ...] = ()
    for name in names:
        inputs, kinds = trace(name, operands)
        graphs.append(Graph(inputs, tuple(as_value(result) for result in kinds)))
    (first, second), weights = close(graphs)
    found = as_tuple(ops.cond(flag, *weights, *map(as_value, operands), branches=(first, second)))
    return tuple(like(kind, value) for kind, value in zip(kinds, found, strict=True))


@lift.rule("Case", "StatelessCase")
def _(index: Value, *operands: Any, branches: tuple[FunctionName, ...]) -> tuple[Any, ...]:
    names = [entry.name for entry in branches]
    if len(names) == 1:
        return tuple(SCOPE.lifter.function(names[0], operands))
    if len(names) == 2:
        return branch(ops.not_equal(index, scalar(0, index)), operands, (names[0], names[1]))
    return refuse(f"it has {len(names)} branches; one or two are lifted")


@lift.rule("While", "StatelessWhile")
def _(*operands: Any, cond: str, body: str) -> tuple[Any, ...]:
    settled = _with_shapes(body, operands)
    fixed = [place for place, operand in enumerate(settled) if isinstance(operand, Resource)]
    carried = [place for place in range(len(settled)) if place not in fixed]
    graphs: list[Graph] = []
    for name in (cond, body):
        inputs, results = trace(name, settled)
        kept = results if name is cond else [results[place] for place in carried]
        ordered = tuple(inputs[place] for place in (*fixed, *carried))
        graphs.append(Graph(ordered, tuple(as_value(result) for result in kept)))
    (test, step), weights = close(graphs)
    consts = [*weights, *(as_value(settled[place]) for place in fixed)]
    carry = [as_value(settled[place]) for place in carried]
    count = len(consts)
    found = as_tuple(
        ops.while_loop(*consts, *consts, *carry, cond=test, body=step, cond_consts=count, body_consts=count)
    )
    results = list(settled)
    for place, value in zip(carried, found, strict=True):
        results[place] = like(settled[place], value)
    return tuple(results)


def _with_shapes(body: str, operands: Sequence[Any]) -> list[Any]:
    """The operands with every list's elements of a known shape: that of what the body puts in."""
    settled = list(operands)
    if not any(isinstance(operand, ListValue) and operand.stacked is None for operand in operands):
        return settled
    _, results = trace(body, operands)
    for place, (operand, result) in enumerate(zip(operands, results, strict=True)):
        if isinstance(operand, ListValue) and operand.stacked is None:
            if not isinstance(result, ListValue) or result.stacked is None:
                refuse("it carries a list whose elements have no known shape")
            settled[place] = operand.of(result.type.shape[1:])
    return settled


@lift.rule("TensorListReserve")
def _(shape: Value, count: Value, *, element_dtype: DType, shape_type: Any = None) -> ListValue:
    (length,) = sizes(count, "count")
    empty = ListValue(length, element_dtype)
    content = SCOPE.knowledge.content(shape)
    if content is None or content.ndim == 0 or any(isinstance(d, int) and d < 0 for d in sizes(shape)):
        return empty
    return empty.of(sizes(shape))


@lift.rule("TensorListFromTensor")
def _(stacked: Value, shape: Value, *, element_dtype: DType, shape_type: Any = None) -> ListValue:
    return ListValue(stacked.shape[0], element_dtype, stacked)


@lift.rule("TensorListGetItem")
def _(items: ListValue, index: Value, shape: Value, *, element_dtype: DType) -> Value:
    return ops.take(items.value(), index, axis=0)


@lift.rule("TensorListSetItem")
def _(
    items: ListValue, index: Value, item: Value, *, element_dtype: DType, resize_if_index_out_of_bounds: bool = False
) -> ListValue:
    if resize_if_index_out_of_bounds:
        refuse("it lets a list grow")
    known = items.of(item.shape)
    start = ops.full(shape=(), value=0, dtype=index.dtype)
    placed = ops.dynamic_update_slice(known.value(), ops.expand_dims(item, axis=(0,)), index, *(start,) * item.ndim)
    return known.with_value(placed)


@lift.rule("TensorListStack")
def _(items: ListValue, shape: Value, *, element_dtype: DType, num_elements: int = -1) -> Value:
    return items.value()


@lift.rule("TensorListLength")
def _(items: ListValue) -> Value:
    return ops.full(shape=(), value=items.length, dtype=DType.INT32)
