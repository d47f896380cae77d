"""Operators of TensorFlow and TFLite, lifted, against TensorFlow's own kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from tensorflow_raw_ops import samples  # noqa: E402

import kxchange as kx  # noqa: E402
from kxchange_tensorflow.graph_rules import lift as rules  # noqa: E402
from kxchange_tensorflow.load import load  # noqa: E402

pytestmark = pytest.mark.tensorflow

LIFTED = sorted(rules.entries)
GENERATOR = np.random.default_rng(5)
raw = tf.raw_ops
IMAGE = GENERATOR.standard_normal((2, 9, 8, 4)).astype(np.float32)
ROWS = GENERATOR.standard_normal((3, 6)).astype(np.float32)
CUBE = GENERATOR.standard_normal((2, 6, 5, 7, 3)).astype(np.float32)
PLACES = np.array([[2, 0], [1, 1]], np.int32)
KERNEL = tf.constant(GENERATOR.standard_normal((3, 3, 4, 6)).astype(np.float32))
WIDE = tf.constant(GENERATOR.standard_normal((3, 3, 5, 4)).astype(np.float32))


def einsum(x: Any) -> Any:
    return tf.einsum("...ij,kj->...ik", x, tf.ones((5, 8)))


CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "conv-same-stride": (lambda x: tf.nn.conv2d(x, KERNEL, 2, "SAME"), (IMAGE,)),
    "conv-dilated": (lambda x: tf.nn.conv2d(x, KERNEL, 1, "VALID", dilations=2), (IMAGE,)),
    "conv-explicit": (lambda x: tf.nn.conv2d(x, KERNEL, 1, [[0, 0], [1, 2], [0, 1], [0, 0]]), (IMAGE,)),
    "conv-grouped": (lambda x: tf.nn.conv2d(x, KERNEL[:, :, :2], 1, "SAME"), (IMAGE,)),
    "depthwise": (lambda x: tf.nn.depthwise_conv2d(x, KERNEL[..., :2], [1, 2, 2, 1], "SAME"), (IMAGE,)),
    "transposed": (lambda x: tf.nn.conv2d_transpose(x, WIDE, (2, 18, 16, 5), 2, "SAME"), (IMAGE,)),
    "max-pool": (lambda x: tf.nn.max_pool2d(x, 3, 2, "SAME"), (IMAGE,)),
    "avg-pool": (lambda x: tf.nn.avg_pool2d(x, 3, 2, "SAME"), (IMAGE,)),
    "conv-3d": (lambda x: tf.nn.conv3d(x, tf.ones((2, 2, 2, 3, 2)), [1, 1, 2, 1, 1], "SAME"), (CUBE,)),
    "bilinear": (lambda x: tf.image.resize(x, (5, 13)), (IMAGE,)),
    "bilinear-legacy": (lambda x: raw.ResizeBilinear(images=x, size=(5, 13)), (IMAGE,)),
    "bilinear-corners": (lambda x: raw.ResizeBilinear(images=x, size=(5, 13), align_corners=True), (IMAGE,)),
    "bicubic": (lambda x: tf.image.resize(x, (5, 13), "bicubic"), (IMAGE,)),
    "nearest": (lambda x: tf.image.resize(x, (5, 13), "nearest"), (IMAGE,)),
    "nearest-legacy": (lambda x: raw.ResizeNearestNeighbor(images=x, size=(5, 13)), (IMAGE,)),
    "nearest-corners": (lambda x: raw.ResizeNearestNeighbor(images=x, size=(5, 13), align_corners=True), (IMAGE,)),
    "batch-norm": (
        lambda x: tf.compat.v1.nn.fused_batch_norm(
            x, [1.0, 2, 3, 4], [0.5] * 4, [0.1] * 4, [2.0] * 4, 1e-2, is_training=False
        )[0],
        (IMAGE,),
    ),
    "lrn": (lambda x: tf.nn.lrn(x, 1, 1.0, 0.5, 0.75), (IMAGE,)),
    "space-to-batch": (lambda x: tf.space_to_batch(x, [3, 2], [[0, 0], [1, 1]]), (IMAGE,)),
    "batch-to-space": (lambda x: tf.batch_to_space(tf.tile(x, [2, 1, 1, 1]), [2, 2], [[1, 0], [0, 2]]), (IMAGE,)),
    "space-to-depth": (lambda x: tf.nn.space_to_depth(x[:, :8], 2), (IMAGE,)),
    "depth-to-space": (lambda x: tf.nn.depth_to_space(x, 2), (IMAGE,)),
    "slice-all": (lambda x: x[:, 1:-1:2, tf.newaxis, ..., -1], (IMAGE,)),
    "slice-back": (lambda x: x[::-1, 5::-2], (IMAGE,)),
    "slice-dynamic": (lambda x, i: tf.slice(x, i, (2, 3)), (ROWS, np.array([1, 2], np.int32))),
    "reshape-symbolic": (lambda x: tf.reshape(x, (tf.shape(x)[0], -1, tf.shape(x)[3] // 2)), (IMAGE,)),
    "flatten": (lambda x: tf.reshape(x, (-1, 4)), (IMAGE,)),
    "gather": (lambda x, i: tf.gather(x, i, axis=1), (ROWS, PLACES)),
    "gather-batch": (lambda x, i: tf.gather(x, i, batch_dims=1, axis=2), (IMAGE[:, :3], PLACES)),
    "gather-nd": (lambda x, i: tf.gather_nd(x, i), (ROWS, PLACES)),
    "scatter-nd": (lambda x, i: tf.scatter_nd(i, x[:2, 0], (4, 4)), (ROWS, PLACES)),
    "tensor-scatter": (lambda x, i: tf.tensor_scatter_nd_max(x, i, [9.0, -9.0]), (ROWS, PLACES)),
    "one-hot": (lambda i: tf.one_hot(i, 3, 5.0, -1.0, axis=1), (np.array([[-1, 2], [1, 3]], np.int32),)),
    "top-k": (lambda x: tuple(tf.math.top_k(x, 3)), (ROWS,)),
    "argmax": (lambda x: tf.argmax(x, 1, tf.int32), (ROWS,)),
    "cumsum": (lambda x: tf.cumsum(x, 1, exclusive=True, reverse=True), (ROWS,)),
    "mean-of-integers": (lambda x: tf.reduce_mean(x, 1), (np.array([[-1, -2], [3, 4]], np.int32),)),
    "reductions": (lambda x: (tf.reduce_max(x, [1, 2]), tf.reduce_prod(x, -1, keepdims=True)), (IMAGE,)),
    "einsum": (einsum, (IMAGE[:, :3, :, :1, None][..., 0, 0][..., :8].reshape(2, 3, 8),)),
    "matmul-adjoint": (lambda x: tf.matmul(x, x, adjoint_b=True), (IMAGE,)),
    "select-rows": (lambda x: raw.Select(condition=[True, False, True], x=x, y=-x), (ROWS,)),
    "clip-crossed": (lambda x: tf.clip_by_value(x, 1.0, 0.0), (ROWS,)),
    "leaky": (lambda x: tf.nn.leaky_relu(x), (ROWS,)),
    "softplus": (lambda x: tf.math.softplus(x * 30), (ROWS,)),
    "division": (lambda x: (x // 2, x % 3), (np.arange(-7, 8, dtype=np.int32).reshape(3, 5),)),
    "truncating": (lambda x: (tf.truncatediv(x, 2), tf.truncatemod(x, 3)), (np.arange(-7, 8).reshape(3, 5),)),
    "pads": (
        lambda x: (tf.pad(x, [[1, 0], [2, 1]], constant_values=3), tf.pad(x, [[1, 0], [2, 1]], "SYMMETRIC")),
        (ROWS,),
    ),
    "splits": (lambda x: (*tf.split(x, 3, 1), *tf.split(x, [1, -1], 1)), (ROWS,)),
    "stacks": (lambda x: tf.stack([*tf.unstack(x, axis=1), x[:, 0]], 1), (ROWS,)),
    "reverse-sequence": (lambda x, n: tf.reverse_sequence(x, n, 1, 0), (ROWS, np.array([2, 6, 0], np.int32))),
    "band": (lambda x: tf.linalg.band_part(x, 1, 0), (ROWS,)),
    "nan-safe": (lambda x: tf.math.divide_no_nan(x, tf.nn.relu(x)), (ROWS,)),
    "casts": (lambda x: tf.cast(tf.cast(x * 3, tf.int32), tf.float64), (ROWS,)),
    "range": (lambda x: tf.cast(tf.range(tf.shape(x)[0]), x.dtype)[:, None] + x, (ROWS,)),
    "fill": (lambda x: tf.fill(tf.shape(x), 2.0) + tf.ones_like(x), (ROWS,)),
    "case": (lambda x: tf.switch_case(tf.cast(x[0, 0] > 0, tf.int32), [lambda: x, lambda: -x]), (ROWS,)),
    "while-data": (
        lambda x: tf.while_loop(lambda y: tf.reduce_sum(y * y) < 500.0, lambda y: (y * 2.0,), (x,))[0],
        (ROWS,),
    ),
    "scan": (lambda x: tf.scan(lambda a, b: a * 0.5 + b, x), (ROWS,)),
    "where": (lambda x: tf.where(x > 0), (ROWS,)),
}


@pytest.mark.parametrize("name", CASES)
def test_operator(name: str) -> None:
    function, arrays = CASES[name]
    own = tf.nest.flatten(function(*map(tf.constant, arrays)))
    fixed = {place: array.shape for place, array in zip("in", arrays[1:], strict=False)}
    fixed = {name: shape for name, shape in fixed.items() if name in function.__code__.co_varnames}
    model = kx.capture(tf.function(function, autograph=False), *map(tf.constant, arrays), dynamic=fixed)
    found = model(**dict(zip(model.input_names, arrays, strict=True)))
    assert len(found) == len(own)
    for got, wanted in zip(found.values(), own, strict=True):
        assert got.dtype == wanted.dtype.as_numpy_dtype and got.shape == tuple(wanted.shape)
        # TensorFlow reads cubic weights from a table of 1024 steps.
        tolerance = 5e-3 if name == "bicubic" else 2e-5
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


ALONE = sorted(name for name in LIFTED if samples(name))


@pytest.mark.parametrize("name", ALONE)
def test_raw_op_alone(name: str) -> None:
    for given, own in samples(name):
        call = tf.function(
            lambda *tensors, keys=tuple(given): getattr(raw, name)(**dict(zip(keys, tensors, strict=True)))
        )
        model = kx.capture(call, *map(tf.constant, given.values()))
        found = list(model(**dict(zip(model.input_names, given.values(), strict=True))).values())
        for got, wanted in zip(found, tf.nest.flatten(own), strict=True):
            assert got.dtype == wanted.dtype.as_numpy_dtype and got.shape == tuple(wanted.shape)
            np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-5)


def test_the_table_of_raw_ops_is_up_to_date() -> None:
    page = (Path(__file__).parents[2] / "docs" / "coverage" / "tensorflow.md").read_text()
    rows = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    assert rows == set(LIFTED), "run python tests/third_party/tensorflow_ops.py --write"


def tflite(function: Callable[..., Any], array: Any, folder: Path, *, quantized: bool = False) -> tuple[Any, Path]:
    """What TFLite's reference interpreter gives, and the file."""
    signature = [tf.TensorSpec(array.shape, tf.as_dtype(array.dtype))]
    concrete = tf.function(function, input_signature=signature, autograph=False)
    module = tf.Module()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete.get_concrete_function()], module)
    if quantized:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        generator = np.random.default_rng(1)
        samples = [generator.standard_normal(array.shape).astype(np.float32) for _ in range(20)]
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    path = folder / "net.tflite"
    path.write_bytes(converter.convert())
    kind = tf.lite.experimental.OpResolverType.BUILTIN_REF
    interpreter = tf.lite.Interpreter(str(path), experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    (given,), results = interpreter.get_input_details(), interpreter.get_output_details()
    if quantized:
        scale, zero = given["quantization"]
        array = np.clip(np.round(array / scale) + zero, -128, 127).astype(np.int8)
    interpreter.set_tensor(given["index"], array)
    interpreter.invoke()
    return (array, [np.array(interpreter.get_tensor(item["index"])) for item in results]), path


LITE = "conv-same-stride conv-dilated depthwise transposed max-pool avg-pool bilinear nearest space-to-depth depth-to-space"
LITE += " slice-all slice-back reductions top-k argmax cumsum leaky splits stacks range fill pads select-rows nan-safe"
LITE += " matmul-adjoint one-hot conv-explicit space-to-batch batch-norm division"


@pytest.mark.parametrize("name", LITE.split())
def test_tflite_operator(name: str, tmp_path: Path) -> None:
    function, (array,) = CASES[name]
    (given, own), path = tflite(function, array, tmp_path)
    model = load(path)
    found = list(model(**{model.input_names[0]: given}).values())
    assert len(found) == len(own)
    for got, wanted in zip(found, own, strict=True):
        assert got.dtype == wanted.dtype and got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-5)


QUANTIZED: dict[str, Callable[..., Any]] = {
    "conv": lambda x: tf.nn.relu6(tf.nn.conv2d(x, KERNEL, 2, "SAME") + 0.5),
    "depthwise": lambda x: tf.nn.depthwise_conv2d(x, KERNEL[..., :2], [1, 1, 1, 1], "SAME"),
    "transposed": lambda x: tf.nn.conv2d_transpose(x, WIDE, (2, 18, 16, 5), 2, "SAME"),
    "dense": lambda x: tf.nn.softmax(tf.matmul(tf.reshape(x, (2, -1)), tf.ones((288, 3)) * [0.1, -0.1, 0.05])),
    "add": lambda x: x * 0.5 + tf.nn.relu(x),
    "pools": lambda x: tf.nn.avg_pool2d(tf.nn.max_pool2d(x, 2, 1, "SAME"), 3, 2, "VALID"),
    "curves": lambda x: tf.sigmoid(x) + tf.tanh(x),
    "moves": lambda x: tf.concat(
        [tf.transpose(x, (0, 2, 1, 3))[:, :4], tf.pad(x[:, :4, :8], [[0, 0], [0, 0], [0, 1], [0, 0]])], 1
    ),
    "mean": lambda x: tf.reduce_mean(x, [1, 2]),
    "resize": lambda x: tf.image.resize(x, (18, 16)),
}


@pytest.mark.parametrize("name", QUANTIZED)
def test_quantized_tflite(name: str, tmp_path: Path) -> None:
    (given, own), path = tflite(QUANTIZED[name], IMAGE, tmp_path, quantized=True)
    model = load(path)
    (got,), (wanted,) = model(**{model.input_names[0]: given}).values(), own
    assert got.dtype == wanted.dtype == np.int8
    off = np.abs(got.astype(int) - wanted.astype(int))
    # The kernels round twice, in fixed point: a quantum here and there.
    assert off.max() <= 2 and np.mean(off > 0) < 0.2, (off.max(), np.mean(off > 0))
    assert any(math.prod(p.type.shape) and p.type.dtype.value == "int8" for p in model.parameters.values()) or name in (
        ["add", "pools", "curves", "moves", "mean", "resize"]
    )
