"""If, Loop, Scan and functions: closed sub-graphs, captured values, and bodies written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import kxchange as kx
from kxchange.errors import UnsupportedOpError
from tests.onnx_nodes import run_theirs

pytestmark = pytest.mark.onnx
F, INT, B = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
RNG = np.random.default_rng(8)


def value(name: str, kind: int = F, dims: Any = ()) -> Any:
    return helper.make_tensor_value_info(name, kind, dims)


def const(name: str, array: Any) -> Any:
    return helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(np.asarray(array)))


def make(nodes: list[Any], inputs: list[Any], outputs: list[Any], tensors: dict[str, Any] | None = None) -> Any:
    held = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in (tensors or {}).items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def compare(proto: onnx.ModelProto, **inputs: Any) -> Any:
    """The lifted model, after its outputs were found to be those of ONNX Runtime."""
    model = kx.capture(proto)
    ours, theirs = list(model(**inputs).values()), run_theirs(proto, inputs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-6)
    return model


def graph(nodes: list[Any], inputs: list[Any], outputs: list[Any]) -> Any:
    return helper.make_graph(nodes, "body", inputs, outputs)


def ops_of(model: Any) -> set[str]:
    return {node.op for node in model.main.graph.nodes()}


def branches(dims: Any) -> Any:
    then = graph([helper.make_node("MatMul", ["x", "w"], ["t"])], [], [value("t", F, dims)])
    otherwise = graph(
        [const("two", np.float32(2)), helper.make_node("Mul", ["x", "two"], ["e"])], [], [value("e", F, dims)]
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=otherwise)
    w = RNG.standard_normal((3, 3)).astype(np.float32)
    return make([node], [value("c", B), value("x", F, ["n", 3])], [value("y", F, ["n", 3])], {"w": w})


@pytest.mark.parametrize("flag", [True, False])
def test_if_with_captured_values(flag: bool) -> None:
    x = RNG.standard_normal((2, 3)).astype(np.float32)
    model = compare(branches(["n", 3]), c=np.array(flag), x=x)
    assert "cond" in ops_of(model)
    assert model.parameters["w"].array.shape == (3, 3)


def test_if_on_a_size_is_decided_while_reading() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], start=1),
        const("three", np.array([3])),
        helper.make_node("Equal", ["s", "three"], ["c1"]),
        helper.make_node("Squeeze", ["c1"], ["c"]),
    ]
    proto = branches(["n", 3])
    nodes.extend(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    del proto.graph.input[0]
    model = compare(proto, x=np.ones((2, 3), np.float32))
    assert "cond" not in ops_of(model)


def test_if_in_an_if() -> None:
    inner_then = graph([helper.make_node("Abs", ["x"], ["a"])], [], [value("a", F, [2])])
    inner_else = graph([helper.make_node("Neg", ["b"], ["d"])], [], [value("d", F, [2])])
    inner = helper.make_node("If", ["c2"], ["i"], then_branch=inner_then, else_branch=inner_else)
    then = graph([helper.make_node("Add", ["x", "x"], ["b"]), inner], [], [value("i", F, [2])])
    otherwise = graph([helper.make_node("Identity", ["x"], ["o"])], [], [value("o", F, [2])])
    node = helper.make_node("If", ["c1"], ["y"], then_branch=then, else_branch=otherwise)
    proto = make([node], [value("c1", B), value("c2", B), value("x", F, [2])], [value("y", F, [2])])
    for first in (True, False):
        for second in (True, False):
            compare(proto, c1=np.array(first), c2=np.array(second), x=np.float32([-1, 2]))


def loop(count: Any, condition: Any, extra: list[Any] | None = None, limit: bool = False) -> Any:
    """``v = v * a + i``, stacking v; ends when v passes 10 if `limit`."""
    nodes = [
        helper.make_node("Cast", ["i"], ["fi"], to=F),
        helper.make_node("Mul", ["v", "a"], ["va"]),
        helper.make_node("Add", ["va", "fi"], ["w"]),
        helper.make_node("Identity", ["w"], ["out"]),
    ]
    if limit:
        nodes += [
            const("ten", np.float32(10)),
            helper.make_node("ReduceMax", ["w"], ["top"], keepdims=0),
            helper.make_node("Less", ["top", "ten"], ["go"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["c"], ["go"]))
    outputs = [value("go", B), value("w", F, [2])] + ([] if limit else [value("out", F, [2])])
    if limit:
        nodes.pop(3)
    body = graph(nodes, [value("i", INT), value("c", B), value("v", F, [2])], outputs)
    results = ["y"] if limit else ["y", "ys"]
    return helper.make_node("Loop", [count, condition, "x"], results, body=body)


def test_loop_of_a_known_length_is_a_scan() -> None:
    proto = make(
        [loop("m", "")],
        [value("x", F, [2]), value("a", F, [2])],
        [value("y", F, [2]), value("ys", F, [4, 2])],
        {"m": np.array(4)},
    )
    model = compare(proto, x=np.float32([1, 2]), a=np.float32([0.5, 2]))
    assert "scan" in ops_of(model)
    assert str(model.main.output_types["ys"]) == "float32[4, 2]"


def test_loop_over_a_size() -> None:
    nodes = [helper.make_node("Shape", ["z"], ["s"]), helper.make_node("Squeeze", ["s"], ["m"]), loop("m", "")]
    inputs = [value("x", F, [2]), value("a", F, [2]), value("z", F, ["n"])]
    proto = make(nodes, inputs, [value("y", F, [2]), value("ys", F, ["n", 2])])
    operands = {"x": np.float32([1, 2]), "a": np.float32([0.5, 2])}
    model = compare(proto, **operands, z=np.zeros(5, np.float32))
    assert str(model.main.output_types["ys"]) == "float32[n, 2]"
    assert model(**operands, z=np.zeros(0, np.float32))["ys"].shape == (0, 2)


@pytest.mark.parametrize("count", [2, 100])
def test_loop_until_a_condition(count: int) -> None:
    inputs = [value("m", INT), value("x", F, [2]), value("a", F, [2])]
    proto = make([loop("m", "", limit=True)], inputs, [value("y", F, [2])])
    model = compare(proto, m=np.array(count), x=np.float32([1, 2]), a=np.float32([0.5, 2]))
    assert "while_loop" in ops_of(model)


def test_stacking_over_an_unknown_number_of_steps_is_refused() -> None:
    inputs = [value("m", INT), value("x", F, [2]), value("a", F, [2])]
    proto = make([loop("m", "")], inputs, [value("y", F, [2]), value("ys", F, None)])
    with pytest.raises(UnsupportedOpError, match="trip count must be known"):
        kx.capture(proto)


def test_a_carry_that_grows_is_written_out() -> None:
    body = graph(
        [helper.make_node("Concat", ["v", "x"], ["w"], axis=0), helper.make_node("Identity", ["c"], ["go"])],
        [value("i", INT), value("c", B), value("v", F, None)],
        [value("go", B), value("w", F, None)],
    )
    nodes = [helper.make_node("Loop", ["m", "", "x"], ["y"], body=body)]
    model = compare(make(nodes, [value("x", F, [2])], [value("y", F, None)], {"m": np.array(3)}), x=np.float32([1, 2]))
    assert not {"scan", "while_loop"} & ops_of(model)


@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("axis", [0, 1])
def test_scan(reverse: int, axis: int) -> None:
    body = graph(
        [
            helper.make_node("Mul", ["s", "decay"], ["t"]),
            helper.make_node("Add", ["t", "e"], ["next"]),
            helper.make_node("Abs", ["next"], ["out"]),
        ],
        [value("s", F, [2]), value("e", F, [2])],
        [value("next", F, [2]), value("out", F, [2])],
    )
    node = helper.make_node(
        "Scan",
        ["s0", "x"],
        ["last", "ys"],
        body=body,
        num_scan_inputs=1,
        scan_input_axes=[axis],
        scan_input_directions=[reverse],
        scan_output_axes=[axis],
        scan_output_directions=[reverse],
    )
    dims = [4, 2] if axis == 0 else [2, 4]
    outputs = [value("last", F, [2]), value("ys", F, dims)]
    proto = make([node], [value("s0", F, [2]), value("x", F, dims)], outputs, {"decay": np.float32([0.5, 2])})
    compare(proto, s0=np.float32([1, 2]), x=RNG.standard_normal(dims).astype(np.float32))


def test_functions_are_inlined_with_their_attributes() -> None:
    inner = helper.make_function(
        "own",
        "Scaled",
        ["a"],
        ["b"],
        [
            helper.make_node("LeakyRelu", ["a"], ["t"]),
            helper.make_node("Add", ["t", "t"], ["b"]),
        ],
        [helper.make_opsetid("", 18)],
        ["slope"],
    )
    inner.node[0].attribute.append(
        onnx.AttributeProto(name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name="slope")
    )
    outer = helper.make_function(
        "own",
        "Twice",
        ["a"],
        ["b"],
        [
            helper.make_node("Scaled", ["a"], ["t"], domain="own", slope=0.5),
            helper.make_node("Scaled", ["t"], ["b"], domain="own", slope=0.25),
        ],
        [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)],
    )
    proto = make(
        [helper.make_node("Twice", ["x"], ["y"], domain="own")], [value("x", F, ["n"])], [value("y", F, ["n"])]
    )
    proto.functions.extend([inner, outer])
    proto.opset_import.append(helper.make_opsetid("own", 1))
    x = np.float32([-4, 4])
    (y,) = kx.capture(proto)(x=x).values()
    np.testing.assert_allclose(y, [-4 * 0.5 * 2 * 0.25 * 2, 16])
    compare(proto, x=x)


def test_operators_with_a_body_and_no_rule_are_inlined() -> None:
    node = helper.make_node("MeanVarianceNormalization", ["x"], ["y"], axes=[0, 2])
    proto = make([node], [value("x", F, [2, 3, 4])], [value("y", F, [2, 3, 4])])
    x = RNG.standard_normal((2, 3, 4)).astype(np.float32)
    (y,) = kx.capture(proto)(x=x).values()
    centered = x - x.mean(axis=(0, 2), keepdims=True)
    np.testing.assert_allclose(y, centered / x.std(axis=(0, 2), keepdims=True), rtol=1e-4, atol=1e-5)


def test_sequences_are_resolved() -> None:
    nodes = [
        helper.make_node("SplitToSequence", ["x"], ["s"], axis=0),
        const("at", np.array(1)),
        helper.make_node("SequenceErase", ["s", "at"], ["t"]),
        helper.make_node("ConcatFromSequence", ["t"], ["y"], axis=0),
    ]
    model = compare(
        make(nodes, [value("x", F, [3, 2])], [value("y", F, [2, 2])]), x=np.arange(6, dtype=np.float32).reshape(3, 2)
    )
    assert ops_of(model) <= {"split", "concat"}


def described(model: Any) -> Any:
    """Ops and types of a graph, those of its bodies with them."""

    def of(graph: Any) -> Any:
        return [
            (n.op, n.types, [of(b) for b in (n.attrs.get("cond"), n.attrs.get("body")) if b], len(n.inputs))
            for n in graph.nodes()
        ]

    return of(model.main.graph)


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("stated", [False, True])
def test_a_loop_until_a_condition_is_written_as_it_was(tmp_path: Path, counted: bool, stated: bool) -> None:
    """Its count and its condition are its own: they do not become carried values, one more at each trip."""
    inputs = [value("m", INT), value("b", B), value("x", F, [2]), value("a", F, [2])]
    node = loop("m" if counted else "", "b" if stated else "", limit=True)
    if not counted:  # nothing reads the step then
        node.attribute[0].g.node[0].CopyFrom(helper.make_node("Constant", [], ["fi"], value_float=0.5))
    first = kx.capture(make([node], inputs, [value("y", F, [2])]))
    first.save(tmp_path / "m.onnx")
    second = kx.load(tmp_path / "m.onnx")
    assert described(first) == described(second)
    written = next(node for node in onnx.load(tmp_path / "m.onnx").graph.node if node.op_type == "Loop")
    assert (bool(written.input[0]), len(written.input)) == (counted, 3)
    arrays = {"m": np.array(3), "b": np.array(True), "x": np.float32([1, 2]), "a": np.float32([2, 2])}
    np.testing.assert_allclose(second(**arrays)["y"], first(**arrays)["y"])


def test_a_loop_of_a_known_length_is_written_as_it_was(tmp_path: Path) -> None:
    nodes = [helper.make_node("Shape", ["z"], ["s"]), helper.make_node("Squeeze", ["s"], ["m"]), loop("m", "")]
    inputs = [value("x", F, [2]), value("a", F, [2]), value("z", F, ["n"])]
    first = kx.capture(make(nodes, inputs, [value("y", F, [2]), value("ys", F, ["n", 2])]))
    first.save(tmp_path / "m.onnx")
    assert described(first) == described(kx.load(tmp_path / "m.onnx"))


def test_a_loop_whose_count_is_read_keeps_it(tmp_path: Path) -> None:
    """A Loop does not tell at which step it ended, so a carried count that is read stays a carried value."""
    jax = pytest.importorskip("jax")

    def steps(x: Any) -> Any:
        def go(state: Any) -> Any:
            return state[1]

        def step(state: Any) -> Any:
            count, _, total = state
            return count + 1, (total * 2).sum() < 100, total * 2

        return jax.lax.while_loop(go, step, (np.int32(0), True, x))

    model = kx.capture(steps, np.ones(2, np.float32))
    wanted = model(**{model.input_names[0]: np.ones(2, np.float32)})
    found = kx.run(model, {model.input_names[0]: np.ones(2, np.float32)}, backend="onnx")
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)


def counting(bound: str, start: str, limit: str) -> Any:
    """``v = v + i`` while a carried counter is below `bound`: how tf2onnx writes a loop over time."""
    nodes = [
        helper.make_node("Cast", ["k"], ["fk"], to=F),
        helper.make_node("Add", ["v", "fk"], ["w"]),
        helper.make_node("Identity", ["w"], ["out"]),
        helper.make_node("Add", ["k", "one"], ["next"]),
        helper.make_node("Less", ["next", bound], ["below"]),
        helper.make_node("Less", ["i", bound], ["also"]),
        helper.make_node("And", ["below", "also"], ["go"]),
    ]
    body = graph(
        nodes,
        [value("i", INT), value("c", B), value("k", INT), value("v", F, [2])],
        [value("go", B), value("next", INT), value("w", F, [2]), value("out", F, [2])],
    )
    return helper.make_node("Loop", [limit, start, "zero", "x"], ["end", "y", "ys"], body=body)


@pytest.mark.parametrize("limit", ["", "n", "huge"])
@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_condition_that_counts_to_a_size_is_a_scan(limit: str, size: int) -> None:
    nodes = [
        helper.make_node("Shape", ["z"], ["s"]),
        helper.make_node("Squeeze", ["s"], ["n"]),
        helper.make_node("Less", ["zero", "n"], ["any"]),
        counting("n", "any", limit),
    ]
    held = {"zero": np.array(0), "one": np.array(1), "huge": np.array(2**63 - 1)}
    inputs = [value("x", F, [2]), value("z", F, ["t"])]
    proto = make(nodes, inputs, [value("y", F, [2]), value("ys", F, None)], held)
    model = compare(proto, x=np.float32([1, 2]), z=np.zeros(size, np.float32))
    assert "scan" in ops_of(model)
    assert str(model.main.output_types["ys"]) == "float32[t, 2]"


@pytest.mark.parametrize("bound", [-3, 0, 1, 4])
def test_the_first_step_is_taken_where_no_condition_stands_before_it(bound: int) -> None:
    held = {"zero": np.array(0), "one": np.array(1), "n": np.array(bound)}
    proto = make([counting("n", "", "")], [value("x", F, [2])], [value("y", F, [2]), value("ys", F, None)], held)
    compare(proto, x=np.float32([1, 2]))


def test_a_start_that_says_otherwise_than_the_count_is_not_counted() -> None:
    held = {"zero": np.array(0), "one": np.array(1), "n": np.array(4)}
    inputs = [value("x", F, [2]), value("b", B)]
    proto = make([counting("n", "b", "")], inputs, [value("y", F, [2]), value("ys", F, None)], held)
    with pytest.raises(UnsupportedOpError, match="only a run can tell"):
        kx.capture(proto)


def appending(new_axis: int, axis: int) -> Any:
    """A list comprehension over the rows of z, joined at the end: how TorchScript exports one."""
    body = graph(
        [
            helper.make_node("Gather", ["z", "i"], ["row"], axis=0),
            helper.make_node("Mul", ["row", "x"], ["item"]),
            helper.make_node("SequenceInsert", ["list", "item"], ["longer"]),
            helper.make_node("Identity", ["c"], ["go"]),
        ],
        [value("i", INT), value("c", B), helper.make_tensor_sequence_value_info("list", F, None)],
        [value("go", B), helper.make_tensor_sequence_value_info("longer", F, None)],
    )
    nodes = [
        helper.make_node("SequenceEmpty", [], ["empty"]),
        helper.make_node("Shape", ["z"], ["s"], start=0, end=1),
        helper.make_node("Squeeze", ["s"], ["n"]),
        helper.make_node("Loop", ["n", "", "empty"], ["items"], body=body),
        helper.make_node("ConcatFromSequence", ["items"], ["y"], axis=axis, new_axis=new_axis),
        helper.make_node("SequenceLength", ["items"], ["length"]),
    ]
    inputs = [value("x", F, [2, 3]), value("z", F, ["t", 2, 3])]
    return make(nodes, inputs, [value("y", F, None), value("length", INT)])


@pytest.mark.parametrize(("new_axis", "axis"), [(1, 0), (1, 2), (1, -1), (0, 0), (0, 1)])
def test_a_loop_that_appends_to_a_sequence_stacks(new_axis: int, axis: int) -> None:
    operands = {"x": np.ones((2, 3), np.float32) * 2, "z": RNG.standard_normal((4, 2, 3)).astype(np.float32)}
    model = compare(appending(new_axis, axis), **operands)
    assert "scan" in ops_of(model)


def test_a_sequence_of_unknown_length_is_not_taken_apart() -> None:
    proto = appending(1, 0)
    first = helper.make_node("SequenceAt", ["items", "zero"], ["first"])
    proto.graph.node.append(first)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0), "zero"))
    with pytest.raises(UnsupportedOpError, match="only a run can tell"):
        kx.capture(proto)
