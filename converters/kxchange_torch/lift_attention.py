"""Attention."""

from __future__ import annotations

from kxchange import ops
from kxchange.graph import Value
from kxchange_torch.lift import lift, refuse
from kxchange_torch.lift_manipulation import reshape
from kxchange_torch.lift_promotion import cast


def attention(
    query: Value, key: Value, value: Value, mask: Value | None, rate: float, is_causal: bool, scale: float | None
) -> Value:
    """Attention of any rank from 2 on: missing heads become one head."""
    if rate > 0:
        return refuse(f"attention drops with probability {rate}, so two runs differ; pass 0 in eval mode")
    if mask is not None and not mask.dtype.is_bool:
        mask = cast(mask, query.dtype)
    lead = max(3 - min(query.ndim, key.ndim, value.ndim), 0)
    if lead:
        query, key, value = (reshape(x, (1,) * (3 - x.ndim) + x.shape) for x in (query, key, value))
    result = ops.scaled_dot_product_attention(query, key, value, mask, scale=scale, is_causal=is_causal)
    return reshape(result, result.shape[lead:]) if lead else result


@lift.rule("aten.scaled_dot_product_attention.default")
def _(
    query: Value,
    key: Value,
    value: Value,
    mask: Value | None,
    rate: float,
    is_causal: bool,
    scale: float | None,
) -> Value:
    return attention(query, key, value, mask, rate, is_causal, scale)


@lift.rule("aten._scaled_dot_product_flash_attention_for_cpu.default")
def _(
    query: Value,
    key: Value,
    value: Value,
    rate: float,
    is_causal: bool,
    mask: Value | None,
    scale: float | None,
) -> tuple[Value, Value]:
    result = attention(query, key, value, mask, rate, is_causal, scale)
    return result, ops.full(shape=result.shape[:-1], value=0, dtype=result.dtype)


@lift.rule("aten._scaled_dot_product_attention_math.default")
def _(
    query: Value,
    key: Value,
    value: Value,
    mask: Value | None,
    rate: float,
    is_causal: bool,
    _drops: Value | None,
    scale: float | None,
) -> tuple[Value, Value]:
    result = attention(query, key, value, mask, rate, is_causal, scale)
    return result, ops.full(shape=(*query.shape[:-1], key.shape[-2]), value=0, dtype=result.dtype)
