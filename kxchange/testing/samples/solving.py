"""Samples of factorizations and linear equations."""

from __future__ import annotations

import numpy as np

from kxchange.testing.sample import Operand, Size
from kxchange.testing.samples import normal, samples, values
from kxchange.types import DType

WIDE = ["float64", "float32"]
batch, n = ("batch", 2), ("n", 4)
SINGLE, DOUBLE = DType.COMPLEX64, DType.COMPLEX128


def positive(*sizes: Size, dtype: DType | None = None) -> Operand:
    """Hermitian matrices with eigenvalues of at least 1."""

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        x = normal(dtype=dtype).draw(generator, shape)
        return x @ np.conj(np.swapaxes(x, -1, -2)) + np.eye(shape[-1])

    return Operand(sizes, draw, dtype)


# Of a matrix that is not perturbed symmetrically only one triangle would count: frameworks share the gradient out.
samples("cholesky", [positive(batch, n, n)], dtypes=WIDE, differentiable=False)
samples("cholesky", [positive(3, 3)], {"upper": True}, dtypes=WIDE, differentiable=False, note="upper")
samples("cholesky", [positive(3, 3, dtype=DOUBLE)], note="complex")
samples("det", [normal(batch, n, n)], dtypes=WIDE)
samples("det", [values([[1.0, 2.0], [2.0, 4.0]])], dtypes=WIDE, differentiable=False, note="singular")
samples("det", [normal(2, 3, 3, dtype=DOUBLE)], note="complex")
samples("slogdet", [normal(batch, n, n)], dtypes=WIDE)
samples("slogdet", [normal(2, 3, 3, dtype=DOUBLE)], note="complex")
samples("inv", [positive(batch, n, n)], dtypes=WIDE)
samples("inv", [positive(2, 3, 3, dtype=DOUBLE)], note="complex")
samples("solve", [positive(batch, n, n), normal(batch, n, 3)], dtypes=WIDE)
samples("solve", [positive(2, 1, 3, 3), normal(3, 3, 2)], dtypes=WIDE, note="broadcast")
samples("solve", [positive(n, n), normal(n)], dtypes=WIDE, note="vector")
samples("solve", [positive(2, 3, 3), normal(3)], dtypes=WIDE, note="one-vector")
samples("solve", [positive(3, 3, dtype=DOUBLE), normal(3, 2, dtype=DOUBLE)], note="complex")
for upper in (False, True):
    for unit in (False, True):
        attrs, note = {"upper": upper, "unit_diagonal": unit}, "upper" * upper + "-unit" * unit
        samples("solve_triangular", [positive(batch, n, n), normal(batch, n, 3)], attrs, dtypes=WIDE, note=note)
samples("solve_triangular", [positive(2, 1, 3, 3), normal(3, 3, 2)], dtypes=WIDE, note="broadcast")
samples("solve_triangular", [positive(3, 3, dtype=DOUBLE), normal(3, 2, dtype=DOUBLE)], note="complex")
for rows, columns in ((4, 3), (3, 4)):
    for mode in ("reduced", "complete"):
        smooth = None if rows > columns and mode == "reduced" else False
        samples("qr", [normal(batch, rows, columns)], {"mode": mode}, dtypes=WIDE, differentiable=smooth, note=mode)
    for full in (False, True):
        attrs = {"full_matrices": full}
        samples("svd", [normal(batch, rows, columns)], attrs, dtypes=WIDE, differentiable=False)
samples("qr", [normal(3, 3, dtype=DOUBLE)], note="complex")
samples("svd", [normal(3, 3, dtype=DOUBLE)], note="complex")
samples("svd", [normal(batch, n, n)], dtypes=WIDE, differentiable=False, note="square")
for upper in (False, True):
    samples("eigh", [positive(batch, n, n)], {"upper": upper}, dtypes=WIDE, differentiable=False)
samples("eigh", [positive(3, 3, dtype=DOUBLE)], note="complex")
