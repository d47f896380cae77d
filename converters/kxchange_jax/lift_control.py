"""Lifting of branches and loops: they are the language's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Graph, Value, placeholder
from kxchange.types import TensorType
from kxchange_jax.lift import SCOPE, lift

Values = tuple[Value, ...]


def as_tuple(results: Any) -> Values:
    """The outputs of an op, one or several."""
    return results if isinstance(results, tuple) else (results,)


@lift.rule("scan")
def _(
    *operands: Value, jaxpr: Any, num_consts: int, num_carry: int, length: Dim, reverse: bool = False, **_: Any
) -> Values:
    body = SCOPE.lifter.subgraph(jaxpr)
    if not body.outputs:
        return ()
    counts = {"num_consts": num_consts, "num_carry": num_carry, "reverse": bool(reverse), "length": length}
    return as_tuple(ops.scan(*operands, body=body, **counts))


@lift.rule("while")
def _(*operands: Value, cond_jaxpr: Any, body_jaxpr: Any, cond_nconsts: int, body_nconsts: int, **_: Any) -> Values:
    test, body = SCOPE.lifter.subgraph(cond_jaxpr), SCOPE.lifter.subgraph(body_jaxpr)
    loop = ops.while_loop(*operands, cond=test, body=body, cond_consts=cond_nconsts, body_consts=body_nconsts)
    return as_tuple(loop)


@lift.rule("cond")
def _(which: Value, *operands: Value, branches: Sequence[Any], **_: Any) -> Values:
    graphs = [SCOPE.lifter.subgraph(branch) for branch in branches]
    if len(graphs) == 1:
        return SCOPE.lifter.inline(branches[0], operands)  # pyright: ignore[reportReturnType]
    if not graphs[0].outputs:
        return ()
    return choose(which, operands, graphs)


def choose(which: Value, operands: Sequence[Value], graphs: Sequence[Graph]) -> Values:
    """The first branch where `which` is 0 or less, else one of the others."""
    if len(graphs) == 2:
        return as_tuple(ops.cond(_is_positive(which), *operands, branches=(graphs[0], graphs[1])))
    types = [TensorType(value.dtype, tuple(value.shape)) for value in (which, *operands)]
    outer = [placeholder(f"x{position}", type) for position, type in enumerate(types)]
    first = Graph(tuple(outer), _inlined(graphs[0], outer[1:]))
    inner = [placeholder(f"x{position}", type) for position, type in enumerate(types)]
    rest = Graph(tuple(inner), choose(ops.subtract(inner[0], 1), inner[1:], graphs[1:]))
    return as_tuple(ops.cond(_is_positive(which), which, *operands, branches=(first, rest)))


def _is_positive(which: Value) -> Value:
    """Whether an index is above 0; the boolean it was made from, if it was."""
    if which.dtype.is_bool:
        return which
    node = which.node
    if node.op == "astype" and node.inputs[0] is not None and node.inputs[0].dtype.is_bool:
        return node.inputs[0]
    return ops.greater(which, 0)


def _inlined(graph: Graph, args: Sequence[Value]) -> Values:
    from kxchange.graph import interpret
    from kxchange.spec import keep

    return interpret(graph, tuple(args), lambda node, values: keep(node, tuple(values)))
