"""Each identity goes, each near miss stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kxchange import ops
from kxchange.graph import Value
from kxchange.passes.simplify import simplify
from kxchange.types import DType
from tests.passes.graphs import assert_same, graph, loop, names, node, tensor

Write = Callable[[Value], Value]
X = "float32[b, 6, 1]"


def cut(x: Value, start: int, step: int = 1) -> Value:
    stop = x.shape[1] if step > 0 else -1
    return ops.slice(x, starts=(start,), stops=(stop,), steps=(step,), axes=(1,))


def shaped(x: Value, *sizes: int) -> Value:
    return ops.reshape(x, shape=(x.shape[0], *sizes))


IDENTITIES: dict[str, Write] = {
    "astype": lambda x: ops.astype(x, dtype=DType.FLOAT32),
    "astype-widened-and-back": lambda x: ops.astype(ops.astype(x, dtype=DType.FLOAT64), dtype=DType.FLOAT32),
    "reshape": lambda x: shaped(x, 6, 1),
    "reshape-and-back": lambda x: shaped(shaped(x, 2, 3), 6, 1),
    "permute": lambda x: ops.permute_dims(x, axes=(0, 1, -1)),
    "permute-and-back": lambda x: ops.permute_dims(ops.permute_dims(x, axes=(2, 0, 1)), axes=(1, 2, 0)),
    "expand-and-squeeze": lambda x: ops.squeeze(ops.expand_dims(x, axis=(0,)), axis=(0,)),
    "squeeze-and-expand": lambda x: ops.expand_dims(ops.squeeze(x, axis=(2,)), axis=(2,)),
    "squeeze-reshape-expand": lambda x: ops.expand_dims(shaped(ops.squeeze(x, axis=(2,)), 6), axis=(-1,)),
    "slice": lambda x: cut(x, 0),
    "pad": lambda x: ops.pad(x, padding=((0, 0), (0, 0), (0, 0))),
    "concat": lambda x: ops.concat(x, axis=1),
    "split": lambda x: ops.split(x, sizes=(6,), axis=1),
    "broadcast": lambda x: ops.broadcast_to(x, shape=x.shape),
    "tile": lambda x: ops.tile(x, repetitions=(1, 1, 1)),
    "repeat": lambda x: ops.repeat(x, repeats=1, axis=1),
    "roll": lambda x: ops.roll(x, shifts=(0,), axis=(1,)),
    "flip": lambda x: ops.flip(x, axis=()),
    "sum": lambda x: ops.sum(x, axis=()),
    "mean": lambda x: ops.mean(x, axis=(), keepdims=True),
}
OTHERS: dict[str, Write] = {
    "dropout": lambda x: ops.dropout(x, rate=0.0),
    "astype-narrowed-and-back": lambda x: ops.astype(ops.astype(x, dtype=DType.FLOAT16), dtype=DType.FLOAT32),
    "astype-through-integers": lambda x: ops.astype(ops.astype(x, dtype=DType.INT64), dtype=DType.FLOAT32),
    "flip": lambda x: ops.flip(x, axis=(1,)),
    "reversed-slice": lambda x: cut(x, 5, -1),
    "slice-with-a-step": lambda x: ops.slice(x, starts=(0,), stops=(6,), steps=(2,), axes=(1,)),
    "roll": lambda x: ops.roll(x, shifts=(1,), axis=(1,)),
    "pad-and-cut": lambda x: cut(ops.pad(x, padding=((0, 0), (1, 0), (0, 0))), 1),
    "sum-of-one": lambda x: ops.sum(x, axis=(2,), keepdims=True),
    "var-over-nothing": lambda x: ops.var(x, axis=()),
    "permute": lambda x: ops.permute_dims(x, axes=(1, 0, 2)),
}


@pytest.mark.parametrize("write", IDENTITIES.values(), ids=IDENTITIES)
def test_identities_go(write: Write) -> None:
    x = tensor("x", X)
    inner = ops.tanh(x)
    result = ops.exp(write(inner))
    before = graph(x, result)
    after = simplify(before)
    assert names(after) == ["tanh", "exp"]
    assert after.outputs[0].node.inputs[0] == inner
    assert inner.node in after.nodes()
    assert_same(before, after)


@pytest.mark.parametrize("write", OTHERS.values(), ids=OTHERS)
def test_what_changes_something_stays(write: Write) -> None:
    x = tensor("x", X)
    before = graph(x, write(x))
    assert simplify(before) is before


def test_an_identity_of_an_input_gives_the_input() -> None:
    x = tensor("x", X)
    assert simplify(graph(x, cut(x, 0))).outputs == (x,)


def test_a_cast_of_bfloat16_to_float32_and_back() -> None:
    x = tensor("x", "bfloat16[b]")
    wide = ops.astype(x, dtype=DType.FLOAT32)
    assert simplify(graph(x, ops.astype(wide, dtype=DType.BFLOAT16))).outputs == (x,)
    other = graph(x, ops.astype(wide, dtype=DType.FLOAT16))
    assert simplify(other) is other


@pytest.mark.parametrize(
    ("write", "left", "attrs"),
    [
        (lambda x: shaped(shaped(x, 2, 3), 3, 2), ["reshape"], {"shape": (3, 2)}),
        (lambda x: shaped(shaped(shaped(x, 2, 3), 3, 2), 6), ["reshape"], {"shape": (6,)}),
        (lambda x: shaped(ops.expand_dims(x, axis=(1,)), 2, 3, 1), ["reshape"], {"shape": (2, 3, 1)}),
        (lambda x: ops.expand_dims(ops.expand_dims(x, axis=(1,)), axis=(0, -1)), ["expand_dims"], {"axis": (0, 2, 5)}),
        (
            lambda x: ops.permute_dims(ops.permute_dims(x, axes=(1, 0, 2)), axes=(2, 1, 0)),
            ["permute_dims"],
            {"axes": (2, 0, 1)},
        ),
    ],
)
def test_what_follows_itself_is_joined(write: Write, left: list[str], attrs: dict[str, tuple[int, ...]]) -> None:
    x = tensor("x", X)
    before = graph(x, write(x))
    after = simplify(before)
    assert names(after) == left
    for name, value in attrs.items():
        found = node(after, left[0]).attrs[name]
        assert found == ((x.shape[0], *value) if name == "shape" else value)
    assert_same(before, after)


def test_squeezes_are_joined() -> None:
    x = tensor("x", "float32[1, b, 1, 3, 1]")
    before = graph(x, ops.squeeze(ops.squeeze(x, axis=(0, -1)), axis=(1,)))
    after = simplify(before)
    assert node(after, "squeeze").attrs == {"axis": (0, 2, 4)}
    assert_same(before, after)


def test_a_reshape_that_is_read_elsewhere_is_not_joined() -> None:
    """Joining would not save it: there would be two reshapes of the larger tensor for one chain."""
    x = tensor("x", X)
    first = shaped(x, 2, 3)
    before = graph(x, (shaped(first, 3, 2), first))
    assert simplify(before) is before
    turned = ops.permute_dims(x, axes=(1, 0, 2))
    before = graph(x, (ops.permute_dims(turned, axes=(2, 1, 0)), turned))
    assert simplify(before) is before


def test_a_reshape_behind_an_identity_counts_the_readers_of_both() -> None:
    x = tensor("x", X)
    first = shaped(x, 2, 3)
    same = ops.astype(first, dtype=DType.FLOAT32)
    before = graph(x, (shaped(first, 3, 2), ops.tanh(same)))
    after = simplify(before)
    assert names(after) == ["reshape", "reshape", "tanh"]
    assert_same(before, after)


def test_a_chain_of_transposes_and_unit_axes() -> None:
    x = tensor("x", "float32[b, 2, 3, s]")
    b, s = x.shape[0], x.shape[3]
    first = ops.reshape(ops.permute_dims(x, axes=(0, 1, 3, 2)), shape=(b, 2, s, 1, 3))
    before = graph(x, ops.squeeze(ops.permute_dims(first, axes=(0, 4, 1, 3, 2)), axis=(3,)))
    after = simplify(before)
    assert names(after) == ["permute_dims"]
    assert node(after, "permute_dims").attrs == {"axes": (0, 2, 1, 3)}
    assert_same(before, after)


def test_a_chain_that_is_the_identity() -> None:
    x = tensor("x", "float32[b, 3, s]")
    turned = ops.expand_dims(ops.permute_dims(x, axes=(2, 0, 1)), axis=(1,))
    back = ops.squeeze(ops.permute_dims(turned, axes=(2, 1, 3, 0)), axis=(1,))
    assert simplify(graph(x, back)).outputs == (x,)


def test_a_chain_that_others_read_inside() -> None:
    x = tensor("x", "float32[b, 3, s]")
    inner = ops.permute_dims(x, axes=(2, 0, 1))
    result = ops.permute_dims(ops.expand_dims(inner, axis=(1,)), axes=(3, 1, 2, 0))
    before = graph(x, (result, ops.tanh(inner)))
    assert simplify(before) is before


def test_constraints_are_not_dropped() -> None:
    """A reshape that needs a divisibility stays: dropping it would drop what the model needs of its sizes."""
    x = tensor("x", "float32[b, s]")
    b, s = x.shape
    inner = ops.reshape(x, shape=(b, s // 4, 4))
    assert inner.node.constraints
    before = graph(x, ops.reshape(inner, shape=(b, s)))
    assert simplify(before) is before


def test_bodies_are_simplified() -> None:
    before = loop()
    body = node(simplify(before), "scan").attrs["body"]
    assert "astype" in names(node(before, "scan").attrs["body"])
    assert "astype" not in names(body)
