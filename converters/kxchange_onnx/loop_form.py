"""Loops that count and carry their own condition, as they are read from ONNX: its Loop does both by itself."""

from __future__ import annotations

from dataclasses import dataclass

from kxchange.graph import Graph, Node, Value
from kxchange.types import DType


@dataclass(frozen=True, slots=True)
class LoopForm:
    """What an ONNX Loop does without a carried value.

    Attributes:
        flag: Number of the carried value that is the condition.
        step: Number of the one that counts the steps, if any; it must start at 0.
        limit: Number of the operand that the steps stay below, if any.
    """

    flag: int
    step: int | None
    limit: int | None


def loop_form(cond: Graph, body: Graph, cond_consts: int, body_consts: int) -> LoopForm | None:
    """The form of a loop that goes on while a carried flag says so, and perhaps a number of steps; None of others."""
    test = cond.outputs[0]
    carry = cond.inputs[cond_consts:]
    if test in carry:
        return LoopForm(carry.index(test), _counter(body, body_consts), None)
    if test.node.op != "logical_and":
        return None
    sides = test.node.inputs
    for flag, bound in (sides, sides[::-1]):
        limit = _below(bound, cond, cond_consts)
        if flag in carry and limit is not None and limit[0] == _counter(body, body_consts):
            return LoopForm(carry.index(flag), *limit)
    return None


def _below(bound: Value | None, cond: Graph, cond_consts: int) -> tuple[int, int] | None:
    """The carried value and the operand that it stays below."""
    if bound is None or bound.node.op != "less":
        return None
    step, limit = bound.node.inputs
    consts, carry = cond.inputs[:cond_consts], cond.inputs[cond_consts:]
    if step not in carry or limit not in consts:
        return None
    return carry.index(step), consts.index(limit)


def _counter(body: Graph, body_consts: int) -> int | None:
    """The carried value that becomes one more at each step."""
    for index, value in enumerate(body.inputs[body_consts:]):
        after = body.outputs[index].node
        if value.dtype is DType.INT64 and not value.shape and _adds_one(after, value):
            return index
    return None


def _adds_one(node: Node, value: Value) -> bool:
    if node.op != "add" or value not in node.inputs:
        return False
    others = [operand for operand in node.inputs if operand is not None and operand != value]
    return len(others) == 1 and others[0].node.op == "full" and others[0].node.attrs["value"] == 1
