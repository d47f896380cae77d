"""Transposes that meet go; the rest stays as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kxchange import ops
from kxchange.graph import Graph, Value
from kxchange.passes.cancel_transposes import cancel_transposes, count_transposes, inverse, without
from kxchange.types import DType
from tests.passes.graphs import GRAPHS, assert_same, count, graph, image, names, node, tensor, weight

TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def nchw(x: Value) -> Value:
    return ops.permute_dims(x, axes=TO_NCHW)


def nhwc(x: Value) -> Value:
    return ops.permute_dims(x, axes=TO_NHWC)


def condition(x: Value) -> Value:
    return ops.where(ops.greater(x, 0.5), x, ops.multiply(x, 0.1))


MIDDLES: dict[str, Callable[[Value], Value]] = {
    "nothing": lambda x: x,
    "relu": ops.relu,
    "gelu": lambda x: ops.gelu(x, approximate="none"),
    "scalar": lambda x: ops.multiply(ops.add(x, 1.0), 2.0),
    "clip": lambda x: ops.clip(x, 0.0, 6.0),
    "where": condition,
    "astype": lambda x: ops.astype(ops.astype(x, dtype=DType.FLOAT64), dtype=DType.FLOAT32),
    "dropout": lambda x: ops.dropout(x, rate=0.5),
    "itself": lambda x: ops.multiply(x, ops.sigmoid(x)),
    "concat": lambda x: ops.concat(x, ops.relu(x), axis=1),
    "split": lambda x: ops.add(*ops.split(ops.concat(x, x, axis=1), sizes=(3, 3), axis=1)),
    "pad": lambda x: ops.pad(x, padding=((0, 0), (1, 2), (3, 0), (0, 4)), mode="constant", value=1.5),
    "slice": lambda x: ops.slice(x, starts=(1, 0), stops=(3, 1), steps=(1, 1), axes=(1, -2)),
    "flip": lambda x: ops.flip(x, axis=(-1, 1)),
    "tile": lambda x: ops.tile(x, repetitions=(1, 2, 1, 3)),
    "mean-keepdims": lambda x: ops.multiply(x, ops.mean(x, axis=(2, 3), keepdims=True)),
    "max-of-channels": lambda x: ops.subtract(x, ops.max(x, axis=(1,), keepdims=True)),
    "softmax": lambda x: ops.softmax(x, axis=1),
    "cumulative": lambda x: ops.cumulative_sum(x, axis=-1),
    "bias-full-rank": lambda x: ops.add(x, weight("bias", "float32[1, 3, 1, 1]")),
    "bias-lower-rank": lambda x: ops.add(x, weight("bias", "float32[3, 1, 1]")),
    "bias-on-the-left": lambda x: ops.subtract(weight("bias", "float32[3, 1, 1]"), x),
    "prelu": lambda x: ops.prelu(x, weight("slope", "float32[3, 1, 1]")),
    "map": lambda x: ops.multiply(x, weight("map", "float32[3, 1, 6]")),
    "batch": lambda x: ops.add(x, ops.broadcast_to(ops.mean(x, axis=(0,), keepdims=True), shape=x.shape)),
}


@pytest.mark.parametrize("middle", MIDDLES.values(), ids=MIDDLES)
def test_a_sandwich_is_opened(middle: Callable[[Value], Value]) -> None:
    x = tensor("x", "float32[b, h, 6, 3]")
    before = graph(x, nhwc(middle(nchw(x))))
    after = cancel_transposes(before)
    assert count_transposes(before) == 2
    assert count_transposes(after) == 0
    assert_same(before, after)


def test_an_operand_of_the_other_layout_blocks() -> None:
    """Moving the transpose of one operand to the other would save nothing."""
    x, y = tensor("x", "float32[b, h, w, 3]"), tensor("y", "float32[b, 3, h, w]")
    before = graph((x, y), ops.add(nchw(x), y))
    assert cancel_transposes(before) is before


def test_operands_of_one_layout_are_joined() -> None:
    x, y = tensor("x", "float32[b, h, w, 3]"), tensor("y", "float32[b, h, w, 3]")
    before = graph((x, y), nhwc(ops.concat(nchw(x), nchw(y), axis=1)))
    after = cancel_transposes(before)
    assert names(after) == ["concat"]
    assert node(after, "concat").attrs == {"axis": 3}
    assert_same(before, after)


def test_global_pooling_needs_no_transpose() -> None:
    x = tensor("x", "float32[b, h, w, 3]")
    before = graph(x, ops.mean(nchw(x), axis=(2, 3)))
    after = cancel_transposes(before)
    assert names(after) == ["mean"]
    assert node(after, "mean").attrs["axis"] == (1, 2)
    assert_same(before, after)


def test_squeeze_and_excitation() -> None:
    x = tensor("x", "float32[b, h, w, 3]")
    y = nchw(x)
    pooled = ops.squeeze(ops.mean(y, axis=(2, 3), keepdims=True), axis=(2, 3))
    gate = ops.sigmoid(ops.reshape(pooled, shape=(x.shape[0], 3, 1, 1)))
    before = graph(x, nhwc(ops.multiply(y, gate)))
    after = cancel_transposes(before)
    assert count_transposes(after) == 0
    assert_same(before, after)


def test_an_argmax_over_channels() -> None:
    x = tensor("x", "float32[b, h, w, 3]")
    before = graph(x, ops.argmax(nchw(x), axis=1))
    after = cancel_transposes(before)
    assert names(after) == ["argmax"]
    assert node(after, "argmax").attrs["axis"] == 3
    assert_same(before, after)


def test_a_reduction_leaves_the_rest_transposed() -> None:
    x = tensor("x", "float32[b, h, w, 3]")
    for axis in range(4):
        before = graph(x, ops.sum(nchw(x), axis=(axis,)))
        assert_same(before, cancel_transposes(before))


def test_a_new_axis_of_broadcasting_stays_in_front() -> None:
    x = tensor("x", "float32[h, w]")
    wide = ops.broadcast_to(ops.permute_dims(x, axes=(1, 0)), shape=(5, x.shape[1], x.shape[0]))
    before = graph(x, ops.permute_dims(wide, axes=(0, 2, 1)))
    after = cancel_transposes(before)
    assert names(after) == ["broadcast_to"]
    assert_same(before, after)


def test_layers_that_want_their_layout_keep_it() -> None:
    """Convolutions in NCHW for a source in NHWC: the transposes between meet, around a residual too; the outer stay."""
    x = y = tensor("x", "float32[b, h, w, 3]")
    for index in range(4):
        kernel = weight(f"k{index}", "float32[3, 3, 1, 1]")
        y = ops.conv(nchw(y), kernel, strides=(1, 1), padding=((0, 0), (0, 0)), dilations=(1, 1))
        y = ops.relu(ops.add(nhwc(y), weight(f"b{index}", "float32[3]")))
        y = y if index else ops.add(y, x)
    before = graph(x, y)
    after = cancel_transposes(before)
    assert (count_transposes(before), count_transposes(after)) == (8, 2)
    assert_same(before, after)


def test_two_readers_share_one_transpose() -> None:
    x = tensor("x", "float32[b, h, w, 3]")
    y = ops.relu(nchw(x))
    flat = ops.reshape(y, shape=(x.shape[0], -1))
    before = graph(x, (nhwc(y), flat, ops.exp(flat)))
    after = cancel_transposes(before)
    assert count_transposes(after) == 1
    assert_same(before, after)


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_never_more(make: Callable[[], Graph]) -> None:
    before = make()
    assert count_transposes(cancel_transposes(before)) <= count_transposes(before)


def test_a_lone_transpose_is_not_pushed() -> None:
    x = tensor("x", "float32[b, h, w, 3]")
    before = graph(x, ops.relu(nchw(x)))
    assert cancel_transposes(before) is before


def test_transposes_of_parameters_are_free() -> None:
    x = tensor("x", "float32[b, 4]")
    before = graph(x, ops.matmul(x, ops.permute_dims(ops.multiply(weight("w", "float32[5, 4]"), 2.0), axes=(1, 0))))
    assert count_transposes(before) == 0
    assert cancel_transposes(before) is before


def test_the_bias_is_transposed_instead() -> None:
    after = cancel_transposes(image())
    assert count(after)["permute_dims"] == 0
    assert node(after, "concat").attrs == {"axis": 3}
    assert node(after, "pad").attrs["padding"] == ((0, 0), (1, 1), (2, 0), (0, 0))


def test_bodies_are_treated_by_themselves() -> None:
    carry = tensor("c", "float32[b, h, w, 3]")
    body = graph(carry, nhwc(ops.tanh(nchw(carry))))
    x = tensor("x", "float32[b, h, w, 3]")
    before = graph(x, ops.scan(x, body=body, num_consts=0, num_carry=1, length=2))
    after = cancel_transposes(before)
    assert (count_transposes(before), count_transposes(after)) == (2, 0)
    assert_same(before, after)


def test_permutations() -> None:
    assert inverse((0, 3, 1, 2)) == (0, 2, 3, 1)
    assert inverse(inverse((2, 0, 1))) == (2, 0, 1)
    assert without((0, 3, 1, 2), (3,)) == (0, 1, 2)
    assert without((0, 3, 1, 2), (0, 1)) == (1, 0)
