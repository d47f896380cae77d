"""Lifting of TFLite's branches and loops: sub-graphs of the file become sub-graphs of the language."""

from __future__ import annotations

from kxchange import ops
from kxchange.graph import Graph, Value, placeholder
from kxchange_tensorflow.lift import SCOPE, Absent, LiftTable, refuse

lift = LiftTable("tflite")


def body(index: int, operands: tuple[Value, ...]) -> Graph:
    """A sub-graph of the file over inputs of the operands' types."""
    lifter = SCOPE.lifter
    if not 0 <= index < len(lifter.file.subgraphs):
        refuse(f"it runs sub-graph {index}, which the file does not have")
    if len(lifter.file.subgraphs[index].inputs) != len(operands):
        refuse(f"it gives sub-graph {index} {len(operands)} inputs")
    inputs = tuple(placeholder(f"x{place}", value.type) for place, value in enumerate(operands))
    before = lifter.op, lifter.operands, lifter.results
    outputs = lifter.run(index, inputs)
    lifter.op, lifter.operands, lifter.results = before
    if any(isinstance(output, Absent) for output in outputs):
        refuse("its sub-graph has operators without a lift")
    return closed(Graph(inputs, tuple(outputs)))


def closed(graph: Graph) -> Graph:
    """The graph itself, if it reads no parameter; loops of the language get weights as operands."""
    if any(node.op == "parameter" for node in graph.nodes()):
        refuse("its sub-graph reads weights of the file")
    return graph


@lift.rule("IF")
def _(predicate: Value, *operands: Value, first: int, second: int) -> tuple[Value, ...]:
    branches = (body(second, operands), body(first, operands))
    flag = ops.reshape(predicate, shape=()) if predicate.ndim else predicate
    found = ops.cond(flag, *operands, branches=branches)
    return found if isinstance(found, tuple) else (found,)


@lift.rule("WHILE")
def _(*operands: Value, first: int, second: int) -> tuple[Value, ...]:
    test, step = body(first, operands), body(second, operands)
    if test.outputs[0].ndim:
        test = Graph(test.inputs, (ops.reshape(test.outputs[0], shape=()),))
    found = ops.while_loop(*operands, cond=test, body=step, cond_consts=0, body_consts=0)
    return found if isinstance(found, tuple) else (found,)
