"""Sums of products over named axes: einsum, and how it becomes permutations, reshapes and matrix products."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from kxchange.dims import Dim
from kxchange.errors import TypeInferenceError
from kxchange.graph import Value
from kxchange.ops.arithmetic import multiply
from kxchange.ops.comparison import equal, where
from kxchange.ops.creation import arange
from kxchange.ops.linalg import matmul
from kxchange.ops.manipulation import expand_dims, permute_dims, reshape
from kxchange.ops.operands import require_numeric, same_dtype
from kxchange.ops.reduction import sum_
from kxchange.shapes import product, require_equal
from kxchange.spec import Tensor, op
from kxchange.types import DType, TensorType

silent: Any = np.errstate(all="ignore")
_EQUATION = re.compile(r"[A-Za-z]*(,[A-Za-z]*)*->[A-Za-z]*")


@op
@silent
def einsum(*xs: Tensor, equation: str) -> Tensor:
    """Sum of products over named axes (Einstein summation): ``"bik,bkj->bij"`` is a batched matrix product.

    Args:
        *xs: At least one tensor of a numeric dtype.
        equation: One group of letters per operand, separated by commas, then ``->`` and the letters of the result.
            A letter twice in one group takes the diagonal. No ellipsis, no spaces, no implicit result. Axes with one
            letter have one size: they do not broadcast.

    Returns:
        A tensor with one axis per letter of the result; the other letters are summed over.
    """
    evaluate: Any = np.einsum
    return evaluate(equation, *xs, optimize=len(xs) > 1)


@einsum.infer
def _(*xs: TensorType, equation: str) -> TensorType:
    inputs, output = parse_equation(equation, [x.rank for x in xs])
    same_dtype(*xs)
    require_numeric(xs[0], "the operands")
    sizes: dict[str, Dim] = {}
    for letters, x in zip(inputs, xs, strict=True):
        for letter, size in zip(letters, x.shape, strict=True):
            known = sizes.get(letter, size)
            sizes[letter] = require_equal(known, size, f"the axes {letter!r} differ")
    return xs[0].with_shape(tuple(sizes[letter] for letter in output))


@einsum.decompose
def _(*xs: Tensor, equation: str) -> Tensor:
    inputs, output = parse_equation(equation, [x.ndim for x in xs])
    return contract_all(xs, inputs, output)


def parse_equation(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Letters of each operand and of the result.

    Raises:
        TypeInferenceError: The equation is malformed or does not fit the operands' numbers of axes.
    """
    if not _EQUATION.fullmatch(equation):
        raise TypeInferenceError(
            f"equation {equation!r} is not of the form 'ij,jk->ik': letters and commas, then '->' and the result. "
            "Write an ellipsis out as letters."
        )
    left, output = equation.split("->")
    inputs = left.split(",")
    if [len(letters) for letters in inputs] != list(ranks):
        raise TypeInferenceError(f"equation {equation!r} does not fit operands of {list(ranks)} axes.")
    if len(set(output)) < len(output) or not set(output) <= set(left):
        raise TypeInferenceError(f"equation {equation!r} has a result letter twice or one that no operand has.")
    return inputs, output


def contract_all(xs: Sequence[Tensor], inputs: Sequence[str], output: str) -> Value:
    """The sum of products, folded from the left: each step sums what no later operand and no result needs."""
    done, letters = _prepared(xs[0], inputs[0], set("".join(inputs[1:]) + output))
    for position in range(1, len(xs)):
        later = set("".join(inputs[position + 1 :]) + output)
        right, right_letters = _prepared(xs[position], inputs[position], later | set(letters))
        done, letters = _sum_unused(done, letters, later | set(right_letters))
        done, letters = _contract(done, letters, right, right_letters, later)
    done, letters = _sum_unused(done, letters, set(output))
    return _ordered(done, letters, output)


def _prepared(x: Value, letters: str, needed: set[str]) -> tuple[Value, str]:
    """The operand without repeated letters and without axes that nothing else needs."""
    while repeated := next((letter for letter in letters if letters.count(letter) > 1), None):
        x, letters = _diagonal(x, letters, repeated)
    return _sum_unused(x, letters, needed)


def _diagonal(x: Value, letters: str, letter: str) -> tuple[Value, str]:
    """The diagonal over the first two axes called `letter`: the rest is masked, so infinities outside it vanish."""
    first = letters.index(letter)
    second = letters.index(letter, first + 1)
    places = arange(start=0, stop=x.shape[first], step=1, dtype=DType.INT64)
    rows = _along(places, x.ndim, first)
    mask = equal(rows, _along(places, x.ndim, second))
    return sum_(where(mask, x, 0), axis=(second,), keepdims=False), letters[:second] + letters[second + 1 :]


def _along(row: Value, rank: int, axis: int) -> Value:
    """A 1-D value as one axis of `rank`."""
    return expand_dims(row, axis=tuple(i for i in range(rank) if i != axis))


def _sum_unused(x: Value, letters: str, needed: set[str]) -> tuple[Value, str]:
    axes = tuple(axis for axis, letter in enumerate(letters) if letter not in needed)
    if not axes:
        return x, letters
    return sum_(x, axis=axes, keepdims=False), "".join(letter for letter in letters if letter in needed)


def _ordered(x: Value, letters: str, wanted: str) -> Value:
    return x if letters == wanted else permute_dims(x, axes=tuple(letters.index(letter) for letter in wanted))


def _contract(x1: Value, letters1: str, x2: Value, letters2: str, needed: set[str]) -> tuple[Value, str]:
    """One product: shared letters that are still needed are a batch, the other shared ones are summed."""
    batch = "".join(letter for letter in letters1 if letter in letters2 and letter in needed)
    inner = "".join(letter for letter in letters1 if letter in letters2 and letter not in needed)
    rows = "".join(letter for letter in letters1 if letter not in letters2)
    columns = "".join(letter for letter in letters2 if letter not in letters1)
    left = _ordered(x1, letters1, batch + rows + inner)
    right = _ordered(x2, letters2, batch + inner + columns)
    if not inner:
        start = len(batch + rows)
        stretched = expand_dims(left, axis=tuple(range(start, start + len(columns)))) if columns else left
        start = len(batch)
        right = expand_dims(right, axis=tuple(range(start, start + len(rows)))) if rows else right
        return multiply(stretched, right), batch + rows + columns
    sizes = dict(zip(letters1 + letters2, x1.shape + x2.shape, strict=True))
    result = matmul(_matrix(left, sizes, batch, rows, inner), _matrix(right, sizes, batch, inner, columns))
    if len(rows) != 1 or len(columns) != 1:
        result = reshape(result, shape=tuple(sizes[letter] for letter in batch + rows + columns))
    return result, batch + rows + columns


def _matrix(x: Value, sizes: dict[str, Dim], batch: str, rows: str, columns: str) -> Value:
    """The operand with each group of letters joined into one axis."""
    if len(rows) == 1 and len(columns) == 1:
        return x
    height, width = (product(sizes[letter] for letter in group) for group in (rows, columns))
    return reshape(x, shape=(*(sizes[letter] for letter in batch), height, width))
