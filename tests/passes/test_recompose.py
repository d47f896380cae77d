"""Every dissolved form is found, and the whole computes what the parts did."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from kxchange import ops
from kxchange.constant import Constant
from kxchange.graph import Graph, Source, Value, emitting
from kxchange.passes.recompose import recompose
from kxchange.spec import REGISTRY
from kxchange.testing.conformance import decomposed
from kxchange.testing.sample import Sample
from kxchange.testing.samples import all_samples
from kxchange.types import DType
from tests.passes.graphs import (
    assert_same,
    chain,
    dense,
    gelu_by_hand,
    graph,
    layer_norm_by_hand,
    loop,
    names,
    node,
    softmax_by_hand,
    tensor,
    transformer,
    weight,
)

F32, BF16 = DType.FLOAT32, DType.BFLOAT16
ROOT = math.sqrt(2 / math.pi)

FROM_DECOMPOSITION = {
    *("relu", "relu6", "silu", "mish", "softsign", "log_sigmoid", "tanh_shrink", "selu", "hard_swish"),
    *("leaky_relu", "elu", "hard_sigmoid", "gelu", "softmax", "log_softmax", "logsumexp", "layer_norm", "rms_norm"),
    *("batch_norm", "l2_normalize", "rotary_embedding", "scaled_dot_product_attention", "softplus"),
}
# A sample of rank 0, or one over no axis, is the op only in name; grouped heads and causal masks stay beside attention.
OTHERS = ("R21", "rank-0", "no-axis", "grouped", "T09")
SAMPLES = [
    pytest.param(sample, id=sample.id)
    for op in sorted(FROM_DECOMPOSITION)
    for sample in all_samples()[op]
    if not any(word in sample.note for word in OTHERS) and not sample.attrs.get("is_causal")
]


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_decomposition_is_put_back(sample: Sample) -> None:
    for symbolic in (False, True) if sample.symbolic else (False,):
        after = recompose(decomposed(sample, F32, symbolic=symbolic))
        assert names(after) == [sample.op]
        wanted = REGISTRY[sample.op].bind_attrs(sample.attributes(symbolic=symbolic, floating=F32))
        found = node(after, sample.op).attrs
        for name, value in wanted.items():
            if name not in ("axis", "channel_axis", "scale", "is_causal"):
                assert found[name] == value, name


Unary = Callable[[Value], Value]


def one_minus_exp(x: Value) -> Value:
    return ops.add(1.0, ops.exp(ops.negative(x)))


def erf_gelu(x: Value) -> Value:
    return ops.multiply(ops.multiply(0.5, x), ops.add(1.0, ops.erf(ops.divide(x, math.sqrt(2)))))


def erf_gelu_swapped(x: Value) -> Value:
    return ops.multiply(x, ops.multiply(ops.add(ops.erf(ops.multiply(x, math.sqrt(0.5))), 1.0), 0.5))


def erf_gelu_distributed(x: Value) -> Value:
    return ops.multiply(x, ops.add(0.5, ops.multiply(0.5, ops.erf(ops.multiply(x, math.sqrt(0.5))))))


def tanh_gelu_factored(x: Value) -> Value:
    inner = ops.multiply(ops.multiply(x, ROOT), ops.add(1.0, ops.multiply(0.044715, ops.square(x))))
    return ops.multiply(ops.multiply(0.5, x), ops.add(1.0, ops.tanh(inner)))


def tanh_gelu_of_jax(x: Value) -> Value:
    cubic = ops.multiply(ops.multiply(x, x), x)
    inner = ops.multiply(float(np.float32(ROOT)), ops.add(x, ops.multiply(float(np.float32(0.044715)), cubic)))
    return ops.multiply(x, ops.multiply(0.5, ops.add(1.0, ops.tanh(inner))))


def constant_gelu(x: Value) -> Value:
    def number(value: float) -> Value:
        return ops.constant(value=Constant(np.array([value], np.float32)))

    half, one, root = number(0.5), number(1.0), number(math.sqrt(2))
    return ops.multiply(ops.multiply(x, ops.add(ops.erf(ops.divide(x, root)), one)), half)


def elu_of_jax(x: Value) -> Value:
    positive = ops.greater(x, 0.0)
    return ops.where(positive, x, ops.multiply(0.7, ops.expm1(ops.where(positive, 0.0, x))))


def softmax_of_jax(x: Value) -> Value:
    """No keepdims, explicit broadcasts, a maximum with minus infinity."""
    largest = ops.maximum(-math.inf, ops.max(x, axis=(-1,)))
    powers = ops.exp(ops.subtract(x, ops.broadcast_to(ops.expand_dims(largest, axis=(-1,)), shape=x.shape)))
    total = ops.reshape(ops.sum(powers, axis=(-1,)), shape=(*x.shape[:-1], 1))
    return ops.divide(powers, ops.broadcast_to(total, shape=x.shape))


def log_softmax_by_hand(x: Value) -> Value:
    shifted = ops.subtract(x, ops.max(x, axis=(-1,), keepdims=True))
    return ops.subtract(shifted, ops.log(ops.sum(ops.exp(shifted), axis=(-1,), keepdims=True)))


def log_softmax_by_logsumexp(x: Value) -> Value:
    return ops.subtract(x, ops.logsumexp(x, axis=(-1,), keepdims=True))


def softplus_of_jax(x: Value) -> Value:
    """logaddexp(x, 0): NaN goes around the maximum."""
    zero = ops.full(shape=(), value=0.0, dtype=F32)
    difference = ops.subtract(x, zero)
    exact = ops.add(ops.maximum(x, zero), ops.log1p(ops.exp(ops.negative(ops.abs(difference)))))
    return ops.where(ops.not_equal(difference, difference), ops.add(x, zero), exact)


def softplus_of_torch(x: Value) -> Value:
    scaled = ops.multiply(x, 2.0)
    return ops.where(ops.greater(scaled, 20.0), x, ops.divide(ops.logaddexp(scaled, 0.0), 2.0))


def relu6_by_hand(x: Value) -> Value:
    return ops.minimum(ops.maximum(x, 0.0), 6.0)


def hard_sigmoid_of_jax(x: Value) -> Value:
    return ops.divide(relu6_by_hand(ops.add(x, 3.0)), 6.0)


def celu_of_jax(x: Value) -> Value:
    below = ops.multiply(0.7, ops.expm1(ops.divide(ops.minimum(x, 0.0), 0.7)))
    return ops.add(ops.maximum(x, 0.0), below)


ELEMENTWISE: dict[str, tuple[Unary, str]] = {
    "softplus-jax": (softplus_of_jax, "softplus"),
    "softplus-torch": (softplus_of_torch, "softplus"),
    "mish": (lambda x: ops.multiply(x, ops.tanh(softplus_of_jax(x))), "mish"),
    "log_sigmoid": (lambda x: ops.negative(softplus_of_jax(ops.negative(x))), "log_sigmoid"),
    "relu": (lambda x: ops.maximum(0.0, x), "relu"),
    "relu6": (relu6_by_hand, "relu6"),
    "hard_sigmoid": (hard_sigmoid_of_jax, "hard_sigmoid"),
    "hard_swish": (lambda x: ops.multiply(x, hard_sigmoid_of_jax(x)), "hard_swish"),
    "leaky_relu": (lambda x: ops.where(ops.greater_equal(x, 0.0), x, ops.multiply(0.2, x)), "leaky_relu"),
    "celu": (celu_of_jax, "celu"),
    "sigmoid": (lambda x: ops.divide(1.0, one_minus_exp(x)), "sigmoid"),
    "sigmoid-reciprocal": (lambda x: ops.reciprocal(one_minus_exp(x)), "sigmoid"),
    "silu-divided": (lambda x: ops.divide(x, one_minus_exp(x)), "silu"),
    "silu-of-parts": (lambda x: ops.multiply(ops.divide(1.0, one_minus_exp(x)), x), "silu"),
    "softplus": (lambda x: ops.logaddexp(x, 0.0), "softplus"),
    "gelu-erf": (erf_gelu, "gelu"),
    "gelu-erf-swapped": (erf_gelu_swapped, "gelu"),
    "gelu-erf-distributed": (erf_gelu_distributed, "gelu"),
    "gelu-new": (gelu_by_hand, "gelu"),
    "gelu-factored": (tanh_gelu_factored, "gelu"),
    "gelu-jax": (tanh_gelu_of_jax, "gelu"),
    "gelu-constants": (constant_gelu, "gelu"),
    "elu-jax": (elu_of_jax, "elu"),
    "softmax": (softmax_by_hand, "softmax"),
    "softmax-first-axis": (lambda x: softmax_by_hand(x, 0), "softmax"),
    "softmax-jax": (softmax_of_jax, "softmax"),
    "log_softmax": (log_softmax_by_hand, "log_softmax"),
    "log_softmax-logsumexp": (log_softmax_by_logsumexp, "log_softmax"),
}
SHAPES = ("float32[b, s]", "float32[4, 4]", "float32[1, 3]", "float32[2, b, 5, 1]")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("write", "op"), ELEMENTWISE.values(), ids=ELEMENTWISE)
def test_forms(write: Unary, op: str, shape: str) -> None:
    x = tensor("x", shape)
    before = graph(x, write(x))
    after = recompose(before)
    assert names(after) == [op]
    if write not in (tanh_gelu_of_jax, constant_gelu):  # their numbers are rounded to float32
        assert_same(before, after)


def test_attributes_of_forms() -> None:
    x = tensor("x", "float32[b, s]")
    assert node(recompose(graph(x, elu_of_jax(x))), "elu").attrs == {"alpha": 0.7}
    assert node(recompose(graph(x, gelu_by_hand(x))), "gelu").attrs == {"approximate": "tanh"}
    assert node(recompose(graph(x, erf_gelu(x))), "gelu").attrs == {"approximate": "none"}
    assert node(recompose(graph(x, softmax_by_hand(x, 0))), "softmax").attrs == {"axis": 0}
    assert node(recompose(graph(x, ops.logaddexp(x, 0.0))), "softplus").attrs == {"beta": 1.0, "threshold": math.inf}


def test_a_constant_rounded_to_float32_stands_for_the_number() -> None:
    x = tensor("x", "float32[b]")
    assert names(recompose(graph(x, tanh_gelu_of_jax(x)))) == ["gelu"]


def test_a_gelu_in_bfloat16_with_constants_rounded_to_it() -> None:
    x = tensor("x", "bfloat16[b]")
    root = float(np.float32(ROOT).astype(BF16.numpy))
    cubic = ops.multiply(0.0447, ops.pow(x, 3.0))
    value = ops.multiply(ops.multiply(0.5, x), ops.add(1.0, ops.tanh(ops.multiply(root, ops.add(x, cubic)))))
    assert (
        names(recompose(graph(x, value)))[-1] != "gelu"
    )  # 0.0447 is written more finely than bfloat16: another number
    rounded = float(np.float32(0.044715).astype(BF16.numpy))
    cubic = ops.multiply(rounded, ops.pow(x, 3.0))
    value = ops.multiply(ops.multiply(0.5, x), ops.add(1.0, ops.tanh(ops.multiply(root, ops.add(x, cubic)))))
    assert names(recompose(graph(x, value))) == ["gelu"]


def test_a_product_that_is_used_twice_is_an_operand() -> None:
    x, y = tensor("x", "float32[b, s]"), tensor("y", "float32[s]")
    product = ops.multiply(x, y)
    assert names(recompose(graph((x, y), gelu_by_hand(product)))) == ["multiply", "gelu"]
    assert names(recompose(graph((x, y), ops.multiply(product, ops.sigmoid(product))))) == ["multiply", "silu"]


def test_an_activation_behind_a_reduction_without_keepdims() -> None:
    x = tensor("x", "float32[b, s, 3]")
    pooled = ops.mean(x, axis=(1,))
    before = graph(x, ops.multiply(pooled, ops.sigmoid(pooled)))
    after = recompose(before)
    assert names(after) == ["mean", "silu"]
    assert_same(before, after)


@pytest.mark.parametrize("keepdims", [True, False])
def test_mean_and_variance(keepdims: bool) -> None:
    x = tensor("x", "float32[b, 6, 2]")
    count = ops.full(shape=(), value=12.0, dtype=F32)
    mean = ops.divide(ops.sum(x, axis=(1, 2), keepdims=keepdims), count)
    assert names(recompose(graph(x, mean))) == ["mean"]
    centred = ops.subtract(x, ops.divide(ops.sum(x, axis=(1, 2), keepdims=True), count))
    biased = graph(x, ops.divide(ops.sum(ops.square(centred), axis=(1, 2), keepdims=keepdims), 12.0))
    after = recompose(biased)
    assert names(after) == ["var"]
    assert node(after, "var").attrs == {"axis": (1, 2), "keepdims": keepdims, "correction": 0.0}
    assert_same(biased, after)
    sample = graph(x, ops.divide(ops.sum(ops.square(centred), axis=(1, 2), keepdims=keepdims), 11.0))
    assert node(recompose(sample), "var").attrs["correction"] == 1.0


def test_a_mean_over_a_symbolic_size() -> None:
    x = tensor("x", "float32[b, s, 3]")
    count = ops.astype(ops.full(shape=(), value=x.shape[1] * 3, dtype=DType.INT64), dtype=F32)
    before = graph(x, ops.divide(ops.sum(x, axis=(1, 2)), count))
    assert names(recompose(before)) == ["mean"]
    assert_same(before, recompose(before))
    wrong = ops.astype(ops.full(shape=(), value=x.shape[1], dtype=DType.INT64), dtype=F32)
    assert "mean" not in names(recompose(graph(x, ops.divide(ops.sum(x, axis=(1, 2)), wrong))))


def jax_variance(x: Value) -> Value:
    """jnp.var: the count less `ddof`, and NaN where that is not positive."""
    count = ops.full(shape=(), value=float(x.shape[-1]), dtype=F32)
    centred = ops.subtract(x, ops.expand_dims(ops.divide(ops.sum(x, axis=(-1,)), count), axis=(-1,)))
    left = ops.subtract(count, 0.0)
    total = ops.divide(ops.sum(ops.square(centred), axis=(-1,)), left)
    return ops.where(ops.greater(left, 0.0), total, math.nan)


def test_layer_norm_over_the_variance_of_jax() -> None:
    x = tensor("x", "float32[b, s, 8]")
    centred = ops.subtract(x, ops.expand_dims(ops.mean(x, axis=(-1,)), axis=(-1,)))
    inverse = ops.rsqrt(ops.add(ops.expand_dims(jax_variance(x), axis=(-1,)), 1e-6))
    before = graph(x, ops.multiply(centred, inverse))
    after = recompose(before)
    assert names(after) == ["layer_norm"]
    assert_same(before, after)


def linen_layer_norm(x: Value) -> Value:
    """Fast variance, clipped at 0, the scale folded into the inverse deviation."""
    mean, square = ops.mean(x, axis=(-1,)), ops.mean(ops.square(x), axis=(-1,))
    variance = ops.maximum(0.0, ops.subtract(square, ops.square(mean)))
    scale, bias = weight("scale", "float32[8]"), weight("bias", "float32[8]")
    factor = ops.multiply(
        ops.rsqrt(ops.add(ops.expand_dims(variance, axis=(-1,)), 1e-6)), ops.reshape(scale, shape=(1, 1, 8))
    )
    centred = ops.subtract(x, ops.expand_dims(mean, axis=(-1,)))
    return ops.add(ops.multiply(centred, factor), ops.reshape(bias, shape=(1, 1, 8)))


def test_layer_norm_of_linen() -> None:
    x = tensor("x", "float32[b, s, 8]")
    before = graph(x, linen_layer_norm(x))
    after = recompose(before)
    assert names(after) == ["layer_norm"]
    assert [value.type.rank for value in node(after, "layer_norm").inputs if value] == [3, 1, 1]
    assert_same(before, after)


def test_layer_norm_whole_where_its_scale_is_shared() -> None:
    """Two affine parts on one standardised tensor: it is claimed without them, once."""
    x = tensor("x", "float32[b, 8]")
    centred = ops.subtract(x, ops.mean(x, axis=(-1,), keepdims=True))
    variance = ops.mean(ops.square(centred), axis=(-1,), keepdims=True)
    y = ops.divide(centred, ops.sqrt(ops.add(variance, 1e-5)))
    first, second = (ops.multiply(y, weight(name, "float32[8]")) for name in ("a", "b"))
    before = graph(x, (first, second))
    after = recompose(before)
    assert names(after) == ["layer_norm", "multiply", "multiply"]
    assert_same(before, after)


def llama_norm(x: Value, compute: DType) -> Value:
    wide = ops.astype(x, dtype=compute)
    variance = ops.mean(ops.pow(wide, 2.0), axis=(-1,), keepdims=True)
    normed = ops.multiply(wide, ops.rsqrt(ops.add(variance, 1e-6)))
    return ops.multiply(weight("scale", f"{x.dtype.value}[8]"), ops.astype(normed, dtype=x.dtype))


def test_rms_norm_of_llama() -> None:
    x = tensor("x", "float32[b, s, 8]")
    before = graph(x, llama_norm(x, F32))
    after = recompose(before)
    assert names(after) == ["rms_norm"]
    assert node(after, "rms_norm").attrs == {"axes": 1, "epsilon": 1e-6}
    assert_same(before, after)


def test_rms_norm_keeps_its_compute_dtype() -> None:
    x = tensor("x", "bfloat16[b, s, 8]")
    after = recompose(graph(x, llama_norm(x, F32)))
    assert names(after) == ["astype", "rms_norm", "astype", "multiply"]
    assert node(after, "rms_norm").types[0].dtype is F32
    assert node(after, "rms_norm").inputs[1] is None


def test_rms_norm_over_two_axes_with_a_scale_of_one_plus_weight() -> None:
    x = tensor("x", "float32[b, 3, 4]")
    inverse = ops.rsqrt(ops.add(ops.mean(ops.square(x), axis=(-2, -1), keepdims=True), 1e-6))
    scale = ops.add(1.0, weight("w", "float32[3, 4]"))
    before = graph(x, ops.multiply(ops.multiply(x, inverse), scale))
    after = recompose(before)
    assert names(after) == ["full", "add", "rms_norm"]
    assert node(after, "rms_norm").attrs["axes"] == 2
    assert_same(before, after)


def vectors(shape: str) -> list[Value]:
    return [weight(name, shape) for name in ("mean", "variance", "scale", "bias")]


def plain_batch_norm(x: Value, shape: tuple[int, ...]) -> Value:
    mean, variance, scale, bias = (ops.reshape(v, shape=shape) for v in vectors("float32[3]"))
    centred = ops.subtract(x, mean)
    return ops.add(ops.multiply(ops.multiply(centred, ops.rsqrt(ops.add(variance, 1e-3))), scale), bias)


def folded_batch_norm(x: Value, shape: tuple[int, ...]) -> Value:
    """``x * k + (bias - mean * k)``."""
    mean, variance, scale, bias = (ops.reshape(v, shape=shape) for v in vectors("float32[3]"))
    factor = ops.multiply(ops.rsqrt(ops.add(variance, 1e-3)), scale)
    return ops.add(ops.multiply(x, factor), ops.subtract(bias, ops.multiply(mean, factor)))


@pytest.mark.parametrize("write", [plain_batch_norm, folded_batch_norm])
@pytest.mark.parametrize(
    ("type", "shape", "axis"),
    [
        ("float32[b, 3, h, w]", (1, 3, 1, 1), 1),
        ("float32[b, 3, h, w]", (3, 1, 1), 1),
        ("float32[b, h, w, 3]", (3,), -1),
        ("float32[b, h, w, 3]", (1, 1, 1, 3), -1),
        ("float32[b, 3]", (3,), 1),
        ("float32[2, 3, 3, 3]", (1, 3, 1, 1), 1),
    ],
)
def test_batch_norm(
    write: Callable[[Value, tuple[int, ...]], Value], type: str, shape: tuple[int, ...], axis: int
) -> None:
    x = tensor("x", type)
    before = graph(x, write(x, shape))
    after = recompose(before)
    assert names(after) == ["batch_norm"]
    assert node(after, "batch_norm").attrs == {"epsilon": 1e-3, "channel_axis": axis}
    assert [value.shape for value in node(after, "batch_norm").inputs[1:] if value] == [(3,)] * 4
    assert_same(before, after)


def test_linear() -> None:
    x = tensor("x", "float32[b, s, 8]")
    before = graph(x, dense(x, "layer", 5))
    after = recompose(before)
    assert names(after) == ["permute_dims", "linear"]
    stored = graph(x, ops.matmul(x, ops.permute_dims(weight("w", "float32[5, 8]"), axes=(1, 0))))
    assert names(recompose(stored)) == ["linear"]  # the transpose was there: the weight is read as it is stored
    for each in (before, stored):
        assert_same(each, recompose(each))


@pytest.mark.parametrize("batch", ["b", "1"])
def test_linear_between_reshapes(batch: str) -> None:
    x = tensor("x", f"float32[{batch}, s, 8]")
    b, s, _ = x.shape
    inner = ops.matmul(ops.reshape(x, shape=(b * s, 8)), weight("w", "float32[8, 5]"))
    before = graph(x, ops.reshape(ops.add(inner, weight("bias", "float32[5]")), shape=(b, s, 5)))
    after = recompose(before)
    assert names(after) == ["permute_dims", "linear"]
    assert_same(before, after)


@pytest.mark.parametrize("cut", ["slice", "split"])
def test_rotary_embedding(cut: str) -> None:
    x, cos, sin = (
        tensor("x", "float32[b, 2, s, 6]"),
        tensor("cos", "float32[1, s, 6]"),
        tensor("sin", "float32[1, s, 6]"),
    )
    if cut == "split":
        first, second = ops.split(x, sizes=(3, 3), axis=-1)
    else:
        first, second = (ops.slice(x, starts=(i,), stops=(i + 3,), steps=(1,), axes=(3,)) for i in (0, 3))
    rotated = ops.concat(ops.negative(second), first, axis=-1)
    wide = [ops.expand_dims(value, axis=(1,)) for value in (cos, sin)]
    before = graph((x, cos, sin), ops.add(ops.multiply(x, wide[0]), ops.multiply(rotated, wide[1])))
    after = recompose(before)
    assert "rotary_embedding" in names(after)
    assert len(names(after)) <= 3
    assert_same(before, after)


def test_a_transformer() -> None:
    before = transformer(2)
    after = recompose(before)
    assert_same(before, after)
    found = names(after)
    wanted = {"layer_norm": 2, "scaled_dot_product_attention": 2, "gelu": 2, "linear": 12, "add": 4}
    assert {op: found.count(op) for op in wanted} == wanted
    assert not set(found) - wanted.keys() - {"reshape", "permute_dims"}
    assert len(after.nodes()) < 0.6 * len(before.nodes())


def test_control_flow() -> None:
    before = loop()
    after = recompose(before)
    body: Graph = node(after, "scan").attrs["body"]
    assert "silu" in names(body)
    assert "sigmoid" not in names(body)
    assert_same(before, after)


def test_what_is_not_claimed_keeps_its_identity() -> None:
    x = tensor("x", "float32[b, 8]")
    earlier = ops.tanh(x)
    norm = layer_norm_by_hand(earlier, weight("s", "float32[8]"), weight("b", "float32[8]"))
    beside = ops.sin(earlier)
    after = recompose(graph(x, (norm, beside)))
    assert earlier.node in after.nodes()
    assert after.outputs[1] is beside or after.outputs[1].node is beside.node
    assert node(after, "layer_norm").inputs[0] == earlier
    untouched = chain(100)
    assert recompose(untouched) is untouched


def test_the_whole_has_the_name_and_source_of_its_last_part() -> None:
    x = tensor("x", "float32[b]")
    gate = ops.sigmoid(x)
    with emitting("block.act", Source("net.py", 7)):
        result = ops.multiply(x, gate)
    found = node(recompose(graph(x, result)), "silu")
    assert (found.name, found.source) == ("block.act", Source("net.py", 7))


def softmax_of_jax_in_bfloat16(x: Value) -> Value:
    """Sums are computed in float32 and rounded once: what a sum of bfloat16 does by itself."""
    powers = ops.exp(ops.subtract(x, ops.max(x, axis=(-1,), keepdims=True)))
    total = ops.sum(ops.astype(powers, dtype=F32), axis=(-1,))
    return ops.divide(powers, ops.expand_dims(ops.astype(total, dtype=BF16), axis=(-1,)))


def test_softmax_in_bfloat16_with_its_sum_in_float32() -> None:
    x = tensor("x", "bfloat16[b, s]")
    before = graph(x, softmax_of_jax_in_bfloat16(x))
    after = recompose(before)
    assert names(after) == ["softmax"]
    assert_same(before, after)


def test_axes_of_size_one_come_and_go() -> None:
    """The maximum is taken before a permutation that moves only an axis of size 1, the rest after it."""
    x = tensor("x", "float32[b, 2, s, 1, n]")
    largest = ops.expand_dims(ops.permute_dims(ops.max(x, axis=(4,)), axes=(3, 0, 1, 2)), axis=(4,))
    powers = ops.exp(ops.subtract(ops.permute_dims(x, axes=(3, 0, 1, 2, 4)), largest))
    before = graph(x, ops.divide(powers, ops.sum(powers, axis=(4,), keepdims=True)))
    after = recompose(before)
    assert "softmax" in names(after)
    assert len(names(after)) <= 2
    assert_same(before, after)


def test_a_norm_behind_a_reshape() -> None:
    """The reshape that others read stays for them; the op takes the shape that the graph has."""
    x = tensor("x", "float32[b, 1, 8]")
    flat = ops.squeeze(x, axis=(1,))
    norm = layer_norm_by_hand(flat, weight("s", "float32[8]"), weight("b", "float32[8]"))
    before = graph(x, (norm, ops.tanh(flat)))
    after = recompose(before)
    assert sorted(names(after)) == ["layer_norm", "squeeze", "tanh"]
    assert node(after, "layer_norm").inputs[0] == flat
    assert_same(before, after)


def test_constraints_of_the_parts_stay() -> None:
    x, y = tensor("x", "float32[b, 4]"), tensor("y", "float32[n, 4]")
    total = ops.add(x, y)
    shifted = ops.subtract(total, ops.max(total, axis=(-1,), keepdims=True))
    powers = ops.exp(ops.add(shifted, ops.multiply(y, 0.0)))
    assert powers.node.inputs[0] is not None
    result = ops.divide(powers, ops.sum(powers, axis=(-1,), keepdims=True))
    before = graph((x, y), result)
    wanted = {str(c) for n in before.nodes() for c in n.constraints}
    assert wanted <= {str(c) for n in recompose(before).nodes() for c in n.constraints}


@pytest.mark.parametrize("of_sum", [False, True])
def test_batch_norm_of_a_sum_is_found(of_sum: bool) -> None:
    """A convolution with bias is a sum, which the mean is subtracted from."""
    x = tensor("x", "float32[n, 3, 4]")
    mean, variance, bias = (weight(name, "float32[4]") for name in ("mean", "variance", "bias"))
    spread = ops.rsqrt(ops.add(variance, 1e-3))
    summed = ops.add(x, bias) if of_sum else x
    after = recompose(graph([x], ops.multiply(ops.subtract(summed, mean), spread)))
    assert names(after) == (["add", "batch_norm"] if of_sum else ["batch_norm"])
