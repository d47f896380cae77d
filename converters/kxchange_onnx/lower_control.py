"""Branches and loops: canonical op -> ONNX. Bodies read constants of the outer graph directly."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from kxchange.dims import Dim, compare_ge
from kxchange.graph import Graph
from kxchange.table import Table
from kxchange.types import DType, TensorType
from kxchange_onnx.dims_out import bind_symbols, scalar, vector
from kxchange_onnx.loop_form import LoopForm, loop_form
from kxchange_onnx.lowering import lower_graph
from kxchange_onnx.writing import CURRENT, Scope, constant, describe, emit, emit_many, nested, set_type, type_of

TABLE = Table("onnx")
FLAG = TensorType(DType.BOOL, ())
COUNT = TensorType(DType.INT64, ())
Compute = Callable[[], Sequence[ir.Value]]


def _input(name: str, type: TensorType) -> ir.Value:
    value = ir.Value(name=CURRENT.get().unique(name))
    set_type(value, type)
    bind_symbols(value, type)
    return value


def _input_like(value: ir.Value) -> ir.Value:
    return _input("carry", type_of(value))


def _body(
    scope: Scope, inputs: Sequence[ir.Value], results: Sequence[ir.Value], types: Sequence[TensorType]
) -> ir.Graph:
    """The ONNX graph of a scope; what it only passes on gets a node of its own, as ONNX demands."""
    outputs: list[ir.Value] = []
    inside = {id(node) for node in scope.nodes}
    for value, type in zip(results, types, strict=True):
        producer = value.producer()
        if producer is None or id(producer) not in inside or any(value is output for output in outputs):
            value = emit("Identity", value)
        if value.name is None:
            value.name = CURRENT.get().unique("result")
        if value.type is None:
            set_type(value, type)
        outputs.append(value)
    name = CURRENT.get().unique("body")
    for node in scope.nodes:
        describe(node, name)
    return ir.Graph(inputs, outputs, nodes=scope.nodes, name=name)


def _types(graph: Graph) -> list[TensorType]:
    return [value.type for value in graph.outputs]


@TABLE.rule("cond")
def _(predicate: ir.Value, *operands: ir.Value, branches: tuple[Graph, Graph]) -> tuple[ir.Value, ...]:
    graphs: list[ir.Graph] = []
    for branch in branches:
        with nested() as scope:
            graphs.append(_body(scope, [], lower_graph(branch, operands), _types(branch)))
    count = len(branches[1].outputs)
    return tuple(emit_many("If", count, predicate, then_branch=graphs[1], else_branch=graphs[0]))


@TABLE.rule("while_loop")
def _(*operands: ir.Value, cond: Graph, body: Graph, cond_consts: int, body_consts: int) -> tuple[ir.Value, ...]:
    first = cond_consts + body_consts
    test_values, step_values, carry = operands[:cond_consts], operands[cond_consts:first], operands[first:]
    form = loop_form(cond, body, cond_consts, body_consts)
    if form is not None and (form.step is None or _is_zero(carry[form.step])) and not _reads_own(form):
        return _conditional(form, test_values, step_values, carry, body)
    (start,) = lower_graph(cond, (*test_values, *carry))
    with nested() as scope:
        before = [_input_like(value) for value in carry]
        inputs = [_input("iteration", COUNT), _input("condition", FLAG), *before]
        after = lower_graph(body, (*step_values, *before))
        (again,) = lower_graph(cond, (*test_values, *after))
        loop = _body(scope, inputs, [again, *after], [FLAG, *_types(body)])
    return tuple(emit_many("Loop", len(carry), None, start, *carry, body=loop))


def _is_zero(start: ir.Value) -> bool:
    return start.const_value is not None and not start.const_value.numpy().any()


def _reads_own(form: LoopForm) -> bool:
    """Whether anything reads where the count or the condition ended: a Loop does not tell."""
    writer = CURRENT.get()
    return any(writer.node.outputs[index] in writer.read for index in (form.flag, form.step) if index is not None)


def _conditional(
    form: LoopForm,
    test_values: Sequence[ir.Value],
    step_values: Sequence[ir.Value],
    carry: Sequence[ir.Value],
    body: Graph,
) -> tuple[ir.Value, ...]:
    """A Loop that counts and tests by itself: what was read from one is written as it was."""
    kept = [index for index in range(len(carry)) if index not in (form.flag, form.step)]
    inner = Graph(body.inputs, tuple(body.outputs[index] for index in (form.flag, *kept)))
    with nested() as scope:
        inputs = [_input("iteration", COUNT), _input("condition", FLAG), *(_input_like(carry[i]) for i in kept)]
        own = dict(zip(kept, inputs[2:], strict=True)) | {form.flag: inputs[1]}
        if form.step is not None:
            own[form.step] = inputs[0]
        results = lower_graph(inner, (*step_values, *(own[index] for index in range(len(carry)))))
        loop = _body(scope, inputs, results, _types(inner))
    count = None if form.limit is None else test_values[form.limit]
    outputs = emit_many("Loop", len(kept), count, carry[form.flag], *(carry[index] for index in kept), body=loop)
    ends = dict(zip(kept, outputs, strict=True))
    return tuple(ends.get(index, start) for index, start in enumerate(carry))


@TABLE.rule("scan")
def _(
    *operands: ir.Value, body: Graph, num_consts: int, num_carry: int, reverse: bool, length: Dim
) -> tuple[ir.Value, ...]:
    first = num_consts + num_carry
    consts, carry, xs = operands[:num_consts], operands[num_consts:first], operands[first:]
    if not xs:
        return _counted(consts, carry, body, reverse, length)
    types = [*(type_of(value) for value in carry), *(value.type for value in body.outputs[num_carry:])]
    stacked = [type.with_shape((length, *type.shape)) for type in types[num_carry:]]
    return if_any_step(
        length,
        lambda: _scanned(consts, carry, xs, body, reverse),
        lambda: (*carry, *(filled(type, (0, *type.shape[1:])) for type in stacked)),
        [*types[:num_carry], *stacked],
    )


def if_any_step(length: Dim, steps: Compute, none: Compute, types: Sequence[TensorType]) -> tuple[ir.Value, ...]:
    """What a recurrence gives, or what it would give over nothing: ONNX Runtime fails there, or ends the process."""
    if length == 0:
        return tuple(none())
    if compare_ge(length, 1, CURRENT.get().ranges):
        return tuple(steps())
    graphs: list[ir.Graph] = []
    for compute in (steps, none):
        with nested() as scope:
            graphs.append(_body(scope, [], compute(), types))
    some = emit("Greater", scalar(length), constant(0))
    return tuple(emit_many("If", len(types), some, then_branch=graphs[0], else_branch=graphs[1]))


def filled(type: TensorType, shape: tuple[Dim, ...]) -> ir.Value:
    """Zeros of the element type."""
    return emit("ConstantOfShape", vector(shape), value=ir.tensor(np.zeros(1, type.dtype.numpy)))


def _scanned(
    consts: Sequence[ir.Value], carry: Sequence[ir.Value], xs: Sequence[ir.Value], body: Graph, reverse: bool
) -> tuple[ir.Value, ...]:
    num_carry = len(carry)
    with nested() as scope:
        before = [_input("carry", type_of(value)) for value in carry]
        elements = [_input("element", type_of(x).with_shape(type_of(x).shape[1:])) for x in xs]
        results = lower_graph(body, (*consts, *before, *elements))
        step = _body(scope, [*before, *elements], results, _types(body))
    produced = len(body.outputs) - num_carry
    backwards = {"scan_input_directions": (1,) * len(xs), "scan_output_directions": (1,) * produced or None}
    directions = backwards if reverse else {}
    count = len(body.outputs)
    return tuple(emit_many("Scan", count, *carry, *xs, body=step, num_scan_inputs=len(xs), **directions))


def _counted(
    consts: Sequence[ir.Value], carry: Sequence[ir.Value], body: Graph, reverse: bool, length: Dim
) -> tuple[ir.Value, ...]:
    """A scan over nothing: a loop of so many steps. What it stacks comes out in the order of the steps."""
    with nested() as scope:
        before = [_input("carry", type_of(value)) for value in carry]
        inputs = [_input("iteration", COUNT), _input("condition", FLAG), *before]
        results = lower_graph(body, (*consts, *before))
        step = _body(scope, inputs, [inputs[1], *results], [FLAG, *_types(body)])
    outputs = emit_many("Loop", len(body.outputs), scalar(length), None, *carry, body=step)
    if not reverse:
        return tuple(outputs)
    ends = constant([-1]), constant([-(2**63)]), constant([0]), constant([-1])
    return (*outputs[: len(carry)], *(emit("Slice", y, *ends) for y in outputs[len(carry) :]))
