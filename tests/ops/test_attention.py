"""Attention, embeddings and rotary encoding: the measured traps, hand-computed numbers, symbolic sizes, and torch."""

from __future__ import annotations

from math import exp, inf, nan

import numpy as np
import pytest

import kxchange.ops as ops
from kxchange.errors import KxchangeError, TypeInferenceError
from kxchange.graph import Graph, interpret, placeholder
from kxchange.reference import evaluate_node
from kxchange.types import TensorType

# With a query of 0 every allowed key weighs the same, so the result is the mean of the values allowed.
QUERY, KEY = np.zeros((1, 1, 2, 4)), np.ones((1, 1, 3, 4))
VALUE = np.array([1.0, 10.0, 100.0]).reshape(1, 1, 3, 1)
SDPA = ops.scaled_dot_product_attention


def test_t07_true_is_kept(ways):
    for y in ways(SDPA, QUERY, KEY, VALUE, [[True, True, False], [False, False, True]]):
        np.testing.assert_allclose(y.ravel(), [5.5, 100], rtol=1e-15)


@pytest.mark.parametrize(
    "mask", [[[False] * 3, [True, False, True]], [[-inf] * 3, [0.0, -inf, 0.0]]], ids=["bool", "additive"]
)
def test_t08_a_row_without_a_key_is_0(ways, mask):
    for y in ways(SDPA, QUERY, KEY, VALUE, mask):
        np.testing.assert_allclose(y.ravel(), [0, 50.5], rtol=1e-15)


def test_t08_mask_and_causal_together_may_leave_no_key(ways):
    for y in ways(SDPA, QUERY, KEY, VALUE, [[False, True, True], [True, False, True]], is_causal=True):
        np.testing.assert_allclose(y.ravel(), [0, 1], rtol=1e-15)
    for y in ways(SDPA, QUERY, KEY, VALUE, [[-inf, 0.0, 0.0], [0.0, 0.0, 0.0]], is_causal=True):
        np.testing.assert_allclose(y.ravel(), [0, 5.5], rtol=1e-15)


def test_t08_no_intermediate_is_nan():
    types = ["float64[1, 1, 2, 4]", "float64[1, 1, 3, 4]", "float64[1, 1, 3, 1]", "bool[2, 3]"]
    values = [placeholder(f"x{i}", TensorType.parse(text)) for i, text in enumerate(types)]
    out = SDPA.decompose_rule(*values, scale=None, is_causal=False)

    def checked(node, operands):
        results = evaluate_node(node, operands, {})
        assert not any(np.isnan(result).any() for result in results if result.dtype.kind == "f"), node
        return results

    interpret(Graph(tuple(values), (out,)), [QUERY, KEY, VALUE, np.zeros((2, 3), bool)], checked)


def test_nan_is_not_hidden(ways):
    query = np.array([[nan, 0.0], [0.0, 0.0]])
    for y in ways(SDPA, query, np.ones((2, 2)), np.ones((2, 1)), np.ones((2, 2), bool)):
        np.testing.assert_array_equal(y.ravel(), [nan, 1])


def test_t09_causal_is_upper_left(ways):
    for y in ways(SDPA, QUERY, KEY, VALUE, is_causal=True):
        np.testing.assert_allclose(y.ravel(), [1, 5.5], rtol=1e-15)
    for y in ways(SDPA, np.zeros((1, 1, 4, 4)), KEY[:, :, :2], VALUE[:, :, :2], is_causal=True):
        np.testing.assert_allclose(y.ravel(), [1, 5.5, 5.5, 5.5], rtol=1e-15)


def test_scale_is_one_over_the_root_of_head_dim(ways):
    query, key, value = np.full((1, 4), 1.0), np.array([[0.5] * 4, [0.0] * 4]), np.array([[1.0], [0.0]])
    for y in ways(SDPA, query, key, value):
        np.testing.assert_allclose(y, [[1 / (1 + exp(-1))]], rtol=1e-15)
    for y in ways(SDPA, query, key, value, scale=2.0):
        np.testing.assert_allclose(y, [[1 / (1 + exp(-4))]], rtol=1e-15)


def test_additive_mask_is_added_after_the_scale(ways):
    for y in ways(SDPA, np.zeros((1, 2)), np.zeros((2, 2)), np.array([[1.0], [0.0]]), [[2.0, 0.0]]):
        np.testing.assert_allclose(y, [[1 / (1 + exp(-2))]], rtol=1e-15)


def test_each_key_head_serves_consecutive_query_heads(ways):
    value = np.array([1.0, 2.0]).reshape(1, 2, 1, 1)
    for y in ways(SDPA, np.zeros((1, 6, 1, 4)), np.zeros((1, 2, 1, 4)), value):
        np.testing.assert_array_equal(y.ravel(), [1, 1, 1, 2, 2, 2])
    for y in ways(SDPA, np.zeros((6, 1, 4)), np.zeros((2, 1, 4)), value[0]):
        np.testing.assert_array_equal(y.ravel(), [1, 1, 1, 2, 2, 2])


def test_no_keys_at_all_give_0():
    y = SDPA(np.ones((1, 2, 4)), np.ones((1, 0, 4)), np.ones((1, 0, 3)))
    np.testing.assert_array_equal(y, np.zeros((1, 2, 3)))


def test_symbolic_sizes(infer):
    query, key, value = "float32[b, 8, q, 64]", "float32[b, 2, p+q, 64]", "float32[b, 2, p+q, 32]"
    for mask in (None, "bool[q, p+q]", "bool[b, 1, 1, p+q]", "float32[b, 8, q, p+q]"):
        assert infer(SDPA, query, key, value, mask) == "float32[b, 8, q, 32]"
    assert infer(SDPA, "float32[b, h, q, d]", "float32[b, h, k, d]", "float32[b, h, k, v]", scale=1.0)
    assert infer(ops.embedding, "float32[n, 8]", "int64[b, 2*s]") == "float32[b, 2*s, 8]"
    x, angles = "float32[b, h, s, 64]", "float32[s, 64]"
    for interleaved in (False, True):
        assert infer(ops.rotary_embedding, x, angles, angles, interleaved=interleaved) == x


Q = "float32[2, 4, 3, 8]"


@pytest.mark.parametrize(
    ("operands", "message"),
    [
        ((Q, "float32[2, 3, 5, 8]", "float32[2, 3, 5, 8]"), "heads per key head"),
        ((Q, "float32[2, 4, 5, 6]", "float32[2, 4, 5, 8]"), "head_dim"),
        ((Q, "float32[2, 4, 5, 8]", "float32[2, 4, 6, 8]"), "length"),
        ((Q, "float32[3, 4, 5, 8]", "float32[3, 4, 5, 8]"), "axis 0"),
        ((Q, "float16[2, 4, 5, 8]", "float32[2, 4, 5, 8]"), "float16"),
        ((Q, "float32[2, 4, 5, 8]", "float32[2, 4, 5, 8]", "int32[3, 5]"), "int32"),
        ((Q, "float32[2, 4, 5, 8]", "float32[2, 4, 5, 8]", "bool[2, 5]"), "broadcast"),
        ((Q, "float32[2, 4, 1, 8]", "float32[2, 4, 1, 8]", "bool[3, 5]"), "mask"),
        (("float32[3, d]", "float32[5, d]", "float32[5, d]"), "scale must be given"),
    ],
)
def test_refusals(infer, operands, message):
    with pytest.raises(TypeInferenceError, match=message):
        infer(SDPA, *operands)


def test_embedding_takes_rows(ways):
    weight = np.arange(6.0).reshape(3, 2)
    for y in ways(ops.embedding, weight, [[2, 0]], padding_index=0):
        np.testing.assert_array_equal(y, [[[4, 5], [0, 1]]])
    with pytest.raises(KxchangeError):
        ops.embedding(weight, np.array([3]))


def test_t12_rotary_pairs(ways):
    # A quarter turn: the pair (a, b) becomes (-b, a).
    x, cos, sin = [[1.0, 2.0, 3.0, 4.0]], np.zeros(4), np.ones(4)
    for y in ways(ops.rotary_embedding, x, cos, sin):
        np.testing.assert_array_equal(y, [[-3, -4, 1, 2]])
    for y in ways(ops.rotary_embedding, x, cos, sin, interleaved=True):
        np.testing.assert_array_equal(y, [[-2, 1, -4, 3]])


def test_rotary_angles_must_broadcast_to_x(infer):
    with pytest.raises(TypeInferenceError, match="cos"):
        infer(ops.rotary_embedding, "float32[3, 4]", "float32[2, 3, 4]", "float32[3, 4]")
    with pytest.raises(TypeInferenceError, match="2 does not divide 5"):
        infer(ops.rotary_embedding, "float32[3, 5]", "float32[3, 5]", "float32[3, 5]")


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(16))
def test_attention_against_torch(ways, seed):
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(seed)
    heads, served = int(generator.integers(1, 4)), int(generator.integers(1, 4))
    length, keys = generator.integers(1, 6, 2).tolist()
    query = generator.normal(size=(2, heads * served, length, 4))
    key, value = generator.normal(size=(2, heads, keys, 4)), generator.normal(size=(2, heads, keys, 3))
    shape = [(length, keys), (2, 1, length, keys), (2, heads * served, 1, keys)][seed % 3]
    kind = ["none", "causal", "bool", "additive"][seed % 4]
    mask = {"bool": generator.random(shape) < 0.6, "additive": generator.normal(size=shape)}.get(kind)
    scale = None if seed % 2 else 0.7
    expected = torch.nn.functional.scaled_dot_product_attention(
        *map(torch.tensor, (query, key, value)),
        attn_mask=None if mask is None else torch.tensor(mask),
        is_causal=kind == "causal",
        scale=scale,
        enable_gqa=True,
    ).numpy()
    for y in ways(SDPA, query, key, value, mask, scale=scale, is_causal=kind == "causal"):
        np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.torch
def test_embedding_against_torch(ways):
    torch = pytest.importorskip("torch")
    weight, indices = np.random.default_rng(0).normal(size=(7, 3)), np.array([[0, 6], [2, 2]])
    expected = torch.nn.functional.embedding(torch.tensor(indices), torch.tensor(weight)).numpy()
    for y in ways(ops.embedding, weight, indices):
        np.testing.assert_array_equal(y, expected)
