"""Products of matrices and tensors."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.reshaping import product
from kxchange.types import DType
from kxchange_torch.lift import lift, refuse
from kxchange_torch.lift_elementwise import scaled
from kxchange_torch.lift_manipulation import permute, reshape
from kxchange_torch.lift_promotion import cast, promote
from kxchange_torch.lift_reduction import vector_norm


@lift.rule("aten.linear.default")
def _(x: Value, weight: Value, bias: Value | None) -> Value:
    if weight.ndim == 1:
        result = ops.matmul(x, weight)
        return result if bias is None else ops.add(result, bias)
    return ops.linear(x, weight, bias)


@lift.rule("aten.matmul.default", "aten.mm.default", "aten.bmm.default", "aten.mv.default", "aten.dot.default")
@lift.rule("aten.linalg_matmul.default")
def _(x1: Value, x2: Value) -> Value:
    return ops.matmul(*promote(x1, x2))


def _combined(x: Value, y: Value, beta: Any, alpha: Any) -> Value:
    """``beta * x + alpha * y``; with beta 0 torch ignores `x`, even its NaN."""
    y = scaled(y, alpha)
    if beta == 0:
        return y if y.shape == x.shape or x.ndim <= y.ndim else ops.broadcast_to(y, shape=x.shape)
    return ops.logical_or(scaled(x, beta), y) if x.dtype.is_bool else ops.add(scaled(x, beta), y)


@lift.rule("aten.addmm.default", "aten.baddbmm.default", "aten.addmv.default")
def _(x: Value, x1: Value, x2: Value, beta: Any, alpha: Any) -> Value:
    x, x1, x2 = promote(x, x1, x2)
    product_ = ops.matmul(x1, x2)
    if beta == 1:
        return ops.add(scaled(product_, alpha), x)
    return _combined(x, product_, beta, alpha)


@lift.rule("aten.addbmm.default")
def _(x: Value, x1: Value, x2: Value, beta: Any, alpha: Any) -> Value:
    x, x1, x2 = promote(x, x1, x2)
    return _combined(x, ops.sum(ops.matmul(x1, x2), axis=(0,)), beta, alpha)


@lift.rule("aten.addr.default")
def _(x: Value, x1: Value, x2: Value, beta: Any, alpha: Any) -> Value:
    x, x1, x2 = promote(x, x1, x2)
    return _combined(x, _outer(x1, x2), beta, alpha)


def _outer(x1: Value, x2: Value) -> Value:
    column = ops.expand_dims(x1, axis=(1,))
    return ops.logical_and(column, x2) if x1.dtype.is_bool else ops.multiply(column, x2)


@lift.rule("aten.outer.default", "aten.ger.default")
def _(x1: Value, x2: Value) -> Value:
    return _outer(*promote(x1, x2))


@lift.rule("aten.inner.default")
def _(x1: Value, x2: Value) -> Value:
    x1, x2 = promote(x1, x2)
    if x1.ndim == 0 or x2.ndim == 0:
        return ops.multiply(x1, x2)
    flat = reshape(x2, (product(x2.shape[:-1]), x2.shape[-1]))
    result = ops.matmul(x1, permute(flat, (1, 0)))
    return reshape(result, (*x1.shape[:-1], *x2.shape[:-1]))


@lift.rule("aten.tensordot.default")
def _(x1: Value, x2: Value, axes1: Sequence[int], axes2: Sequence[int]) -> Value:
    x1, x2 = promote(x1, x2)
    contracted1, contracted2 = ([a % x.ndim for a in axes] for x, axes in ((x1, axes1), (x2, axes2)))
    for a, b in zip(contracted1, contracted2, strict=True):  # a size of 1 is repeated: sum the other one
        if x1.shape[a] == 1 and x2.shape[b] != 1:
            x2 = ops.sum(x2, axis=(b,), keepdims=True)
        elif x2.shape[b] == 1 and x1.shape[a] != 1:
            x1 = ops.sum(x1, axis=(a,), keepdims=True)
    free1 = [a for a in range(x1.ndim) if a not in contracted1]
    free2 = [a for a in range(x2.ndim) if a not in contracted2]
    inner = product(x1.shape[a] for a in contracted1)
    outer1, outer2 = [x1.shape[a] for a in free1], [x2.shape[a] for a in free2]
    left = reshape(permute(x1, free1 + contracted1), (product(outer1), inner))
    right = reshape(permute(x2, contracted2 + free2), (inner, product(outer2)))
    return reshape(ops.matmul(left, right), (*outer1, *outer2))


@lift.rule("aten.einsum.default")
def _(equation: str, operands: tuple[Value, ...]) -> Value:
    return ops.einsum(*promote(*operands), equation=expand_equation(equation, [x.ndim for x in operands]))


def expand_equation(equation: str, ranks: Sequence[int]) -> str:
    """An equation with its output written and without ``...``: letters of its own for those axes."""
    compact = equation.replace(" ", "")
    left, arrow, right = compact.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        return refuse(f"einsum {equation!r} has {len(terms)} terms for {len(ranks)} operands")
    free = [c for c in string.ascii_letters if c not in compact]
    width = max(
        (rank - len(t.replace("...", "")) for t, rank in zip(terms, ranks, strict=True) if "..." in t), default=0
    )
    spare = "".join(free[:width])
    expanded = [
        t.replace(
            "...", spare[width - (rank - len(t.replace("...", ""))) :] if rank > len(t.replace("...", "")) else ""
        )
        for t, rank in zip(terms, ranks, strict=True)
    ]
    if arrow:
        return f"{','.join(expanded)}->{right.replace('...', spare)}"
    counts = "".join(expanded)
    kept = "".join(sorted(c for c in set(counts) if counts.count(c) == 1 and c not in spare))
    return f"{','.join(expanded)}->{spare}{kept}"


@lift.rule("aten.bilinear.default")
def _(x1: Value, x2: Value, weight: Value, bias: Value | None) -> Value:
    lead = x1.shape[:-1]
    left = reshape(x1, (product(lead), x1.shape[-1]))
    right = reshape(x2, (product(lead), x2.shape[-1]))
    result = ops.einsum(left, weight, right, equation="bi,oij,bj->bo")
    result = reshape(result, (*lead, weight.shape[0]))
    return result if bias is None else ops.add(result, bias)


@lift.rule("aten.cosine_similarity.default")
def _(x1: Value, x2: Value, axis: int, eps: float) -> Value:
    """The squared norms are clamped at the square of eps, as torch does."""
    x1, x2 = promote(x1, x2)
    dot = ops.sum(ops.multiply(x1, x2), axis=(axis,))
    norms = [ops.clip(ops.sqrt(ops.sum(ops.square(x), axis=(axis,))), eps, None) for x in (x1, x2)]
    return ops.divide(dot, ops.multiply(*norms))


@lift.rule("aten.cdist.default", "aten._cdist_forward.default")
def _(x1: Value, x2: Value, order: float) -> Value:
    """Distances of all pairs of rows."""
    gap = ops.subtract(ops.expand_dims(x1, axis=(x1.ndim - 1,)), ops.expand_dims(x2, axis=(x2.ndim - 2,)))
    return vector_norm(gap, order, -1, False)


@lift.rule("aten.linalg_cross.default", "aten.cross.default")
def _(x1: Value, x2: Value, axis: int | None) -> Value:
    x1, x2 = promote(x1, x2)
    if axis is None:
        axis = next(i for i, size in enumerate(x1.shape) if size == 3)
    turned = [ops.roll(x, shifts=(shift,), axis=(axis,)) for x, shift in ((x1, -1), (x2, -2), (x1, -2), (x2, -1))]
    return ops.subtract(ops.multiply(turned[0], turned[1]), ops.multiply(turned[2], turned[3]))


@lift.rule("transformers.grouped_mm_fallback.default", "aten._grouped_mm.default")
def _(x: Value, weight: Value, ends: Value | None, bias: Value | None = None, dtype: DType | None = None) -> Value:
    """Rows sorted by group times their group's matrix: all products, then the one of each row; past the end, 0."""
    if ends is None or x.ndim != 2 or weight.ndim != 3 or bias is not None:
        return refuse("only rows times one matrix per group have a lift")
    rows = ops.arange(start=0, stop=x.shape[0], step=1, dtype=ends.dtype)
    group = ops.searchsorted(ends, rows, side="right")
    products = ops.matmul(ops.expand_dims(x, axis=(0,)), weight)
    last = ops.subtract(ops.full(shape=(), value=weight.shape[0], dtype=group.dtype), 1)
    index = ops.reshape(ops.minimum(group, last), shape=(1, x.shape[0], 1))
    wide = ops.broadcast_to(index, shape=(1, x.shape[0], weight.shape[2]))
    chosen = ops.squeeze(ops.take_along_axis(products, wide, axis=0), axis=(0,))
    inside = ops.expand_dims(ops.less(group, weight.shape[0]), axis=(1,))
    result = ops.where(inside, chosen, 0.0)
    return result if dtype is None else cast(result, dtype)
