"""Plans of convolutions and of products by an equation. Channels stand last: legalization sees to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Node, Value
from kxchange_keras.layers_out import Delayed, Plan, Statics, planner, sources
from kxchange_keras.plans_layer import picking
from kxchange_keras.windows_out import framed, named_padding


def is_last(node: Node) -> bool:
    """Whether a node's channels stand last, over one to three spatial axes."""
    x = node.inputs[0]
    return x is not None and node.attrs["channel_axis"] == -1 and 3 <= x.ndim <= 5


def kernel_last(weight: Value) -> Value:
    """``out, in, window...`` as ``window..., in, out``."""
    return ops.permute_dims(weight, axes=(*range(2, weight.ndim), 1, 0))


@planner("conv")
def _(node: Node, statics: Statics) -> Plan | None:
    x, weight, bias = node.inputs
    if x is None or weight is None or not is_last(node) or not statics.holds(weight, bias):
        return None
    attrs = node.attrs
    strides, dilations, groups = attrs["strides"], attrs["dilations"], attrs["groups"]
    if (max(strides) > 1 and max(dilations) > 1) or not x.dtype.is_floating:
        return None
    rank, window, channels = x.ndim - 2, tuple(weight.shape[2:]), weight.shape[1] * groups
    padding = named_padding(x.shape[1:-1], window, strides, dilations, attrs["padding"])
    config: dict[str, Any] = {
        "kernel_size": window,
        "strides": strides,
        "padding": padding or "valid",
        "dilation_rate": dilations,
        "data_format": "channels_last",
        "use_bias": bias is not None,
    }
    call = _convolved if padding else _padded
    if (plan := _separable(node, statics)) is not None:
        return plan
    if groups > 1 and weight.shape[1] == 1 and rank < 3 and len(set(strides)) == 1:
        kernel = depthwise_last(weight, channels)
        config["depth_multiplier"] = int(weight.shape[0] // channels)
        name = f"DepthwiseConv{rank}D"
    else:
        kernel, name = kernel_last(weight), f"Conv{rank}D"
        config |= {"filters": int(weight.shape[0]), "groups": groups}
    weights = (("kernel", kernel), *([] if bias is None else [("bias", bias)]))
    return Plan(name, config, weights, call)


def depthwise_last(weight: Value, channels: Dim) -> Value:
    """``channels * multiplier, 1, window...`` as ``window..., channels, multiplier``."""
    rank = weight.ndim - 2
    turned = ops.permute_dims(weight, axes=(*range(2, 2 + rank), 0, 1))
    return ops.reshape(turned, shape=(*weight.shape[2:], channels, weight.shape[0] // channels))


def _separable(node: Node, statics: Statics) -> Plan | None:
    """A convolution of every channel by itself and one of points over it, whose kernels are those of one layer."""
    x, weight, bias = node.inputs
    if x is None or weight is None or x.node.op != "conv" or not statics.alone(x) or node.attrs["groups"] != 1:
        return None
    inner = x.node
    source, kernel, inner_bias = inner.inputs
    if source is None or kernel is None or inner_bias is not None or not statics.holds(kernel) or not is_last(inner):
        return None
    points = set(weight.shape[2:]) == {1} and set(node.attrs["strides"]) == {1}
    channels, strides = inner.attrs["groups"], inner.attrs["strides"]
    if not points or kernel.shape[1] != 1 or channels != source.shape[-1] or source.ndim > 4 or len(set(strides)) > 1:
        return None
    owners = [owner_of(value, name) for value, name in ((kernel, "depthwise_kernel"), (weight, "pointwise_kernel"))]
    if not owners[0] or owners[0] != owners[1] or any(pair != (0, 0) for pair in node.attrs["padding"]):
        return None
    dilations, window = inner.attrs["dilations"], tuple(kernel.shape[2:])
    if max(strides) > 1 and max(dilations) > 1:
        return None
    padding = named_padding(source.shape[1:-1], window, strides, dilations, inner.attrs["padding"])
    config: dict[str, Any] = {
        "filters": int(weight.shape[0]),
        "kernel_size": window,
        "strides": strides,
        "padding": padding or "valid",
        "dilation_rate": dilations,
        "depth_multiplier": int(kernel.shape[0] // channels),
        "data_format": "channels_last",
        "use_bias": bias is not None,
    }
    held = [("depthwise_kernel", depthwise_last(kernel, channels)), ("pointwise_kernel", kernel_last(weight))]
    held += [] if bias is None else [("bias", bias)]

    def call(lowering: Any, layer: Any, node: Node, operands: list[Any]) -> Any:
        given = operands[0].operands if isinstance(operands[0], Delayed) else []
        if padding:
            return layer(lowering.tensor(given[0]))
        return layer(framed(lowering.tensor(given[0]), inner.attrs["padding"], dims=_dims(inner)))

    return Plan(f"SeparableConv{source.ndim - 2}D", config, tuple(held), call, (inner,))


def owner_of(value: Value, name: str) -> str:
    """The layer whose variable of this name a value is; empty where it is none."""
    found = sources(value)
    owner, _, last = found[0].rpartition("/") if len(found) == 1 else ("", "", "")
    return owner if last == name else ""


def _convolved(lowering: Any, layer: Any, node: Node, operands: list[Any]) -> Any:
    return layer(lowering.tensor(operands[0]))


def _dims(node: Node) -> Sequence[Dim]:
    x = node.inputs[0]
    return () if x is None else x.shape


def _padded(lowering: Any, layer: Any, node: Node, operands: list[Any]) -> Any:
    return layer(framed(lowering.tensor(operands[0]), node.attrs["padding"], dims=_dims(node)))


@planner("conv_transpose")
def _(node: Node, statics: Statics) -> Plan | None:
    x, weight, bias = node.inputs
    attrs = node.attrs
    if x is None or weight is None or not is_last(node) or not statics.holds(weight, bias) or attrs["groups"] != 1:
        return None
    if (max(attrs["strides"]) > 1 and max(attrs["dilations"]) > 1) or not x.dtype.is_floating:
        return None
    rank, window = x.ndim - 2, tuple(weight.shape[2:])
    crops = _crops(attrs, window, same=True)
    same = all(pair == (0, 0) for pair in crops)
    crops = crops if same else _crops(attrs, window, same=False)
    if bias is not None and any(size < 0 for pair in crops for size in pair):
        return None
    config = {
        "filters": int(weight.shape[1]),
        "kernel_size": window,
        "strides": attrs["strides"],
        "padding": "same" if same else "valid",
        "dilation_rate": attrs["dilations"],
        "data_format": "channels_last",
        "use_bias": bias is not None,
    }
    kernel = ops.permute_dims(weight, axes=(*range(2, 2 + rank), 1, 0))
    weights = (("kernel", kernel), *([] if bias is None else [("bias", bias)]))

    def call(lowering: Any, layer: Any, node: Node, operands: list[Any]) -> Any:
        y = layer(lowering.tensor(operands[0]))
        return framed(y, tuple((-before, -after) for before, after in crops))

    return Plan(f"Conv{rank}DTranspose", config, weights, call)


def _crops(attrs: Any, window: tuple[int, ...], *, same: bool) -> tuple[tuple[int, int], ...]:
    """What Keras's result has more than the one wanted, before and behind each axis; less where negative.

    The whole product is ``(size - 1) * stride + span`` long; Keras's "valid" one is no shorter than ``size * stride``,
    its "same" one exactly that, cut evenly with the odd element behind.
    """
    found: list[tuple[int, int]] = []
    axes = zip(window, attrs["strides"], attrs["dilations"], attrs["padding"], attrs["output_padding"], strict=True)
    for tap, stride, dilation, (before, after), extra in axes:
        span = dilation * (tap - 1) + 1
        excess = span - stride if same else min(span - stride, 0)
        own = (0, excess) if excess < 0 else (excess // 2, excess - excess // 2)
        found.append((before - own[0], after - extra - own[1]))
    return tuple(found)


@planner("einsum")
def _(node: Node, statics: Statics) -> Plan | None:
    found = _equation(node, statics)
    if found is None:
        return None
    x, weight, equation, shape = found
    config = {"equation": equation, "output_shape": shape}
    place = 0 if node.inputs[0] == x else 1
    return Plan("EinsumDense", config, (("kernel", weight),), picking(place))


def _equation(node: Node, statics: Statics) -> tuple[Value, Value, str, tuple[Any, ...]] | None:
    """The tensor, the kernel, the equation with the kernel second, and the result's shape without its batch."""
    if len(node.inputs) != 2 or not node.types[0].dtype.is_floating:
        return None
    left, right = node.inputs
    terms, _, result = str(node.attrs["equation"]).partition("->")
    first, _, second = terms.partition(",")
    if left is None or right is None or not result:
        return None
    if statics.reads(left) and not statics.reads(right):
        left, right, first, second = right, left, second, first
    if statics.reads(left) or not statics.holds(right):
        return None
    batch = first[:1]
    if not batch or batch in second or result[:1] != batch or len(set(first)) < len(first):
        return None
    if (
        len(set(result)) < len(result)
        or not set(second) <= set(first) | set(result)
        or not set(result) <= set(first + second)
    ):
        return None
    if set(first) - set(second) - set(result) or len(set(second)) < len(second):
        return None
    shape = tuple(size if isinstance(size, int) else None for size in node.types[0].shape[1:])
    return left, right, f"{first},{second}->{result}", shape


@planner("add")
def _(node: Node, statics: Statics) -> Plan | None:
    """A product by an equation and its bias."""
    for place, (product, bias) in enumerate((node.inputs, node.inputs[::-1])):
        if product is None or bias is None or product.node.op != "einsum" or not statics.holds(bias):
            continue
        found = _equation(product.node, statics)
        if found is None or not statics.alone(product) or product.type != node.types[0]:
            continue
        x, weight, equation, shape = found
        letters = equation.partition("->")[2]
        sizes = (1,) * (product.ndim - bias.ndim) + tuple(bias.shape)
        axes = "".join(letter for letter, size in zip(letters, sizes, strict=True) if size != 1)
        kept = tuple(size for size in sizes if size != 1)
        wanted = tuple(size for letter, size in zip(letters, product.shape, strict=True) if letter in axes)
        if not axes or letters[0] in axes or kept != wanted:
            continue
        # Keras gives the bias every axis from its first one on, of size 1 where it does not vary.
        start = letters.index(axes[0])
        shaped = bias if tuple(bias.shape) == sizes[start:] else ops.reshape(bias, shape=sizes[start:])
        config = {"equation": equation, "output_shape": shape, "bias_axes": axes}
        side = 0 if product.node.inputs[0] == x else 1
        return Plan(
            "EinsumDense", config, (("kernel", weight), ("bias", shaped)), _biased(place, side), (product.node,)
        )
    return None


def _biased(place: int, side: int) -> Any:
    def call(lowering: Any, layer: Any, node: Node, operands: list[Any]) -> Any:
        product = operands[place]
        given = product.operands if isinstance(product, Delayed) else []
        return layer(lowering.tensor(given[side]))

    return call
