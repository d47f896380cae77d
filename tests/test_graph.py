import numpy as np
import pytest

from kxchange import ops
from kxchange.errors import TypeInferenceError
from kxchange.graph import Graph, Source, Value, emitting, interpret, placeholder, rewrite
from kxchange.spec import apply_op, keep
from kxchange.types import DType, TensorType

X = TensorType(DType.FLOAT32, (2, 3))


def chain(length):
    x = placeholder("x", X)
    value = x
    for _ in range(length):
        value = ops.add(value, x)
    return Graph((x,), (value,))


def test_nodes_are_in_order_and_without_inputs():
    x = placeholder("x", X)
    a = ops.exp(x)
    b = ops.add(a, x)
    assert [node.op for node in Graph((x,), (b, a)).nodes()] == ["exp", "add"]


def test_a_hundred_thousand_nodes_without_recursion():
    graph = chain(100_000)
    assert len(graph.nodes()) == 100_000
    (count,) = interpret(graph, [0], lambda node, values: (values[0] + 1,))
    assert count == 100_000


def test_rewriting_nothing_keeps_the_graph():
    graph = chain(10)
    assert rewrite(graph, keep) is graph


def test_a_changed_node_changes_only_what_depends_on_it():
    x = placeholder("x", X)
    left, right = ops.exp(x), ops.tanh(x)
    graph = Graph((x,), (ops.add(left, ops.sin(right)),))

    def change(node, operands):
        return (ops.cos(operands[0]),) if node.op == "sin" else keep(node, operands)

    after = rewrite(graph, change)
    assert [node.op for node in after.nodes()] == ["exp", "tanh", "cos", "add"]
    assert after.outputs[0].node.inputs[0] == left
    assert after.outputs[0].node is not graph.outputs[0].node


def test_release_drops_values_after_their_last_use():

    x = placeholder("x", X)
    graph = Graph((x,), (ops.exp(ops.exp(ops.exp(x))),))
    import weakref

    references = []

    def apply(node, operands):
        result = type("Result", (), {})()
        references.append(weakref.ref(result))
        return (result,)

    interpret(graph, ["x"], apply, release=True)
    assert [reference() is None for reference in references[:2]] == [True, True]


def test_source_and_name_are_ambient():
    x = placeholder("x", X)
    with emitting("encoder.act", Source("net.py", 12, "encoder")):
        node = ops.exp(x).node
    assert node.name == "encoder.act"
    assert "net.py:12" in node.where
    assert ops.exp(x).node.source is None
    assert apply_op(node, (x,))[0].node.source == node.source


def test_values_are_equal_by_node_and_index():
    node = ops.exp(placeholder("x", X)).node
    assert Value(node, 0) == Value(node, 0)
    assert len({Value(node, 0), Value(node, 0)}) == 1


def test_users():
    x = placeholder("x", X)
    a = ops.exp(x)
    b = ops.add(a, a)
    assert Graph((x,), (b,)).users()[a.node] == [b.node]


def test_python_scalars_take_the_tensors_dtype_and_keep_their_digits():
    value = ops.multiply(placeholder("x", X), 0.1)
    scalar = value.node.inputs[1].node
    assert scalar.op == "full"
    assert scalar.attrs["value"] == 0.1
    assert scalar.types[0].dtype is DType.FLOAT32


def test_types_never_promote():
    x, y = placeholder("x", X), placeholder("y", X.with_dtype(DType.FLOAT64))
    with pytest.raises(TypeInferenceError, match=r"add\(float32\[2, 3\], float64\[2, 3\]\)"):
        ops.add(x, y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.add(x), "takes operands"),
        (lambda x: ops.add(x, x, x), "takes operands"),
        (lambda x: ops.softmax(x, axes=1), "no attribute 'axes'"),
        (lambda x: ops.softmax(x), "needs the attribute 'axis'"),
        (lambda x: ops.add(x, "1"), "tensors and Python numbers"),
    ],
)
def test_wrong_calls_are_named(call, message):
    with pytest.raises(TypeInferenceError, match=message):
        call(placeholder("x", X))


def test_on_arrays_an_op_computes():
    np.testing.assert_array_equal(ops.add(np.ones(2), np.ones(2)), [2.0, 2.0])
