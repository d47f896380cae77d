"""Spectrograms by convolution with the kernels that the layer holds."""

from __future__ import annotations

from kxchange import ops
from kxchange.graph import Value
from kxchange_keras.call import Call, cast
from kxchange_keras.lift_geometry import channel_axis, padding_of
from kxchange_keras.registry import Weight, layer

EPSILON = 1e-7
"""What Keras adds where it would divide by 0 or take its logarithm."""
KERNELS = (
    Weight("real_kernel", lambda options: options.get("mode", "log") != "imag"),
    Weight("imag_kernel", lambda options: options.get("mode", "log") != "real"),
)


@layer("STFTSpectrogram", weights=KERNELS)
def _(call: Call, x: Value) -> Value:
    """[batch, channels, frequencies, time] of every part, combined as the mode says, laid out as the format says."""
    mode = str(call.option("mode", "log"))
    parts = [_filtered(call, cast(x, call.dtype), name) for name in ("real_kernel", "imag_kernel") if call.has(name)]
    if mode in ("real", "imag"):
        return _laid_out(call, parts[0])
    real, imaginary = parts
    if mode == "angle":
        return _laid_out(call, ops.atan2(imaginary, real))
    if mode == "stft":
        return _laid_out(call, ops.concat(real, imaginary, axis=2))
    power = ops.add(ops.square(real), ops.square(imaginary))
    if mode == "psd":
        inner = ops.slice(power, starts=(1,), stops=(power.shape[2] - 1,), steps=(1,), axes=(2,))
        padding = ((0, 0), (0, 0), (1, 1), (0, 0))
        return _laid_out(call, ops.add(power, ops.pad(inner, padding=padding, mode="constant", value=0.0)))
    magnitude = _laid_out(call, ops.sqrt(ops.maximum(power, EPSILON)))
    if mode not in ("magnitude", "log"):
        call.refuse(f"its mode is {mode!r}")
    return magnitude if mode == "magnitude" else ops.log(ops.maximum(magnitude, EPSILON))


def _filtered(call: Call, x: Value, name: str) -> Value:
    """One part of the transform of every channel by itself: [batch, channels, frequencies, time]."""
    x = ops.permute_dims(x, axes=(0, 2, 1)) if channel_axis(call) == -1 else x
    batch, channels, time = x.shape
    flat = ops.reshape(x, shape=(batch * channels, time, 1))
    kernel = ops.permute_dims(call.weight(name), axes=(2, 1, 0))
    step = call.option("frame_step", None)
    window, ones = (int(call.option("frame_length", 256)),), (1,)
    strides = (window[0] // 2 if step is None else int(step),)
    padding = padding_of(call, (time,), window, strides, ones)
    y = ops.conv(flat, kernel, strides=strides, padding=padding, dilations=ones, channel_axis=-1)
    return ops.reshape(ops.permute_dims(y, axes=(0, 2, 1)), shape=(batch, channels, y.shape[2], y.shape[1]))


def _laid_out(call: Call, y: Value) -> Value:
    batch, channels, frequencies, time = y.shape
    last = channel_axis(call) == -1
    if call.option("expand_dims", False):
        return ops.permute_dims(y, axes=(0, 3, 2, 1) if last else (0, 1, 3, 2))
    merged = ops.reshape(y, shape=(batch, channels * frequencies, time))
    return ops.permute_dims(merged, axes=(0, 2, 1)) if last else merged
