"""Operators of com.microsoft, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.onnx_nodes import agree, node_model

pytestmark = pytest.mark.onnx
MS = "com.microsoft"
RNG = np.random.default_rng(4)


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def check(op: str, inputs: dict[str, Any], attributes: dict[str, Any] | None = None, **options: Any) -> None:
    limits = {key: options.pop(key) for key in ("rtol", "atol") if key in options}
    agree(node_model(op, inputs, attributes, domain=MS, **options), inputs, **limits)


@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("right", [0, 1])
def test_fused_matmul(left: int, right: int) -> None:
    a, b = normal(*((2, 4, 3) if left else (2, 3, 4))), normal(*((2, 5, 4) if right else (2, 4, 5)))
    check("FusedMatMul", {"a": a, "b": b}, {"transA": left, "transB": right, "alpha": 0.5})


@pytest.mark.parametrize("op", ["Gelu", "FastGelu", "QuickGelu"])
def test_gelus(op: str) -> None:
    check(op, {"x": normal(2, 3, 8)})


@pytest.mark.parametrize("op", ["BiasGelu", "FastGelu"])
def test_gelus_with_bias(op: str) -> None:
    check(op, {"x": normal(2, 3, 8), "b": normal(8)})


def test_skip_layer_norm() -> None:
    operands = {"x": normal(2, 3, 8), "s": normal(2, 3, 8), "g": normal(8), "b": normal(8), "bias": normal(8)}
    check("SkipLayerNormalization", operands, {"epsilon": 1e-5}, outputs=("y", "", "", "sum"))


def test_skip_rms_norm() -> None:
    operands = {"x": normal(2, 3, 8), "s": normal(2, 3, 8), "g": normal(8)}
    check("SkipSimplifiedLayerNormalization", operands, {"epsilon": 1e-5}, outputs=("y", "", "", "sum"))


def test_simplified_layer_norm() -> None:
    inputs = {"x": normal(2, 3, 8), "g": normal(8)}
    agree(node_model("SimplifiedLayerNormalization", inputs, {"epsilon": 1e-6}), inputs)


def test_layer_norm_in_a_file_older_than_its_schema() -> None:
    """The optimizer of ONNX Runtime fuses into the default domain, whatever opset the file has."""
    inputs = {"x": normal(2, 3, 8), "g": normal(8), "b": normal(8)}
    agree(node_model("LayerNormalization", inputs, opset=14), inputs)


def test_embed_layer_norm() -> None:
    inputs = {"ids": np.array([[1, 2, 0]], np.int32), "seg": np.array([[0, 1, 1]], np.int32)}
    tables = {"w": normal(5, 4), "p": normal(6, 4), "s": normal(2, 4), "g": normal(4), "b": normal(4)}
    check(
        "EmbedLayerNormalization",
        inputs,
        {"epsilon": 1e-12},
        constants=tables,
        operands=("ids", "seg", "w", "p", "s", "g", "b"),
        outputs=("y", ""),
    )


@pytest.mark.parametrize(("activation", "numbers"), [("Relu", None), ("LeakyRelu", [0.2]), ("Clip", [-0.5, 0.5])])
def test_fused_conv(activation: str, numbers: list[float] | None) -> None:
    attributes: dict[str, Any] = {"activation": activation, "pads": [1, 1, 1, 1]}
    if numbers:
        attributes["activation_params"] = numbers
    check("FusedConv", {"x": normal(1, 2, 5, 5), "w": normal(3, 2, 3, 3), "b": normal(3)}, attributes)


def test_fused_gemm() -> None:
    operands = {"a": normal(2, 3), "b": normal(4, 3), "c": normal(4)}
    check("FusedGemm", operands, {"transB": 1, "activation": "Relu"})


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("masked", [False, True])
def test_attention(causal: int, masked: bool) -> None:
    inputs: dict[str, Any] = {"x": normal(2, 5, 8), "w": normal(8, 24), "b": normal(24)}
    if masked:
        inputs["m"] = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32)
    check("Attention", inputs, {"num_heads": 2, "unidirectional": causal}, atol=1e-5)


@pytest.mark.parametrize("ends", [[3, 5], [3, 5, 1, 0]])
def test_attention_over_rows_that_end(ends: list[int]) -> None:
    """What EmbedLayerNormalization counts: the end of each row, or its end and its start."""
    inputs = {"x": normal(2, 5, 8), "w": normal(8, 24), "b": normal(24), "m": np.array(ends, np.int32)}
    check("Attention", inputs, {"num_heads": 2}, atol=1e-5)


def test_attention_with_past() -> None:
    inputs = {"x": normal(2, 1, 8), "w": normal(8, 24), "b": normal(24), "past": normal(2, 2, 2, 3, 4)}
    check(
        "Attention",
        inputs,
        {"num_heads": 2, "unidirectional": 1},
        operands=("x", "w", "b", "", "past"),
        outputs=("y", "present"),
        atol=1e-5,
    )


def test_multi_head_attention() -> None:
    inputs = {"q": normal(2, 3, 8), "k": normal(2, 5, 8), "v": normal(2, 5, 8), "b": normal(24)}
    check("MultiHeadAttention", inputs, {"num_heads": 2}, atol=1e-5)


def test_multi_head_attention_with_mask_and_past() -> None:
    past = {"pk": normal(2, 2, 2, 4), "pv": normal(2, 2, 2, 4)}
    inputs = {"q": normal(2, 3, 8), "k": normal(2, 3, 8), "v": normal(2, 3, 8), "bias": normal(2, 2, 3, 5), **past}
    check(
        "MultiHeadAttention",
        inputs,
        {"num_heads": 2, "scale": 0.3},
        operands=("q", "k", "v", "", "", "bias", "pk", "pv"),
        outputs=("y", "present_k", "present_v"),
        atol=1e-5,
    )


@pytest.mark.parametrize("interleaved", [0, 1])
def test_rotary_embedding(interleaved: int) -> None:
    inputs = {"x": normal(2, 3, 16), "p": np.array([[0, 1, 2], [3, 4, 5]], np.int64)}
    tables = {"c": normal(8, 4), "s": normal(8, 4)}
    attributes = {"interleaved": interleaved}
    check("RotaryEmbedding", inputs, attributes, constants=tables, operands=("x", "p", "c", "s"))


@pytest.mark.parametrize("rotary", [0, 1])
def test_group_query_attention_decoding(rotary: int) -> None:
    past = {"pk": normal(2, 1, 3, 16), "pv": normal(2, 1, 3, 16)}
    inputs: dict[str, Any] = {"q": normal(2, 1, 32), "k": normal(2, 1, 16), "v": normal(2, 1, 16), **past}
    inputs |= {"lengths": np.array([3, 3], np.int32), "total": np.array(4, np.int32)}
    order = ("q", "k", "v", "pk", "pv", "lengths", "total")
    tables = {"c": normal(8, 8), "s": normal(8, 8)} if rotary else {}
    attributes = {"num_heads": 2, "kv_num_heads": 1, "do_rotary": rotary}
    options: dict[str, Any] = {"outputs": ("y", "present_k", "present_v"), "atol": 1e-5}
    check("GroupQueryAttention", inputs, attributes, constants=tables, operands=(*order, *tables), **options)


def test_group_query_attention_prompt() -> None:
    inputs: dict[str, Any] = {"q": normal(1, 4, 16), "k": normal(1, 4, 8), "v": normal(1, 4, 8)}
    inputs |= {"lengths": np.array([3], np.int32), "total": np.array(4, np.int32)}
    order = ("q", "k", "v", "", "", "lengths", "total")
    check("GroupQueryAttention", inputs, {"num_heads": 2, "kv_num_heads": 1}, operands=order, atol=1e-5)


def quantized(*shape: int) -> Any:
    return RNG.integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
def test_quantized_pairs(op: str) -> None:
    point = {"zero": np.uint8(120), "scale": np.float32(0.05)}
    constants = {"as": point["scale"], "az": point["zero"], "bs": np.float32(0.02), "bz": np.uint8(7)}
    constants |= {"ys": np.float32(0.1), "yz": np.uint8(100)}
    inputs = {"a": quantized(2, 30), "b": quantized(2, 30)}
    check(op, inputs, constants=constants, operands=("a", "as", "az", "b", "bs", "bz", "ys", "yz"), atol=1)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("with_zeros", [False, True])
def test_matmul_n_bits(bits: int, with_zeros: bool) -> None:
    n, k, block = 3, 32, 16
    constants: dict[str, Any] = {"b": quantized(n, k // block, block * bits // 8), "s": normal(n * (k // block))}
    if with_zeros:
        constants["z"] = quantized(n * (k // block * bits // 8))
    attributes = {"K": k, "N": n, "bits": bits, "block_size": block}
    check("MatMulNBits", {"a": normal(2, k)}, attributes, constants=constants, atol=2e-3 * 2**bits, rtol=1e-4)


def test_q_gemm() -> None:
    constants = {"as": np.float32(0.02), "az": np.uint8(3), "bs": np.float32(0.1), "bz": np.uint8(9)}
    inputs = {"a": quantized(2, 4), "b": quantized(4, 5)}
    check("QGemm", inputs, constants=constants, operands=("a", "as", "az", "b", "bs", "bz"), rtol=1e-5)


def test_dynamic_quantize_matmul() -> None:
    inputs = {"a": normal(2, 4), "b": quantized(4, 5)}
    constants = {"bs": np.float32(0.1), "bz": np.uint8(9)}
    check("DynamicQuantizeMatMul", inputs, constants=constants, operands=("a", "b", "bs", "bz"), rtol=1e-4, atol=1e-4)
