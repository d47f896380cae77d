"""Factorizations that are lifted as loops over the columns: LU with row exchanges, QR as packed reflections."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.dims import Dim, dim_min
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_torch.lift import lift, refuse
from kxchange_torch.lift_complex import adjoint
from kxchange_torch.lift_creation import full
from kxchange_torch.lift_loops import count_through, while_any
from kxchange_torch.lift_manipulation import broadcast, move_axes, reshape, swap
from kxchange_torch.lift_promotion import cast


def numbers(count: Dim) -> Value:
    """The int64 numbers below `count`."""
    return ops.arange(start=0, stop=count, step=1, dtype=DType.INT64)


def at(x: Value, index: Value, axis: int) -> Value:
    """One slice along an axis, at a position that is data."""
    return ops.squeeze(ops.take(x, reshape(index, (1,)), axis=axis), axis=(axis,))


def column(x: Value) -> Value:
    """A vector as a matrix of one column."""
    return ops.expand_dims(x, axis=(x.ndim,))


def row(x: Value) -> Value:
    """A vector as a matrix of one row."""
    return ops.expand_dims(x, axis=(x.ndim - 1,))


def _size(x: Value) -> Value:
    """What LAPACK compares to choose a pivot."""
    if x.dtype.is_complex:
        return ops.add(ops.abs(ops.real(x)), ops.abs(ops.imag(x)))
    return ops.abs(x)


def _zero(dtype: DType) -> Value:
    return ops.full(shape=(), value=0, dtype=dtype)


def _one(dtype: DType) -> Value:
    return ops.full(shape=(), value=1, dtype=dtype)


def _exchanged(order: Value, k: Value, other: Value) -> Value:
    """Positions [..., m] with position `k` and position `other` [...] exchanged."""
    here, there = ops.equal(order, k), ops.equal(order, column(other))
    return ops.where(here, column(other), ops.where(there, k, order))


def _permuted_rows(x: Value, places: Value) -> Value:
    return ops.take_along_axis(x, broadcast(column(places), (*places.shape, x.shape[-1])), axis=-2)


def eliminate(x: Value, exchange: bool = True) -> tuple[Value, Value, Value]:
    """Gaussian elimination with partial pivoting.

    Args:
        x: [..., m, n].
        exchange: Bring the largest element below to the diagonal.

    Returns:
        The packed factors [..., m, n]; the rows' order [..., m], int64; the exchanges [..., min(m, n)], int32 from 1.
    """
    rows, columns = x.shape[-2:]
    lead = x.shape[:-2]
    places = broadcast(numbers(rows), (*lead, rows))
    steps = dim_min(rows, columns)
    if steps == 0 or 0 in lead:
        return x, places, full((*lead, steps), 1, DType.INT32)
    down, across = numbers(rows), numbers(columns)

    def step(down: Value, across: Value, matrix: Value, order: Value, k: Value) -> tuple[Value, ...]:
        below, right = ops.greater(down, k), ops.greater(across, k)
        pivot = broadcast(k, lead)
        if exchange:
            size = _size(at(matrix, k, -1))
            pivot = ops.argmax(ops.where(ops.less(down, k), -1.0, size), axis=-1)
            moved = _exchanged(broadcast(down, (*lead, rows)), k, pivot)
            matrix = _permuted_rows(matrix, moved)
            order = ops.take_along_axis(order, moved, axis=-1)
        line = at(matrix, k, -1)
        head = column(at(line, k, -1))
        safe = ops.where(ops.equal(head, 0), _one(x.dtype), head)
        factor = ops.where(below, ops.divide(line, safe), _zero(x.dtype))
        change = ops.multiply(column(factor), row(ops.where(right, at(matrix, k, -2), _zero(x.dtype))))
        matrix = ops.where(
            ops.logical_and(column(below), ops.equal(across, k)), column(factor), ops.subtract(matrix, change)
        )
        return matrix, order, cast(ops.add(pivot, 1), DType.INT32)

    factors, order, pivots = count_through(step, [down, across], [x, places], steps)
    return factors, order, move_axes(pivots, (0,), (-1,)) if lead else pivots


def error_code(failed: Value) -> Value:
    """Number, from 1, of the first marked pivot [..., k]; 0 where none is."""
    if failed.shape[-1] == 0:
        return full(failed.shape[:-1], 0, DType.INT32)
    first = ops.add(ops.argmax(cast(failed, DType.INT32), axis=-1), 1)
    return cast(ops.where(ops.any(failed, axis=(-1,)), first, 0), DType.INT32)


def diagonal(x: Value) -> Value:
    """[..., min(m, n)] of [..., m, n]."""
    count = dim_min(*x.shape[-2:])
    unit = ops.eye(rows=x.shape[-2], columns=x.shape[-1], dtype=DType.BOOL)
    picked = ops.sum(ops.where(unit, x, _zero(x.dtype)), axis=(-1,))
    return picked if picked.shape[-1] == count else ops.take(picked, numbers(count), axis=-1)


def singular_code(factors: Value) -> Value:
    """LAPACK's code for a pivot that is exactly 0."""
    found = diagonal(factors)
    return error_code(ops.equal(found, 0))


def indefinite_code(x: Value, upper: bool) -> Value:
    """LAPACK's code for a leading minor that is not positive; only one triangle is read."""
    lower = adjoint(ops.triu(x, k=0)) if upper else ops.tril(x, k=0)
    whole = ops.add(lower, adjoint(ops.tril(lower, k=-1)))
    found = diagonal(eliminate(whole, exchange=False)[0])
    found = ops.real(found) if found.dtype.is_complex else found
    return error_code(ops.logical_not(ops.greater(found, 0)))


def unpacked(factors: Value) -> tuple[Value, Value]:
    """L [..., m, k] with a unit diagonal, and U [..., k, n]."""
    rows, columns = factors.shape[-2:]
    inner = dim_min(rows, columns)
    first = numbers(inner)
    lower = factors if columns == inner else ops.take(factors, first, axis=-1)
    upper = factors if rows == inner else ops.take(factors, first, axis=-2)
    unit = ops.eye(rows=rows, columns=inner, dtype=factors.dtype)
    return ops.add(ops.tril(lower, k=-1), unit), ops.triu(upper, k=0)


def permutation(order: Value, dtype: DType) -> Value:
    """P with ``P @ y`` the rows of y at the places that they came from: ``P[order[i], i] = 1``."""
    return swap(ops.one_hot(order, depth=order.shape[-1], axis=-1, dtype=dtype), -1, -2)


def order_of(pivots: Value, rows: Dim) -> Value:
    """The order of the rows [..., rows] after the exchanges `pivots` [..., k], from 1."""
    lead = pivots.shape[:-1]
    places = broadcast(numbers(rows), (*lead, rows))
    if pivots.shape[-1] == 0:
        return places

    def step(pivots: Value, down: Value, order: Value, k: Value) -> tuple[Value, ...]:
        other = ops.subtract(at(pivots, k, -1), 1)
        return (ops.take_along_axis(order, _exchanged(down, k, other), axis=-1),)

    found = count_through(step, [cast(pivots, DType.INT64), places], [places], pivots.shape[-1])
    return found[0] if isinstance(found, tuple) else found


@lift.rule("aten.linalg_lu_factor_ex.default", "aten._lu_with_info.default")
def _(x: Value, pivot: bool) -> tuple[Value, Value, Value]:
    if not pivot:
        return refuse("an LU factorization without pivots")
    factors, _, pivots = eliminate(x)
    return factors, pivots, singular_code(factors)


@lift.rule("aten.linalg_lu_factor.default")
def _(x: Value, pivot: bool) -> tuple[Value, Value]:
    if not pivot:
        return refuse("an LU factorization without pivots")
    factors, _, pivots = eliminate(x)
    return factors, pivots


@lift.rule("aten.linalg_lu.default")
def _(x: Value, pivot: bool) -> tuple[Value, Value, Value]:
    if not pivot:
        return refuse("an LU factorization without pivots")
    factors, order, _ = eliminate(x)
    return permutation(order, x.dtype), *unpacked(factors)


@lift.rule("aten.lu_unpack.default")
def _(factors: Value, pivots: Value, unpack_data: bool, unpack_pivots: bool) -> tuple[Value, ...]:
    empty = full((0,), 0, factors.dtype)
    lower, upper = unpacked(factors) if unpack_data else (empty, empty)
    order = order_of(pivots, factors.shape[-2]) if unpack_pivots else None
    return empty if order is None else permutation(order, factors.dtype), lower, upper


def lu_solved(factors: Value, pivots: Value, b: Value, left: bool, adjoined: bool) -> Value:
    """The y of ``A @ y = b`` (or ``y @ A = b``, or with conj(A).T) from the packed factors of A."""
    if not left:
        return adjoint(lu_solved(factors, pivots, adjoint(b), True, not adjoined))
    order = permutation(order_of(pivots, factors.shape[-2]), factors.dtype)
    lower, upper = unpacked(factors)
    if adjoined:
        half = ops.solve_triangular(adjoint(upper), b)
        return ops.matmul(order, ops.solve_triangular(adjoint(lower), half, upper=True, unit_diagonal=True))
    half = ops.solve_triangular(lower, ops.matmul(swap(order, -1, -2), b), unit_diagonal=True)
    return ops.solve_triangular(upper, half, upper=True)


@lift.rule("aten.linalg_lu_solve.default")
def _(factors: Value, pivots: Value, b: Value, left: bool, adjoint: bool) -> Value:
    return lu_solved(factors, pivots, b, left, adjoint)


@lift.rule("aten.lu_solve.default")
def _(b: Value, factors: Value, pivots: Value) -> Value:
    return lu_solved(factors, pivots, b, True, False)


@lift.rule("aten.geqrf.default")
def _(x: Value) -> Any:
    """LAPACK's reflections: the vectors below the diagonal of R, and their factors."""
    rows, columns = x.shape[-2:]
    steps, lead = dim_min(rows, columns), x.shape[:-2]
    if x.dtype.is_complex:
        return refuse("packed reflections of a complex matrix")
    if steps == 0 or 0 in lead:
        return x, full((*lead, steps), 0, x.dtype)

    def step(down: Value, across: Value, matrix: Value, k: Value) -> tuple[Value, ...]:
        below = ops.greater(down, k)
        line = at(matrix, k, -1)
        head = column(at(line, k, -1))
        tail = ops.where(below, line, 0.0)
        rest = ops.sum(ops.square(tail), axis=(-1,), keepdims=True)
        length = ops.sqrt(ops.add(ops.square(head), rest))
        beta = ops.where(ops.less(head, 0), length, ops.negative(length))
        flat = ops.equal(rest, 0)
        safe = ops.where(flat, 1.0, beta)
        tau = ops.where(flat, 0.0, ops.divide(ops.subtract(safe, head), safe))
        vector = ops.divide(tail, ops.where(flat, 1.0, ops.subtract(head, safe)))
        full_vector = ops.where(ops.equal(down, k), 1.0, vector)
        change = ops.matmul(row(full_vector), ops.where(ops.greater(across, k), matrix, 0.0))
        turned = ops.subtract(matrix, ops.multiply(column(ops.multiply(full_vector, tau)), change))
        kept = ops.where(below, vector, ops.where(ops.equal(down, k), ops.where(flat, head, beta), line))
        return ops.where(ops.equal(across, k), column(kept), turned), ops.squeeze(tau, axis=(tau.ndim - 1,))

    packed, tau = count_through(step, [numbers(rows), numbers(columns)], [x], steps)
    return packed, move_axes(tau, (0,), (-1,)) if lead else tau


@lift.rule("aten.ormqr.default")
def _(packed: Value, tau: Value, other: Value, left: bool, transpose: bool) -> Value:
    """The product of the reflections (or its adjoint) times `other`, on either side, one reflection at a time."""
    steps = tau.shape[-1]
    if packed.dtype.is_complex:
        return refuse("packed reflections of a complex matrix")
    if steps == 0 or 0 in other.shape:
        return other
    rows = packed.shape[-2]
    vectors = ops.add(ops.tril(packed, k=-1), ops.eye(rows=rows, columns=packed.shape[-1], dtype=packed.dtype))
    turned = other if left else swap(other, -1, -2)
    forwards = transpose if left else not transpose

    def step(vectors: Value, tau: Value, found: Value, k: Value) -> tuple[Value, ...]:
        place = k if forwards else ops.subtract(ops.full(shape=(), value=steps - 1, dtype=DType.INT64), k)
        vector = at(vectors, place, -1)
        scaled = ops.multiply(column(vector), reshape(at(tau, place, -1), (*tau.shape[:-1], 1, 1)))
        return (ops.subtract(found, ops.multiply(scaled, ops.matmul(row(vector), found))),)

    found = count_through(step, [vectors, tau], [turned], steps)
    found = found[0] if isinstance(found, tuple) else found
    return found if left else swap(found, -1, -2)


@lift.rule("aten.linalg_matrix_exp.default", "aten.matrix_exp.default")
def _(x: Value) -> Value:
    """Taylor's series of the matrix scaled to a norm of at most 1, squared as often as it was halved."""
    size = x.shape[-1]
    if 0 in x.shape:
        return x
    norm = ops.max(ops.sum(ops.abs(x), axis=(-2,)), axis=(-1,), keepdims=True)
    halvings = ops.ceil(ops.log2(ops.maximum(norm, 1.0)))
    scale = ops.pow(2.0, ops.negative(halvings))
    scaled = ops.multiply(x, cast(column(scale), x.dtype))
    unit = broadcast(ops.eye(rows=size, columns=size, dtype=x.dtype), x.shape)
    found = unit
    for term in range(18, 0, -1):
        found = ops.add(unit, ops.divide(ops.matmul(scaled, found), float(term)))
    return _squared(found, cast(column(halvings), DType.INT64))


def _squared(x: Value, times: Value) -> Value:
    """Each matrix squared `times` [..., 1, 1] times."""

    def step(x: Value, left: Value) -> tuple[Value, Value]:
        return ops.where(ops.greater(left, 0), ops.matmul(x, x), x), ops.subtract(left, 1)

    return while_any(lambda _x, left: ops.greater(left, 0), step, [], [x, times])[0]
