"""Lifting of branches and loops: they are the language's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Graph, Value, placeholder
from kxchange.types import TensorType
from kxchange_jax.lift import SCOPE, lift, number_of, refuse, scalar

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
    if test.outputs[0].ndim:  # a mapped loop: it goes on while one of many does, and those that are done stay
        test, body = _while_any(test), _where_going_on(test, body, cond_nconsts, body_nconsts)
        operands, body_nconsts = (*operands[:cond_nconsts], *operands), cond_nconsts + body_nconsts
    loop = ops.while_loop(*operands, cond=test, body=body, cond_consts=cond_nconsts, body_consts=body_nconsts)
    return as_tuple(loop)


def _while_any(test: Graph) -> Graph:
    """Whether the condition holds anywhere."""
    (held,) = test.outputs
    return Graph(test.inputs, (ops.any(held, axis=tuple(range(held.ndim))),))


def _where_going_on(test: Graph, body: Graph, cond_consts: int, body_consts: int) -> Graph:
    """The body, where the condition holds, and what was there elsewhere: its first constants are the condition's."""
    given = (*test.inputs[:cond_consts], *body.inputs)
    consts, carry = given[:cond_consts], given[cond_consts + body_consts :]
    (held,) = _inlined(test, (*consts, *carry))
    after = body.outputs
    return Graph(given, tuple(ops.where(_behind(held, x.ndim), x, was) for x, was in zip(after, carry, strict=True)))


def _behind(held: Value, rank: int) -> Value:
    """A condition with further axes of 1, up to `rank`."""
    return ops.expand_dims(held, axis=tuple(range(held.ndim, rank))) if held.ndim < rank else held


@lift.rule("cond")
def _(which: Value, *operands: Value, branches: Sequence[Any], **_: Any) -> Values:
    known = number_of(which)
    if isinstance(known, int):
        chosen = branches[min(max(int(known), 0), len(branches) - 1)]
        return tuple(cast("list[Value]", SCOPE.lifter.inline(chosen, operands)))
    graphs = [SCOPE.lifter.subgraph(branch) for branch in branches]
    if len(graphs) == 1:
        return SCOPE.lifter.inline(branches[0], operands)  # pyright: ignore[reportReturnType]
    if not graphs[0].outputs:
        return ()
    return choose(which, operands, graphs)


@lift.rule("platform_index")
def _(*, platforms: Sequence[Sequence[str] | None], **_: Any) -> Value:
    # What is written for one platform means the same on all of them.
    named = [position for position, names in enumerate(platforms) if names is None or "cpu" in names]
    if not named:
        refuse(f"it has no branch for the CPU, only for {', '.join(name for each in platforms for name in each or ())}")
    return scalar(named[0], SCOPE.types[0].dtype)


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
