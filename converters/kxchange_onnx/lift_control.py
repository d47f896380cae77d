"""If, Loop and Scan: sub-graphs become closed graphs of the language, what they capture becomes operands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Graph, Node, Value, placeholder, topological_order
from kxchange.shapes import normalize_axis
from kxchange.types import DType, TensorType
from kxchange_onnx.binding_in import Body
from kxchange_onnx.closing import captured, closed
from kxchange_onnx.emptiness import same_for_none
from kxchange_onnx.lift import SCOPE, Growing, Items, Rows, lift, refuse
from kxchange_onnx.operands_in import content, known
from kxchange_onnx.trip_count_in import carried_numbers, steps_of

Run = Callable[[list[Value]], tuple[list[Any], set[Node]]]
UNROLLED = 1024
"""Steps up to which a loop is written out where it cannot be an op: it builds sequences, or its values change shape."""


@lift.rule("If")
def _(condition: Value, *, then_branch: Body, else_branch: Body) -> tuple[Any, ...]:
    told = content(condition)
    if told is not None:
        chosen = then_branch if bool(told.reshape(())) else else_branch
        return tuple(SCOPE.lifter.body(chosen, ())[0])
    sides = [SCOPE.lifter.body(branch, ()) for branch in (else_branch, then_branch)]
    if any(not isinstance(result, Value) for results, _ in sides for result in results):
        known(condition, "condition, which chooses between sequences or optionals,")
    outputs = [_tensors(results, "a branch") for results, _ in sides]
    consts: dict[Value, None] = {}
    for results, (_, born) in zip(outputs, sides, strict=True):
        consts |= dict.fromkeys(captured(results, (), born))
    branches = [closed(results, (), list(consts)) for results in outputs]
    if same_for_none(condition, branches, list(consts)):
        return tuple(outputs[1])
    return _all(ops.cond(_flag(condition), *consts, branches=(branches[0], branches[1])))


def _all(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)


def _tensors(results: Sequence[Any], what: str) -> list[Value]:
    for result in results:
        if not isinstance(result, Value):
            return refuse(f"{what} gives a sequence or an optional, not a tensor")
    return list(results)


def _flag(condition: Value) -> Value:
    return ops.reshape(condition, shape=()) if condition.ndim else condition


@lift.rule("Loop")
def _(count: Value | None, condition: Value | None, *carried: Any, body: Body) -> tuple[Any, ...]:
    start = None if condition is None else content(condition)
    steps = None if count is None else content(count)
    if start is not None and not bool(start.reshape(())):
        steps = np.zeros((), dtype=np.int64)
    length: Dim | None = None if steps is None else steps.reshape(-1)[0]
    length = length if length is None or not isinstance(length, np.integer) else int(length)
    if isinstance(length, int) and length < 0:
        length = 0
    if any(not isinstance(value, Value) for value in carried):
        short = isinstance(length, int) and length <= UNROLLED
        if length is not None and not short and all(isinstance(v, Value) or v == Items(()) for v in carried):
            return _growing(body, carried, count, condition, length)
        return _unrolled(body, length, condition, carried, count)
    return _Loop(body, carried, count, condition, length).results()


def _growing(
    body: Body, carried: tuple[Any, ...], count: Value | None, condition: Value | None, length: Dim | None
) -> tuple[Any, ...]:
    """A loop that appends to sequences, an item at each step: the items are stacked."""
    values = tuple(value for value in carried if isinstance(value, Value))
    grows = [not isinstance(value, Value) for value in carried]

    def run(inputs: list[Value]) -> tuple[list[Any], set[Node]]:
        states = iter(inputs[2:])
        arguments = [Growing() if grow else next(states) for grow in grows]
        (going, *results), born = SCOPE.lifter.body(body, [*inputs[:2], *arguments])
        after = list(zip(grows, results, strict=False))
        items = [_appended(result) for grow, result in after if grow]
        return [going, *(result for grow, result in after if not grow), *items, *results[len(grows) :]], born

    results = _Loop(body, values, count, condition, length, run).results()
    plain, rest = iter(results[: len(values)]), list(results[len(values) :])
    ends = [Rows(rest.pop(0)) if grow else next(plain) for grow in grows]
    return (*ends, *rest)


def _appended(result: Any) -> Value:
    if isinstance(result, Growing) and isinstance(result.added, Value):
        return result.added
    return refuse("it carries a sequence that it does not append one item to at each step, over steps not known by now")


class _Loop:
    """One loop being lifted: as a `scan` where the number of steps is known, as a `while_loop` where it is not."""

    def __init__(
        self,
        body: Body,
        carried: tuple[Value, ...],
        count: Value | None,
        condition: Value | None,
        length: Dim | None,
        run: Run | None = None,
    ) -> None:
        self.body = body
        self.run = run
        self.carried = carried
        self.count = count
        self.condition = condition
        self.length = length
        self.step = placeholder("step", TensorType(DType.INT64, ()))
        self.flag = placeholder("condition", TensorType(DType.BOOL, ()))
        self.states = [placeholder(f"carried_{i}", value.type) for i, value in enumerate(carried)]
        self.inputs = [self.step, self.flag, *self.states]

    def results(self) -> tuple[Any, ...]:
        """The carried values at the end, then what was stacked."""
        results, born = SCOPE.lifter.body(self.body, self.inputs) if self.run is None else self.run(self.inputs)
        going, *outputs = _tensors(results, "the body")
        count = len(self.carried)
        if any(a.type != b.type for a, b in zip(self.carried, outputs[:count], strict=False)):
            if self.run is not None:
                return refuse("it builds a sequence, and its other carried values change their types")
            return _unrolled(self.body, self.length, self.condition, self.carried, self.count)
        steps = self._counted(going, outputs[:count])
        if steps is not None:
            self.length = steps
            return self._scan(outputs, born)
        endless = going == self.flag or _is_true(going)
        started = self.condition is None or _is_true(self.condition)
        if endless and started and self.length is not None:
            return self._scan(outputs, born)
        if len(outputs) > count:
            if endless and not started and self.condition is not None:
                known(self.condition, "condition")
            if endless and self.count is not None:
                known(self.count, "trip count")
            return refuse("it stacks values over a number of steps that only a run can tell")
        return self._while(going, outputs, born)

    def _counted(self, going: Value, after: list[Value]) -> Dim | None:
        """The number of steps where the condition does nothing but count."""
        numbers = carried_numbers(self.step, self.states, self.carried, after)
        return steps_of(going, self.condition, self.count, numbers)

    def _scan(self, outputs: list[Value], born: set[Node]) -> tuple[Any, ...]:
        assert self.length is not None
        read = set(topological_order(outputs))
        zero = ops.full(shape=(), value=0, dtype=DType.INT64)
        true = ops.full(shape=(), value=True, dtype=DType.BOOL)
        # The step counts up and the flag is always true: they are carried along where something asks.
        rows = [(self.step, zero, ops.add(self.step, 1)), (self.flag, true, self.flag)]
        rows = [row for row in rows if row[0].node in read]
        inputs = [*(inside for inside, _, _ in rows), *self.states]
        consts = captured(outputs, inputs, born)
        inner = closed([*(after for _, _, after in rows), *outputs], inputs, consts)
        results = ops.scan(
            *consts,
            *(start for _, start, _ in rows),
            *self.carried,
            body=inner,
            num_consts=len(consts),
            num_carry=len(rows) + len(self.carried),
            length=self.length,
        )
        return _all(results)[len(rows) :]

    def _while(self, going: Value, outputs: list[Value], born: set[Node]) -> tuple[Any, ...]:
        limits, own, starts, ahead = self._own(going, outputs)
        inputs = [*own, *self.states]
        consts = captured([going, *outputs], inputs, born)
        inner = closed([*ahead, *outputs], inputs, consts)
        bounds = [placeholder("limit", limit.type) for limit in limits]
        tests = [self.flag, *(ops.less(self.step, bound) for bound in bounds)]
        test = ops.logical_and(*tests) if bounds else self.flag
        results = ops.while_loop(
            *limits,
            *consts,
            *starts,
            *self.carried,
            cond=Graph((*bounds, *inputs), (test,)),
            body=inner,
            cond_consts=len(limits),
            body_consts=len(consts),
        )
        return _all(results)[len(own) :]

    def _own(self, going: Value, outputs: list[Value]) -> tuple[list[Value], list[Value], list[Value], list[Value]]:
        """The trip count, and what the loop carries for itself: the condition, and the step where anything asks.

        For each carried value the name inside, how it starts, and how it goes on.
        """
        true = ops.full(shape=(), value=True, dtype=DType.BOOL)
        start = true if self.condition is None else _flag(self.condition)
        if self.count is None and self.step.node not in set(topological_order([going, *outputs])):
            return [], [self.flag], [start], [going]
        limits = [] if self.count is None else [_flag(self.count)]
        zero = ops.full(shape=(), value=0, dtype=DType.INT64)
        return limits, [self.step, self.flag], [zero, start], [ops.add(self.step, 1), going]


def _is_true(value: Value) -> bool:
    told = content(value)
    return told is not None and told.dtype != object and bool(told.reshape(()))


def _unrolled(
    body: Body, length: Dim | None, condition: Value | None, carried: Sequence[Any], count: Value | None
) -> tuple[Any, ...]:
    """The loop written out step by step, for carried values that no op can carry."""
    if length is None and count is not None:
        known(count, "trip count")
    if not isinstance(length, int) or length > UNROLLED:
        return refuse(f"its carried values change their types, and its number of steps ({length}) is not known")
    flag: Any = ops.full(shape=(), value=True, dtype=DType.BOOL) if condition is None else condition
    state, stacked = list(carried), []
    for index in range(length):
        if not _is_true(flag):
            known(flag, "condition")
            break
        step = ops.full(shape=(), value=index, dtype=DType.INT64)
        (flag, *outputs), _ = SCOPE.lifter.body(body, [step, flag, *state])
        state = outputs[: len(carried)]
        stacked.append(outputs[len(carried) :])
    if not stacked and len(body.graph.output) > 1 + len(carried):
        return refuse("it takes no step, so what it stacks has no type")
    return (*state, *(ops.stack(*column, axis=0) for column in zip(*stacked, strict=True)))


@lift.rule("Scan")
def _(
    lengths: Value | None, *operands: Value, body: Body, directions: Sequence[int] | None, num_scan_inputs: int
) -> tuple[Any, ...]:
    """Version 8: a batch axis in front of everything."""
    if lengths is not None or (directions and any(directions)):
        return refuse("sequence lengths and directions of version 8 have no lift")
    count = len(operands) - num_scan_inputs
    size = operands[0].shape[0]
    if size != 1:
        return refuse(f"version 8 scans a batch of {size} independently; only one of 1 has a lift")
    single = [ops.squeeze(value, axis=(0,)) for value in operands]
    results = _scan(single[:count], single[count:], body)
    return tuple(ops.expand_dims(result, axis=(0,)) for result in results)


@lift.rule("Scan", since=9)
def _(
    *operands: Value,
    body: Body,
    num_scan_inputs: int,
    scan_input_axes: Sequence[int] | None,
    scan_input_directions: Sequence[int] | None,
    scan_output_axes: Sequence[int] | None,
    scan_output_directions: Sequence[int] | None,
) -> tuple[Any, ...]:
    count = len(operands) - num_scan_inputs
    axes = scan_input_axes or (0,) * num_scan_inputs
    flips = scan_input_directions or (0,) * num_scan_inputs
    series = [_forward(x, axis, flip) for x, axis, flip in zip(operands[count:], axes, flips, strict=True)]
    results = _scan(list(operands[:count]), series, body)
    stacked = results[count:]
    out_axes = scan_output_axes or (0,) * len(stacked)
    out_flips = scan_output_directions or (0,) * len(stacked)
    turned = [ops.flip(y, axis=(0,)) if flip else y for y, flip in zip(stacked, out_flips, strict=True)]
    return (*results[:count], *(_moved(y, 0, axis) for y, axis in zip(turned, out_axes, strict=True)))


def _forward(x: Value, axis: int, reverse: int) -> Value:
    """The steps in front, in the order in which they are taken."""
    first = _moved(x, axis, 0)
    return ops.flip(first, axis=(0,)) if reverse else first


def _moved(x: Value, source: int, target: int) -> Value:
    start, end = normalize_axis(source, x.ndim), normalize_axis(target, x.ndim)
    if start == end:
        return x
    order = [axis for axis in range(x.ndim) if axis != start]
    order.insert(end, start)
    return ops.permute_dims(x, axes=tuple(order))


def _scan(carry: list[Value], series: list[Value], body: Body) -> tuple[Any, ...]:
    states = [placeholder(f"carried_{i}", value.type) for i, value in enumerate(carry)]
    steps = [placeholder(f"element_{i}", x.type.with_shape(x.shape[1:])) for i, x in enumerate(series)]
    inputs = [*states, *steps]
    results, born = SCOPE.lifter.body(body, inputs)
    outputs = _tensors(results, "the body")
    consts = captured(outputs, inputs, born)
    inner = closed(outputs, inputs, consts)
    return _all(
        ops.scan(
            *consts,
            *carry,
            *series,
            body=inner,
            num_consts=len(consts),
            num_carry=len(carry),
            length=series[0].shape[0],
        )
    )
