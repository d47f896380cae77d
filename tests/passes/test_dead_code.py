"""What nothing reads goes if it is a constant or an operand of a loop; what belongs to the model stays."""

from __future__ import annotations

import numpy as np

from kxchange import ops
from kxchange.graph import Graph, Value
from kxchange.model import Function, Model, Parameter, Role
from kxchange.passes.dead_code import drop_unread_operands, remove_dead_code
from tests.passes.graphs import assert_same, graph, loop, node, tensor, weight


def entry(name: str, role: Role, **options: str) -> Parameter:
    return Parameter(name, np.zeros(3, np.float32), role=role, **options)  # pyright: ignore


def test_only_constants_that_nothing_reads_go() -> None:
    x = tensor("x", "float32[3]")
    g = graph(x, ops.add(x, weight("read", "float32[3]")))
    held = [
        entry("read", Role.CONSTANT),
        entry("unread", Role.CONSTANT),
        entry("weight", Role.PARAMETER),
        entry("buffer", Role.BUFFER),
        entry("state", Role.STATE),
    ]
    model = Model({"main": Function(g, ("y",))}, held)
    assert list(remove_dead_code(model).parameters) == ["read", "weight", "buffer", "state"]


def test_the_first_name_of_a_tied_constant_stays() -> None:
    x = tensor("x", "float32[3]")
    g = graph(x, ops.add(x, weight("second", "float32[3]")))
    held = [entry("first", Role.CONSTANT), entry("second", Role.CONSTANT, alias_of="first")]
    model = Model({"main": Function(g, ("y",))}, held)
    assert remove_dead_code(model) is model


def test_what_a_body_or_another_function_reads_stays() -> None:
    x, carry = tensor("x", "float32[3]"), tensor("c", "float32[3]")
    body = graph(carry, ops.add(carry, weight("inside", "float32[3]")))
    first = graph(x, ops.scan(x, body=body, num_consts=0, num_carry=1, length=2))
    second = graph(x, ops.add(x, weight("other", "float32[3]")))
    held = [entry("inside", Role.CONSTANT), entry("other", Role.CONSTANT)]
    model = Model({"a": Function(first, ("y",)), "b": Function(second, ("y",))}, held)
    assert remove_dead_code(model) is model


def test_a_constant_that_is_updated_stays() -> None:
    x = tensor("x", "float32[3]")
    model = Model({"main": Function(graph(x, x), ("y",), {"y": "kept"})}, [entry("kept", Role.CONSTANT)])
    assert remove_dead_code(model) is model


def test_constants_of_a_scan() -> None:
    before = loop()
    after = drop_unread_operands(before)
    scan = node(after, "scan")
    assert scan.attrs["num_consts"] == 0
    assert [v.node.attrs["name"] for v in scan.inputs if v] == ["start", "xs"]
    assert len(scan.attrs["body"].inputs) == 2
    assert after.inputs == before.inputs
    assert_same(before, after)


def test_scanned_values_that_the_body_ignores() -> None:
    carry, element = tensor("c", "float32[2]"), tensor("e", "float32[2]")
    body = graph((carry, element), ops.tanh(carry))
    x, xs = tensor("x", "float32[2]"), tensor("xs", "float32[s, 2]")
    before = graph((x, xs), ops.scan(x, xs, body=body, num_consts=0, num_carry=1, length=xs.shape[0]))
    after = drop_unread_operands(before)
    assert len(node(after, "scan").inputs) == 1
    assert_same(before, after)


def test_operands_of_a_branch() -> None:
    def branch(make: object) -> tuple[Value, Value, Value]:
        return tensor("a", "float32[2]"), tensor("b", "float32[2]"), tensor("c", "float32[2]")

    first, second = branch(0), branch(1)
    branches = graph(first, ops.tanh(first[0])), graph(second, ops.add(second[0], second[2]))
    a, b, c = (tensor(name, "float32[2]") for name in "abc")
    before = graph((a, b, c), ops.cond(ops.any(ops.greater(a, 0.0)), a, b, c, branches=branches))
    after = drop_unread_operands(before)
    cond = node(after, "cond")
    assert cond.inputs[1:] == (a, c)
    assert [len(each.inputs) for each in cond.attrs["branches"]] == [2, 2]
    assert_same(before, after)


def test_constants_of_a_while_loop() -> None:
    def inputs(count: int) -> list[Value]:
        return [tensor(f"i{index}", "float32[]") for index in range(count)]

    unread, limit, value = inputs(3)
    test = graph((unread, limit, value), ops.less(value, limit))
    step, unused, current = inputs(3)
    body: Graph = graph((step, unused, current), ops.add(current, ops.add(ops.abs(step), 1.0)))
    a, b, c, d, e = inputs(5)
    result = ops.while_loop(a, b, c, d, e, cond=test, body=body, cond_consts=2, body_consts=2)
    before = graph((a, b, c, d, e), result)
    after = drop_unread_operands(before)
    loop_node = node(after, "while_loop")
    assert loop_node.inputs == (b, c, e)
    assert (loop_node.attrs["cond_consts"], loop_node.attrs["body_consts"]) == (1, 1)
    assert_same(before, after)


def test_a_loop_that_reads_all_stays() -> None:
    after = drop_unread_operands(loop())
    assert drop_unread_operands(after) is after
