"""Copies, views of the same elements, and casts: most of them change nothing and emit nothing."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_torch.lift import Number, lift
from kxchange_torch.lift_manipulation import broadcast
from kxchange_torch.lift_promotion import cast


@lift.rule(
    "aten.contiguous.default", "aten.clone.default", "aten.alias.default", "aten.detach.default",
    "aten.detach_.default",
    "aten.lift_fresh_copy.default", "aten.lift_fresh.default", "aten.lift.default", "aten.alias_copy.default",
    "aten.detach_copy.default", "aten.requires_grad_.default", "aten.resolve_conj.default", "aten.resolve_neg.default",
    "aten.positive.default", "aten.data.default", "aten.cpu.default",
)  # fmt: skip
def _(x: Value) -> Value:
    return x


@lift.rule("aten.copy.default")
def _(x: Value, source: Value) -> Value:
    return broadcast(cast(source.value if isinstance(source, Number) else source, x.dtype), x.shape)


@lift.rule("aten.to.dtype")
def _(x: Value, dtype: DType) -> Value:
    return cast(x, dtype)


@lift.rule("aten.to.device")
def _(x: Value, _device: Any, dtype: DType) -> Value:
    return cast(x, dtype)


@lift.rule("aten.to.other", "aten.type_as.default")
def _(x: Value, other: Value) -> Value:
    return cast(x, other.dtype)


@lift.rule("aten.to.dtype_layout", "aten._to_copy.default")
def _(x: Value, dtype: DType | None) -> Value:
    return x if dtype is None else cast(x, dtype)


@lift.rule("prims.convert_element_type.default")
def _(x: Value, dtype: DType) -> Value:
    return cast(x, dtype)


@lift.rule("aten.view.dtype")
def _(x: Value, dtype: DType) -> Value:
    return x if x.dtype is dtype else ops.bitcast(x, dtype=dtype)
