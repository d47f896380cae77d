"""Where channels go, and how many transposes that leaves."""

from __future__ import annotations

import numpy as np
import pytest

from kxchange import ops
from kxchange.graph import Graph, parameter, placeholder
from kxchange.ops.control import cond
from kxchange.passes.cancel_transposes import count_transposes
from kxchange.passes.channels import channels_first, channels_last
from kxchange.reference import evaluate
from kxchange.types import TensorType

CONV = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilations": (1, 1), "groups": 1}
POOL = {"window": (2, 2), "strides": (2, 2), "padding": ((0, 0), (0, 0))}


def residual(channel_axis: int) -> Graph:
    """Two convolutions, a norm and a sum around them; a pool and a mean at the end."""
    shape = "float32[batch, 8, 8, 4]" if channel_axis == -1 else "float32[batch, 4, 8, 8]"
    x = placeholder("x", TensorType.parse(shape))
    kernels = [parameter(f"w{i}", TensorType.parse("float32[4, 4, 3, 3]")) for i in range(2)]
    norm = [parameter(f"n{i}", TensorType.parse("float32[4]")) for i in range(4)]
    y = ops.relu(ops.conv(x, kernels[0], None, **CONV, channel_axis=channel_axis))
    y = ops.batch_norm(y, *norm, epsilon=1e-3, channel_axis=channel_axis)
    y = ops.add(x, ops.conv(y, kernels[1], None, **CONV, channel_axis=channel_axis))
    y = ops.max_pool(y, **POOL, dilations=(1, 1), channel_axis=channel_axis)
    return Graph((x,), (ops.mean(y, axis=(1, 2) if channel_axis == -1 else (2, 3)),))


def arrays(graph: Graph) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    generator = np.random.default_rng(0)
    named = {n.attrs["name"]: n.types[0].shape for n in graph.nodes() if n.op == "parameter"}
    weights = {k: generator.uniform(0.5, 1.0, shape).astype(np.float32) for k, shape in named.items()}
    (x,) = graph.inputs
    return generator.normal(size=(3, *x.shape[1:])).astype(np.float32), weights


@pytest.mark.parametrize(("change", "axis", "given"), [(channels_first, 1, -1), (channels_last, -1, 1)])
def test_one_transpose_is_left_in_front(change, axis: int, given: int) -> None:
    before = residual(given)
    after = change(before)
    assert {node.attrs["channel_axis"] for node in after.nodes() if "channel_axis" in node.attrs} == {axis}
    assert count_transposes(after) == 1
    x, weights = arrays(before)
    np.testing.assert_allclose(
        evaluate(after, [x], weights)[0], evaluate(before, [x], weights)[0], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(("change", "given"), [(channels_first, 1), (channels_last, -1)])
def test_a_graph_that_has_them_there_is_untouched(change, given: int) -> None:
    graph = residual(given)
    assert change(graph) is graph


def test_bodies_are_moved_too() -> None:
    x = placeholder("x", TensorType.parse("float32[batch, 8, 8, 4]"))
    inner = placeholder("inner", x.type)
    pooled = Graph((inner,), (ops.avg_pool(inner, **POOL, channel_axis=-1),))
    flag = placeholder("flag", TensorType.parse("bool[]"))
    graph = Graph((flag, x), (cond(flag, x, branches=(pooled, pooled)),))
    after = channels_first(graph)
    (node,) = (node for node in after.nodes() if node.op == "cond")
    assert all(
        inner.attrs["channel_axis"] == 1
        for body in node.attrs["branches"]
        for inner in body.nodes()
        if "channel_axis" in inner.attrs
    )
    array = np.random.default_rng(0).normal(size=(2, 8, 8, 4)).astype(np.float32)
    operands = [np.array(True), array]
    np.testing.assert_allclose(evaluate(after, operands)[0], evaluate(graph, operands)[0], rtol=1e-6)
