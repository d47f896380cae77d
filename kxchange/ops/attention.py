"""Attention, its position encoding and embeddings."""

from __future__ import annotations

import math

import numpy as np

from kxchange.errors import TypeInferenceError
from kxchange.graph import Value
from kxchange.ops.elementwise import add, equal, greater_equal, multiply, negative, where
from kxchange.ops.indexing import take
from kxchange.ops.joining import concat, repeat, split
from kxchange.ops.linalg import matmul
from kxchange.ops.manipulation import expand_dims, permute_dims, reshape
from kxchange.ops.operands import require_floating, require_integer, require_rank, same_dtype
from kxchange.ops.positions import positions
from kxchange.ops.reduction import max_
from kxchange.ops.softmax import softmax
from kxchange.ops.window import Array
from kxchange.shapes import broadcast_shapes, require_divides, require_equal
from kxchange.spec import Tensor, op
from kxchange.types import DType, TensorType


@op(alike=("query", "key", "value"))
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    /,
    *,
    scale: float | None = None,
    is_causal: bool = False,
) -> Tensor:
    """``softmax(scale * query @ key.T + mask) @ value`` over the keys that a query may see.

    A query that may see no key gives 0, not NaN (trap T08).

    Args:
        query: [..., heads, length, head_dim]; without heads, [length, head_dim].
        key: [..., key_heads, key_length, head_dim]; key_heads divides heads, and each serves ``heads / key_heads``
            consecutive query heads.
        value: [..., key_heads, key_length, value_dim].
        mask: Broadcast to [..., heads, length, key_length]; bool: True is kept (trap T07); floating: added.
        scale: Factor of the products; ``1 / sqrt(head_dim)`` where None.
        is_causal: Query i sees keys 0 to i, from the upper left corner (trap T09); together with a mask, both hold.

    Returns:
        [..., heads, length, value_dim].
    """
    if query.ndim > 2 and query.shape[-3] != key.shape[-3]:
        key, value = (np.repeat(x, query.shape[-3] // x.shape[-3], axis=-3) for x in (key, value))
    factor = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = _masked(query @ np.swapaxes(key, -1, -2) * factor, mask, is_causal)
    peak: Array = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    weights = np.exp(scores - np.where(np.isneginf(peak), 0, peak))
    total = weights.sum(axis=-1, keepdims=True)
    return weights / np.where(total == 0, 1, total) @ value


def _masked(scores: Array, mask: Array | None, is_causal: bool) -> Array:
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + mask
    if is_causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=np.bool_), scores, -np.inf)
    return scores


@scaled_dot_product_attention.infer
def _(
    query: TensorType,
    key: TensorType,
    value: TensorType,
    mask: TensorType | None,
    /,
    *,
    scale: float | None,
    is_causal: bool,
) -> TensorType:
    same_dtype(query, key, value)
    require_floating(query, "query")
    _check_alignment(query, key, value)
    if mask is not None:
        _check_mask(mask, query, key)
    if scale is None:
        _head_dim(query)
    return query.with_shape((*query.shape[:-1], value.shape[-1]))


def _check_alignment(query: TensorType, key: TensorType, value: TensorType) -> None:
    if query.rank < 2:
        raise TypeInferenceError(f"query needs at least 2 axes, not {query.rank}.")
    require_rank(key, "key", query.rank)
    require_rank(value, "value", query.rank)
    require_equal(query.shape[-1], key.shape[-1], "head_dim of query and key")
    require_equal(key.shape[-2], value.shape[-2], "length of key and value")
    for axis in range(query.rank - 3):
        require_equal(query.shape[axis], key.shape[axis], f"axis {axis} of query and key")
        require_equal(query.shape[axis], value.shape[axis], f"axis {axis} of query and value")
    if query.rank > 2:
        require_equal(key.shape[-3], value.shape[-3], "heads of key and value")
        require_divides(key.shape[-3], query.shape[-3], "query heads per key head")


def _check_mask(mask: TensorType, query: TensorType, key: TensorType) -> None:
    if not mask.dtype.is_bool:
        same_dtype(query, mask)
    scores = (*query.shape[:-1], key.shape[-2])
    common = broadcast_shapes(scores, mask.shape)
    if len(common) != len(scores):
        raise TypeInferenceError(f"mask {mask} has more axes than the scores, {len(scores)}.")
    for axis, (size, wanted) in enumerate(zip(common, scores, strict=True)):
        require_equal(wanted, size, f"mask must broadcast to the scores, axis {axis}")


def _head_dim(query: TensorType) -> int:
    size = query.shape[-1]
    if not isinstance(size, int):
        raise TypeInferenceError(f"head_dim is symbolic ({size}): scale must be given.")
    return size


@scaled_dot_product_attention.decompose
def _(query: Value, key: Value, value: Value, mask: Value | None, /, *, scale: float | None, is_causal: bool) -> Value:
    factor = 1.0 / math.sqrt(_head_dim(query.type)) if scale is None else float(scale)
    order = (*range(query.ndim - 2), query.ndim - 1, query.ndim - 2)
    scaled = query if factor == 1.0 else multiply(query, factor)
    scores = matmul(scaled, permute_dims(_per_query_head(key, query), axes=order))
    weights = _weights(_restricted(scores, mask, is_causal), may_be_blocked=mask is not None)
    return matmul(weights, _per_query_head(value, query))


def _per_query_head(x: Value, query: Value) -> Value:
    """Keys or values, each head repeated for the query heads it serves."""
    if query.ndim == 2 or x.shape[-3] == query.shape[-3]:
        return x
    served = require_divides(x.shape[-3], query.shape[-3], "query heads per key head")
    if not isinstance(served, int):
        raise TypeInferenceError(f"the number of query heads per key head is symbolic ({served}).")
    return repeat(x, repeats=served, axis=x.ndim - 3)


def _restricted(scores: Value, mask: Value | None, is_causal: bool) -> Value:
    if mask is not None:
        scores = where(mask, scores, -math.inf) if mask.dtype is DType.BOOL else add(scores, mask)
    if is_causal:
        rows = expand_dims(positions(scores.shape[-2]), axis=(1,))
        scores = where(greater_equal(rows, positions(scores.shape[-1])), scores, -math.inf)
    return scores


def _weights(scores: Value, *, may_be_blocked: bool) -> Value:
    """Softmax over keys, 0 in rows of -inf; the softmax itself never sees such a row, so no gradient is NaN."""
    if not may_be_blocked:
        return softmax(scores, axis=-1)
    blocked = equal(max_(scores, axis=(-1,), keepdims=True), -math.inf)
    return where(blocked, 0.0, softmax(where(blocked, 0.0, scores), axis=-1))


@op(alike=("weight",), widen=False)
def embedding(weight: Tensor, indices: Tensor, /, *, padding_index: int | None = None) -> Tensor:
    """Rows of a table: ``weight[indices]``; an index out of range is an error, a negative one counts from the end.

    Args:
        weight: [rows, features].
        indices: Integers of any shape.
        padding_index: Row that receives no gradient in training; no effect on the result.

    Returns:
        [*indices.shape, features].
    """
    return take.reference(weight, indices, axis=0, mode="error")


@embedding.infer
def _(weight: TensorType, indices: TensorType, /, *, padding_index: int | None) -> TensorType:
    require_rank(weight, "weight", 2)
    require_integer(indices, "indices")
    return weight.with_shape((*indices.shape, weight.shape[1]))


@embedding.decompose
def _(weight: Value, indices: Value, /, *, padding_index: int | None) -> Value:
    return take(weight, indices, axis=0, mode="error")


@op
def rotary_embedding(x: Tensor, cos: Tensor, sin: Tensor, /, *, interleaved: bool = False) -> Tensor:
    """Rotate pairs of features by angles that grow with the position: ``x * cos + rotated(x) * sin`` (trap T12).

    Args:
        x: [..., length, dim], dim even.
        cos: Cosines of the angles, broadcast to x; a pair's angle stands at both its features.
        sin: Sines of the angles, likewise.
        interleaved: Feature 2i pairs with 2i + 1 instead of i with i + dim / 2.

    Returns:
        The type of x.
    """
    half = x.shape[-1] // 2
    if interleaved:
        rotated = np.stack([-x[..., 1::2], x[..., ::2]], axis=-1).reshape(x.shape)
    else:
        rotated = np.concatenate([-x[..., half:], x[..., :half]], axis=-1)
    return x * cos + rotated * sin


@rotary_embedding.infer
def _(x: TensorType, cos: TensorType, sin: TensorType, /, *, interleaved: bool) -> TensorType:
    same_dtype(x, cos, sin)
    require_floating(x, "x")
    if x.rank < 1:
        raise TypeInferenceError("x needs an axis of features.")
    require_divides(2, x.shape[-1], "features in pairs")
    common = broadcast_shapes(x.shape, cos.shape, sin.shape)
    if len(common) != x.rank:
        raise TypeInferenceError(f"cos {cos} and sin {sin} must broadcast to x {x}.")
    for axis, (size, wanted) in enumerate(zip(common, x.shape, strict=True)):
        require_equal(wanted, size, f"cos and sin must broadcast to x, axis {axis}")
    return x


@rotary_embedding.decompose
def _(x: Value, cos: Value, sin: Value, /, *, interleaved: bool) -> Value:
    rotated = _rotated_pairs(x) if interleaved else _rotated_halves(x)
    return add(multiply(x, cos), multiply(rotated, sin))


def _rotated_halves(x: Value) -> Value:
    half = x.shape[-1] // 2
    first, second = split(x, sizes=(half, half), axis=-1)
    return concat(negative(second), first, axis=-1)


def _rotated_pairs(x: Value) -> Value:
    pairs = reshape(x, shape=(*x.shape[:-1], x.shape[-1] // 2, 2))
    even, odd = split(pairs, sizes=(1, 1), axis=-1)
    return reshape(concat(negative(odd), even, axis=-1), shape=x.shape)
