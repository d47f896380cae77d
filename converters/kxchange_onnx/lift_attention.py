"""Attention and rotary position embeddings of the default domain."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_onnx.lift import expand, lift, refuse, wants


@dataclass(frozen=True, slots=True)
class Heads:
    """Numbers of heads where the operands hold them in one axis with the features."""

    query: int | None
    key: int | None


def separated(x: Value, heads: int | None) -> Value:
    """[batch, length, heads * features] as [batch, heads, length, features]; four axes stay as they are."""
    if x.ndim == 4:
        return x
    if x.ndim != 3 or not heads:
        return refuse(f"its operand {x.type} needs its number of heads")
    batch, length, width = x.shape
    return ops.permute_dims(ops.reshape(x, shape=(batch, length, heads, width // heads)), axes=(0, 2, 1, 3))


def merged(y: Value) -> Value:
    """The way back from `separated`."""
    batch, heads, length, width = y.shape
    return ops.reshape(ops.permute_dims(y, axes=(0, 2, 1, 3)), shape=(batch, length, heads * width))


def causal_mask(rows: Dim, columns: Dim, offset: Dim) -> Value:
    """Bool [rows, columns]: query i sees the keys up to ``i + offset``."""
    last = ops.add(ops.arange(start=0, stop=rows, dtype=DType.INT64), offset)
    keys = ops.arange(start=0, stop=columns, dtype=DType.INT64)
    return ops.less_equal(keys, ops.expand_dims(last, axis=(1,)))


def both_masks(mask: Value | None, other: Value) -> Value:
    """A bool mask together with one that is bool, added, or absent."""
    if mask is None:
        return other
    if mask.dtype.is_bool:
        return ops.logical_and(mask, other)
    return ops.where(other, mask, -math.inf)


@lift.rule("Attention")
def _(
    query: Value,
    key: Value,
    value: Value,
    mask: Value | None,
    past_key: Value | None,
    past_value: Value | None,
    *,
    is_causal: int,
    kv_num_heads: int | None,
    q_num_heads: int | None,
    qk_matmul_output_mode: int,
    scale: float | None,
    softcap: float,
    softmax_precision: int | None,
) -> tuple[Value, ...]:
    if softcap or wants(3):
        return expand()
    past = (past_key, past_value)
    return _attention(query, key, value, mask, past, Heads(q_num_heads, kv_num_heads), bool(is_causal), scale)


@lift.rule("Attention", since=24)
def _(
    query: Value,
    key: Value,
    value: Value,
    mask: Value | None,
    past_key: Value | None,
    past_value: Value | None,
    lengths: Value | None,
    *,
    is_causal: int,
    kv_num_heads: int | None,
    q_num_heads: int | None,
    qk_matmul_output_mode: int,
    scale: float | None,
    softcap: float,
    softmax_precision: int | None,
) -> tuple[Value, ...]:
    if softcap or wants(3) or lengths is not None:
        return expand()
    past = (past_key, past_value)
    return _attention(query, key, value, mask, past, Heads(q_num_heads, kv_num_heads), bool(is_causal), scale)


@lift.rule("Attention", since=25)
def _(
    query: Value,
    key: Value,
    value: Value,
    mask: Value | None,
    past_key: Value | None,
    past_value: Value | None,
    lengths: Value | None,
    *,
    is_causal: int,
    kv_num_heads: int | None,
    left_window_size: int,
    q_num_heads: int | None,
    qk_matmul_output_mode: int,
    right_window_size: int,
    scale: float | None,
    softcap: float,
    softmax_precision: int | None,
) -> tuple[Value, ...]:
    windowed = left_window_size != -1 or right_window_size != -1
    if softcap or wants(3) or lengths is not None or windowed:
        return expand()
    past = (past_key, past_value)
    return _attention(query, key, value, mask, past, Heads(q_num_heads, kv_num_heads), bool(is_causal), scale)


def _attention(
    query: Value,
    key: Value,
    value: Value,
    mask: Value | None,
    past: tuple[Value | None, Value | None],
    heads: Heads,
    is_causal: bool,
    scale: float | None,
) -> tuple[Value, ...]:
    q, k, v = separated(query, heads.query), separated(key, heads.key), separated(value, heads.key)
    before: Dim = 0
    if past[0] is not None and past[1] is not None:
        before = past[0].shape[2]
        k, v = ops.concat(past[0], k, axis=2), ops.concat(past[1], v, axis=2)
    if mask is not None and _is_shorter(mask.shape[-1], k.shape[2]):
        return expand()
    if mask is not None and not mask.dtype.is_bool and mask.dtype is not q.dtype:
        mask = ops.astype(mask, dtype=q.dtype)
    if is_causal and before != 0:
        mask, is_causal = both_masks(mask, causal_mask(q.shape[2], k.shape[2], before)), False
    y = ops.scaled_dot_product_attention(q, k, v, mask, scale=scale, is_causal=is_causal)
    return (merged(y) if query.ndim == 3 else y, k, v)


def _is_shorter(mask: Dim, keys: Dim) -> bool:
    """Whether a mask says nothing of the last keys; sizes that are symbols are taken to be equal, and checked."""
    return isinstance(mask, int) and isinstance(keys, int) and mask not in (1, keys)


@lift.rule("RotaryEmbedding")
def _(
    x: Value,
    cos: Value,
    sin: Value,
    positions: Value | None,
    *,
    interleaved: int,
    num_heads: int | None,
    rotary_embedding_dim: int,
) -> Value:
    """Angles stand once per pair of features, in a table that positions index or per token."""
    rows = separated(x, num_heads)
    if positions is not None:
        cos, sin = (ops.take(table, positions, axis=0) for table in (cos, sin))
    size = rotary_embedding_dim or rows.shape[3]
    table = [_paired(ops.expand_dims(part, axis=(1,)), bool(interleaved)) for part in (cos, sin)]
    if size == rows.shape[3]:
        y = ops.rotary_embedding(rows, *table, interleaved=bool(interleaved))
    else:
        first, rest = ops.split(rows, sizes=(size, rows.shape[3] - size), axis=3)
        y = ops.concat(ops.rotary_embedding(first, *table, interleaved=bool(interleaved)), rest, axis=3)
    return merged(y) if x.ndim == 3 else y


def _paired(table: Value, interleaved: bool) -> Value:
    """A pair's angle at both its features."""
    return ops.repeat(table, repeats=2, axis=-1) if interleaved else ops.concat(table, table, axis=-1)
