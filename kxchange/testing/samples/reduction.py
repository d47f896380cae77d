"""Samples of the reductions and the running reductions."""

from __future__ import annotations

from kxchange.testing.samples import booleans, distinct, integers, normal, samples, uniform, values
from kxchange.types import DType

INF, NAN = float("inf"), float("nan")
batch = ("batch", 3)

for name in ["sum", "prod", "mean", "var", "logsumexp", "max", "min"]:
    samples(name, [normal(batch, 4, ("seq", 5))], {"axis": (1,)})
    samples(name, [normal(batch, 4, ("seq", 5))], {"axis": (-1, 0), "keepdims": True})
    samples(name, [normal(2, 3)], note="all-axes")
    samples(name, [normal(2, 3)], {"axis": ()}, note="no-axis", differentiable=False if name == "var" else None)
    samples(name, [normal()], note="rank-0", differentiable=False if name == "var" else None)
    samples(
        name,
        [values([[1.0, NAN, 2.0], [1.0, -INF, INF], [INF, 1.0, 2.0]])],
        {"axis": (1,)},
        differentiable=False,
        note="A12",
    )
for name in ["sum", "prod", "max", "min"]:
    samples(name, [integers(-4, 5, batch, 4, dtype=DType.INT32)], {"axis": (0,)}, note="I12")
for name in ["sum", "prod", "mean", "var"]:
    samples(name, [values([[], []])], {"axis": (1,)}, differentiable=False, note="R17-R20")
samples("sum", [values([100, 100], DType.INT8)], note="I11")
samples("sum", [normal(3, 2, dtype=DType.COMPLEX64)], {"axis": (0,)}, note="complex")
samples("mean", [values([60000.0, 60000.0, 60000.0, 60000.0])], note="no-overflow")
samples("mean", [normal(("n", 4), ("m", 3))], note="symbolic-count")
samples("var", [normal(batch, 4)], {"axis": (0,), "correction": 1})
samples("var", [normal(3, 4)], {"axis": (1,), "correction": 1.5})
samples("var", [normal(1, 4)], {"axis": (0,), "correction": 1}, differentiable=False, note="one-element")
samples("var", [normal(batch, 4, mean=100.0)], {"axis": (1,), "keepdims": True}, note="large-mean")
samples(
    "logsumexp", [values([[-INF, -INF], [1e4, 1e4], [-1e4, -1e4]])], {"axis": (1,)}, differentiable=False, note="range"
)

for name in ["any", "all"]:
    samples(name, [booleans(batch, 4)], {"axis": (1,)})
    samples(name, [booleans(batch, ("seq", 2))], {"axis": (0, 1), "keepdims": True})
    samples(name, [values([[], []], DType.BOOL)], {"axis": (1,)}, note="empty")
    samples(name, [booleans(2, 3)], note="all-axes")

for name in ["argmax", "argmin"]:
    samples(name, [distinct(batch, ("seq", 5))], {"axis": 1})
    samples(name, [distinct(batch, 4, 2)], {"axis": -2, "keepdims": True})
    samples(name, [values([1.0, 2.0, 5.0, 4.0, 5.0, 1.0])], {"axis": 0}, note="X03")
    samples(name, [values([1.0, NAN, 2.0, NAN])], {"axis": 0}, note="X04")
    samples(name, [values([[3, 3], [1, 3]], DType.INT32)], {"axis": 1}, note="X03")

for name in ["cumulative_sum", "cumulative_prod"]:
    samples(name, [normal(batch, ("seq", 5))], {"axis": 1})
    samples(name, [uniform(0.5, 1.5, batch, 4)], {"axis": -2, "exclusive": True})
    samples(name, [uniform(0.5, 1.5, 2, 4)], {"axis": 1, "reverse": True})
    samples(name, [uniform(0.5, 1.5, 4)], {"axis": 0, "exclusive": True, "reverse": True})
    samples(name, [integers(-3, 4, 5, dtype=DType.INT32)], {"axis": 0}, note="I12")
    samples(name, [values([[], []])], {"axis": 1, "exclusive": True}, differentiable=False, note="empty")
for name in ["cumulative_max", "cumulative_min"]:
    samples(name, [normal(batch, ("seq", 5))], {"axis": 1})
    samples(name, [values([3, 1, 4, 1, 5], DType.INT64)], {"axis": 0})
    samples(name, [values([1.0, NAN, 2.0])], {"axis": 0}, differentiable=False, note="NaN")
