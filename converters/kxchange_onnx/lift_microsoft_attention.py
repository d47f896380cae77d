"""Attention of `com.microsoft`: fused projections, caches and rotary positions spelled out."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_onnx.lift import MICROSOFT, lift, refuse, wants
from kxchange_onnx.lift_attention import both_masks, causal_mask, merged, separated

FILTER = -10000.0
"""What ONNX Runtime adds to the scores of padded keys."""


def padding_mask(mask: Value | None, value: float | None, keys: Value) -> Value | None:
    """[batch, keys] with 1 for what is kept, [batch, queries, keys], or ends of the rows, as a mask to add."""
    if mask is None:
        return None
    if mask.ndim == 1:
        hidden = _outside(mask, keys.shape[0], keys.shape[2])
    elif mask.ndim in (2, 3):
        hidden = ops.equal(ops.expand_dims(mask, axis=(1, 2) if mask.ndim == 2 else (1,)), 0)
    else:
        return refuse(f"a mask of {mask.ndim} axes, {mask.type}, has no lift; give [batch, keys]")
    dtype = keys.dtype
    zero = ops.full(shape=(), value=0.0, dtype=dtype)
    return ops.where(hidden, FILTER if value is None else value, zero)


def _outside(ends: Value, batch: Dim, keys: Dim) -> Value:
    """[batch, 1, 1, keys]: keys behind the end of their row; of [2 * batch] also those before its start."""
    if ends.shape[0] not in (batch, 2 * batch):
        return refuse(f"a mask of {ends.type} has neither an end nor a start and an end for each of {batch} rows")
    places = ops.arange(start=0, stop=keys, dtype=ends.dtype)
    if ends.shape[0] == batch:
        return ops.greater_equal(places, ops.expand_dims(ends, axis=(1, 2, 3)))
    end, start = (ops.expand_dims(half, axis=(1, 2, 3)) for half in ops.split(ends, sizes=(batch, batch), axis=0))
    return ops.logical_or(ops.greater_equal(places, end), ops.less(places, start))


def added(first: Value | None, second: Value | None) -> Value | None:
    """Two masks that are added, each where present."""
    if first is None or second is None:
        return second if first is None else first
    return ops.add(first, second)


def attend(
    q: Value, k: Value, v: Value, mask: Value | None, *, scale: float | None, causal: bool, before: Dim
) -> Value:
    """Attention over separated heads; queries stand behind `before` cached keys."""
    if causal and before != 0:
        mask, causal = both_masks(mask, causal_mask(q.shape[2], k.shape[2], before)), False
    return ops.scaled_dot_product_attention(q, k, v, mask, scale=scale or None, is_causal=causal)


@lift.rule("Attention", domain=MICROSOFT, defaults={"unidirectional": 0})
def _(
    x: Value,
    weights: Value,
    bias: Value | None,
    mask_index: Value | None,
    past: Value | None,
    attention_bias: Value | None,
    *,
    mask_filter_value: float | None,
    num_heads: int,
    qkv_hidden_sizes: tuple[int, ...] | None,
    scale: float | None,
    unidirectional: int,
) -> tuple[Value, ...]:
    """Queries, keys and values come from one product; the past holds keys and values in one tensor."""
    width = weights.shape[1]
    sizes: tuple[Any, ...] = qkv_hidden_sizes or (width // 3,) * 3
    projected = ops.matmul(x, weights)
    projected = projected if bias is None else ops.add(projected, bias)
    q, k, v = (separated(part, num_heads) for part in ops.split(projected, sizes=sizes, axis=-1))
    before: Dim = 0
    if past is not None:
        halves = ops.split(past, sizes=(1, 1), axis=0)
        old_k, old_v = (ops.squeeze(half, axis=(0,)) for half in halves)
        before = old_k.shape[2]
        k, v = ops.concat(old_k, k, axis=2), ops.concat(old_v, v, axis=2)
    mask = added(padding_mask(mask_index, mask_filter_value, k), attention_bias)
    y = merged(attend(q, k, v, mask, scale=scale, causal=bool(unidirectional), before=before))
    return (y, ops.stack(k, v, axis=0)) if wants(1) else (y,)


@lift.rule("MultiHeadAttention", domain=MICROSOFT, defaults={"unidirectional": 0})
def _(
    query: Value,
    key: Value | None,
    value: Value | None,
    bias: Value | None,
    key_padding: Value | None,
    attention_bias: Value | None,
    past_key: Value | None,
    past_value: Value | None,
    *,
    mask_filter_value: float | None,
    num_heads: int,
    scale: float | None,
    unidirectional: int,
) -> tuple[Value, ...]:
    q, k, v = _parts(query, key, value, bias, num_heads)
    before: Dim = 0
    if past_key is not None and past_value is not None:
        before = past_key.shape[2]
        k, v = ops.concat(past_key, k, axis=2), ops.concat(past_value, v, axis=2)
    mask = added(padding_mask(key_padding, mask_filter_value, k), attention_bias)
    y = merged(attend(q, k, v, mask, scale=scale, causal=bool(unidirectional), before=before))
    return (y, k, v)


def _parts(query: Value, key: Value | None, value: Value | None, bias: Value | None, heads: int) -> list[Value]:
    """Queries, keys and values by head, with their biases."""
    if query.ndim == 5 and key is None:
        pieces = ops.split(query, sizes=(1, 1, 1), axis=3)
        return [ops.permute_dims(ops.squeeze(piece, axis=(3,)), axes=(0, 2, 1, 3)) for piece in pieces]
    if key is None or value is None or query.ndim != 3:
        return refuse(f"packed keys and values with a query {query.type} have no lift")
    operands = [query, key, value]
    if bias is not None:
        widths = tuple(x.shape[-1] if x.ndim == 3 else x.shape[1] * x.shape[3] for x in operands)
        biases = ops.split(bias, sizes=widths, axis=0)
        operands = [ops.add(x, b) if x.ndim == 3 else x for x, b in zip(operands, biases, strict=True)]
    return [separated(x, heads) for x in operands]


@lift.rule(
    "RotaryEmbedding",
    domain=MICROSOFT,
    defaults={"interleaved": 0, "is_packed_batching": 0, "num_heads": 0, "rotary_embedding_dim": 0, "scale": 1.0},
)
def _(
    x: Value,
    positions: Value,
    cos: Value,
    sin: Value,
    *,
    interleaved: int,
    num_heads: int,
    rotary_embedding_dim: int,
) -> Value:
    """Positions are given per token, or as the one of the first."""
    if x.ndim == 3 and not num_heads:
        num_heads = x.shape[2] // (rotary_embedding_dim or 2 * cos.shape[1])
    rows = separated(x, num_heads)
    if positions.ndim == 1:
        positions = ops.expand_dims(
            ops.add(ops.arange(start=0, stop=rows.shape[2], dtype=positions.dtype), positions), axis=(0,)
        )
    y = rotated(rows, cos, sin, positions, bool(interleaved))
    return merged(y) if x.ndim == 3 else y


def rotated(rows: Value, cos: Value, sin: Value, positions: Value, interleaved: bool) -> Value:
    """[batch, heads, length, dim] turned by the angles of [batch, length] positions; what is beyond the table stays."""
    angles = [ops.expand_dims(ops.take(table, positions, axis=0), axis=(1,)) for table in (cos, sin)]
    paired = [ops.repeat(a, repeats=2, axis=-1) if interleaved else ops.concat(a, a, axis=-1) for a in angles]
    size = paired[0].shape[-1]
    if size == rows.shape[3]:
        return ops.rotary_embedding(rows, *paired, interleaved=interleaved)
    first, rest = ops.split(rows, sizes=(size, rows.shape[3] - size), axis=3)
    return ops.concat(ops.rotary_embedding(first, *paired, interleaved=interleaved), rest, axis=3)


@lift.rule(
    "GroupQueryAttention",
    domain=MICROSOFT,
    defaults={
        "causal": 1,
        "do_rotary": 0,
        "k_quant_type": "NONE",
        "kv_cache_bit_width": None,
        "local_window_size": -1,
        "qk_norm_epsilon": 1e-6,
        "qk_output": 0,
        "rotary_interleaved": 0,
        "sliding_window_cache": 0,
        "smooth_softmax": -1,
        "softcap": 0.0,
        "v_quant_type": "NONE",
    },
)
def _(
    query: Value,
    key: Value | None,
    value: Value | None,
    past_key: Value | None,
    past_value: Value | None,
    lengths: Value,
    total: Value,
    cos: Value | None,
    sin: Value | None,
    *,
    do_rotary: int,
    kv_num_heads: int,
    local_window_size: int,
    num_heads: int,
    rotary_interleaved: int,
    scale: float | None,
) -> tuple[Value, ...]:
    """The tokens of each sample stand behind those it has already, whose number less one `lengths` gives."""
    q, k, v = _grouped(query, key, value, num_heads, kv_num_heads)
    steps = ops.arange(start=0, stop=q.shape[2], dtype=DType.INT64)
    last = ops.expand_dims(ops.reshape(ops.astype(lengths, dtype=DType.INT64), shape=(q.shape[0],)), axis=(1,))
    # A sample shorter than the prompt is padded at its end: its tokens start at 0.
    positions = ops.add(ops.maximum(ops.subtract(last, q.shape[2] - 1), 0), steps)
    if do_rotary:
        if cos is None or sin is None:
            return refuse("it rotates, and has no tables of angles")
        q, k = (rotated(rows, cos, sin, positions, bool(rotary_interleaved)) for rows in (q, k))
    if past_key is not None and past_value is not None:
        k, v = (_appended(past, new, positions) for past, new in ((past_key, k), (past_value, v)))
    keys = ops.arange(start=0, stop=k.shape[2], dtype=DType.INT64)
    here = ops.expand_dims(positions, axis=(1, 3))
    seen = ops.less_equal(keys, here)
    if local_window_size > 0:
        seen = ops.logical_and(seen, ops.greater(keys, ops.subtract(here, local_window_size)))
    y = ops.scaled_dot_product_attention(q, k, v, seen, scale=scale or None)
    return (merged(y), k, v)


def _grouped(query: Value, key: Value | None, value: Value | None, heads: int, groups: int) -> list[Value]:
    """Queries, keys and values by head, also out of one tensor."""
    if key is None or value is None:
        width = query.shape[2] // (heads + 2 * groups)
        sizes = (width * heads, width * groups, width * groups)
        query, key, value = ops.split(query, sizes=sizes, axis=2)
    return [separated(query, heads), separated(key, groups), separated(value, groups)]  # pyright: ignore[reportArgumentType]


def _appended(past: Value, new: Value, positions: Value) -> Value:
    """New keys or values written behind those of each sample."""
    batch, heads, length, width = new.shape
    room = ops.pad(past, padding=((0, 0), (0, 0), (0, length), (0, 0)))
    places = ops.broadcast_to(ops.expand_dims(positions, axis=(1, 3)), shape=(batch, heads, length, width))
    return ops.scatter(room, places, new, axis=2)
