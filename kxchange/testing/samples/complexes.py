"""Samples of complex numbers and Fourier transforms."""

from __future__ import annotations

from kxchange.testing.samples import dim, normal, samples, values
from kxchange.types import DType

WIDE = ["float64", "float32"]
INF, NAN = float("inf"), float("nan")
batch, seq = ("batch", 2), ("seq", 5)
SINGLE, DOUBLE = DType.COMPLEX64, DType.COMPLEX128

samples("complex", [normal(batch, 3), normal(batch, 3)], dtypes=WIDE)
samples("complex", [normal(batch, 1), normal(4)], dtypes=WIDE, note="broadcast")
samples("complex", [values([INF, 1.0, NAN]), values([0.0, INF, 2.0])], dtypes=WIDE, differentiable=False, note="apart")
for name in ("real", "imag", "conj", "angle"):
    samples(name, [normal(batch, 3, dtype=SINGLE)])
    samples(name, [normal(4, dtype=DOUBLE)], note="double")
samples("angle", [values([1.0, -1.0, 1j, -1j, 0.0], DOUBLE)], note="axes")

for name in ("fft", "ifft"):
    samples(name, [normal(batch, 6, dtype=SINGLE)])
    samples(name, [normal(batch, seq, 3, dtype=DOUBLE)], {"axis": 1}, note="axis")
    samples(name, [normal(5, 3, dtype=DOUBLE)], {"axis": 0, "n": 4, "norm": "ortho"}, note="cut")
    samples(name, [normal(3, 5, dtype=DOUBLE)], {"n": 8, "norm": "forward"}, note="padded")
    samples(name, [normal(batch, seq, dtype=DOUBLE)], {"n": dim("2*seq")}, note="twice")
samples("rfft", [normal(batch, 6)], dtypes=WIDE)
samples("rfft", [normal(batch, seq, 3)], {"axis": 1}, dtypes=WIDE, note="axis")
samples("rfft", [normal(5, 3)], {"axis": 0, "n": 4, "norm": "ortho"}, dtypes=WIDE, note="cut")
samples("rfft", [normal(3, 5)], {"n": 8, "norm": "forward"}, dtypes=WIDE, note="padded")
samples("rfft", [normal(batch, seq)], {"n": dim("2*seq")}, dtypes=WIDE, note="twice")
samples("irfft", [normal(batch, 4, dtype=DOUBLE)])
samples("irfft", [normal(batch, 4, dtype=SINGLE)], note="single")
samples("irfft", [normal(batch, 4, dtype=DOUBLE)], {"n": 7}, note="odd")
samples("irfft", [normal(batch, seq, 3, dtype=DOUBLE)], {"axis": 1}, note="axis")
samples("irfft", [normal(6, 2, dtype=DOUBLE)], {"axis": 0, "n": 4, "norm": "ortho"}, note="cut")
samples("irfft", [normal(3, 3, dtype=DOUBLE)], {"n": 9, "norm": "forward"}, note="padded")
