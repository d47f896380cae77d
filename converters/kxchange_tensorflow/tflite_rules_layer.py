"""Lifting of TFLite's layers with weights, and pools: stored as floats, or as integers with scales."""

from __future__ import annotations

import numpy as np

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_tensorflow.lift import SCOPE, LiftTable, refuse, sizes
from kxchange_tensorflow.quantized import centered, dequantize, quantize, rescaled
from kxchange_tensorflow.spatial_in import convolve, convolve_transposed, pool_average, pool_max
from kxchange_tensorflow.tflite_rules_math import activated

lift = LiftTable("tflite")
PADDINGS = ("SAME", "VALID")


def padding_name(number: int) -> str:
    """The padding's name by its number."""
    return PADDINGS[number] if 0 <= number < len(PADDINGS) else refuse(f"its padding {number} is not known")


class Layer:
    """Operands of a layer with weights as real numbers in units of their scales.

    Attributes:
        x: The input.
        weight: The weights.
        bias: The bias, in units of both scales.
        scale: What a product of the two is to be multiplied with; None where they are real numbers already.
    """

    def __init__(
        self, x: Value, weight: Value, bias: Value | None, *, places: tuple[int, int, int] = (0, 1, 2)
    ) -> None:
        operands = SCOPE.lifter.operands
        of_x, of_weight = operands[places[0]].quantization, operands[places[1]].quantization
        self.scale: np.ndarray | None = None
        if x.dtype.is_floating:  # weights alone are stored as integers
            self.x, self.bias = x, bias
            self.weight = weight if weight.dtype is x.dtype else _real_weight(weight, of_weight)
            return
        if of_x is None or of_weight is None or not of_x.per_tensor:
            refuse("its integers have no scales")
        self.x, self.weight = centered(x, of_x), centered(weight, of_weight)
        self.bias = None if bias is None else ops.astype(bias, dtype=DType.FLOAT32)
        self.scale = of_x.scale.astype(np.float64) * of_weight.scale.astype(np.float64)

    def finish(self, products: Value, activation: int) -> Value:
        """The result as its tensor stores it."""
        if self.scale is None:
            return activated(products, activation)
        tensor = SCOPE.lifter.results[0]
        if tensor.quantization is None:
            return activated(rescaled(products, self.scale), activation)
        return quantize(activated(rescaled(products, self.scale), activation), tensor.quantization, tensor.dtype)


def _real_weight(weight: Value, scheme: object) -> Value:
    """Weights of a layer whose input is floating: TFLite rounds the input to integers at run time, this does not."""
    if weight.dtype is DType.FLOAT16:
        return ops.astype(weight, dtype=DType.FLOAT32)
    if scheme is None:
        refuse("its weights are integers without a scale")
    return dequantize(weight, scheme)  # pyright: ignore[reportArgumentType]


@lift.rule("FULLY_CONNECTED")
def _(
    x: Value,
    weight: Value,
    bias: Value | None = None,
    *,
    activation: int,
    weights_format: int,
    keep_num_dims: bool,
    asymmetric_quantize_inputs: bool,
) -> Value:
    if weights_format:
        refuse("its weights are shuffled")
    if not keep_num_dims and (x.ndim != 2 or x.shape[1] != weight.shape[1]):
        x = ops.reshape(x, shape=(-1, weight.shape[1]))
    layer = Layer(x, weight, bias)
    return layer.finish(ops.linear(layer.x, layer.weight, layer.bias), activation)


@lift.rule("CONV_2D", "DEPTHWISE_CONV_2D")
def _(
    x: Value,
    weight: Value,
    bias: Value | None = None,
    *,
    padding: int,
    stride_w: int,
    stride_h: int,
    dilation_w: int,
    dilation_h: int,
    activation: int,
) -> Value:
    layer = Layer(x, weight, bias)
    order = (0, 3, 1, 2) if SCOPE.lifter.op == "CONV_2D" else (3, 0, 1, 2)
    kernel = ops.permute_dims(layer.weight, axes=order)
    strides, dilations = (stride_h, stride_w), (dilation_h, dilation_w)
    y = convolve(layer.x, kernel, layer.bias, strides, dilations, padding_name(padding), (), -1)
    return layer.finish(y, activation)


@lift.rule("TRANSPOSE_CONV")
def _(
    shape: Value,
    weight: Value,
    x: Value,
    bias: Value | None = None,
    *,
    padding: int,
    stride_w: int,
    stride_h: int,
    activation: int,
) -> Value:
    layer = Layer(x, weight, bias, places=(2, 1, 3))
    kernel = ops.permute_dims(layer.weight, axes=(3, 0, 1, 2))
    outputs = sizes(shape)[1:3]
    strides, name = (stride_h, stride_w), padding_name(padding)
    y = convolve_transposed(layer.x, kernel, layer.bias, outputs, strides, (1, 1), name, (), -1)
    return layer.finish(y, activation)


@lift.rule("MAX_POOL_2D")
def _(
    x: Value, *, padding: int, stride_w: int, stride_h: int, filter_width: int, filter_height: int, activation: int
) -> Value:
    window, strides = (filter_height, filter_width), (stride_h, stride_w)
    tensor = SCOPE.lifter.operands[0]
    if activation and not x.dtype.is_floating and tensor.quantization is not None:
        y = pool_max(dequantize(x, tensor.quantization), window, strides, padding_name(padding), (), -1)
        return quantize(activated(y, activation), SCOPE.lifter.results[0].quantization, x.dtype)
    return activated(pool_max(x, window, strides, padding_name(padding), (), -1), activation)


@lift.rule("AVERAGE_POOL_2D")
def _(
    x: Value, *, padding: int, stride_w: int, stride_h: int, filter_width: int, filter_height: int, activation: int
) -> Value:
    window, strides = (filter_height, filter_width), (stride_h, stride_w)
    return activated(pool_average(x, window, strides, padding_name(padding), (), -1), activation)


@lift.rule("L2_POOL_2D")
def _(
    x: Value, *, padding: int, stride_w: int, stride_h: int, filter_width: int, filter_height: int, activation: int
) -> Value:
    window, strides = (filter_height, filter_width), (stride_h, stride_w)
    squares = pool_average(ops.square(x), window, strides, padding_name(padding), (), -1)
    return activated(ops.sqrt(squares), activation)


@lift.rule("UNIDIRECTIONAL_SEQUENCE_LSTM")
def _(*operands: Value | None, activation: int, cell_clip: float, proj_clip: float, time_major: bool) -> Value:
    refuse("its hidden state is a variable, which keeps its value from one run to the next")
