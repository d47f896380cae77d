"""`keras.ops` by class of operation: linear algebra."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.shapes import product
from kxchange.types import DType
from kxchange_keras.call import Call, cast
from kxchange_keras.lift_operations_shape import diagonal_of
from kxchange_keras.promotion import float_of, promoted, value_of
from kxchange_keras.registry import operation


def turned(x: Value) -> Value:
    """Matrices transposed."""
    return ops.permute_dims(x, axes=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


@operation("Cholesky")
def _(call: Call, x: Any) -> Value:
    return ops.cholesky(float_of(call, x), upper=bool(call.option("upper", False)))


@operation("CholeskyInverse")
def _(call: Call, x: Any) -> Value:
    """The inverse of the matrix that a factor is of."""
    factor = float_of(call, x)
    upper = bool(call.option("upper", False))
    unit = ops.eye(rows=factor.shape[-1], dtype=factor.dtype)
    inverse = ops.solve_triangular(factor, unit, upper=upper)
    return ops.matmul(inverse, turned(inverse)) if upper else ops.matmul(turned(inverse), inverse)


@operation("Det")
def _(call: Call, x: Any) -> Value:
    return ops.det(float_of(call, x))


@operation("Inv")
def _(call: Call, x: Any) -> Value:
    return ops.inv(float_of(call, x))


@operation("Slogdet")
def _(call: Call, x: Any) -> tuple[Value, Value]:
    sign, size = ops.slogdet(float_of(call, x))
    return sign, size


@operation("Logdet")
def _(call: Call, x: Any) -> Value:
    """Of positive definite matrices: Keras's backends differ on others."""
    return ops.slogdet(float_of(call, x))[1]


@operation("Solve")
def _(call: Call, a: Any, b: Any) -> Value:
    matrix, right = promoted(call, value_of(call, a), value_of(call, b), floating=True)
    if right.ndim != matrix.ndim - 1:
        return ops.solve(matrix, right)
    return ops.squeeze(ops.solve(matrix, ops.expand_dims(right, axis=(right.ndim,))), axis=(right.ndim,))


@operation("SolveTriangular")
def _(call: Call, a: Any, b: Any) -> Value:
    matrix, right = promoted(call, value_of(call, a), value_of(call, b), floating=True)
    upper = not call.option("lower", False)
    if right.ndim != matrix.ndim - 1:
        return ops.solve_triangular(matrix, right, upper=upper)
    columns = ops.expand_dims(right, axis=(right.ndim,))
    return ops.squeeze(ops.solve_triangular(matrix, columns, upper=upper), axis=(right.ndim,))


@operation("Qr")
def _(call: Call, x: Any) -> tuple[Value, Value]:
    orthogonal, triangle = ops.qr(float_of(call, x), mode=str(call.option("mode", "reduced")))
    return orthogonal, triangle


@operation("SVD")
def _(call: Call, x: Any) -> Any:
    parts = ops.svd(float_of(call, x), full_matrices=bool(call.option("full_matrices", True)))
    return tuple(parts) if call.option("compute_uv", True) else parts[1]


@operation("Eigh")
def _(call: Call, x: Any) -> tuple[Value, Value]:
    values, vectors = ops.eigh(float_of(call, x))
    return values, vectors


@operation("Inner")
def _(call: Call, x1: Any, x2: Any) -> Value:
    """Sums of products along the last axes."""
    first, second = promoted(call, value_of(call, x1), value_of(call, x2))
    if first.ndim == 0 or second.ndim == 0:
        return ops.multiply(first, second)
    letters, others = "abcdefg"[: first.ndim - 1], "hijklmn"[: second.ndim - 1]
    return ops.einsum(first, second, equation=f"{letters}z,{others}z->{letters}{others}")


@operation("Vdot")
def _(call: Call, x1: Any, x2: Any) -> Value:
    first, second = promoted(call, value_of(call, x1), value_of(call, x2))
    if first.dtype.is_complex:
        first = ops.conj(first)
    flat = [ops.reshape(x, shape=(product(x.shape),)) for x in (first, second)]
    return ops.einsum(*flat, equation="a,a->")


@operation("Kron")
def _(call: Call, x1: Any, x2: Any) -> Value:
    first, second = promoted(call, value_of(call, x1), value_of(call, x2))
    rank = max(first.ndim, second.ndim)
    first, second = (ops.reshape(x, shape=(*((1,) * (rank - x.ndim)), *x.shape)) for x in (first, second))
    wide = ops.multiply(
        ops.expand_dims(first, axis=tuple(range(1, 2 * rank, 2))),
        ops.expand_dims(second, axis=tuple(range(0, 2 * rank, 2))),
    )
    return ops.reshape(wide, shape=tuple(a * b for a, b in zip(first.shape, second.shape, strict=True)))


@operation("Cross")
def _(call: Call, x1: Any, x2: Any) -> Value:
    """Of vectors of three."""
    first, second = promoted(call, value_of(call, x1), value_of(call, x2))
    axes = [int(call.option(name, -1)) for name in ("axisa", "axisb")]
    parts: list[list[Value]] = []
    for x, axis in zip((first, second), axes, strict=True):
        if x.shape[axis] != 3:
            call.refuse("its vectors are not of three elements")
        split = ops.split(x, sizes=(1, 1, 1), axis=axis)
        parts.append([ops.squeeze(part, axis=(axis % x.ndim,)) for part in split])
    a, b = parts
    rows = [ops.subtract(ops.multiply(a[i], b[j]), ops.multiply(a[j], b[i])) for i, j in ((1, 2), (2, 0), (0, 1))]
    return ops.stack(*rows, axis=int(call.option("axisc", -1)))


@operation("Diag", "Diagflat")
def _(call: Call, x: Any) -> Value:
    """A vector as the diagonal of a matrix, or the diagonal of a matrix."""
    value, offset = value_of(call, x), int(call.option("k", 0))
    if call.config.class_name == "Diagflat" and value.ndim != 1:
        value = ops.reshape(value, shape=(product(value.shape),))
    if value.ndim == 2:
        return diagonal_of(call, value, 0, 1, offset)
    if value.ndim != 1:
        call.refuse("it makes a diagonal of more than two axes")
    size = value.shape[0] + abs(offset)
    before = (offset, 0) if offset > 0 else (0, -offset)
    padded = ops.pad(value, padding=(before,), mode="constant", value=0.0)
    mask = ops.eye(rows=size, offset=offset, dtype=DType.BOOL)
    empty = ops.full(shape=(), value=0.0 if value.dtype.is_floating else 0, dtype=value.dtype)
    return ops.where(mask, padded, empty)


@operation("MatrixRank")
def _(call: Call, x: Any) -> Value:
    value = float_of(call, x)
    if call.option("tol", None) is not None or not all(isinstance(size, int) for size in value.shape[-2:]):
        call.refuse("its tolerance is given, or its matrices are of unknown size")
    import ml_dtypes

    sizes = ops.svd(value, full_matrices=False)[1]
    scale = float(ml_dtypes.finfo(value.dtype.numpy).eps) * max(value.shape[-2:])  # type: ignore[type-var]
    limit = ops.multiply(ops.max(sizes, axis=(sizes.ndim - 1,), keepdims=True), scale)
    return ops.sum(cast(ops.greater(sizes, limit), DType.INT32), axis=(sizes.ndim - 1,))
