"""Attention, dissolved in the ways that frameworks do, with every kind of mask."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from kxchange import ops
from kxchange.graph import Value
from kxchange.passes.canonicalize import canonicalize
from kxchange.passes.recompose import recompose
from kxchange.types import DType
from tests.passes.graphs import assert_same, graph, names, node, softmax_by_hand, tensor

LOWEST = -3.4028234663852886e38
QUERY, KEY, VALUE = "float32[b, 2, s, 4]", "float32[b, 2, n, 4]", "float32[b, 2, n, 3]"


def inputs() -> tuple[Value, Value, Value]:
    return tensor("q", QUERY), tensor("k", KEY), tensor("v", VALUE)


def turned(key: Value) -> Value:
    return ops.permute_dims(key, axes=(0, 1, 3, 2))


SCALES: dict[str, Callable[[Value, Value], Value]] = {
    "divided": lambda q, k: ops.divide(ops.matmul(q, turned(k)), 2.0),
    "multiplied": lambda q, k: ops.multiply(0.5, ops.matmul(q, turned(k))),
    "query": lambda q, k: ops.matmul(ops.multiply(q, 0.5), turned(k)),
    "key": lambda q, k: ops.matmul(q, turned(ops.divide(k, 2.0))),
    "both": lambda q, k: ops.matmul(ops.multiply(q, 0.5**0.5), ops.multiply(turned(k), 0.5**0.5)),
    "root-of-size": lambda q, k: ops.divide(
        ops.matmul(q, turned(k)), ops.sqrt(ops.full(shape=(), value=4.0, dtype=DType.FLOAT32))
    ),
}


@pytest.mark.parametrize("write", SCALES.values(), ids=SCALES)
@pytest.mark.parametrize("dropout", [False, True])
def test_scales(write: Callable[[Value, Value], Value], dropout: bool) -> None:
    q, k, v = inputs()
    weights = softmax_by_hand(write(q, k))
    before = graph((q, k, v), ops.matmul(ops.dropout(weights, rate=0.1) if dropout else weights, v))
    after = recompose(before)
    assert names(after) == ["scaled_dot_product_attention"]
    found = node(after, "scaled_dot_product_attention")
    assert found.inputs == (q, k, v, None)
    assert math.isclose(found.attrs["scale"], 0.5)
    assert found.attrs["is_causal"] is False
    assert_same(before, after)


def test_without_a_scale() -> None:
    q, k, v = inputs()
    after = recompose(graph((q, k, v), ops.matmul(ops.softmax(ops.matmul(q, turned(k)), axis=-1), v)))
    assert node(after, "scaled_dot_product_attention").attrs["scale"] == 1.0


def attention(q: Value, k: Value, v: Value, mask: Callable[[Value], Value]) -> Value:
    return ops.matmul(ops.softmax(mask(ops.divide(ops.matmul(q, turned(k)), 2.0)), axis=-1), v)


@pytest.mark.parametrize("shape", ["[b, 1, s, n]", "[s, n]", "[2, s, n]", "[b, 2, s, n]", "[b, 1, 1, n]"])
def test_an_additive_mask(shape: str) -> None:
    mask = tensor("mask", f"float32{shape}")
    q, k, v = inputs()
    before = graph((q, k, v, mask), attention(q, k, v, lambda scores: ops.add(scores, mask)))
    after = recompose(before)
    assert names(after) == ["scaled_dot_product_attention"]
    assert node(after, "scaled_dot_product_attention").inputs[3] == mask
    assert_same(before, after)


def test_two_additive_masks() -> None:
    q, k, v = inputs()
    bias, mask = tensor("bias", "float32[1, 2, s, n]"), tensor("mask", "float32[b, 1, 1, n]")
    before = graph((q, k, v, bias, mask), attention(q, k, v, lambda s: ops.add(ops.add(s, bias), mask)))
    after = recompose(before)
    assert names(after) == ["add", "scaled_dot_product_attention"]
    assert_same(before, after)


@pytest.mark.parametrize("negated", [False, True])
def test_a_mask_of_a_large_negative_number_is_additive(negated: bool) -> None:
    """Rows without a key become uniform in the source: that is what adding the number does, too."""
    q, k, v = inputs()
    mask = tensor("mask", "bool[b, 1, s, n]")

    def apply(scores: Value) -> Value:
        return ops.where(mask, LOWEST, scores) if negated else ops.where(mask, scores, LOWEST)

    before = graph((q, k, v, mask), attention(q, k, v, apply))
    after = recompose(before)
    assert names(after)[-1] == "scaled_dot_product_attention"
    assert "softmax" not in names(after)
    assert_same(before, after)
    assert_same(before, after, [{"b": 8, "s": 9, "n": 1}])  # half of the rows see no key


def causal(q: Value, k: Value) -> Value:
    rows = ops.arange(start=0, stop=q.shape[-2], dtype=DType.INT64)
    columns = ops.arange(start=0, stop=k.shape[-2], dtype=DType.INT64)
    return ops.greater_equal(ops.expand_dims(rows, axis=(1,)), columns)


@pytest.mark.parametrize("lowest", [-math.inf, LOWEST, -10000.0])
def test_a_causal_mask_stays_a_mask(lowest: float) -> None:
    q, k, v = inputs()
    mask = causal(q, k)
    before = graph((q, k, v), attention(q, k, v, lambda scores: ops.where(mask, scores, lowest)))
    after = recompose(before)
    assert names(after)[-1] == "scaled_dot_product_attention"
    found = node(after, "scaled_dot_product_attention")
    assert found.inputs[3] is not None
    assert found.inputs[3].dtype is (DType.BOOL if lowest == -math.inf else DType.FLOAT32)
    assert_same(before, after)


def test_a_causal_mask_shared_by_two_layers() -> None:
    q, k, v = inputs()
    mask = causal(q, k)
    first = attention(q, k, v, lambda scores: ops.where(mask, scores, -math.inf))
    second = attention(q, k, ops.tanh(v), lambda scores: ops.where(mask, scores, -math.inf))
    before = graph((q, k, v), (first, second))
    after = recompose(before)
    assert names(after).count("scaled_dot_product_attention") == 2
    assert mask.node in after.nodes()
    assert_same(before, after)


def test_a_mask_from_the_data_that_leaves_nan_is_not_claimed() -> None:
    """A row without a key is NaN in the source, and 0 in the op: they are not the same."""
    q, k, v = inputs()
    mask = tensor("mask", "bool[b, 1, s, n]")
    before = graph((q, k, v, mask), attention(q, k, v, lambda scores: ops.where(mask, scores, -math.inf)))
    assert recompose(before) is before


def test_a_mask_from_the_data_guarded_against_nan_is_claimed() -> None:
    q, k, v = inputs()
    mask = tensor("mask", "bool[b, 1, s, n]")
    scores = ops.where(mask, ops.divide(ops.matmul(q, turned(k)), 2.0), -math.inf)
    blocked = ops.equal(ops.max(scores, axis=(-1,), keepdims=True), -math.inf)
    weights = ops.where(blocked, 0.0, ops.softmax(ops.where(blocked, 0.0, scores), axis=-1))
    before = graph((q, k, v, mask), ops.matmul(weights, v))
    after = recompose(before)
    assert names(after) == ["scaled_dot_product_attention"]
    assert node(after, "scaled_dot_product_attention").inputs[3] == mask
    assert_same(before, after)


def test_the_polarity_of_a_mask() -> None:
    """True means masked here: the mask of the op is its negation."""
    q, k, v = inputs()
    hidden = ops.logical_not(causal(q, k))
    before = graph((q, k, v), attention(q, k, v, lambda scores: ops.where(hidden, -math.inf, scores)))
    after = recompose(before)
    assert names(after)[-2:] == ["logical_not", "scaled_dot_product_attention"]
    assert_same(before, after)


def test_keys_that_come_transposed_already() -> None:
    """One permutation from [batch, length, heads, size] is taken apart, none is added to none."""
    b, s = tensor("q", "float32[b, s, 4]").shape[:2]
    parts = [tensor(name, "float32[b, s, 2, 4]") for name in "qkv"]
    q, v = (ops.permute_dims(part, axes=(0, 2, 1, 3)) for part in (parts[0], parts[2]))
    k = ops.permute_dims(parts[1], axes=(0, 2, 3, 1))
    mixed = ops.matmul(ops.softmax(ops.matmul(q, k), axis=-1), v)
    before = graph(parts, ops.reshape(ops.permute_dims(mixed, axes=(0, 2, 1, 3)), shape=(b, s, 8)))
    after = recompose(before)
    assert sorted(names(after)) == [*["permute_dims"] * 4, "reshape", "scaled_dot_product_attention"]
    assert_same(before, after)


def test_softmax_in_another_dtype_stays() -> None:
    """The op computes in one type: scores rounded to bfloat16 and a softmax in float32 are not that."""
    q, k, v = (tensor(name, "bfloat16[b, 2, s, 4]") for name in "qkv")
    wide = ops.softmax(ops.astype(ops.matmul(q, turned(k)), dtype=DType.FLOAT32), axis=-1)
    before = graph((q, k, v), ops.matmul(ops.astype(wide, dtype=DType.BFLOAT16), v))
    assert recompose(before) is before


def test_weights_that_are_returned_are_not_claimed() -> None:
    q, k, v = inputs()
    weights = ops.softmax(ops.matmul(q, turned(k)), axis=-1)
    before = graph((q, k, v), (ops.matmul(weights, v), weights))
    assert recompose(before) is before


def test_einsums_as_flax_writes_them() -> None:
    """[batch, length, heads, size], the values on the left of the second product."""
    q, k, v = tensor("q", "float32[b, s, 2, 4]"), tensor("k", "float32[b, n, 2, 4]"), tensor("v", "float32[b, n, 2, 3]")
    scores = ops.einsum(ops.divide(q, 2.0), k, equation="abcd,aecd->acbe")
    mixed = ops.einsum(v, ops.softmax(scores, axis=-1), equation="abcd,aceb->acde")
    before = graph((q, k, v), ops.permute_dims(mixed, axes=(0, 3, 1, 2)))
    after = recompose(before)
    found = node(after, "scaled_dot_product_attention")
    assert math.isclose(found.attrs["scale"], 0.5)
    assert set(names(after)) == {"permute_dims", "scaled_dot_product_attention"}
    assert_same(before, after)
    final = canonicalize(before)
    assert sorted(names(final)) == [*["permute_dims"] * 4, "scaled_dot_product_attention"]
    assert_same(before, final)


def test_einsums_with_an_axis_of_size_one() -> None:
    """jax.nn.dot_product_attention: an axis for groups of heads, moved about between the products."""
    q, k, v = tensor("q", "float32[b, s, 2, 4]"), tensor("k", "float32[b, n, 2, 4]"), tensor("v", "float32[b, n, 2, 3]")
    b, s = q.shape[:2]
    grouped = ops.reshape(q, shape=(b, s, 2, 1, 4))
    scores = ops.multiply(ops.einsum(grouped, k, equation="abcde,afce->acbdf"), 0.5)
    largest = ops.maximum(-math.inf, ops.max(scores, axis=(4,)))
    largest = ops.expand_dims(ops.permute_dims(largest, axes=(3, 0, 1, 2)), axis=(4,))
    powers = ops.exp(ops.subtract(ops.permute_dims(scores, axes=(3, 0, 1, 2, 4)), largest))
    weights = ops.divide(powers, ops.expand_dims(ops.sum(powers, axis=(4,)), axis=(4,)))
    mixed = ops.einsum(v, weights, equation="abcd,eacfb->acdef")
    result = ops.reshape(ops.permute_dims(mixed, axes=(0, 4, 1, 3, 2)), shape=(b, s, 2, 3))
    before = graph((q, k, v), result)
    after = canonicalize(before)
    assert sorted(names(after)) == [*["permute_dims"] * 4, "scaled_dot_product_attention"]
    assert_same(before, after)


@pytest.mark.parametrize("equation", ["abcd,abde->abce", "abcd,abed->abec", "abcd,abce->abde"])
def test_other_einsums_are_no_attention_by_mistake(equation: str) -> None:
    q, k, v = (tensor(each, SQUARE) for each in "qkv")
    weights = ops.softmax(ops.einsum(q, k, equation=equation), axis=-1)
    before = graph((q, k, v), ops.matmul(weights, v))
    assert_same(before, recompose(before))


SQUARE = "float32[2, 2, 4, 4]"


def not_attention(name: str) -> tuple[list[Value], Value]:
    q, k, v = (tensor(each, SQUARE) for each in "qkv")
    scores = ops.matmul(q, turned(k))
    results = {
        "keys-not-transposed-over-heads": ops.matmul(
            ops.softmax(ops.permute_dims(scores, axes=(1, 0, 2, 3)), axis=-1), v
        ),
        "softmax-over-queries": ops.matmul(ops.softmax(scores, axis=-2), v),
        "mask-after-softmax": ops.matmul(ops.add(ops.softmax(scores, axis=-1), 1.0), v),
        "weights-on-the-right": ops.matmul(v, ops.softmax(scores, axis=-1)),
        "squared-scores": ops.matmul(ops.softmax(ops.square(scores), axis=-1), v),
    }
    return [q, k, v], results[name]


@pytest.mark.parametrize(
    "name",
    [
        "keys-not-transposed-over-heads",
        "softmax-over-queries",
        "mask-after-softmax",
        "weights-on-the-right",
        "squared-scores",
    ],
)
def test_what_is_no_attention(name: str) -> None:
    operands, result = not_attention(name)
    after = recompose(graph(operands, result))
    assert "scaled_dot_product_attention" not in names(after)


def test_keys_that_are_not_transposed_become_transposed_keys() -> None:
    """``q @ k`` of square matrices is attention over the columns of k: the claim says so, with a transpose."""
    q, k, v = (tensor(each, SQUARE) for each in "qkv")
    before = graph((q, k, v), ops.matmul(ops.softmax(ops.matmul(q, k), axis=-1), v))
    after = recompose(before)
    assert names(after) == ["permute_dims", "scaled_dot_product_attention"]
    assert_same(before, after)


def test_a_mask_that_is_scaled_with_the_scores() -> None:
    q, k, v = inputs()
    mask = tensor("mask", "float32[s, n]")
    scores = ops.multiply(ops.add(ops.matmul(q, turned(k)), mask), 0.5)
    before = graph((q, k, v, mask), ops.matmul(ops.softmax(scores, axis=-1), v))
    assert_same(before, recompose(before))
