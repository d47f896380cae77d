"""Attention layers with their masks."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import ml_dtypes

from kxchange import ops
from kxchange.graph import Value
from kxchange.ops.positions import positions
from kxchange.types import DType
from kxchange_keras.call import Call, Traced, leaf_masks
from kxchange_keras.layer_config import LayerConfig
from kxchange_keras.lift_activation import masked_softmax
from kxchange_keras.registry import Weight, having, layer

PARTS = {"query_dense": "query", "key_dense": "key", "value_dense": "value", "output_dense": "attention_output"}


def _projections(config: LayerConfig) -> dict[str, LayerConfig]:
    """The dense layers inside: attribute -> layer."""
    parts = dict(PARTS)
    if config.options.get("use_gate"):
        parts = {"query_dense": "query", "key_dense": "key", "gate_dense": "gate", **PARTS}
    options = {"bias_axes": "x" if config.options.get("use_bias", True) else None}
    return {
        attribute: LayerConfig("layer", "EinsumDense", name, options, config.dialect)
        for attribute, name in parts.items()
    }


def _part(call: Call, child: str, name: str) -> Value | None:
    inner = call.child(child)
    made = Call(call.lifter, inner, (), {})
    return made.weight(name) if made.has(name) else None


def _projected(call: Call, child: str, x: Value) -> Value:
    """``x[..., features]`` times ``kernel[features, heads, size]``."""
    kernel = _part(call, child, "kernel")
    assert kernel is not None
    letters = "abcdefghijklmnop"[: x.ndim - 1]
    y = ops.einsum(x, kernel, equation=f"{letters}z,zyx->{letters}yx")
    bias = _part(call, child, "bias")
    return y if bias is None else ops.add(y, bias)


def _combined(call: Call, x: Value) -> Value:
    """``x[..., heads, size]`` times the output kernel ``[heads, size, *features]``."""
    kernel, bias = _part(call, "output_dense", "kernel"), _part(call, "output_dense", "bias")
    assert kernel is not None
    letters, features = "abcdefghijklmnop"[: x.ndim - 2], "stuvw"[: kernel.ndim - 2]
    y = ops.einsum(x, kernel, equation=f"{letters}zy,zy{features}->{letters}{features}")
    return y if bias is None else ops.add(y, bias)


def _boolean(mask: Value) -> Value:
    return mask if mask.dtype is DType.BOOL else ops.astype(mask, dtype=DType.BOOL)


def _all_of(masks: list[Value]) -> Value | None:
    return reduce(ops.logical_and, masks) if masks else None


def causal(rows: Any, columns: Any) -> Value:
    """[1, rows, columns]: a step sees itself and those before."""
    return ops.expand_dims(
        ops.greater_equal(ops.expand_dims(positions(rows), axis=(1,)), positions(columns)), axis=(0,)
    )


def _window(rows: Any, columns: Any, width: int) -> Value:
    distance = ops.abs(ops.subtract(ops.expand_dims(positions(rows), axis=(1,)), positions(columns)))
    return ops.expand_dims(ops.less(distance, width), axis=(0,))


class _Masks:
    """The masks of one use of a multi-head layer, brought together."""

    def __init__(self, call: Call, given: dict[str, Any], query: Value, value: Value, *, use_causal: bool) -> None:
        parts: list[Value] = []
        names = ("query", "value", "key")
        for index, name in enumerate(names):
            found = given.get(f"{name}_mask")
            if found is None:
                found = _carried(call, index, name)
            if found is not None:
                parts.append(ops.expand_dims(_boolean(found), axis=(2 if name == "query" else 1,)))
        rows, columns = query.shape[1], value.shape[1]
        width = call.option("sliding_window", None)
        if width is not None:
            parts.append(_window(rows, columns, int(width)))
        stated = given.get("attention_mask")
        self.causal_only = use_causal and not parts and stated is None
        if use_causal and not self.causal_only:
            parts.append(causal(rows, columns))
        if stated is not None:
            parts.append(_per_head(_boolean(stated)))
        self.mask = _all_of([_per_head(part) for part in parts])


def _carried(call: Call, index: int, name: str) -> Value | None:
    tensor = call.args[index] if len(call.args) > index else call.kwargs.get(name)
    return tensor.mask if isinstance(tensor, Traced) else None


def _per_head(mask: Value) -> Value:
    """[batch, queries, keys] with an axis for the heads; a mask that has one stays."""
    while mask.ndim < 3:
        mask = ops.expand_dims(mask, axis=(0,))
    return ops.expand_dims(mask, axis=(1,)) if mask.ndim == 3 else mask


def _heads_first(x: Value) -> Value:
    return ops.permute_dims(x, axes=(0, 2, 1, 3))


@layer("MultiHeadAttention", children=_projections, mask="take")
def _(
    call: Call,
    query: Value,
    value: Value,
    key: Value | None = None,
    query_mask: Value | None = None,
    value_mask: Value | None = None,
    key_mask: Value | None = None,
    attention_mask: Value | None = None,
    return_attention_scores: bool = False,
    use_causal_mask: bool = False,
) -> Any:
    given = {
        "query_mask": query_mask,
        "value_mask": value_mask,
        "key_mask": key_mask,
        "attention_mask": attention_mask,
    }
    if query.ndim != 3:
        return _over_several_axes(call, query, value, key, plain=not (return_attention_scores or use_causal_mask))
    masks = _Masks(call, given, query, value, use_causal=use_causal_mask)
    scale = 1.0 / math.sqrt(float(call.option("key_dim")))
    return _multi_head(
        call, (query, value if key is None else key, value), masks, scale, scores=return_attention_scores
    )


@layer("GroupQueryAttention", "GroupedQueryAttention", children=_projections, mask="keep")
def _(
    call: Call,
    query: Value,
    value: Value,
    key: Value | None = None,
    query_mask: Value | None = None,
    value_mask: Value | None = None,
    key_mask: Value | None = None,
    attention_mask: Value | None = None,
    return_attention_scores: bool = False,
    use_causal_mask: bool = False,
) -> Any:
    given = {
        "query_mask": query_mask,
        "value_mask": value_mask,
        "key_mask": key_mask,
        "attention_mask": attention_mask,
    }
    masks = _Masks(call, given, query, value, use_causal=use_causal_mask)
    scale = 1.0 / math.sqrt(float(call.option("head_dim")))
    return _multi_head(
        call, (query, value if key is None else key, value), masks, scale, scores=return_attention_scores
    )


def _multi_head(call: Call, inputs: tuple[Value, Value, Value], masks: _Masks, scale: float, *, scores: bool) -> Any:
    names = ("query_dense", "key_dense", "value_dense")
    query, key, value = (_heads_first(_projected(call, name, x)) for name, x in zip(names, inputs, strict=True))
    if scores:
        output, weights = _explicit(query, key, value, masks, scale, call.dialect)
    else:
        fused = float(call.option("dropout", 0.0) or 0.0) == 0 and call.dialect >= 3
        mask = None if masks.mask is None else fitting_mask(masks.mask, query.dtype, fused=fused, dialect=call.dialect)
        output = ops.scaled_dot_product_attention(query, key, value, mask, scale=scale, is_causal=masks.causal_only)
        weights = None
    output = _heads_first(output)
    if "gate_dense" in call.layer.children:
        output = ops.multiply(output, ops.sigmoid(_projected(call, "gate_dense", inputs[0])))
    result = _combined(call, output)
    return (result, weights) if scores else result


def fitting_mask(mask: Value, dtype: DType, *, fused: bool, dialect: int) -> Value:
    """The mask in the form that gives Keras's result for queries without a key (trap T08).

    Keras's fused attention averages all values there, its explicit one gives 0 (in Keras 3).
    """
    if not fused and dialect >= 3:
        return mask
    lowest = -0.7 * float(ml_dtypes.finfo(dtype.numpy).max) if fused else (-3e4 if dtype is DType.FLOAT16 else -1e9)
    zero, far = (ops.full(shape=(), value=number, dtype=dtype) for number in (0.0, lowest))
    return ops.where(mask, zero, far)


def _explicit(query: Value, key: Value, value: Value, masks: _Masks, scale: float, dialect: int) -> tuple[Value, Value]:
    """Attention and its weights."""
    if key.shape[1] != query.shape[1]:
        served = query.shape[1] // key.shape[1]
        key, value = (ops.repeat(x, repeats=int(served), axis=1) for x in (key, value))
    mask = masks.mask
    if masks.causal_only:
        mask = _per_head(causal(query.shape[2], key.shape[2]))
    products = ops.matmul(ops.multiply(query, scale), ops.permute_dims(key, axes=(0, 1, 3, 2)))
    weights = masked_softmax(products, mask, (-1,), dialect)
    return ops.matmul(weights, value), weights


def _over_several_axes(call: Call, query: Value, value: Value, key: Value | None, *, plain: bool) -> Value:
    """Inputs of more than one axis between batch and features: attention over `attention_axes`, the others batch."""
    rank = query.ndim
    stated = call.option("attention_axes", None)
    axes = (
        tuple(range(1, rank - 1))
        if stated is None
        else tuple(a % rank for a in ([stated] if isinstance(stated, int) else stated))
    )
    if not plain or any(m is not None for m in leaf_masks(call)) or len(call.args) + len(call.kwargs) > 3:
        call.refuse("it attends over several axes with a mask or scores")
    key = value if key is None else key
    batch = tuple(axis for axis in range(rank - 1) if axis not in axes)
    order = (*batch, rank - 1, *axes, rank)
    names = ("query_dense", "key_dense", "value_dense")
    turned = [
        ops.permute_dims(_projected(call, n, x), axes=order) for n, x in zip(names, (query, key, value), strict=True)
    ]
    count = len(batch) + 1
    flat = [ops.reshape(x, shape=(*x.shape[:count], -1, x.shape[-1])) for x in turned]
    scale = 1.0 / math.sqrt(float(call.option("key_dim")))
    output = ops.scaled_dot_product_attention(*flat, scale=scale)
    output = ops.reshape(output, shape=(*turned[0].shape[:-1], output.shape[-1]))
    output = ops.permute_dims(output, axes=tuple(order.index(axis) for axis in range(rank + 1)))
    if "gate_dense" in call.layer.children:
        output = ops.multiply(output, ops.sigmoid(_projected(call, "gate_dense", query)))
    return _combined(call, output)


def _query_mask(call: Call) -> Value | None:
    found = leaf_masks(call)
    return found[0] if found else None


def _attend(call: Call, xs: list[Value], scores: Value, *, use_causal: bool) -> tuple[Value, Value]:
    """Weights from scores, the masked ones far below the others, and what they pick."""
    found = [*leaf_masks(call), None, None]
    query_mask, value_mask = found[0], found[1]
    parts = [] if value_mask is None else [ops.expand_dims(value_mask, axis=(value_mask.ndim - 1,))]
    if use_causal or call.option("causal", False):
        parts.append(causal(scores.shape[-2], scores.shape[-1]))
    mask = _all_of(parts)
    if mask is not None:
        far = 65504.0 if scores.dtype is DType.FLOAT16 else 1e9
        scores = ops.where(mask, scores, ops.subtract(scores, far))
    weights = ops.softmax(scores, axis=-1)
    output = ops.matmul(weights, xs[1])
    if query_mask is not None:
        output = ops.where(ops.expand_dims(query_mask, axis=(query_mask.ndim,)), output, 0.0)
    return output, weights


def _sums(query: Value, key: Value) -> Value:
    """[batch, queries, keys, features]: every query plus every key."""
    return ops.add(ops.expand_dims(query, axis=(query.ndim - 1,)), ops.expand_dims(key, axis=(key.ndim - 2,)))


def _attention_weights(config: LayerConfig) -> list[Weight]:
    concat = config.options.get("score_mode", "dot") == "concat"
    return [having("scale", "use_scale", default=False), *([Weight("concat_score_weight")] if concat else [])]


@layer("Attention", weights=_attention_weights, mask=_query_mask)
def _(call: Call, xs: list[Value], return_attention_scores: bool = False, use_causal_mask: bool = False) -> Any:
    query, key = xs[0], xs[2] if len(xs) > 2 else xs[1]
    scale = call.optional("scale")
    if call.has("concat_score_weight"):
        total = _sums(query, key)
        total = total if scale is None else ops.multiply(total, scale)
        scores = ops.multiply(ops.sum(ops.tanh(total), axis=(-1,)), call.weight("concat_score_weight"))
    else:
        scores = ops.matmul(query, ops.permute_dims(key, axes=(*range(key.ndim - 2), key.ndim - 1, key.ndim - 2)))
        scores = scores if scale is None else ops.multiply(scores, scale)
    output, weights = _attend(call, xs, scores, use_causal=use_causal_mask)
    return (output, weights) if return_attention_scores else output


@layer("AdditiveAttention", weights=(having("scale", "use_scale"),), mask=_query_mask)
def _(call: Call, xs: list[Value], return_attention_scores: bool = False, use_causal_mask: bool = False) -> Any:
    query, key = xs[0], xs[2] if len(xs) > 2 else xs[1]
    terms, scale = ops.tanh(_sums(query, key)), call.optional("scale")
    scores = ops.sum(terms if scale is None else ops.multiply(terms, scale), axis=(-1,))
    output, weights = _attend(call, xs, scores, use_causal=use_causal_mask)
    return (output, weights) if return_attention_scores else output
