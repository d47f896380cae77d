"""Branches and loops over closed sub-graphs: cond, while_loop, scan. They map one to one on JAX's.

A sub-graph reads nothing but its inputs; its dims are symbols of the model around it. Carried values keep their types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from kxchange.dims import Dim
from kxchange.errors import TypeInferenceError
from kxchange.graph import Graph
from kxchange.ops.operands import require_rank
from kxchange.shapes import require_at_least, require_equal
from kxchange.spec import Tensor, op
from kxchange.types import TensorType

if TYPE_CHECKING:
    from kxchange.reference import BoundGraph

Types = Sequence[TensorType]


def _bound(graph: Any) -> BoundGraph:
    """A sub-graph as something to call on arrays; the runner binds the dims around it, a direct call has none."""
    from kxchange.reference import BoundGraph  # imports the registry that this module fills

    return BoundGraph(graph, {}) if isinstance(graph, Graph) else cast("BoundGraph", graph)


def _check_call(graph: Graph, operands: Types, who: str) -> None:
    """Demand that a sub-graph takes these operands."""
    if len(graph.inputs) != len(operands):
        raise TypeInferenceError(f"{who} takes {len(graph.inputs)} values and gets {len(operands)}.")
    for position, (value, operand) in enumerate(zip(graph.inputs, operands, strict=True)):
        _check_same(value.type, operand, f"input {position} of {who}")


def _check_same(wanted: TensorType, given: TensorType, who: str) -> None:
    if wanted.dtype is not given.dtype or wanted.rank != given.rank:
        raise TypeInferenceError(f"{who} is {wanted}, not {given}.")
    for axis, (a, b) in enumerate(zip(wanted.shape, given.shape, strict=True)):
        require_equal(a, b, f"{who} differs on axis {axis}")


def _check_predicate(type: TensorType, who: str) -> None:
    if not type.dtype.is_bool or type.rank:
        raise TypeInferenceError(f"{who} must be bool[], not {type}.")


def _check_carry(body: Graph, consts: int, count: int) -> None:
    """Demand that the body returns what it carries in the very types it takes; nothing is left to run time here."""
    for position in range(count):
        before, after = body.inputs[consts + position].type, body.outputs[position].type
        if before != after:
            raise TypeInferenceError(f"carried value {position} is {before} before the body and {after} after it.")


def _outputs(graph: Graph) -> tuple[TensorType, ...]:
    return tuple(value.type for value in graph.outputs)


@op(alike=(), widen=False)
def cond(predicate: Tensor, /, *operands: Tensor, branches: tuple[Graph, Graph]) -> tuple[Tensor, ...]:
    """One of two sub-graphs, chosen by a bool: ``branches[1]`` where it is true, ``branches[0]`` where it is false.

    Args:
        predicate: bool[].
        *operands: What both branches take.
        branches: The false and the true one, with equal input and output types.

    Returns:
        The outputs of the chosen branch.
    """
    return _bound(branches[1] if predicate else branches[0])(*operands)


@cond.infer
def _(predicate: TensorType, /, *operands: TensorType, branches: tuple[Graph, Graph]) -> tuple[TensorType, ...]:
    _check_predicate(predicate, "the predicate")
    if len(branches) != 2:
        raise TypeInferenceError(f"cond has 2 branches, (false, true), not {len(branches)}.")
    for name, branch in zip(("the false branch", "the true branch"), branches, strict=True):
        _check_call(branch, operands, name)
    otherwise, then = map(_outputs, branches)
    if len(then) != len(otherwise):
        raise TypeInferenceError(f"the branches have {len(otherwise)} and {len(then)} outputs.")
    for position, (a, b) in enumerate(zip(then, otherwise, strict=True)):
        _check_same(a, b, f"output {position} of the branches")
    return then


@op(alike=(), widen=False)
def while_loop(*operands: Tensor, cond: Graph, body: Graph, cond_consts: int, body_consts: int) -> tuple[Tensor, ...]:
    """Carried values, put through `body` for as long as `cond` of them is true; perhaps never.

    Args:
        *operands: Constants of `cond`, constants of `body`, then the carried values.
        cond: (constants..., carry...) -> bool[].
        body: (constants..., carry...) -> carry..., with the types of the operands.
        cond_consts: Number of constants of `cond`.
        body_consts: Number of constants of `body`.

    Returns:
        The carried values when `cond` is false.
    """
    first = cond_consts + body_consts
    cond_values, body_values, carry = operands[:cond_consts], operands[cond_consts:first], operands[first:]
    test, step = _bound(cond), _bound(body)
    while test(*cond_values, *carry)[0]:
        carry = step(*body_values, *carry)
    return tuple(carry)


@while_loop.infer
def _(*operands: TensorType, cond: Graph, body: Graph, cond_consts: int, body_consts: int) -> tuple[TensorType, ...]:
    first = cond_consts + body_consts
    if min(cond_consts, body_consts) < 0 or first >= len(operands):
        raise TypeInferenceError(f"there are {len(operands)} operands for {first} constants and a carry.")
    carry = operands[first:]
    _check_call(cond, (*operands[:cond_consts], *carry), "the condition")
    _check_call(body, (*operands[cond_consts:first], *carry), "the body")
    if len(cond.outputs) != 1:
        raise TypeInferenceError(f"the condition has {len(cond.outputs)} outputs, not 1.")
    _check_predicate(cond.outputs[0].type, "the condition's output")
    if len(body.outputs) != len(carry):
        raise TypeInferenceError(f"the body returns {len(body.outputs)} values for {len(carry)} carried ones.")
    _check_carry(body, body_consts, len(carry))
    return carry


@op(alike=(), widen=False)
def scan(
    *operands: Tensor, body: Graph, num_consts: int, num_carry: int, reverse: bool = False, length: Dim
) -> tuple[Tensor, ...]:
    """A loop over axis 0 of some operands that carries values along and stacks others.

    Args:
        *operands: Constants, initial carried values, then xs [length, ...].
        body: (constants..., carry..., x_t...) -> (carry..., y_t...), the carry with the types of the operands.
        num_consts: Number of constants.
        num_carry: Number of carried values.
        reverse: From the last position to the first; ys stand at the positions of their xs.
        length: Number of steps; with 0 the carry is as it came and ys are empty.

    Returns:
        The carried values at the end, then ys [length, ...].
    """
    first = num_consts + num_carry
    consts, carry, xs = operands[:num_consts], operands[num_consts:first], operands[first:]
    step = _bound(body)
    elements = [np.empty(x.shape[1:], x.dtype) for x in xs]
    types = step.output_types(*consts, *carry, *elements)[num_carry:]
    ys = [np.empty((length, *shape), dtype) for dtype, shape in types]
    for position in reversed(range(length)) if reverse else range(length):
        results = step(*consts, *carry, *(x[position, ...] for x in xs))
        carry = results[:num_carry]
        for y, result in zip(ys, results[num_carry:], strict=True):
            y[position] = result
    return (*carry, *ys)


@scan.infer
def _(
    *operands: TensorType, body: Graph, num_consts: int, num_carry: int, reverse: bool, length: Dim
) -> tuple[TensorType, ...]:
    first = num_consts + num_carry
    if min(num_consts, num_carry) < 0 or first > len(operands):
        raise TypeInferenceError(f"there are {len(operands)} operands for {first} constants and carried values.")
    require_at_least(length, 0, "length is negative")
    elements = tuple(_element(x, length, position) for position, x in enumerate(operands[first:]))
    _check_call(body, (*operands[:first], *elements), "the body")
    carry = operands[num_consts:first]
    outputs = _outputs(body)
    if len(outputs) < num_carry:
        raise TypeInferenceError(f"the body returns {len(outputs)} values for {num_carry} carried ones.")
    _check_carry(body, num_consts, num_carry)
    return (*carry, *(y.with_shape((length, *y.shape)) for y in outputs[num_carry:]))


def _element(x: TensorType, length: Dim, position: int) -> TensorType:
    if x.rank == 0:
        require_rank(x, f"scanned operand {position}", 1)
    require_equal(x.shape[0], length, f"scanned operand {position} is not as long as the loop")
    return x.with_shape(x.shape[1:])
