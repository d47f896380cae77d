"""Products of matrices: MatMul, Gemm, Einsum."""

from __future__ import annotations

import string
from collections.abc import Sequence

from kxchange import ops
from kxchange.graph import Value
from kxchange_onnx.lift import lift, refuse


@lift.rule("MatMul")
def _(a: Value, b: Value) -> Value:
    return ops.matmul(a, b)


@lift.rule("Gemm")
def _(a: Value, b: Value, c: Value, *, alpha: float, beta: float, transA: int, transB: int, broadcast: int) -> Value:  # noqa: N803
    return gemm(a, b, c, alpha, beta, transA, transB)


@lift.rule("Gemm", since=7)
def _(a: Value, b: Value, c: Value | None, *, alpha: float, beta: float, transA: int, transB: int) -> Value:  # noqa: N803
    return gemm(a, b, c, alpha, beta, transA, transB)


def gemm(a: Value, b: Value, c: Value | None, alpha: float, beta: float, left: int, right: int) -> Value:
    """``alpha * a @ b + beta * c`` with either factor transposed; a layer with weight and bias where it is one."""
    a = ops.permute_dims(a, axes=(1, 0)) if left else a
    plain_bias = c is None or (c.ndim == 1 and c.shape[0] == b.shape[0 if right else 1] and beta == 1)
    if alpha == 1 and plain_bias and right and a.dtype.is_floating:
        return ops.linear(a, b, c)
    product = ops.matmul(a, ops.permute_dims(b, axes=(1, 0)) if right else b)
    product = product if alpha == 1 else scaled(product, alpha)
    if c is None or beta == 0:
        return product
    return ops.add(product, c if beta == 1 else scaled(c, beta))


def scaled(x: Value, factor: float) -> Value:
    """X times a number; of integers, a whole one."""
    if x.dtype.is_floating:
        return ops.multiply(x, factor)
    return ops.multiply(x, int(factor)) if factor == int(factor) else refuse(f"it scales integers by {factor}")


@lift.rule("Einsum")
def _(*xs: Value, equation: str) -> Value:
    terms, result = expanded(equation.replace(" ", ""), [x.ndim for x in xs])
    sizes: dict[str, set[object]] = {}
    for term, x in zip(terms, xs, strict=True):
        for letter, size in zip(term, x.shape, strict=True):
            sizes.setdefault(letter, set()).add(size)
    stretched = {letter for letter, found in sizes.items() if len(found) > 1 and 1 in found}
    operands = [_without_ones(term, x, stretched) for term, x in zip(terms, xs, strict=True)]
    written = ",".join(term for term, _ in operands)
    return ops.einsum(*(x for _, x in operands), equation=f"{written}->{result}")


def _without_ones(term: str, x: Value, stretched: set[str]) -> tuple[str, Value]:
    """An operand without the axes of size 1 that are stretched to those of another."""
    ones = [axis for axis, letter in enumerate(term) if letter in stretched and x.shape[axis] == 1]
    kept = "".join(letter for axis, letter in enumerate(term) if axis not in ones)
    return kept, ops.squeeze(x, axis=tuple(ones)) if ones else x


def expanded(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The terms of the equation and its result, with ellipses written out in letters."""
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        return refuse(f"its equation {equation!r} names {len(terms)} operands, and there are {len(ranks)}")
    hidden = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)]
    if any((count and "..." not in term) or count < 0 for term, count in zip(terms, hidden, strict=True)):
        return refuse(f"its equation {equation!r} does not fit operands of {list(ranks)} axes")
    free = [letter for letter in string.ascii_letters if letter not in equation]
    batch = "".join(free[: max(hidden, default=0)])
    written = [
        term.replace("...", batch[len(batch) - count :] if count else "")
        for term, count in zip(terms, hidden, strict=True)
    ]
    if not arrow:
        letters = left.replace("...", "").replace(",", "")
        right = "..." + "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    return written, right.replace("...", batch)
