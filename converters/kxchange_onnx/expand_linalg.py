"""Factorizations and triangular systems, which ONNX has no ops for: loops over rows and columns.

Each step works on whole matrices, of which all that it may not touch is masked: shapes inside a loop do not change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kxchange.dims import dim_min
from kxchange.graph import Graph, Node, Value, placeholder
from kxchange.ops.arithmetic import abs_, add, divide, multiply, sign, sqrt, subtract
from kxchange.ops.comparison import equal, greater, greater_equal, isnan, less, logical_and, where
from kxchange.ops.control import scan
from kxchange.ops.creation import arange, eye, full
from kxchange.ops.linalg import matmul
from kxchange.ops.manipulation import broadcast_to, expand_dims, permute_dims, squeeze
from kxchange.ops.mathematics import log
from kxchange.ops.reduction import any_, prod, sum_
from kxchange.ops.slicing import flip, slice_
from kxchange.ops.solving import solve_triangular
from kxchange.table import Table
from kxchange.types import DType

TABLE = Table("onnx")
ROW, COLUMN = (-2,), (-1,)


def _real(node: Node) -> bool:
    return not node.types[0].dtype.is_complex


def _transposed(x: Value) -> Value:
    return permute_dims(x, axes=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def _first(x: Value, axis: int) -> Value:
    """An axis in front, for a loop to run over."""
    place = x.ndim + axis
    return permute_dims(x, axes=(place, *(a for a in range(x.ndim) if a != place)))


def _positions(x: Value, axis: int) -> Value:
    return arange(start=0, stop=x.shape[axis], step=1, dtype=DType.INT64)


def _loop(
    step: Callable[..., Sequence[Value]], carry: Sequence[Value], xs: Sequence[Value], consts: Sequence[Value] = ()
) -> Sequence[Value]:
    """The last carry of ``step(*consts, *carry, *elements)``."""
    inner = [
        *(placeholder(f"const{i}", x.type) for i, x in enumerate(consts)),
        *(placeholder(f"carry{i}", x.type) for i, x in enumerate(carry)),
        *(placeholder(f"element{i}", x.type.with_shape(x.shape[1:])) for i, x in enumerate(xs)),
    ]
    body = Graph(tuple(inner), tuple(step(*inner)))
    counts = {"num_consts": len(consts), "num_carry": len(carry)}
    found = scan(*consts, *carry, *xs, body=body, **counts, reverse=False, length=xs[0].shape[0])
    return [found] if isinstance(found, Value) else list(found)


def _at(x: Value, place: Value, axis: int) -> Value:
    """The entries of ``x`` at one position of an axis, which stays, at size 1."""
    here = equal(_positions(x, axis), place)
    return sum_(where(here if axis == -1 else expand_dims(here, axis=COLUMN), x, 0), axis=(axis,), keepdims=True)


@TABLE.rule("solve_triangular", when=_real)
def _(x1: Value, x2: Value, *, upper: bool, unit_diagonal: bool) -> Value:
    if upper:
        x1, x2 = flip(x1, axis=(-2, -1)), flip(x2, axis=ROW)
    lead = matmul(x1, x2).shape
    x2 = broadcast_to(x2, shape=lead)

    def step(known: Value, row: Value, right: Value, place: Value) -> Sequence[Value]:
        columns = _positions(row, -1)
        before = expand_dims(where(less(columns, place), row, 0), axis=ROW)
        found = subtract(expand_dims(right, axis=ROW), matmul(before, known))
        if not unit_diagonal:
            found = divide(found, expand_dims(_at(row, place, -1), axis=ROW))
        here = expand_dims(equal(_positions(known, -2), place), axis=COLUMN)
        return [where(here, found, known)]

    start = full(shape=lead, value=0.0, dtype=x2.dtype)
    (y,) = _loop(step, [start], [_first(x1, -2), _first(x2, -2), _positions(x2, -2)])
    return flip(y, axis=ROW) if upper else y


@TABLE.rule("cholesky", when=_real)
def _(x: Value, *, upper: bool) -> Value:
    def step(known: Value, column: Value, place: Value) -> Sequence[Value]:
        rows = expand_dims(_positions(known, -2), axis=COLUMN)
        rest = subtract(expand_dims(column, axis=COLUMN), matmul(known, _transposed(_at(known, place, -2))))
        root = sqrt(_at(rest, place, -2))
        found = where(greater(rows, place), divide(rest, root), where(equal(rows, place), root, 0))
        return [where(equal(_positions(known, -1), place), found, known)]

    start = full(shape=x.shape, value=0.0, dtype=x.dtype)
    stored = _first(_transposed(x) if upper else x, -1)
    (factor,) = _loop(step, [start], [stored, _positions(x, -1)])
    failed = any_(isnan(factor), axis=(-2, -1), keepdims=True)
    lower = greater_equal(expand_dims(_positions(x, -2), axis=COLUMN), _positions(x, -1))
    factor = where(failed, where(lower, float("nan"), factor), factor)
    return _transposed(factor) if upper else factor


def _mirror(r: Value, place: Value) -> tuple[Value, Value, Value]:
    """The reflection that leaves nothing below the diagonal in a column: a vector, what it is scaled by, and its sign.

    A column with nothing below the diagonal stays as it is, as in LAPACK.
    """
    here = expand_dims(_positions(r, -2), axis=COLUMN)
    column = _at(r, place, -1)
    head = _at(column, place, -2)
    below = where(greater(here, place), column, 0)
    rest = sum_(multiply(below, below), axis=ROW, keepdims=True)
    length = sqrt(add(multiply(head, head), rest))
    pivot = add(head, where(less(head, 0), multiply(length, -1), length))
    vector = where(equal(here, place), pivot, below)
    reflects = greater(rest, 0)
    size = where(reflects, add(multiply(pivot, pivot), rest), 1)
    return vector, where(reflects, divide(2, size), 0), where(reflects, full(shape=(), value=-1.0, dtype=r.dtype), 1)


def _factored(x: Value) -> tuple[Value, Value, Value]:
    """The complete q and r of ``x = q @ r``, and the determinant of q, [..., 1, 1]."""
    rows, lead = x.shape[-2], x.shape[:-2]

    def step(q: Value, r: Value, turns: Value, place: Value) -> Sequence[Value]:
        vector, factor, turned = _mirror(r, place)
        scaled, across = multiply(vector, factor), _transposed(vector)
        r = subtract(r, matmul(scaled, matmul(across, r)))
        q = subtract(q, matmul(matmul(q, scaled), across))
        # What was mirrored away is 0, not what rounding leaves of it.
        below = greater(expand_dims(_positions(r, -2), axis=COLUMN), place)
        done = logical_and(below, equal(_positions(r, -1), place))
        return [q, where(done, 0, r), multiply(turns, turned)]

    unit = broadcast_to(eye(rows=rows, dtype=x.dtype), shape=(*lead, rows, rows))
    once = full(shape=(*lead, 1, 1), value=1.0, dtype=x.dtype)
    steps = arange(start=0, stop=dim_min(rows, x.shape[-1]), step=1, dtype=DType.INT64)
    q, r, turns = _loop(step, [unit, x, once], [steps])
    return q, r, turns


@TABLE.rule("qr", when=_real)
def _(x: Value, *, mode: str) -> tuple[Value, Value]:
    q, r, _ = _factored(x)
    if mode == "complete":
        return q, r
    kept = {"starts": (0,), "stops": (dim_min(x.shape[-2], x.shape[-1]),), "steps": (1,)}
    return slice_(q, axes=COLUMN, **kept), slice_(r, axes=ROW, **kept)


@TABLE.rule("solve", when=_real)
def _(x1: Value, x2: Value) -> Value:
    q, r, _ = _factored(x1)
    right = x2 if x2.ndim > 1 else expand_dims(x2, axis=COLUMN)
    found = solve_triangular(r, matmul(_transposed(q), right), upper=True)
    return found if x2.ndim > 1 else squeeze(found, axis=COLUMN)


@TABLE.rule("inv", when=_real)
def _(x: Value) -> Value:
    q, r, _ = _factored(x)
    return solve_triangular(r, _transposed(q), upper=True)


@TABLE.rule("slogdet", when=_real)
def _(x: Value) -> tuple[Value, Value]:
    _, r, turned = _factored(x)
    diagonal = equal(expand_dims(_positions(r, -2), axis=COLUMN), _positions(r, -1))
    ones = where(diagonal, r, 1)
    signs = prod(sign(ones), axis=(-2, -1))
    return multiply(signs, squeeze(turned, axis=(-2, -1))), sum_(log(abs_(ones)), axis=(-2, -1))
