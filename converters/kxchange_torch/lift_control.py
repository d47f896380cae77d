"""Branches and loops: sub-graphs become closed graphs of the language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kxchange import ops
from kxchange.graph import Graph, Value
from kxchange.types import DType
from kxchange_torch.lift import SCOPE, Number, lift, refuse
from kxchange_torch.lift_sizes import number_tensor
from kxchange_torch.lift_slicing import cut


def _tensors(args: Sequence[Any], what: str) -> list[Value]:
    """Arguments that can be carried: tensors only."""
    for argument in args:
        if not isinstance(argument, Value):
            return refuse(f"{what} is a number, not a tensor; use torch.tensor(...) for it")
    return list(args)


def _outputs(results: Any) -> tuple[Value, ...]:
    return results if isinstance(results, tuple) else (results,)


def _predicate(condition: Any) -> Value:
    if isinstance(condition, bool):
        return ops.full(shape=(), value=condition, dtype=DType.BOOL)
    value = number_tensor(condition, DType.BOOL) if isinstance(condition, Number) else condition
    return ops.reshape(value, shape=()) if value.ndim else value


@lift.rule("cond")
def _(condition: Any, when_true: Any, when_false: Any, operands: Sequence[Any]) -> tuple[Value, ...]:
    values = [operand for operand in operands if isinstance(operand, Value)]
    branches = SCOPE.lifter.subgraph(when_false, operands), SCOPE.lifter.subgraph(when_true, operands)
    return _outputs(ops.cond(_predicate(condition), *values, branches=branches))


def reordered(graph: Graph, carried: int) -> Graph:
    """Constants first, as the language has them; torch puts them last."""
    return Graph(graph.inputs[carried:] + graph.inputs[:carried], graph.outputs)


@lift.rule("while_loop")
def _(condition: Any, body: Any, carried: Sequence[Any], more: Sequence[Any]) -> tuple[Value, ...]:
    carry = _tensors(carried, "a carried value of the loop")
    consts = [value for value in more if isinstance(value, Value)]
    test = reordered(SCOPE.lifter.subgraph(condition, [*carry, *more]), len(carry))
    step = reordered(SCOPE.lifter.subgraph(body, [*carry, *more]), len(carry))
    results = ops.while_loop(
        *consts, *consts, *carry, cond=test, body=step, cond_consts=len(consts), body_consts=len(consts)
    )
    return _outputs(results)


@lift.rule("scan")
def _(body: Any, init: Sequence[Any], xs: Sequence[Any], more: Sequence[Any]) -> tuple[Value, ...]:
    carry, series = _tensors(init, "the start of the scan"), _tensors(xs, "a scanned value")
    consts = [value for value in more if isinstance(value, Value)]
    slices = [ops.take(x, ops.full(shape=(), value=0, dtype=DType.INT64), axis=0) for x in series]
    graph = reordered(SCOPE.lifter.subgraph(body, [*carry, *slices, *more]), len(carry) + len(series))
    results = ops.scan(
        *consts,
        *carry,
        *series,
        body=graph,
        num_consts=len(consts),
        num_carry=len(carry),
        reverse=False,
        length=series[0].shape[0],
    )
    return _outputs(results)


@lift.rule("map_impl")
def _(body: Any, xs: Sequence[Any], more: Sequence[Any]) -> tuple[Value, ...]:
    series = _tensors(xs, "a mapped value")
    consts = [value for value in more if isinstance(value, Value)]
    slices = [ops.take(x, ops.full(shape=(), value=0, dtype=DType.INT64), axis=0) for x in series]
    graph = reordered(SCOPE.lifter.subgraph(body, [*slices, *more]), len(series))
    results = ops.scan(
        *consts, *series, body=graph, num_consts=len(consts), num_carry=0, reverse=False, length=series[0].shape[0]
    )
    return _outputs(results)


@lift.rule("associative_scan")
def _(body: Any, xs: Sequence[Any], more: Sequence[Any]) -> tuple[Value, ...]:
    """One step after the other: the result of the first is the first element itself."""
    series = _tensors(xs, "a scanned value")
    consts = [value for value in more if isinstance(value, Value)]
    zero = ops.full(shape=(), value=0, dtype=DType.INT64)
    first = [ops.take(x, zero, axis=0) for x in series]
    step = reordered(SCOPE.lifter.subgraph(body, [*first, *first, *more]), 2 * len(series))
    graph = Graph(step.inputs, step.outputs + step.outputs)
    rest = [cut(x, 0, 1, None) for x in series]
    results = _outputs(
        ops.scan(
            *consts,
            *first,
            *rest,
            body=graph,
            num_consts=len(consts),
            num_carry=len(series),
            reverse=False,
            length=rest[0].shape[0],
        )
    )
    heads = [ops.expand_dims(x, axis=(0,)) for x in first]
    return tuple(ops.concat(h, t, axis=0) for h, t in zip(heads, results[len(series) :], strict=True))
