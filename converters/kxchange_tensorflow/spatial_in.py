"""Convolutions, pools and resampling as TensorFlow and TFLite mean them, in ops of the language."""

from __future__ import annotations

from collections.abc import Sequence

from kxchange import ops
from kxchange.dims import Dim, dim_max
from kxchange.graph import Value
from kxchange_tensorflow.lift import refuse

Ints = Sequence[int]
Pads = tuple[tuple[Dim, Dim], ...]


def channel_axis(data_format: str) -> int:
    """Where the channels stand.

    Raises:
        CaptureError: The format is not one of the plain two.
    """
    if data_format in ("NHWC", "NDHWC", "NWC"):
        return -1
    return 1 if data_format in ("NCHW", "NCDHW", "NCW") else refuse(f"its data format {data_format!r} is not known")


def spatial(values: Sequence[Dim], axis: int) -> tuple[Dim, ...]:
    """The spatial entries of one value per axis."""
    return tuple(values[1:-1] if axis == -1 else values[2:])


def static(values: Sequence[Dim], what: str) -> tuple[int, ...]:
    """Sizes that are all known.

    Raises:
        CaptureError: One is symbolic.
    """
    if not all(isinstance(value, int) for value in values):
        refuse(f"its {what} has a symbolic size")
    return tuple(value for value in values if isinstance(value, int))


def pads(
    padding: str, explicit: Ints, sizes: Sequence[Dim], window: Ints, strides: Ints, dilations: Ints, axis: int
) -> Pads:
    """Padding per spatial axis; ``SAME`` depends on the size of the axis (trap C03), the odd element goes behind."""
    if padding == "EXPLICIT":
        pairs = list(zip(explicit[::2], explicit[1::2], strict=True))
        return tuple(pairs[1:-1] if axis == -1 else pairs[2:])
    if padding == "VALID":
        return ((0, 0),) * len(window)
    if padding != "SAME":
        refuse(f"its padding {padding!r} is not known")
    found: list[tuple[Dim, Dim]] = []
    for size, taps, stride, dilation in zip(sizes, window, strides, dilations, strict=True):
        count = (size + stride - 1) // stride
        total = dim_max((count - 1) * stride + dilation * (taps - 1) + 1 - size, 0)
        found.append((total // 2, total - total // 2))
    return tuple(found)


def convolve(
    x: Value, kernel: Value, bias: Value | None, strides: Ints, dilations: Ints, padding: str, explicit: Ints, axis: int
) -> Value:
    """A convolution with a kernel that stands as the language has it: out, in, spatial; groups follow from it."""
    window = static(kernel.shape[2:], "kernel")
    channels, per_group = static((x.shape[axis], kernel.shape[1]), "channel axis")
    if per_group < 1 or channels % per_group:
        refuse(f"its kernel takes {per_group} channels, and the input has {channels}")
    around = pads(padding, explicit, spatial(x.shape, axis), window, strides, dilations, axis)
    return ops.conv(
        x,
        kernel,
        bias,
        strides=tuple(strides),
        padding=around,
        dilations=tuple(dilations),
        groups=channels // per_group,
        channel_axis=axis,
    )


def convolve_transposed(
    x: Value,
    kernel: Value,
    bias: Value | None,
    outputs: Sequence[Dim],
    strides: Ints,
    dilations: Ints,
    padding: str,
    explicit: Ints,
    axis: int,
) -> Value:
    """The gradient of a convolution with respect to its input; the kernel is in, out, spatial.

    Args:
        x: What is convolved.
        kernel: [in, out, *spatial].
        bias: Per output channel.
        outputs: Spatial sizes of the result.
        strides: Of the convolution whose gradient this is.
        dilations: The same.
        padding: The same.
        explicit: The same.
        axis: Where the channels stand.
    """
    window = static(kernel.shape[2:], "kernel")
    around = pads(padding, explicit, outputs, window, strides, dilations, axis)
    extra: list[int] = []
    axes = zip(outputs, spatial(x.shape, axis), around, window, strides, dilations, strict=True)
    for output, size, (before, after), taps, stride, dilation in axes:
        missing = output - ((size - 1) * stride + dilation * (taps - 1) + 1 - before - after)
        if not isinstance(missing, int) or not missing >= 0:
            refuse(f"its output size {output} does not follow from the input's {size}")
        extra.append(missing)
    return ops.conv_transpose(
        x,
        kernel,
        bias,
        strides=tuple(strides),
        padding=around,
        output_padding=tuple(extra),
        dilations=tuple(dilations),
        channel_axis=axis,
    )


def pool_max(x: Value, window: Ints, strides: Ints, padding: str, explicit: Ints, axis: int) -> Value:
    """The greatest of each window."""
    ones = (1,) * len(window)
    around = pads(padding, explicit, spatial(x.shape, axis), window, strides, ones, axis)
    return ops.max_pool(
        x, window=tuple(window), strides=tuple(strides), padding=around, dilations=ones, channel_axis=axis
    )


def pool_average(x: Value, window: Ints, strides: Ints, padding: str, explicit: Ints, axis: int) -> Value:
    """The mean of each window; padding is not counted (trap C09)."""
    around = pads(padding, explicit, spatial(x.shape, axis), window, strides, (1,) * len(window), axis)
    return ops.avg_pool(x, window=tuple(window), strides=tuple(strides), padding=around, channel_axis=axis)


def resample(
    x: Value, sizes: Sequence[Dim], mode: str, *, align_corners: bool, half_pixel_centers: bool, antialias: bool = False
) -> Value:
    """Resizing of the two middle axes, in the coordinates that the two flags choose (traps R01 to R05)."""
    coordinates = "align_corners" if align_corners else ("half_pixel" if half_pixel_centers else "asymmetric")
    nearest = "floor" if coordinates == "asymmetric" else "round_prefer_ceil"
    cubic = half_pixel_centers
    return ops.resize(
        x,
        sizes=tuple(sizes),
        mode=mode,
        coordinate_mode=coordinates,
        nearest_mode=nearest,
        cubic_coefficient=-0.5 if cubic else -0.75,
        exclude_outside=mode == "cubic" and cubic,
        antialias=antialias,
        channel_axis=-1,
    )
